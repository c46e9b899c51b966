//! What is measured by redis-benchmark: one table of loads, from which the suites take theirs.

/// One load at one depth of pipeline.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// Its row of the table.
    pub(crate) row: &'static Row,
    /// Commands in a pipeline.
    pub(crate) pipeline: usize,
    /// Requests of one round.
    pub(crate) requests: usize,
    /// What is asked of it.
    pub(crate) floors: Floors,
}

/// A load.
#[derive(Debug)]
pub(crate) struct Row {
    /// Shown in the table.
    pub(crate) name: &'static str,
    /// A test of redis-benchmark, or the words of a command.
    pub(crate) load: &'static [&'static str],
    /// The command that must be there.
    pub(crate) needs: &'static str,
    /// Bytes of a value.
    pub(crate) value_bytes: usize,
    /// How many requests of the cheapest load one of these stands for, at `-P 1` and above.
    weights: [usize; 2],
    /// A test of redis-benchmark that goes before each round, unmeasured, and how many requests of
    /// it for each of this one.
    pub(crate) before: Option<(&'static str, usize)>,
    /// The least throughput in the suite `single`, times the peer's.
    single: Option<f64>,
    /// Whether it is one of redis-benchmark's default tests, for the suite `types`.
    is_default: bool,
}

/// What a ratio may be; `None` asks for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Floors {
    /// The least throughput, times the peer's.
    pub(crate) throughput_min: Option<f64>,
    /// The most CPU per operation, times the peer's.
    pub(crate) cpu_max: Option<f64>,
    /// The longest p99, times the peer's.
    pub(crate) p99_max: Option<f64>,
}

impl Floors {
    const fn all(throughput_min: f64) -> Self {
        Self {
            throughput_min: Some(throughput_min),
            cpu_max: Some(1.3),
            p99_max: Some(1.5),
        }
    }
}

/// The least throughput of the suite `types`.
const TYPES_MIN: f64 = 0.6;
/// Keys are drawn from so many.
pub(crate) const KEYS: usize = 1_000_000;
/// Connections.
pub(crate) const CLIENTS: usize = 50;

const ROW: Row = Row {
    name: "",
    load: &[],
    needs: "",
    value_bytes: 3,
    weights: [1, 1],
    before: None,
    single: None,
    is_default: true,
};

const fn row(name: &'static str, load: &'static [&'static str], needs: &'static str) -> Row {
    Row {
        name,
        load,
        needs,
        ..ROW
    }
}

/// Writes come first, so that reads find what they ask for. LRANGE is run as a command on the list
/// that the pushes before it have left: the test of redis-benchmark pushes one of its own each
/// time, and the CPU of that would count as LRANGE's.
static TABLE: &[Row] = &[
    row("PING_INLINE", &["ping_inline"], "PING"),
    Row {
        single: Some(1.0),
        ..row("PING", &["ping_mbulk"], "PING")
    },
    Row {
        single: Some(0.8),
        ..row("SET", &["set"], "SET")
    },
    Row {
        single: Some(1.0),
        ..row("GET", &["get"], "GET")
    },
    Row {
        single: Some(0.8),
        ..row("INCR", &["incr"], "INCR")
    },
    Row {
        weights: [1, 4],
        ..row("LPUSH", &["lpush"], "LPUSH")
    },
    Row {
        weights: [1, 4],
        ..row("RPUSH", &["rpush"], "RPUSH")
    },
    Row {
        weights: [1, 4],
        before: Some(("lpush", 1)),
        ..row("LPOP", &["lpop"], "LPOP")
    },
    Row {
        weights: [1, 4],
        before: Some(("rpush", 1)),
        ..row("RPOP", &["rpop"], "RPOP")
    },
    row("SADD", &["sadd"], "SADD"),
    row("HSET", &["hset"], "HSET"),
    // Members are drawn: twice as many draws leave enough to pop.
    Row {
        weights: [1, 4],
        before: Some(("sadd", 2)),
        ..row("SPOP", &["spop"], "SPOP")
    },
    row("ZADD", &["zadd"], "ZADD"),
    Row {
        weights: [1, 4],
        before: Some(("zadd", 2)),
        ..row("ZPOPMIN", &["zpopmin"], "ZPOPMIN")
    },
    Row {
        weights: [4, 20],
        ..row("LRANGE_100", &["LRANGE", "mylist", "0", "99"], "LRANGE")
    },
    Row {
        weights: [10, 50],
        ..row("LRANGE_300", &["LRANGE", "mylist", "0", "299"], "LRANGE")
    },
    Row {
        weights: [10, 100],
        ..row("LRANGE_500", &["LRANGE", "mylist", "0", "499"], "LRANGE")
    },
    Row {
        weights: [10, 100],
        ..row("LRANGE_600", &["LRANGE", "mylist", "0", "599"], "LRANGE")
    },
    // Ten keys a request.
    Row {
        weights: [5, 5],
        single: Some(0.8),
        ..row("MSET", &["mset"], "MSET")
    },
    Row {
        weights: [1, 4],
        // As the test of later versions of redis-benchmark than Debian's.
        ..row("XADD", &["XADD", "mystream", "*", "myfield", "xxx"], "XADD")
    },
    Row {
        value_bytes: 1024,
        weights: [1, 4],
        single: Some(0.8),
        is_default: false,
        ..row("SET 1K", &["set"], "SET")
    },
    Row {
        value_bytes: 1024,
        weights: [1, 4],
        single: Some(1.0),
        is_default: false,
        ..row("GET 1K", &["get"], "GET")
    },
];

fn case(row: &'static Row, pipeline: usize, quick: bool, floors: Floors) -> Case {
    let [alone, piped] = row.weights;
    let full = match pipeline {
        1 => 200_000 / alone,
        _ => 2_000_000 / piped,
    };
    Case {
        row,
        pipeline,
        requests: if quick { full / 10 } else { full },
        floors,
    }
}

/// The loads of a single node.
pub(crate) fn single(quick: bool) -> Vec<Case> {
    let rows = TABLE.iter().filter_map(|row| Some((row, row.single?)));
    rows.flat_map(|(row, throughput_min)| {
        let at = move |pipeline| case(row, pipeline, quick, Floors::all(throughput_min));
        [1, 16, 64].map(at)
    })
    .collect()
}

/// Every default test of redis-benchmark.
pub(crate) fn types(quick: bool) -> Vec<Case> {
    let floors = Floors {
        throughput_min: Some(TYPES_MIN),
        ..Floors::default()
    };
    let rows = |pipeline| {
        let rows = TABLE.iter().filter(|row| row.is_default);
        rows.map(move |row| case(row, pipeline, quick, floors))
    };
    // Depth by depth: a pop at one depth is not to find what pushes at another have left.
    rows(1).chain(rows(16)).collect()
}

/// The loads with a sync before every reply.
pub(crate) fn always(quick: bool) -> Vec<Case> {
    let rows = TABLE.iter().filter(|row| row.name == "SET");
    let case = |pipeline| {
        move |row| Case {
            requests: if quick { 20_000 } else { 200_000 },
            ..case(row, pipeline, quick, Floors::all(1.0))
        }
    };
    let at = |pipeline| rows.clone().map(case(pipeline));
    at(1).chain(at(16)).collect()
}

/// The loads of a single node, against three nodes with three replicas: a report, without floors.
pub(crate) fn cluster(quick: bool) -> Vec<Case> {
    single(quick)
        .into_iter()
        .map(|case| Case {
            floors: Floors::default(),
            requests: case.requests / 2,
            ..case
        })
        .collect()
}
