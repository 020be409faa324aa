//! What followers have acted on: copied into later records, and the bound below which windows may leave memory.

use crate::journal::Ack;
use std::collections::BTreeMap;
use std::sync::Mutex;
use stream::EventTime;

/// Every follower's progress in this process.
pub(crate) struct Acks {
    /// Followers by name; whether they hold windows in memory; their last acknowledgement.
    followers: Mutex<BTreeMap<String, (bool, Option<Ack>)>>,
}

impl Acks {
    /// `followers`: name, and whether windows must stay until it has them.
    pub(crate) fn new(followers: impl IntoIterator<Item = (String, bool)>) -> Self {
        Acks { followers: Mutex::new(followers.into_iter().map(|(name, holds)| (name, (holds, None))).collect()) }
    }

    pub(crate) fn set(&self, name: &str, ack: Ack) {
        if let Some((_, last)) = self.followers.lock().expect("nobody panics while holding the acks").get_mut(name) {
            *last = Some(ack);
        }
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Ack> {
        let followers = self.followers.lock().expect("nobody panics while holding the acks");
        followers.iter().filter_map(|(name, (_, ack))| Some((name.clone(), (*ack)?))).collect()
    }

    /// Whether windows must stay in memory until a follower has them. Not while what it lacks will come from the journal.
    pub(crate) fn hold(&self, name: &str, holds: bool) {
        if let Some((held, _)) = self.followers.lock().expect("nobody panics while holding the acks").get_mut(name) {
            *held = holds;
        }
    }

    /// Windows final under this watermark have reached every follower that shows them.
    pub(crate) fn evictable(&self, watermark: Option<EventTime>) -> Option<EventTime> {
        let followers = self.followers.lock().expect("nobody panics while holding the acks");
        let reached = |ack: &Option<Ack>| ack.and_then(|ack| ack.watermark);
        followers.values().filter(|(holds, _)| *holds).fold(watermark, |least, (_, ack)| least.min(reached(ack)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream::{RecordHash, Sequence};

    #[test]
    fn windows_leave_once_the_slowest_follower_has_them() {
        let acks = Acks::new([("tables".to_owned(), true), ("boards".to_owned(), true), ("letters".to_owned(), false)]);
        let at = |millis| Some(EventTime::from_millis(millis));
        let ack = |watermark| Ack { sequence: Sequence(1), hash: RecordHash::default(), watermark };
        assert_eq!(acks.evictable(at(10)), None);
        acks.set("boards", ack(at(9)));
        assert_eq!(acks.evictable(at(10)), None, "the tables have nothing yet");
        acks.set("tables", ack(at(7)));
        assert_eq!(acks.evictable(at(10)), at(7));
        assert_eq!(acks.evictable(at(5)), at(5));
        acks.hold("tables", false);
        assert_eq!(acks.evictable(at(10)), at(9), "what the tables lack will come from the journal");
        acks.hold("tables", true);
        assert_eq!(acks.evictable(at(10)), at(7));
        assert_eq!(acks.all().len(), 2);
        assert_eq!(Acks::new([]).evictable(at(3)), at(3));
    }
}
