//! Writing everything of a flush that is not counts: window statuses, rankings, ledger, progress, and what has expired of them.

use super::connection::Failure;
use super::statements::*;
use super::time::Timestamptz;
use super::work::Work;
use crate::sql::{Flush, SWEEP_ROWS, TablesSettings, ranked};
use stream::{Commit, EventTime, Generation, KindIndex, Ranking, Window};

/// Rows in one statement.
const ROWS_AT_ONCE: usize = 10_000;

/// Writes within a flush's transaction.
pub(super) struct Writer<'a> {
    pub(super) settings: &'a TablesSettings,
    pub(super) flush: &'a Flush<'a>,
    pub(super) commit: &'a Commit,
}

impl Writer<'_> {
    pub(super) async fn statuses(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let epoch = self.commit.sequence.0 as i64;
        for rows in self.flush.statuses.chunks(ROWS_AT_ONCE) {
            let windows = || rows.iter().map(|row| row.status.window);
            let kinds: Vec<&str> = windows().map(|window| self.kind(window.kind)).collect();
            let starts: Vec<Timestamptz> = windows().map(|window| Timestamptz(window.start)).collect();
            let ends: Vec<Timestamptz> = windows().map(|window| Timestamptz(window.end)).collect();
            let states: Vec<String> = rows.iter().map(|row| row.status.state.to_string()).collect();
            let events: Vec<i64> = rows.iter().map(|row| row.events).collect();
            let keys: Vec<i64> = rows.iter().map(|row| row.keys).collect();
            let late: Vec<i64> = rows.iter().map(|row| row.late).collect();
            work.execute(UPSERT_STATUS, None, &[&kinds, &starts, &ends, &states, &events, &keys, &late, &epoch])
                .await?;
        }
        Ok(())
    }

    /// Rankings in memory, then those that only the counts know; both replaced whole.
    pub(super) async fn rankings(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let Some(rankings) = &self.flush.rankings else { return Ok(()) };
        self.replace(work, rankings).await?;
        for window in &self.flush.ranked_here {
            self.rank_from_counts(work, window).await?;
        }
        Ok(())
    }

    async fn rank_from_counts(&self, work: &mut Work<'_>, window: &Window) -> Result<(), Failure> {
        let (kind, start, end) = (self.kind(window.kind), Timestamptz(window.start), Timestamptz(window.end));
        work.execute(DELETE_TOP_K, None, &[&[kind].as_slice(), &[start].as_slice()]).await?;
        let k = i64::from(self.settings.k);
        work.execute(RANK_COUNTS, Some(window.kind), &[&kind, &start, &end, &k]).await.map(drop)
    }

    async fn replace(&self, work: &mut Work<'_>, rankings: &[&Ranking]) -> Result<(), Failure> {
        let per_statement = (ROWS_AT_ONCE / self.settings.k.max(1) as usize).max(1);
        for rankings in rankings.chunks(per_statement) {
            let kinds: Vec<&str> = rankings.iter().map(|ranking| self.kind(ranking.window.kind)).collect();
            let starts: Vec<Timestamptz> = rankings.iter().map(|ranking| Timestamptz(ranking.window.start)).collect();
            work.execute(DELETE_TOP_K, None, &[&kinds, &starts]).await?;
            let (mut of_kind, mut of_start, mut of_end) = (Vec::new(), Vec::new(), Vec::new());
            let (mut ranks, mut keys, mut counts) = (Vec::new(), Vec::new(), Vec::new());
            for ranking in rankings {
                for (rank, key, count) in ranked(ranking)? {
                    of_kind.push(self.kind(ranking.window.kind));
                    of_start.push(Timestamptz(ranking.window.start));
                    of_end.push(Timestamptz(ranking.window.end));
                    ranks.push(rank);
                    keys.push(key);
                    counts.push(count);
                }
            }
            work.execute(INSERT_TOP_K, None, &[&of_kind, &of_start, &of_end, &ranks, &keys, &counts]).await?;
        }
        Ok(())
    }

    pub(super) async fn ledger(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let ledger = &self.flush.ledger;
        let partitions: Vec<&str> = ledger.iter().map(|row| row.partition).collect();
        let consumed: Vec<i64> = ledger.iter().map(|row| row.consumed).collect();
        let counted: Vec<i64> = ledger.iter().map(|row| row.counted).collect();
        let dead_lettered: Vec<i64> = ledger.iter().map(|row| row.dead_lettered).collect();
        let lost: Vec<i64> = ledger.iter().map(|row| row.lost).collect();
        work.execute(UPSERT_LEDGER, None, &[&partitions, &consumed, &counted, &dead_lettered, &lost]).await.map(drop)
    }

    pub(super) async fn progress(
        &self,
        work: &mut Work<'_>,
        ours: Generation,
        now: Timestamptz,
    ) -> Result<(), Failure> {
        let Writer { flush, commit, .. } = self;
        let epoch = commit.sequence.0 as i64;
        work.execute(
            UPSERT_PROGRESS,
            None,
            &[
                &(ours.0 as i64),
                &epoch,
                &flush.rankings.as_ref().map(|_| epoch),
                &commit.hash.to_string(),
                &flush.offsets,
                &flush.partitions,
                &commit.watermark.map(Timestamptz),
                &now,
            ],
        )
        .await
        .map(drop)
    }

    /// Delete statuses and rankings that have expired, a bounded number of rows; by kind, whether all of them are gone.
    /// They are few for each window. Counts go with their partitions. `swept`: by kind, what is gone already.
    pub(super) async fn sweep(&self, work: &mut Work<'_>, swept: &[Option<EventTime>]) -> Result<Vec<bool>, Failure> {
        let mut done = vec![true; swept.len()];
        for (kind, oldest) in self.flush.oldest_kept.iter().enumerate() {
            let Some(oldest) = oldest.filter(|oldest| swept[kind] < Some(*oldest)) else { continue };
            let (name, start) = (self.kind(kind as KindIndex), Timestamptz(oldest));
            let most = [
                work.execute(SWEEP_TOP_K, None, &[&name, &start, &SWEEP_ROWS]).await?,
                work.execute(SWEEP_STATUS, None, &[&name, &start, &SWEEP_ROWS]).await?,
            ];
            done[kind] = most.iter().all(|rows| *rows < SWEEP_ROWS as u64);
        }
        Ok(done)
    }

    fn kind(&self, kind: KindIndex) -> &str {
        &self.settings.windows.kind(kind).name
    }
}
