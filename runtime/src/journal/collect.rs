//! Deletion: first written down in a base record, and done only when that record is durable and the slot was checked.
//! What is due is found by listing, so what a crash left behind is found the next time.

use super::chain::{COMMITS, name_of, sequence_of};
use super::compact::BASES;
use super::record::FIRST;
use super::store::Objects;
use std::collections::BTreeMap;
use stream::{Bug, FailPoint, Fault, Generation, Sequence, seeded};

/// What may go once the new base is durable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Listing {
    /// Stretches of records, first and last.
    pub(super) records: Vec<(Sequence, Sequence)>,
    /// Folders of base parts.
    pub(super) bases: Vec<String>,
    /// Bytes of all of it.
    pub(super) bytes: u64,
    parts: Vec<String>,
}

/// Records after genesis up to `through`, and every folder of base parts of our generation or an older one but `keep`:
/// older generations cannot commit any more, and of our own only the newest counts. Newer ones are not ours to touch.
pub(super) fn list(objects: &Objects, ours: Generation, through: Sequence, keep: &str) -> Result<Listing, Fault> {
    let mut listing = Listing::default();
    for object in objects.list(COMMITS)? {
        if let Some(sequence) = sequence_of(&object.name).filter(|at| *at > FIRST && *at <= through) {
            listing.bytes += object.size;
            match listing.records.last_mut() {
                Some((_, last)) if last.0 + 1 == sequence.0 => *last = sequence,
                _ => listing.records.push((sequence, sequence)),
            }
        }
    }
    let mut folders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for object in objects.list(BASES)? {
        if let Some(folder) = collectable_folder(&object.name, ours).filter(|folder| folder != keep) {
            listing.bytes += object.size;
            folders.entry(folder).or_default().push(object.name);
        }
    }
    if seeded(Bug::SlotsDeleted) {
        let own = super::slots::name_of(ours);
        listing.parts.extend(objects.list("generation")?.into_iter().map(|slot| slot.name).filter(|slot| *slot < own));
    }
    for (folder, parts) in folders {
        listing.bases.push(folder);
        listing.parts.extend(parts);
    }
    Ok(listing)
}

/// `base/{covered}-{generation}-{nonce}` of a part, if that generation may no longer commit or is ours.
fn collectable_folder(name: &str, ours: Generation) -> Option<String> {
    let (folder, _part) = name.rsplit_once('/')?;
    let mut words = folder.strip_prefix(BASES)?.strip_prefix('/')?.split('-');
    let (_covered, generation, _nonce) = (words.next()?, words.next()?, words.next()?);
    (generation.parse::<u64>().ok()? <= ours.0).then(|| folder.to_owned())
}

/// Delete. What fails is left for the next time.
pub(super) fn delete(objects: &Objects, listing: &Listing) -> Result<(), Fault> {
    let records = listing.records.iter().flat_map(|(first, last)| (first.0..=last.0).map(Sequence));
    let names: Vec<String> = records.map(name_of).chain(listing.parts.iter().cloned()).collect();
    objects.delete(&names)?;
    FailPoint::DeleteDone.reach()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_that_nobody_can_commit_any_more_are_collectable() {
        let name = |generation: u64| format!("base/{:020}-{generation:020}-00ff/0001", 7);
        assert_eq!(collectable_folder(&name(3), Generation(3)), Some(name(3)[..name(3).len() - 5].to_owned()));
        assert!(collectable_folder(&name(2), Generation(3)).is_some());
        assert_eq!(collectable_folder(&name(4), Generation(3)), None);
        assert_eq!(collectable_folder("base/somebody's notes", Generation(3)), None);
        assert_eq!(collectable_folder("base/a-b-c/d", Generation(3)), None);
    }
}
