//! Requests as they come in: whole, in pieces, over the limits, and as garbage.

use larder_commands::error::CommandError;
use larder_server::limits::{
    ARGS_MAX, LINE_BYTES_MAX, READ_AHEAD_BYTES_MAX, UNAUTHENTICATED_ARG_BYTES_MAX,
    UNAUTHENTICATED_ARGS_MAX,
};
use larder_server::resp::request::{ProtocolError, RequestLimits, RequestParser};
use proptest::prelude::*;
use redis_protocol::resp2::decode::decode;
use redis_protocol::resp2::types::OwnedFrame;

const LIMITS: RequestLimits = RequestLimits {
    args_max: ARGS_MAX,
    arg_bytes_max: 512 << 20,
    authenticated: true,
};
const STRANGER: RequestLimits = RequestLimits {
    args_max: ARGS_MAX,
    arg_bytes_max: 512 << 20,
    authenticated: false,
};

type Requests = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// All requests of `input` when it comes in pieces that end at `cuts`.
fn parse(input: &[u8], cuts: &[usize], limits: &RequestLimits) -> Requests {
    let mut parser = RequestParser::new();
    let mut requests = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([input.len()]) {
        let end = end.min(input.len()).max(start);
        loop {
            let rest = &input[start..end];
            match parser.parse(rest, limits) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let args = parser.args(&rest[..length]);
                    if !args.is_empty() {
                        requests.push(args.iter().map(<[u8]>::to_vec).collect());
                    }
                    start += length;
                }
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn whole(input: &[u8]) -> Requests {
    parse(input, &[], &LIMITS)
}

fn encode(request: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", request.len()).into_bytes();
    for arg in request {
        bytes.extend(format!("${}\r\n", arg.len()).into_bytes());
        bytes.extend(arg);
        bytes.extend(b"\r\n");
    }
    bytes
}

fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}

#[test]
fn requests_of_both_kinds_follow_one_another() {
    let input = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n\
        SET 'a b' \"\\x00\"\r\n\r\n*0\r\n*-1\r\n  \nPING\n*1\r\n$4\r\nPING\r\n";
    let want = vec![
        words(&[b"GET", b""]),
        words(&[b"SET", b"a b", b"\0"]),
        words(&[b"PING"]),
        words(&[b"PING"]),
    ];
    assert_eq!(whole(input), (want, None));
}

#[test]
fn broken_requests_end_with_redis_own_words() {
    let long = vec![b'1'; LINE_BYTES_MAX + 2];
    let cases: &[(&[u8], &str)] = &[
        (b"*x\r\n", "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$00\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775807\r\n", "invalid bulk length"),
        (b"*1\r\nPING\r\n", "expected '$', got 'P'"),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        (b"*1\r\n\r\n", "expected '$', got '\r'"),
        (b"SET \"a\r\n", "unbalanced quotes in request"),
        (&[&b"*"[..], &long].concat(), "too big mbulk count string"),
        (
            &[&b"*1\r\n$"[..], &long].concat(),
            "too big bulk count string",
        ),
        (&long, "too big inline request"),
    ];
    for (input, want) in cases {
        let (requests, error) = whole(input);
        let text = error.map(|error| error.to_string());
        assert_eq!(
            text,
            Some(format!("Protocol error: {want}")),
            "{requests:?}"
        );
    }
}

#[test]
fn an_error_for_the_client_has_the_prefix() {
    let error = CommandError::from(ProtocolError::ArgCount);
    assert_eq!(
        error.to_string(),
        "ERR Protocol error: invalid multibulk length"
    );
}

#[test]
fn the_limits_themselves_are_allowed() {
    let request = vec![b"x".to_vec(); ARGS_MAX];
    assert_eq!(whole(&encode(&request)), (vec![request], None));
    let mut line = vec![b'x'; LINE_BYTES_MAX];
    line.push(b'\n');
    assert_eq!(whole(&line), (vec![vec![vec![b'x'; LINE_BYTES_MAX]]], None));
}

#[test]
fn a_stranger_may_send_little() {
    let many = encode(&vec![Vec::new(); UNAUTHENTICATED_ARGS_MAX]);
    assert_eq!(parse(&many, &[], &STRANGER).1, None);
    let more = encode(&vec![Vec::new(); UNAUTHENTICATED_ARGS_MAX + 1]);
    assert_eq!(
        parse(&more, &[], &STRANGER).1,
        Some(ProtocolError::UnauthenticatedArgCount)
    );
    let long = encode(&[vec![0; UNAUTHENTICATED_ARG_BYTES_MAX]]);
    assert_eq!(parse(&long, &[], &STRANGER).1, None);
    let longer = encode(&[vec![0; UNAUTHENTICATED_ARG_BYTES_MAX + 1]]);
    assert_eq!(
        parse(&longer, &[], &STRANGER).1,
        Some(ProtocolError::UnauthenticatedArgLength)
    );
}

#[test]
fn a_declared_length_makes_no_room_by_itself() {
    let mut parser = RequestParser::new();
    let input = b"*1000000\r\n$500000000\r\nabc";
    assert_eq!(parser.parse(input, &LIMITS), Ok(None));
    assert_eq!(parser.wanted(input.len()), READ_AHEAD_BYTES_MAX);
    assert!(parser.is_within_request());
    let mut parser = RequestParser::new();
    let input = b"*1\r\n$10\r\nabc";
    assert_eq!(parser.parse(input, &LIMITS), Ok(None));
    assert_eq!(parser.wanted(input.len()), 9);
}

#[test]
fn a_large_value_can_be_taken_without_copying() {
    let input = bytes::Bytes::from(encode(&words(&[b"SET", b"k", &[7; 100_000]])));
    let mut parser = RequestParser::new();
    assert_eq!(parser.parse(&input, &LIMITS), Ok(Some(input.len())));
    let args = parser.take_args(input.clone());
    let value = args.share(2);
    assert_eq!(value, vec![7; 100_000]);
    let offset = input.len() - 100_002;
    assert_eq!(value.as_ptr(), input[offset..].as_ptr());
    let line = bytes::Bytes::from_static(b"GET \"\\x41\"\r\n");
    assert_eq!(parser.parse(&line, &LIMITS), Ok(Some(line.len())));
    assert_eq!(parser.take_args(line).as_args().at(1), b"A");
}

/// A line of inline words, an array of arguments, or bytes that may be anything.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let arg = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        4 => prop::collection::vec(arg, 0..5).prop_map(|request| encode(&request)),
        2 => "[a-z ]{0,12}('[a-z ]{0,5}' )?(\"[a-z\\\\]{0,5}\")?\r?\n".prop_map(String::into_bytes),
        2 => "[*$]?-?[0-9]{0,12}\r\n".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..9),
    ]
}

proptest! {
    #[test]
    fn pieces_give_what_the_whole_gives(
        pieces in prop::collection::vec(piece(), 0..6),
        mut cuts in prop::collection::vec(0_usize..120, 0..9),
    ) {
        cuts.sort_unstable();
        let input = pieces.concat();
        let want = whole(&input);
        prop_assert_eq!(&parse(&input, &cuts, &LIMITS), &want);
        let every: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&parse(&input, &every, &LIMITS), &want);
    }

    #[test]
    fn garbage_is_refused_or_waited_for(input in any::<Vec<u8>>(), cut in 0_usize..50) {
        prop_assert_eq!(parse(&input, &[cut], &LIMITS), whole(&input));
    }

    #[test]
    fn a_general_decoder_reads_the_same(
        request in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6),
    ) {
        let input = encode(&request);
        let (frame, length) = decode(&input).expect("a valid array").expect("a whole array");
        prop_assert_eq!(length, input.len());
        let OwnedFrame::Array(items) = frame else { panic!("an array") };
        let args: Vec<Vec<u8>> = items
            .into_iter()
            .map(|item| match item {
                OwnedFrame::BulkString(bytes) => bytes,
                other => panic!("a bulk string, not {other:?}"),
            })
            .collect();
        prop_assert_eq!((vec![args], None), whole(&input));
    }
}
