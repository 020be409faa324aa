//! What must be true, by the written rules (event-time rules, journal): counted anew from the log and from what the
//! chain has decided, by code that shares nothing with the product but its words.

use super::log::{KEYS, Log, Record};
use crate::journal::{Peeked, PeekedEpoch, PeekedPlace, Says, StartOffset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use stream::{DeadCode, EventTime, Generation, LedgerLine, RecordHash};

pub(super) const OUT_OF_ORDERNESS: i64 = 5_000;
pub(super) const LATENESS: i64 = 60_000;
pub(super) const SKEW: i64 = 60_000;
pub(super) const K: usize = 3;

/// Kind and start, in milliseconds.
pub(super) type WindowKey = (u8, i64);
pub(super) type Counts = BTreeMap<WindowKey, BTreeMap<&'static str, u64>>;
type Name = Arc<str>;

/// Local midnights around the times that are simulated.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// A day of 25 hours: clocks go back on 2025-10-26.
    Zurich,
    /// Offset of half an hour: some hours end after the day.
    Kolkata,
}

impl Place {
    pub(super) fn zone(self) -> &'static str {
        match self {
            Place::Zurich => "Europe/Zurich",
            Place::Kolkata => "Asia/Kolkata",
        }
    }

    /// Shortly before midnight.
    pub(super) fn begin(self) -> i64 {
        match self {
            Place::Zurich => 1_761_427_800_000,
            Place::Kolkata => 1_761_413_400_000,
        }
    }

    fn midnights(self) -> [i64; 6] {
        const DAY: i64 = 86_400_000;
        match self {
            Place::Zurich => {
                let (saturday, monday) = (1_761_343_200_000, 1_761_519_600_000);
                [saturday - DAY, saturday, saturday + DAY, monday, monday + DAY, monday + 2 * DAY]
            }
            Place::Kolkata => [-2, -1, 0, 1, 2, 3].map(|days| 1_761_417_000_000 + days * DAY),
        }
    }

    /// Start and end of each kind's window: minute, hour, day, all time.
    pub(super) fn windows(self, at: i64) -> [(i64, i64); 4] {
        let fixed = |size: i64| (at - at % size, at - at % size + size);
        let midnights = self.midnights();
        let next = midnights.iter().position(|midnight| *midnight > at).expect("the simulated time is near");
        let all = (EventTime::MIN.millis(), i64::MAX - LATENESS);
        [fixed(60_000), fixed(3_600_000), (midnights[next - 1], midnights[next]), all]
    }
}

/// A partition, as far as records of the chain have brought it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    pub(super) next: i64,
    pub(super) watermark: Option<i64>,
    pub(super) active: bool,
    pub(super) floors: Vec<(i64, i64)>,
    pub(super) account: (u64, u64, u64),
}

/// Everything as of one record of the chain.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    pub(super) watermark: Option<i64>,
    pub(super) partitions: BTreeMap<Name, Standing>,
    pub(super) counts: Counts,
    pub(super) late: BTreeMap<WindowKey, u64>,
    /// Every dead letter so far.
    pub(super) dead: BTreeSet<(Name, i64)>,
}

impl Snapshot {
    pub(super) fn is_final(&self, end: i64) -> bool {
        self.watermark.is_some_and(|watermark| end + LATENESS <= watermark)
    }

    pub(super) fn best(&self, window: WindowKey) -> Vec<(&'static str, u64)> {
        let mut best: Vec<_> = self.counts.get(&window).into_iter().flatten().map(|(key, n)| (*key, *n)).collect();
        best.sort_by_key(|(key, n)| (std::cmp::Reverse(*n), *key));
        best.truncate(K);
        best
    }
}

/// A record that took its number first: the chain, kept also when the store has deleted it.
pub(super) struct Link {
    pub(super) generation: Generation,
    pub(super) hash: RecordHash,
    /// As of this record; none but for genesis and epochs.
    pub(super) snapshot: Option<Arc<Snapshot>>,
}

/// The chain and what it must mean.
pub(super) struct Oracle {
    pub(super) place: Place,
    /// Record 1 first.
    pub(super) chain: Vec<Link>,
    pub(super) now: Arc<Snapshot>,
    /// The last epoch record, or genesis.
    pub(super) last: u64,
    /// What the newest base covers.
    pub(super) covered: u64,
    keys: BTreeMap<u16, Vec<String>>,
}

/// Whether a sink has acted on the epoch of this number, which is as this snapshot.
pub(super) type Acted<'a> = dyn Fn(&str, u64, &Snapshot) -> bool + 'a;
type Verdict = Result<(), String>;

macro_rules! must {
    ($holds:expr, $($why:tt)*) => { if !$holds { return Err(format!($($why)*)); } };
}

impl Oracle {
    pub(super) fn new(place: Place) -> Self {
        Oracle { place, chain: Vec::new(), now: Arc::default(), last: 0, covered: 0, keys: BTreeMap::new() }
    }

    pub(super) fn link(&self, sequence: u64) -> Option<&Link> {
        self.chain.get(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    /// Whether a window is final as of the last epoch.
    pub(super) fn is_final(&self, window: WindowKey) -> bool {
        let inside = if window.0 == 3 { self.place.begin() } else { window.1 };
        self.now.is_final(self.place.windows(inside)[usize::from(window.0)].1)
    }

    pub(super) fn generation(&self) -> Generation {
        self.chain.last().map_or(Generation(0), |link| link.generation)
    }

    /// A record was created. False if its number had been taken before, and deleted since.
    pub(super) fn see(&mut self, record: Peeked, log: &Log, acted: &Acted<'_>) -> Result<bool, String> {
        let number = record.sequence.0;
        if number <= self.chain.len() as u64 {
            return Ok(false);
        }
        must!(number == self.chain.len() as u64 + 1, "record {number} leaves a gap");
        if let Some(last) = self.chain.last() {
            must!(record.previous == last.hash, "record {number} does not follow the one before it");
            let step = u64::from(matches!(record.says, Says::Fence));
            must!(record.generation.0 == last.generation.0 + step, "record {number} is of {}", record.generation);
        }
        let mut snapshot = None;
        match record.says {
            Says::Genesis(genesis) => {
                must!(number == 1, "genesis at {number}");
                snapshot = Some(Arc::new(Self::begin(&genesis.partitions)));
            }
            Says::Epoch(epoch) => {
                let next = self.follow(*epoch, log, acted).map_err(|why| format!("record {number}: {why}"))?;
                snapshot = Some(Arc::new(next));
            }
            Says::Base { covered } => {
                must!(covered.0 < number, "base {number} covers {covered}");
                self.covered = covered.0;
            }
            Says::Fence => {}
        }
        if let Some(snapshot) = &snapshot {
            self.now = snapshot.clone();
            self.last = number;
        }
        self.chain.push(Link { generation: record.generation, hash: record.hash, snapshot });
        Ok(true)
    }

    fn begin(partitions: &BTreeMap<Name, StartOffset>) -> Snapshot {
        let state = |start: &StartOffset| Standing { next: start.offset, active: !start.empty, ..Standing::default() };
        let partitions = partitions.iter().map(|(name, start)| (name.clone(), state(start))).collect();
        Snapshot { partitions, ..Snapshot::default() }
    }

    /// The snapshot after an epoch; everything the record says is what the rules say.
    fn follow(&mut self, epoch: PeekedEpoch, log: &Log, acted: &Acted<'_>) -> Result<Snapshot, String> {
        let before = self.now.clone();
        let mut now = Snapshot::clone(&before);
        let mut slice = Slice::default();
        for (name, place) in &epoch.partitions {
            self.consume(&mut now, &before, name, place, &epoch, log, &mut slice)?;
        }
        self.deltas(&epoch, &slice)?;
        let late: BTreeMap<WindowKey, u64> =
            epoch.late.iter().map(|(id, n)| ((id.kind, id.start.millis()), *n)).collect();
        must!(late == slice.late, "late are {late:?}, and must be {:?}", slice.late);
        let dead: BTreeSet<(Name, i64)> =
            epoch.dead_letters.iter().map(|letter| (letter.partition.clone(), letter.offset)).collect();
        must!(dead == slice.dead, "dead letters are {dead:?}, and must be {:?}", slice.dead);
        now.dead.extend(dead);

        // Who goes idle does so before W is computed, who rejoins does so after.
        let granted: BTreeMap<&Name, Option<i64>> =
            epoch.granted.iter().map(|grant| (&grant.partition, grant.floor.map(EventTime::millis))).collect();
        let mut counting = Vec::new();
        for (name, standing) in &mut now.partitions {
            let Some(place) = epoch.partitions.get(name) else {
                counting.extend(standing.active.then_some(standing.watermark));
                continue;
            };
            // Who is silent, and brings something before the epoch is closed, is left out and rejoins in one record.
            let returns = standing.active && place.active && granted.contains_key(name);
            let silent = standing.active && !place.active || returns;
            must!(!silent || log.silent.contains(&(name.clone(), standing.next)), "{name} was not silent");
            let rejoins = place.active && !standing.active || returns;
            must!(!rejoins || granted.contains_key(name), "{name} rejoined without a grant");
            standing.active = place.active;
            counting.extend((place.active && !rejoins).then_some(standing.watermark));
        }
        let least = match counting.iter().any(Option::is_none) {
            true => None,
            false => counting.iter().copied().min().flatten(),
        };
        now.watermark = before.watermark.max(least);
        let watermark = epoch.watermark.map(EventTime::millis);
        must!(watermark == now.watermark, "W is {watermark:?}, and must be {:?}", now.watermark);
        for (name, place) in &epoch.partitions {
            let was_active = before.partitions.get(name).is_some_and(|before| before.active);
            let standing = now.partitions.get_mut(name).expect("it was consumed above");
            if place.active && (!was_active || granted.contains_key(name)) {
                let floor = standing.watermark.max(now.watermark);
                must!(granted[name] == floor, "{name} is granted {:?}, and must be {floor:?}", granted[name]);
                standing.watermark = floor;
                standing.floors.extend(floor.map(|floor| (standing.next, floor)));
            }
            let floors: Vec<(i64, i64)> = place.floors.iter().map(|(at, floor)| (*at, floor.millis())).collect();
            let known = before.partitions.get(name).map_or(0, |before| before.floors.len());
            must!(floors == standing.floors[known..], "floors of {name} are {floors:?}: {standing:?}");
            let watermark = place.watermark.map(EventTime::millis);
            must!(watermark == standing.watermark, "W of {name} is {watermark:?}, and must be {standing:?}");
        }
        for (name, line) in &epoch.ledger {
            let (consumed, counted, dead_lettered) = now.partitions[name].account;
            let expected = LedgerLine { consumed, counted, dead_lettered, lost: 0 };
            must!(*line == expected, "the account of {name} is {line:?}, and must be {expected:?}");
        }
        for (name, standing) in &now.partitions {
            let known = before.partitions.get(name).map_or((0, 0, 0), |before| before.account);
            must!(known == standing.account || epoch.ledger.contains_key(name), "no account of {name}");
        }
        for (name, ack) in &epoch.acks {
            let link = self.link(ack.sequence.0).filter(|link| link.hash == ack.hash);
            let link = link.ok_or_else(|| format!("{name} acknowledged what is not in the chain"))?;
            let snapshot = link.snapshot.as_ref().ok_or_else(|| format!("{name} acknowledged no epoch"))?;
            must!(acted(name, ack.sequence.0, snapshot), "{name} has not acted on {} yet", ack.sequence);
        }
        Ok(now)
    }

    #[expect(clippy::too_many_arguments, reason = "one record's slice against everything that decides about it")]
    fn consume(
        &self,
        now: &mut Snapshot,
        before: &Snapshot,
        name: &Name,
        place: &PeekedPlace,
        epoch: &PeekedEpoch,
        log: &Log,
        slice: &mut Slice,
    ) -> Verdict {
        let standing = now.partitions.entry(name.clone()).or_default();
        must!(place.next_offset >= standing.next, "{name} went back to {}", place.next_offset);
        let consumed = standing.next..place.next_offset;
        standing.next = place.next_offset;
        for record in log.partitions[name].records.iter().filter(|record| consumed.contains(&record.offset)) {
            must!(standing.active, "{name} is idle, and {} was judged", record.offset);
            standing.account.0 += 1;
            let (Some(at), false) = (record.at, Self::is_future(log, name, record, epoch)) else {
                standing.account.2 += 1;
                slice.dead.insert((name.clone(), record.offset));
                continue;
            };
            standing.account.1 += 1;
            let mut mask = 0;
            for (kind, (start, end)) in (0..).zip(self.place.windows(at)) {
                let window = (kind, start);
                if standing.watermark.is_some_and(|watermark| end + LATENESS <= watermark) {
                    mask |= 1 << kind;
                    *slice.late.entry(window).or_default() += record.n;
                    *now.late.entry(window).or_default() += record.n;
                    continue;
                }
                let was_final = before.is_final(end);
                must!(!was_final, "{name} {} counts in {window:?}, which was final", record.offset);
                let key = KEYS[record.key].as_str();
                *now.counts.entry(window).or_default().entry(key).or_default() += record.n;
            }
            *slice.rows.entry((KEYS[record.key].as_str(), at / 60_000, mask)).or_default() += record.n;
            standing.watermark = standing.watermark.max(Some(at - OUT_OF_ORDERNESS));
        }
        Ok(())
    }

    /// The clock of whoever read it has decided, if the broker's did not; then its coordinates are journaled.
    fn is_future(log: &Log, name: &Name, record: &Record, epoch: &PeekedEpoch) -> bool {
        let may_be = record.at.is_some_and(|at| at > record.stamp + SKEW);
        if log.append_time || !may_be {
            return may_be;
        }
        let said = |letter: &stream::DeadLetter| {
            letter.code == DeadCode::TimeFuture && letter.partition == *name && letter.offset == record.offset
        };
        epoch.dead_letters.iter().any(said)
    }

    /// Keys are numbered once, and rows are what was consumed.
    fn deltas(&mut self, epoch: &PeekedEpoch, slice: &Slice) -> Verdict {
        for (group, key) in &epoch.new_keys {
            let keys = self.keys.entry(*group).or_default();
            must!(!keys.contains(key), "{key} is numbered twice");
            keys.push(key.clone());
        }
        let mut rows: BTreeMap<(&str, i64, u8), u64> = BTreeMap::new();
        for row in &epoch.rows {
            let key = self.keys.get(&row.group).and_then(|keys| keys.get(row.local as usize));
            let key = key.ok_or_else(|| format!("{row:?} is of no key"))?;
            *rows.entry((key, i64::from(row.minute.0), row.mask.0)).or_default() += row.n;
        }
        let same = rows.iter().map(|(row, n)| (*row, *n)).eq(slice.rows.iter().map(|(row, n)| (*row, *n)));
        must!(same, "rows are {rows:?}, and must be {:?}", slice.rows);
        Ok(())
    }
}

/// What an epoch's records say.
#[derive(Default)]
struct Slice {
    rows: BTreeMap<(&'static str, i64, u8), u64>,
    late: BTreeMap<WindowKey, u64>,
    dead: BTreeSet<(Name, i64)>,
}
