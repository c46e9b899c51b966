//! Who watches a document has been sent its latest state once everything is quiet.

use serde_json::Value;

use crate::checkers::{Finals, convergence};
use crate::documents::joined;
use crate::reply::Said;
use crate::world::World;

/// Checks what all watches were sent last.
pub fn check(world: &mut World, finals: &Finals) {
    if let Some(what) = late(world, finals) {
        world.report("watches", what);
    }
}

/// Whether all who watch know the latest state.
#[must_use]
pub fn are_current(world: &World) -> bool {
    world.workload.watches.is_empty() || late(world, &convergence::finals(world)).is_none()
}

fn late(world: &World, finals: &Finals) -> Option<String> {
    for watch in &world.workload.watches {
        let key = watch.key.escape_ascii();
        let Some(last) = &watch.last else {
            return Some(format!("who watches {key} was sent nothing"));
        };
        let said = Said::read(last)?;
        let json = said.list().first().and_then(Said::text);
        let sent: Option<Value> = json.and_then(|text| serde_json::from_str(text).ok());
        let partition = world.partition_of(&watch.key);
        let rows = finals.get(&partition).map(|state| &state.rows);
        let row = rows.and_then(|rows| {
            let mut rows = rows.iter();
            rows.find(|(row, _)| row.key() == watch.key)
                .map(|(_, row)| row)
        });
        let shown = row.and_then(|row| joined(row).view());
        if sent != shown {
            return Some(format!(
                "who watches {key} was sent {sent:?} last, but it is {shown:?}"
            ));
        }
    }
    None
}
