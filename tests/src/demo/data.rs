//! The shopping lists of thirty households.

use serde_json::{Map, Value as Json, json};

use crate::failure::{Checked, Failure};

const SHOPPING: &str = include_str!("../../data/shopping.json");

/// Items of a list that the walk can show whole.
const SHORT_LIST_ITEMS: usize = 3;

/// What a household keeps in Larder. Its keys share the hash tag `{family}`, so that they are on
/// the same nodes.
#[derive(Debug, Clone)]
pub struct Household {
    /// Its name, the tag of its keys.
    pub family: String,
    /// How often somebody has gone shopping: a counter.
    pub trips: i64,
    /// What is on the fridge: a string.
    pub note: String,
    /// The list: a document.
    pub list: Json,
}

impl Household {
    /// One of its keys.
    #[must_use]
    pub fn key(&self, kind: &str) -> String {
        format!("{kind}:{{{}}}", self.family)
    }

    /// Whether its list is short enough to be shown whole.
    #[must_use]
    pub fn is_short(&self) -> bool {
        items(&self.list).len() == SHORT_LIST_ITEMS
    }
}

/// All households.
///
/// # Errors
/// The data are not what they should be.
pub fn households() -> Checked<Vec<Household>> {
    let rows: Vec<Json> = serde_json::from_str(SHOPPING)?;
    rows.iter()
        .map(|row| household(row).ok_or_else(|| bad(row)))
        .collect()
}

fn household(row: &Json) -> Option<Household> {
    Some(Household {
        family: row["family"].as_str()?.to_owned(),
        trips: row["trips"].as_i64()?,
        note: row["note"].as_str()?.to_owned(),
        list: row["list"].as_object().map(|list| json!(list))?,
    })
}

fn bad(row: &Json) -> Failure {
    Failure::new(format!("a household lacks something: {row}"))
}

/// The items of a list.
#[must_use]
pub fn items(list: &Json) -> Map<String, Json> {
    list["items"].as_object().cloned().unwrap_or_default()
}

/// A list as people write it. An item without a name is called by its key, and one without a
/// quantity is wanted once.
#[must_use]
pub fn lines(list: &Json) -> Vec<String> {
    let mut lines = vec![
        list["name"]
            .as_str()
            .unwrap_or("a list without a name")
            .to_owned(),
    ];
    for (key, item) in items(list) {
        let name = item["name"].as_str().unwrap_or(&key);
        let quantity = item["qty"].as_i64().unwrap_or(1);
        let mark = if item["done"] == true { '●' } else { '○' };
        lines.push(format!("  {mark} {name} ×{quantity}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_household_has_a_name_of_its_own_and_a_list_with_items() -> Checked {
        let households = households()?;
        let families: BTreeSet<_> = households.iter().map(|home| home.family.clone()).collect();
        assert_eq!(families.len(), households.len());
        assert!(households.len() >= 30);
        for home in &households {
            let items = items(&home.list);
            assert!(items.len() >= SHORT_LIST_ITEMS, "{}", home.family);
            let is_item = |item: &Json| item["name"].is_string() && item["qty"].is_i64();
            assert!(items.values().all(is_item), "{}", home.family);
        }
        Ok(())
    }

    /// The walk needs one that has replicas on both sides of the cut; nine of ten have.
    #[test]
    fn enough_lists_are_short() -> Checked {
        assert!(households()?.iter().filter(|home| home.is_short()).count() >= 8);
        Ok(())
    }
}
