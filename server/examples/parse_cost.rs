//! What it costs to find the arguments of one pipelined SET: prints nanoseconds per request.
#![expect(clippy::print_stdout, reason = "a measurement is for people")]

use std::hint::black_box;
use std::time::Instant;

use larder_server::limits::ARGS_MAX;
use larder_server::resp::request::{RequestLimits, RequestParser};

const REQUESTS: usize = 64;
const ROUNDS: usize = 100_000;
const SAMPLES: usize = 7;

fn main() {
    let limits = RequestLimits {
        args_max: ARGS_MAX,
        arg_bytes_max: 512 << 20,
        authenticated: true,
    };
    let mut input = Vec::new();
    for number in 0..REQUESTS {
        let request = format!("*3\r\n$3\r\nSET\r\n$20\r\nkey:{number:016}\r\n$3\r\nxxx\r\n");
        input.extend_from_slice(request.as_bytes());
    }
    let mut samples: Vec<f64> = (0..SAMPLES).map(|_| sample(&input, &limits)).collect();
    samples.sort_by(f64::total_cmp);
    println!(
        "{:.1} ns per SET of 3 arguments, in pipelines of {REQUESTS}",
        samples[SAMPLES / 2]
    );
}

fn sample(input: &[u8], limits: &RequestLimits) -> f64 {
    let mut parser = RequestParser::new();
    let started = Instant::now();
    for _ in 0..ROUNDS {
        let mut rest = black_box(input);
        while let Ok(Some(length)) = parser.parse(rest, limits) {
            black_box(parser.args(rest));
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "all requests are whole");
    }
    started.elapsed().as_nanos() as f64 / (ROUNDS * REQUESTS) as f64
}
