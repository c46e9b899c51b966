//! What is measured: a row is a load of redis-benchmark and the floors for its ratios.

/// One load.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Shown in the table.
    pub(crate) name: &'static str,
    /// The test of redis-benchmark.
    pub(crate) test: &'static str,
    /// Bytes of a value.
    pub(crate) value_bytes: usize,
    /// Commands in a pipeline.
    pub(crate) pipeline: usize,
    /// Requests of one round.
    pub(crate) requests: usize,
    /// The least throughput, times the peer's; 0 asks for nothing.
    pub(crate) throughput_min: f64,
}

/// The most CPU per operation, times the peer's.
pub(crate) const CPU_MAX: f64 = 1.3;
/// The longest p99, times the peer's.
pub(crate) const P99_MAX: f64 = 1.5;
/// Keys are drawn from so many.
pub(crate) const KEYS: usize = 1_000_000;
/// Connections.
pub(crate) const CLIENTS: usize = 50;

/// The loads of a single node. Writes come first, so that GET finds what it asks for.
pub(crate) fn single(quick: bool) -> Vec<Case> {
    let tests = [
        ("PING", "ping_mbulk", 3, 1.0),
        ("SET", "set", 3, 0.8),
        ("GET", "get", 3, 1.0),
        ("INCR", "incr", 3, 0.8),
        ("MSET", "mset", 3, 0.8),
        ("SET 1K", "set", 1024, 0.8),
        ("GET 1K", "get", 1024, 1.0),
    ];
    let mut cases = Vec::new();
    for (name, test, value_bytes, throughput_min) in tests {
        for pipeline in [1, 16, 64] {
            let full = if pipeline == 1 { 200_000 } else { 2_000_000 };
            let mut requests = if quick { full / 10 } else { full };
            if test == "mset" {
                // Ten keys a request.
                requests /= 5;
            }
            if value_bytes > 3 && pipeline > 1 {
                requests /= 4;
            }
            cases.push(Case {
                name,
                test,
                value_bytes,
                pipeline,
                requests,
                throughput_min,
            });
        }
    }
    cases
}

/// The loads with a sync before every reply.
pub(crate) fn always(quick: bool) -> Vec<Case> {
    let requests = if quick { 20_000 } else { 200_000 };
    [1, 16]
        .into_iter()
        .map(|pipeline| Case {
            name: "SET",
            test: "set",
            value_bytes: 3,
            pipeline,
            requests,
            throughput_min: 1.0,
        })
        .collect()
}

/// The loads of three nodes with three replicas.
pub(crate) fn cluster(quick: bool) -> Vec<Case> {
    single(quick)
        .into_iter()
        .filter(|case| case.value_bytes == 3 && case.pipeline != 64)
        .map(|case| Case {
            throughput_min: 0.0,
            requests: case.requests / 2,
            ..case
        })
        .collect()
}
