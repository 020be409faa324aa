//! How far behind each partition is, told by readers and read by whoever reports it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Per partition: where reading stands, and the end where it is known. The unit is the source's (messages, bytes).
pub type Places = BTreeMap<Arc<str>, (i64, Option<i64>)>;

/// Positions and ends by partition.
#[derive(Default)]
pub struct Lag {
    partitions: Mutex<BTreeMap<Arc<str>, Place>>,
}

struct Place {
    /// Where the partition stood when first told.
    first: i64,
    position: i64,
    end: Option<i64>,
}

impl Lag {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Place>> {
        self.partitions.lock().expect("nobody panics while holding the lag")
    }

    pub(crate) fn set(&self, partition: &Arc<str>, position: i64, end: Option<i64>) {
        let mut partitions = self.lock();
        match partitions.get_mut(partition) {
            Some(place) => (place.position, place.end) = (position, end.or(place.end)),
            None => {
                partitions.insert(partition.clone(), Place { first: position, position, end });
            }
        }
    }

    /// A copy of all places.
    pub fn read(&self) -> Places {
        self.lock().iter().map(|(name, place)| (name.clone(), (place.position, place.end))).collect()
    }

    /// How far all readers have come since they were first heard of.
    pub fn moved(&self) -> i64 {
        self.lock().values().map(|place| place.position - place.first).sum()
    }

    /// What is still to be read of each partition whose end is known.
    pub fn by_partition(&self) -> BTreeMap<Arc<str>, u64> {
        let behind = |place: &Place| place.end.map(|end| u64::try_from(end - place.position).unwrap_or(0));
        self.lock().iter().filter_map(|(name, place)| Some((name.clone(), behind(place)?))).collect()
    }

    /// Everything still to read, as far as known.
    pub fn behind(&self) -> u64 {
        self.by_partition().into_values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_counts_from_where_it_was_first_heard_of() {
        let (lag, zero, one) = (Lag::default(), Arc::from("0"), Arc::from("1"));
        lag.set(&zero, 100, Some(150));
        assert_eq!((lag.moved(), lag.behind()), (0, 50));
        lag.set(&one, 7, None);
        lag.set(&zero, 130, None);
        assert_eq!((lag.moved(), lag.behind()), (30, 20), "an end that is not told stays as it was");
        lag.set(&one, 9, Some(5));
        assert_eq!((lag.moved(), lag.behind()), (32, 20), "an end from before is no debt");
        assert_eq!(lag.read(), Places::from([(zero, (130, Some(150))), (one, (9, Some(5)))]));
    }
}
