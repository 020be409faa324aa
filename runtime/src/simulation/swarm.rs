//! What a seed prefers. If every run mixed everything in the same proportions, what needs much of one thing and none of
//! another would never come up; so each run, and each phase of its trouble, draws proportions of its own, and some runs
//! lie in wait for an instance at one kind of operation.

/// What the director may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    Append,
    Pass,
    Start,
    Kill,
    Freeze,
    Thaw,
    Outside,
    Wipe,
    AddPartition,
    Land,
    BackUp,
    Poke,
}

/// How often each is done in the mean of all runs.
const USUAL: &[(Deed, u64)] = &[
    (Deed::Append, 16),
    (Deed::Pass, 4),
    (Deed::Start, 2),
    (Deed::Kill, 1),
    (Deed::Freeze, 3),
    (Deed::Thaw, 4),
    (Deed::Outside, 2),
    (Deed::Wipe, 1),
    (Deed::AddPartition, 1),
    (Deed::Land, 3),
    (Deed::BackUp, 1),
    (Deed::Poke, 2),
];

/// The proportions of one phase.
pub(super) struct Phase {
    weights: Vec<(Deed, u64)>,
    left: u64,
}

impl Phase {
    pub(super) fn draw(below: impl Fn(u64) -> u64) -> Self {
        let drawn = |(deed, usual): &(Deed, u64)| (*deed, usual * [0, 1, 1, 2, 5][below(5) as usize]);
        let mut weights: Vec<(Deed, u64)> = USUAL.iter().map(drawn).collect();
        // Something can always be done.
        weights.push((Deed::Poke, 1));
        Phase { weights, left: 10 + below(60) }
    }

    /// The next deed; none once the phase is over.
    pub(super) fn next(&mut self, below: impl Fn(u64) -> u64) -> Option<Deed> {
        self.left = self.left.checked_sub(1)?;
        let mut at = below(self.weights.iter().map(|(_, weight)| weight).sum());
        let chosen = self.weights.iter().find(|(_, weight)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        chosen.map(|(deed, _)| *deed)
    }
}

/// A kind of operation of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    PutRecord,
    PutPart,
    PutSlot,
    Delete,
    /// A look at a slot is one too.
    Read,
    List,
}

impl Operation {
    /// What a put of this name is.
    pub(super) fn put(name: &str) -> Self {
        match name.split('/').next() {
            Some("base") => Operation::PutPart,
            Some("generation") => Operation::PutSlot,
            _ => Operation::PutRecord,
        }
    }
}

/// Instances are killed or frozen right before or right after such an operation, before anybody hears its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ambush {
    pub(super) operation: Operation,
    /// In a hundred of them.
    pub(super) percent: u64,
    pub(super) freezes: bool,
}

impl Ambush {
    pub(super) fn draw(below: impl Fn(u64) -> u64) -> Option<Self> {
        use Operation::{Delete, List, PutPart, PutRecord, PutSlot, Read};
        // Twice what is dangerous most.
        const WHERE: [Operation; 9] = [PutRecord, PutRecord, PutRecord, PutPart, PutSlot, Delete, Delete, Read, List];
        let operation = WHERE[below(WHERE.len() as u64) as usize];
        let percent = [2, 5, 20][below(3) as usize];
        let freezes = below(3) > 0;
        (below(2) == 0).then_some(Ambush { operation, percent, freezes })
    }
}
