//! SCAN and KEYS: a walk over the partitions of the cluster, wherever they live.
//!
//! A small key space is spread thinly over many partitions, so more and more of them are asked at
//! the same time until the page is full; what was asked in vain is thrown away. KEYS keeps its
//! whole answer in memory, as it does in Redis: SCAN is for key spaces that do not fit.

use larder_cluster::id::PartitionId;
use larder_commands::args::Args;
use larder_commands::scan::Scan;

use super::Answering;
use super::across::gather;
use super::keyspace::{WINDOW_MAX, answered, routes};
use crate::client::{Connection, Step};

pub(super) fn scan<'a>(connection: &'a mut Connection, args: Args<'a>) -> Answering<'a> {
    Box::pin(async move {
        let mut scan = Scan::parse(args)?;
        let server = connection.server.clone();
        routes(&server)?;
        let partitions = server.partitions;
        let all: Vec<PartitionId> = partitions.iter().collect();
        let mut window = 1;
        while !scan.is_over() {
            let first = scan.partition(partitions).index();
            let asked = all.get(first..).unwrap_or_default();
            let asked = asked.get(..window).unwrap_or(asked);
            let requests: Vec<_> = asked
                .iter()
                .map(|partition| scan.request_ahead(connection.database, *partition, partitions))
                .collect();
            for (partition, reply) in asked.iter().zip(gather(&server.runtime, requests).await?) {
                // A page that ended within its partition goes on there.
                if scan.is_over() || scan.partition(partitions) != *partition {
                    break;
                }
                scan.take(&answered(reply)?)?;
            }
            window = WINDOW_MAX.min(2 * window);
        }
        scan.write_to(&mut connection.reply);
        Ok(Step::Done)
    })
}
