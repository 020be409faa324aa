//! How far behind each partition is, told by readers and read by whoever reports it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Per partition: where reading stands, and the end where it is known. The unit is the source's (messages, bytes).
pub type Places = BTreeMap<Arc<str>, (i64, Option<i64>)>;

/// Positions and ends by partition.
#[derive(Default)]
pub struct Lag {
    partitions: Mutex<Places>,
    /// Where each partition stood when first told.
    first: Mutex<BTreeMap<Arc<str>, i64>>,
}

impl Lag {
    pub(crate) fn set(&self, partition: &Arc<str>, position: i64, end: Option<i64>) {
        let mut partitions = self.partitions.lock().expect("nobody panics while holding the lag");
        match partitions.get_mut(partition) {
            Some(place) => *place = (position, end.or(place.1)),
            None => {
                partitions.insert(partition.clone(), (position, end));
                let mut first = self.first.lock().expect("nobody panics while holding the lag");
                first.insert(partition.clone(), position);
            }
        }
    }

    /// A copy of all places.
    pub fn read(&self) -> Places {
        self.partitions.lock().expect("nobody panics while holding the lag").clone()
    }

    /// How far all readers have come since they were first heard of.
    pub fn moved(&self) -> i64 {
        let first = self.first.lock().expect("nobody panics while holding the lag").clone();
        self.read().iter().map(|(name, (position, _))| position - first.get(name).unwrap_or(position)).sum()
    }

    /// What is still to be read of each partition whose end is known.
    pub fn by_partition(&self) -> BTreeMap<Arc<str>, u64> {
        let places = self.partitions.lock().expect("nobody panics while holding the lag");
        let behind = |(position, end): &(i64, Option<i64>)| end.map(|end| u64::try_from(end - position).unwrap_or(0));
        places.iter().filter_map(|(name, place)| Some((name.clone(), behind(place)?))).collect()
    }

    /// Everything still to read, as far as known.
    pub fn behind(&self) -> u64 {
        let behind =
            |(position, end): (i64, Option<i64>)| u64::try_from(end.unwrap_or(position) - position).unwrap_or(0);
        self.read().into_values().map(behind).sum()
    }
}
