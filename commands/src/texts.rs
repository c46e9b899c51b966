//! Members of collections by their text, whether their names hold it or, being long, only its
//! digest: then the text stands in a row of its own, written and removed along with the member.

use larder_cluster::element::{self, Family, MEMBER_BYTES_MAX, Role};
use larder_cluster::transaction::{Place, Transaction};
use larder_crdt::Value;

use crate::error::CommandError;

/// The element of a member.
pub(crate) fn element_of(family: Family, member: &[u8]) -> Vec<u8> {
    family.element(Role::MEMBER, &element::member_name(member))
}

/// Where the text of a long member stands; `element` is the member's own.
fn text_place(transaction: &Transaction<'_, '_>, key: &Place, element: &[u8]) -> Option<Place> {
    let name = element.get(2..)?;
    if element::member_of(name).is_some() {
        return None;
    }
    let family = Family::of(element)?;
    Some(transaction.element(key, &family.element(Role::TEXT, name)))
}

/// The member that an element is. One whose text has not come yet has none.
pub(crate) fn text_of(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    element: &[u8],
) -> Result<Vec<u8>, CommandError> {
    if let Some(member) = element.get(2..).and_then(element::member_of) {
        return Ok(member.to_vec());
    }
    let Some(place) = text_place(transaction, key, element) else {
        return Ok(Vec::new());
    };
    let siblings = transaction.try_row(&place)?.siblings();
    let text = siblings.iter().find_map(|sibling| match &sibling.value {
        Value::Register(bytes) => Some(bytes.to_vec()),
        _ => None,
    });
    Ok(text.unwrap_or_default())
}

/// Writes the text of a member that is about to be written, if it is a long one. It is written anew
/// each time, so that a removal that has not seen this write leaves it.
pub(crate) fn keep_text(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    family: Family,
    member: &[u8],
) -> Result<(), CommandError> {
    if member.len() <= MEMBER_BYTES_MAX {
        return Ok(());
    }
    transaction.group();
    let element = element_of(family, member);
    if let Some(place) = text_place(transaction, key, &element) {
        transaction.edit(&place, |edit| {
            edit.remove(|_| true);
            edit.insert(edit.stamp(), None, |_| Value::Register(member.into()));
        })?;
    }
    Ok(())
}

/// Removes the text of a member that is about to be removed.
pub(crate) fn drop_text(
    transaction: &mut Transaction<'_, '_>,
    key: &Place,
    element: &[u8],
) -> Result<(), CommandError> {
    if let Some(place) = text_place(transaction, key, element) {
        transaction.group();
        transaction.edit(&place, |edit| edit.remove(|_| true))?;
    }
    Ok(())
}
