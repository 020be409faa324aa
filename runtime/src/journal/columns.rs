//! The binary section of an epoch: new keys and rows, column by column, so that like stands beside like and zstd
//! finds it. Sorted by key group, which lets a reader take the groups it wants.
//!
//! ```text
//! keys:    group steps and key counts · key lengths · key text
//! rows:    group steps and row counts · local id steps · dimensions · minute steps · late masks · n
//! ```
//! Each column is a byte string after its length. A dimension is reserved in format 1; it is 0 until there are any.

use super::varint::{Cursor, put, put_bytes, put_signed};
use stream::{KEY_GROUPS, KeyArena, LateMask, Minute, Part, PartRow};

/// An epoch's rows, of all workers together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Delta {
    /// By group; within a group they take the next local ids.
    pub(super) new_keys: KeyArena,
    /// The group of each new key.
    pub(super) new_key_groups: Vec<u16>,
    /// By (group, local id, dimension, minute, mask), each once.
    pub(super) rows: Vec<PartRow>,
}

/// Put the workers' shares together. Their key groups are disjoint ranges, so this is concatenation.
pub(super) fn encode(parts: &[Part]) -> Result<Vec<u8>, String> {
    let mut parts: Vec<&Part> =
        parts.iter().filter(|part| !part.rows.is_empty() || !part.new_keys.is_empty()).collect();
    parts.sort_by_key(|part| {
        let first_key = part.new_key_groups.first().copied().unwrap_or(KEY_GROUPS);
        first_key.min(part.rows.first().map_or(KEY_GROUPS, |row| row.group))
    });
    let mut into = Vec::new();
    encode_keys(&parts, &mut into)?;
    encode_rows(&parts, &mut into)?;
    Ok(into)
}

fn encode_keys(parts: &[&Part], into: &mut Vec<u8>) -> Result<(), String> {
    let (mut groups, mut lengths, mut text) = (Groups::default(), Vec::new(), Vec::new());
    for part in parts {
        if part.new_keys.len() != part.new_key_groups.len() {
            return Err("a part has a key without a group".to_owned());
        }
        for (key, group) in part.new_keys.iter().zip(&part.new_key_groups) {
            groups.add(*group)?;
            put(&mut lengths, key.len() as u64);
            text.extend_from_slice(key.as_bytes());
        }
    }
    put_bytes(into, &groups.finish());
    put_bytes(into, &lengths);
    put_bytes(into, &text);
    Ok(())
}

fn encode_rows(parts: &[&Part], into: &mut Vec<u8>) -> Result<(), String> {
    let mut groups = Groups::default();
    let (mut locals, mut dimensions, mut minutes, mut masks, mut counts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut last: Option<PartRow> = None;
    for row in parts.iter().flat_map(|part| &part.rows) {
        let place = |row: &PartRow| (row.group, row.local, row.dimension, row.minute, row.mask);
        if last.is_some_and(|last| place(&last) >= place(row)) {
            return Err(format!("row {row:?} is not after {last:?}"));
        }
        if row.n == 0 {
            return Err(format!("row {row:?} counts nothing"));
        }
        groups.add(row.group)?;
        let before = last.filter(|last| last.group == row.group).map_or(0, |last| last.local);
        put(&mut locals, u64::from(row.local - before));
        put(&mut dimensions, u64::from(row.dimension));
        put_signed(&mut minutes, i64::from(row.minute.0) - last.map_or(0, |last| i64::from(last.minute.0)));
        masks.push(row.mask.0);
        put(&mut counts, row.n);
        last = Some(*row);
    }
    for column in [&groups.finish(), &locals, &dimensions, &minutes, &masks, &counts] {
        put_bytes(into, column);
    }
    Ok(())
}

/// Read a section back.
pub(super) fn decode(bytes: &[u8]) -> Result<Delta, String> {
    let mut cursor = Cursor::new(bytes);
    let (new_keys, new_key_groups) = decode_keys(&mut cursor)?;
    let rows = decode_rows(&mut cursor)?;
    cursor.end()?;
    Ok(Delta { new_keys, new_key_groups, rows })
}

fn decode_keys(cursor: &mut Cursor<'_>) -> Result<(KeyArena, Vec<u16>), String> {
    let mut groups = GroupReader::new(cursor.column()?);
    let mut lengths = cursor.column()?;
    let mut text = cursor.column()?;
    let (mut keys, mut key_groups) = (KeyArena::default(), Vec::new());
    while let Some(group) = groups.next()? {
        let key =
            std::str::from_utf8(text.take(lengths.narrow("a key's length")?)?).map_err(|error| error.to_string())?;
        if keys.bytes() + key.len() > u32::MAX as usize {
            return Err("there are over 4 GiB of keys".to_owned());
        }
        keys.push(key);
        key_groups.push(group);
    }
    lengths.end()?;
    text.end()?;
    Ok((keys, key_groups))
}

fn decode_rows(cursor: &mut Cursor<'_>) -> Result<Vec<PartRow>, String> {
    let mut groups = GroupReader::new(cursor.column()?);
    let (mut locals, mut dimensions, mut minutes) = (cursor.column()?, cursor.column()?, cursor.column()?);
    let (mut masks, mut counts) = (cursor.column()?, cursor.column()?);
    let mut rows: Vec<PartRow> = Vec::with_capacity(masks.left());
    let too_large = |what: &str| format!("{what} is too large");
    let (mut last_group, mut local, mut minute) = (None, 0u32, 0i64);
    while let Some(group) = groups.next()? {
        if last_group != Some(group) {
            (last_group, local) = (Some(group), 0);
        }
        local = local.checked_add(locals.narrow("a local id's step")?).ok_or_else(|| too_large("a local id"))?;
        minute = minute.checked_add(minutes.signed()?).ok_or_else(|| too_large("a minute"))?;
        let row = PartRow {
            group,
            local,
            dimension: dimensions.narrow("a dimension")?,
            minute: Minute(u32::try_from(minute).map_err(|_| too_large("a minute"))?),
            mask: LateMask(masks.byte()?),
            n: counts.number()?,
        };
        let place = |row: &PartRow| (row.group, row.local, row.dimension, row.minute, row.mask);
        if row.n == 0 || rows.last().is_some_and(|last| place(last) >= place(&row)) {
            return Err(format!("row {row:?} is out of order or counts nothing"));
        }
        rows.push(row);
    }
    [locals, dimensions, minutes, masks, counts].iter().try_for_each(Cursor::end)?;
    Ok(rows)
}

/// Runs of equal, ascending groups: (step from the group before, length of the run). The first step counts from -1.
#[derive(Default)]
struct Groups {
    column: Vec<u8>,
    run: Option<(u16, u64)>,
    written: Option<u16>,
}

impl Groups {
    fn add(&mut self, group: u16) -> Result<(), String> {
        if group >= KEY_GROUPS {
            return Err(format!("there is no key group {group}"));
        }
        match &mut self.run {
            Some((current, length)) if *current == group => *length += 1,
            Some((current, _)) if *current > group => {
                return Err(format!("key group {group} comes after {current}"));
            }
            _ => {
                self.close();
                self.run = Some((group, 1));
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some((group, length)) = self.run.take() {
            put(&mut self.column, u64::from(group) - self.written.map_or(0, |written| u64::from(written) + 1));
            put(&mut self.column, length);
            self.written = Some(group);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.close();
        self.column
    }
}

/// Gives the group of each item in turn.
struct GroupReader<'a> {
    column: Cursor<'a>,
    group: Option<u16>,
    left: u64,
}

impl<'a> GroupReader<'a> {
    fn new(column: Cursor<'a>) -> Self {
        GroupReader { column, group: None, left: 0 }
    }

    fn next(&mut self) -> Result<Option<u16>, String> {
        if self.left == 0 {
            if self.column.left() == 0 {
                return Ok(None);
            }
            let step = self.column.number()?;
            let group = step.checked_add(self.group.map_or(0, |group| u64::from(group) + 1));
            let group = group.filter(|group| *group < u64::from(KEY_GROUPS)).ok_or("there is no such key group")?;
            self.group = Some(group as u16);
            self.left = self.column.number()?;
            if self.left == 0 {
                return Err("a key group is named for nothing".to_owned());
            }
        }
        self.left -= 1;
        Ok(self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::Random;

    fn random_part(random: &mut Random, groups: std::ops::Range<u16>) -> Part {
        let mut part = Part::default();
        for group in groups {
            for _ in 0..random.below(4) {
                part.new_keys.push(&"ключ".repeat(random.below(4) as usize));
                part.new_key_groups.push(group);
            }
            for _ in 0..random.below(6) {
                part.rows.push(PartRow {
                    group,
                    local: random.extreme() as u32,
                    dimension: (random.below(2) * random.below(70_000)) as u16,
                    minute: Minute(random.extreme() as u32),
                    mask: LateMask(random.below(256) as u8),
                    n: random.extreme().max(1),
                });
            }
        }
        part.rows.sort();
        part.rows.dedup_by_key(|row| (row.group, row.local, row.dimension, row.minute, row.mask));
        part
    }

    fn concatenated(parts: &[Part]) -> Delta {
        let mut delta = Delta::default();
        for part in parts {
            part.new_keys.iter().for_each(|key| _ = delta.new_keys.push(key));
            delta.new_key_groups.extend(&part.new_key_groups);
            delta.rows.extend(&part.rows);
        }
        delta
    }

    #[test]
    fn parts_read_back_in_whatever_order_workers_answer() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let first = random_part(&mut random, 0..300);
            let second = random_part(&mut random, 300..310);
            let third = random_part(&mut random, 310..1024);
            let expected = concatenated(&[first.clone(), second.clone(), third.clone()]);
            let bytes = encode(&[third, Part::default(), first, second]).unwrap();
            assert_eq!(decode(&bytes).unwrap(), expected, "seed {seed}");
        }
    }

    #[test]
    fn nothing_hostile_panics_or_reads_as_something_else_than_it_would_be_written() {
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let honest = encode(&[random_part(&mut random, 0..12)]).unwrap();
            for _ in 0..300 {
                let mut bytes = honest.clone();
                for _ in 0..=random.below(3) {
                    let at = random.below(bytes.len() as u64) as usize;
                    bytes[at] = random.below(256) as u8;
                }
                if let Ok(delta) = decode(&bytes) {
                    let part = Part {
                        new_keys: delta.new_keys.clone(),
                        new_key_groups: delta.new_key_groups.clone(),
                        rows: delta.rows.clone(),
                        ..Part::default()
                    };
                    assert_eq!(decode(&encode(&[part]).unwrap()).unwrap(), delta, "seed {seed}");
                }
            }
            for length in 0..honest.len() {
                assert!(decode(&honest[..length]).is_err(), "seed {seed} cut at {length}");
            }
        }
    }

    #[test]
    fn our_own_mistakes_are_refused_before_they_are_durable() {
        let row = PartRow { group: 1, local: 0, dimension: 0, minute: Minute(1), mask: LateMask(0), n: 1 };
        let of = |rows: Vec<PartRow>| encode(&[Part { rows, ..Part::default() }]);
        assert!(of(vec![row]).is_ok());
        assert!(of(vec![row, row]).is_err());
        assert!(of(vec![PartRow { n: 0, ..row }]).is_err());
        assert!(of(vec![PartRow { group: 1024, ..row }]).is_err());
        assert!(of(vec![PartRow { group: 2, ..row }, row]).is_err());
        let overlapping = [row, PartRow { group: 3, ..row }].map(|row| vec![row]);
        let [first, mut third] = overlapping;
        third.insert(0, PartRow { group: 0, ..row });
        assert!(encode(&[Part { rows: first, ..Part::default() }, Part { rows: third, ..Part::default() }]).is_err());
    }
}
