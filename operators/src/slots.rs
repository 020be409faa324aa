//! What a worker keeps for each key, in the order in which keys came. It grows by whole chunks that never move: a vector
//! that doubles copies hundreds of megabytes while events wait, and holds both copies at once.

/// Index of a key within one worker.
pub(crate) type Slot = u32;

/// Keys in a chunk.
const CHUNK: usize = 1 << 16;

/// So many items for each slot.
pub(crate) struct Slots<T> {
    items: usize,
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T: Clone> Slots<T> {
    pub(crate) fn new(items: usize) -> Self {
        Slots { items, chunks: Vec::new(), len: 0 }
    }

    /// Slots there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Items for each slot.
    pub(crate) fn items(&self) -> usize {
        self.items
    }

    /// The next slot, with every item the same.
    pub(crate) fn add(&mut self, item: T) -> Slot {
        let slot = Slot::try_from(self.len).expect("a worker has fewer than four thousand million keys");
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK * self.items));
        }
        let chunk = self.chunks.last_mut().expect("it was just made");
        (1..self.items).for_each(|_| chunk.push(item.clone()));
        chunk.push(item);
        self.len += 1;
        slot
    }

    #[inline]
    fn place(&self, slot: Slot, item: usize) -> (usize, usize) {
        (slot as usize / CHUNK, slot as usize % CHUNK * self.items + item)
    }

    #[inline]
    pub(crate) fn get(&self, slot: Slot, item: usize) -> &T {
        let (chunk, at) = self.place(slot, item);
        &self.chunks[chunk][at]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: Slot, item: usize) -> &mut T {
        let (chunk, at) = self.place(slot, item);
        &mut self.chunks[chunk][at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_keeps_its_place_across_chunks() {
        let mut slots = Slots::new(3);
        for number in 0..2 * CHUNK as u64 + 5 {
            let slot = slots.add(number);
            assert_eq!(u64::from(slot), number);
            *slots.get_mut(slot, 1) += 1;
        }
        assert_eq!(slots.len(), 2 * CHUNK + 5);
        for slot in [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 4] {
            let found = [0, 1, 2].map(|item| *slots.get(slot as Slot, item));
            assert_eq!(found, [slot as u64, slot as u64 + 1, slot as u64]);
        }
    }
}
