//! The tables, at one moment: they agree with themselves, with the log up to the offsets they carry, and with what was seen
//! of them before.

use crate::ask::{self, Row, Silence};
use crate::boards::{Board, Shown};
use crate::oracle::{Prefix, video};
use crate::watcher::Watched;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use stream::Clock;

/// Final windows whose rows are read again in each look, beside new ones.
const AGAIN: usize = 8;
/// How long a look waits until it is known what the log holds.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    last: Option<Progress>,
    fence: u64,
    prefix: Prefix,
    /// Final windows: views, videos, and a digest of their rows once read.
    finals: BTreeMap<(String, String), (String, Option<String>)>,
    again: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Progress {
    generation: u64,
    epoch: u64,
    ranked: Option<u64>,
    updated_at: String,
    offsets: BTreeMap<i32, i64>,
}

/// SET, SET and BEGIN come first, which answer without rows.
const BEFORE: usize = 3;
const KINDS: [&str; 4] = ["minute", "hour", "day", "month"];

impl Tables {
    /// Look once; `shown` are boards that were read just before.
    pub(crate) fn look(&mut self, watched: &Watched, shown: &Shown) {
        let moment = watched.oracle.moment();
        let checks = &watched.checks;
        let said = match ask::postgres(&self.statements(watched, shown)) {
            Ok(said) => said,
            Err(Silence::Away) => return,
            Err(Silence::Refused(why)) => return checks.violated("the tables can be asked", &why),
        };
        // Until the first flush there is no row of progress.
        if said.get(BEFORE).is_none_or(Vec::is_empty) {
            return;
        }
        let read = Look::read(said);
        checks.hold("the tables can be read", read.is_some(), || "an answer of another shape".to_owned());
        let Some(look) = read else { return };
        self.progress(watched, &look);
        look.agrees(watched);
        self.finals(watched, &look);
        look.boards(watched, shown);
        // Held against the log once all that was under way at that moment is known.
        let began = watched.clock.monotonic();
        while !watched.oracle.knows(moment) {
            if watched.clock.monotonic() - began > KNOWN_WITHIN {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.prefix.advance(&watched.oracle, &look.progress.offsets);
        for (partition, lane) in &self.prefix.partitions {
            let found = look.ledger.get(partition).copied().unwrap_or_default();
            checks.hold("ledger = log up to its offsets", found == (lane.counted, lane.dead), || {
                format!(
                    "partition {partition} at {:?}: counted and dead are {found:?}, the log has {lane:?}",
                    look.progress
                )
            });
        }
        let expected: BTreeMap<String, u64> =
            self.prefix.views.iter().map(|(number, views)| (video(*number), *views)).collect();
        checks.hold("all_time = log up to its offsets", expected == look.all_time, || {
            let differs = |name: &&String| expected.get(*name) != look.all_time.get(*name);
            let names: Vec<_> = expected.keys().chain(look.all_time.keys()).filter(differs).take(5).collect();
            let both: Vec<_> = names.iter().map(|name| (name, expected.get(*name), look.all_time.get(*name))).collect();
            format!("at {:?}: video, log, table: {both:?}", look.progress)
        });
    }

    fn statements(&mut self, watched: &Watched, shown: &Shown) -> String {
        let (name, k) = (&watched.name, watched.k);
        let mut all = format!(
            "SET search_path = {name}; SET TIME ZONE 'UTC'; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SELECT p.generation, epoch, top_k_epoch, p.updated_at, offsets, j.generation FROM topk_progress p, topk_job j;
             SELECT partition, consumed, counted, dead_lettered FROM topk_ledger;
             SELECT video_id, views FROM video_views_all_time;
             SELECT \"window\", sum(views), sum(late) FROM window_status GROUP BY 1;
             SELECT \"window\", window_start, views, videos FROM window_status WHERE state = 'final';
             SELECT \"window\", window_start, epoch, views, videos, state FROM window_status;"
        );
        for kind in KINDS {
            // Totals and rows; then rankings and rows, of which all but the newest minutes are left to the end.
            all += &format!(
                "SELECT '{kind}', window_start, s.views, s.videos, c.views, c.videos
                 FROM (SELECT * FROM window_status WHERE \"window\" = '{kind}' AND views > 0) s FULL JOIN
                   (SELECT window_start, sum(views) views, count(*) videos FROM video_views_{kind} GROUP BY 1) c
                   USING (window_start)
                 WHERE (s.views, s.videos) IS DISTINCT FROM (c.views, c.videos);"
            );
        }
        for kind in [&KINDS[..], &["all_time"]].concat() {
            let (start, of) = match kind {
                "all_time" => ("'-infinity'::timestamptz", ""),
                "minute" => (
                    "window_start",
                    "WHERE window_start > (SELECT max(window_start) FROM video_views_minute) - interval '8 minutes'",
                ),
                _ => ("window_start", ""),
            };
            let of_top_k = of.replace("window_start >", "start_time >");
            let and = if of_top_k.is_empty() { "WHERE" } else { "AND" };
            all += &format!(
                "SELECT '{kind}', coalesce(c.start, t.start_time), coalesce(c.rank, t.rank), t.video_id, t.view_count, c.video_id, c.views
                 FROM (SELECT * FROM top_k_videos {of_top_k} {and} period = '{kind}') t FULL JOIN
                   (SELECT * FROM (SELECT {start} AS start, video_id, views,
                      row_number() OVER (PARTITION BY {start} ORDER BY views DESC, video_id COLLATE \"C\") AS rank
                      FROM video_views_{kind} {of}) r WHERE rank <= {k}) c
                   ON c.start = t.start_time AND c.rank = t.rank
                 WHERE (t.video_id, t.view_count) IS DISTINCT FROM (c.video_id, c.views);"
            );
        }
        for (kind, start) in self.next_to_read() {
            all += &format!(
                "SELECT '{kind}', '{start}', md5(string_agg(video_id || ' ' || views, ',' ORDER BY video_id COLLATE \"C\"))
                 FROM video_views_{kind} WHERE window_start = '{start}';"
            );
        }
        for board in shown.boards.iter().filter(|board| board.is_compared()) {
            all += &board.rows(k);
        }
        all + "COMMIT"
    }

    /// Final windows to read whole in this look.
    fn next_to_read(&mut self) -> Vec<(String, String)> {
        let unread = self.finals.iter().filter(|(_, (_, digest))| digest.is_none()).map(|(window, _)| window);
        let mut chosen: Vec<_> = unread.take(AGAIN).cloned().collect();
        let windows: Vec<_> = self.finals.keys().collect();
        if !windows.is_empty() {
            chosen.extend((0..AGAIN).map(|step| windows[(self.again + step) % windows.len()].clone()));
            self.again = (self.again + AGAIN) % windows.len();
        }
        chosen
    }

    fn progress(&mut self, watched: &Watched, look: &Look) {
        let (checks, now) = (&watched.checks, &look.progress);
        checks.hold("the tables' fence never goes back", look.fence >= self.fence, || {
            format!("from {} to {}", self.fence, look.fence)
        });
        if let Some(last) = &self.last {
            let forward = now.epoch >= last.epoch && now.generation >= last.generation && now.ranked >= last.ranked;
            checks.hold("the tables' epoch never goes back", forward, || format!("from {last:?} to {now:?}"));
            let lost = last.offsets.iter().find(|(partition, offset)| now.offsets.get(partition) < Some(offset));
            checks.hold("offsets never go back", lost.is_none(), || format!("{lost:?} in {:?}", now.offsets));
            let changed = last.updated_at != now.updated_at;
            checks.hold(
                "no flush by an old generation after a newer fence",
                !changed || now.generation >= self.fence,
                || format!("generation {} wrote after fence {}: {now:?}", now.generation, self.fence),
            );
        }
        self.fence = look.fence.max(self.fence);
        self.last = Some(now.clone());
    }

    fn finals(&mut self, watched: &Watched, look: &Look) {
        let checks = &watched.checks;
        let gone: Vec<_> = self.finals.keys().filter(|window| !look.finals.contains_key(*window)).take(3).collect();
        checks.hold("a final window stays", gone.is_empty(), || format!("{gone:?}"));
        for (window, totals) in &look.finals {
            let known = self.finals.entry(window.clone()).or_insert_with(|| (totals.clone(), None));
            checks.hold("a final window's totals never change", known.0 == *totals, || {
                format!("{window:?}: {known:?} {totals}")
            });
        }
        for (window, digest) in &look.digests {
            if let Some((_, known)) = self.finals.get_mut(window) {
                let known = known.get_or_insert_with(|| digest.clone());
                checks.hold("a final window's rows never change", known == digest, || format!("{window:?}"));
            }
        }
    }
}

/// One look.
struct Look {
    progress: Progress,
    fence: u64,
    /// By partition: counted, dead.
    ledger: BTreeMap<i32, (u64, u64)>,
    unbalanced: Vec<Row>,
    all_time: BTreeMap<String, u64>,
    /// By kind: views and late ones.
    kinds: Vec<(String, u64, u64)>,
    finals: BTreeMap<(String, String), String>,
    /// By kind and start: epoch, views, videos, state.
    status: HashMap<(String, String), (u64, u64, u64, String)>,
    /// Windows whose totals are not those of their rows.
    totals: Vec<Row>,
    /// Ranks that are not those of their rows.
    ranks: Vec<Row>,
    digests: Vec<((String, String), String)>,
    /// The rows of boards that were asked for, by kind and start.
    rows: HashMap<(String, String), Vec<(String, u64)>>,
}

fn number(of: &Option<String>) -> Option<u64> {
    of.as_deref()?.parse().ok()
}

impl Look {
    fn read(said: Vec<Vec<Row>>) -> Option<Self> {
        let text = |row: &Row, at: usize| row.get(at).cloned().flatten();
        let key = |row: &Row| Some((text(row, 0)?, text(row, 1)?));
        let mut parts = said.into_iter().skip(BEFORE);
        let row = parts.next()?.into_iter().next()?;
        let offsets: BTreeMap<String, i64> = serde_json::from_str(row[4].as_deref()?).ok()?;
        let progress = Progress {
            generation: number(&row[0])?,
            epoch: number(&row[1])?,
            ranked: number(&row[2]),
            updated_at: row[3].clone()?,
            offsets: offsets
                .into_iter()
                .map(|(name, offset)| Some((name.parse().ok()?, offset)))
                .collect::<Option<_>>()?,
        };
        let fence = number(&row[5])?;
        let ledger = parts.next()?;
        let balanced = |row: &Row| Some(number(&row[1])? == number(&row[2])? + number(&row[3])?);
        let unbalanced = ledger.iter().filter(|row| balanced(row) != Some(true)).cloned().collect();
        let lane = |row: &Row| Some((text(row, 0)?.parse().ok()?, (number(&row[2])?, number(&row[3])?)));
        let ledger = ledger.iter().filter_map(lane).collect();
        let all_time = parts.next()?.iter().filter_map(|row| Some((text(row, 0)?, number(&row[1])?))).collect();
        let kind = |row: &Row| Some((text(row, 0)?, number(&row[1])?, number(&row[2])?));
        let kinds = parts.next()?.iter().filter_map(kind).collect();
        let totals_of = |row: &Row| Some((key(row)?, format!("{} views of {} videos", text(row, 2)?, text(row, 3)?)));
        let finals = parts.next()?.iter().filter_map(totals_of).collect();
        let status =
            |row: &Row| Some((key(row)?, (number(&row[2])?, number(&row[3])?, number(&row[4])?, text(row, 5)?)));
        let status = parts.next()?.iter().filter_map(status).collect();
        let totals = KINDS.iter().filter_map(|_| parts.next()).flatten().collect();
        let ranks = (0..=KINDS.len()).filter_map(|_| parts.next()).flatten().collect();
        let (mut digests, mut rows) = (Vec::new(), HashMap::new());
        for row in parts.flatten() {
            match row.len() {
                3 => digests.push((key(&row)?, text(&row, 2).unwrap_or_default())),
                4 => rows.entry(key(&row)?).or_insert_with(Vec::new).push((text(&row, 2)?, number(&row[3])?)),
                _ => {}
            }
        }
        Some(Look {
            progress,
            fence,
            ledger,
            unbalanced,
            all_time,
            kinds,
            finals,
            status,
            totals,
            ranks,
            digests,
            rows,
        })
    }

    /// The tables agree with themselves.
    fn agrees(&self, watched: &Watched) {
        let (checks, at) = (&watched.checks, &self.progress);
        checks.hold("consumed = counted + dead, per partition", self.unbalanced.is_empty(), || {
            format!("{:?} at {at:?}", self.unbalanced)
        });
        let (sum, counted) =
            (self.all_time.values().sum::<u64>(), self.ledger.values().map(|lane| lane.0).sum::<u64>());
        checks.hold("sum of all_time = counted", sum == counted, || format!("{sum} and {counted} at {at:?}"));
        for (kind, views, late) in &self.kinds {
            checks.hold("counted + late = all_time, per kind", views + late == sum, || {
                format!("{kind}: {views} + {late} and {sum} at {at:?}")
            });
        }
        checks.hold("a window's totals are those of its rows", self.totals.is_empty(), || {
            format!("{:?} at {at:?}", &self.totals[..self.totals.len().min(3)])
        });
        if at.ranked == Some(at.epoch) {
            checks.hold("top_k_videos is the ranking of the rows", self.ranks.is_empty(), || {
                format!("{:?} at {at:?}", &self.ranks[..self.ranks.len().min(3)])
            });
        }
    }

    /// A board of an epoch since when its window has not changed is what the tables say of it.
    fn boards(&self, watched: &Watched, shown: &Shown) {
        for board in shown.boards.iter().filter(|board| board.is_compared()) {
            let Some((epoch, views, videos, _)) = self.status.get(&board.window()) else { continue };
            if *epoch > board.epoch || board.epoch > self.progress.epoch {
                continue;
            }
            let rows = self.rows.get(&board.window()).cloned().unwrap_or_default();
            let is_same = |board: &Board| (board.views, board.videos) == (*views, *videos) && board.items == rows;
            watched.checks.hold("a board = the tables at its epoch", is_same(board), || {
                format!("{board:?}: the tables have {views} views of {videos} videos, {rows:?}")
            });
        }
    }
}
