//! The boards in Redis: each is right in itself, never goes back, and a pointer never points at nothing.

use crate::ask::Redis;
use crate::watcher::Watched;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

/// What was seen so far, since Redis last lost everything.
#[derive(Debug, Default)]
pub(crate) struct Boards {
    losses: u64,
    seen: HashMap<String, Board>,
    pointers: HashMap<String, String>,
    fence: u64,
    status: u64,
}

/// The boards of one look.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) boards: Vec<Board>,
}

/// One board.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Board {
    text: String,
    pub(crate) kind: String,
    /// As Postgres prints it.
    pub(crate) start: String,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    state: String,
    pub(crate) views: u64,
    pub(crate) videos: u64,
    k: u64,
    pub(crate) items: Vec<(String, u64)>,
}

impl Board {
    fn read(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let number = |name: &str| json[name].as_u64();
        let items = json["items"].as_array()?.iter();
        let start = match &json["window_start"] {
            Value::String(start) => start.replace('T', " ").replace('Z', "+00"),
            _ => "-infinity".to_owned(),
        };
        Some(Board {
            text: text.to_owned(),
            kind: json["window"].as_str()?.to_owned(),
            start,
            generation: number("generation")?,
            epoch: number("epoch")?,
            state: json["state"].as_str()?.to_owned(),
            views: number("total_views")?,
            videos: number("total_videos")?,
            k: number("k")?,
            items: items.map(|item| Some((item[0].as_str()?.to_owned(), item[1].as_u64()?))).collect::<Option<_>>()?,
        })
    }

    /// Kind and start.
    pub(crate) fn window(&self) -> (String, String) {
        (self.kind.clone(), self.start.clone())
    }

    /// Whether it is held against the tables in each look: few windows are.
    pub(crate) fn is_compared(&self) -> bool {
        self.kind != "minute"
    }

    /// The statement that gives its rows in the tables.
    pub(crate) fn rows(&self, k: u64) -> String {
        let Board { kind, start, .. } = self;
        let of = if kind == "all_time" { String::new() } else { format!("WHERE window_start = '{start}'") };
        format!(
            "SELECT '{kind}', '{start}', video_id, views FROM video_views_{kind} {of}
             ORDER BY views DESC, video_id COLLATE \"C\" LIMIT {k};"
        )
    }

    fn is_right(&self) -> bool {
        let sorted = self.items.windows(2).all(|pair| (pair[1].1, &pair[0].0) < (pair[0].1, &pair[1].0));
        let sum: u64 = self.items.iter().map(|(_, views)| views).sum();
        let whole = self.items.len() as u64 == self.videos;
        sorted
            && self.items.len() as u64 == self.videos.min(self.k)
            && (sum == self.views || !whole && sum < self.views)
    }

    fn rank_of_state(&self) -> Option<usize> {
        ["open", "closed", "final"].iter().position(|state| *state == self.state)
    }

    /// Whether this one may stand where that one stood.
    fn may_follow(&self, last: &Board) -> bool {
        let forward = (self.generation, self.epoch) >= (last.generation, last.epoch);
        let grows = self.views >= last.views && self.videos >= last.videos;
        let is_same = (self.views, self.videos, &self.items) == (last.views, last.videos, &last.items);
        forward && grows && self.rank_of_state() >= last.rank_of_state() && (last.state != "final" || is_same)
    }
}

impl Boards {
    /// Look once; nothing if Redis cannot be asked, or was made to lose everything meanwhile.
    pub(crate) fn look(&mut self, watched: &Watched) -> Shown {
        let losses = watched.losses.load(Ordering::SeqCst);
        if losses != self.losses {
            *self = Boards { losses, ..Boards::default() };
        }
        let Ok((mut redis, all)) =
            Redis::connect().and_then(|mut redis| redis.all(&watched.name).map(|all| (redis, all)))
        else {
            return Shown::default();
        };
        if watched.losses.load(Ordering::SeqCst) != losses {
            return Shown::default();
        }
        let below = watched.name.len() + 1;
        let mut shown = Shown::default();
        let names: HashMap<&str, &str> = all.iter().map(|(key, text)| (&key[below..], text.as_str())).collect();
        for (name, text) in &names {
            let pointer = name.strip_suffix(":current").or(name.strip_suffix(":closed"));
            if let Some(kind) = pointer {
                // A board that came after the keys were listed is there when it is asked for.
                let board = format!("{kind}:{text}");
                let is_there = names.contains_key(board.as_str())
                    || redis.get(&format!("{}:{board}", watched.name)).is_ok_and(|found| found.is_some())
                    || watched.losses.load(Ordering::SeqCst) != losses
                    // A final board that was lost comes back when a reader is asked for it, and not before.
                    || losses > 0 && name.ends_with(":closed");
                self.pointer(watched, name, text, is_there);
            } else if name.contains(':') {
                shown.boards.extend(self.board(watched, name, text));
            }
        }
        let epoch_of = |name: &str| serde_json::from_str::<Value>(names.get(name)?).ok();
        if let Some(status) = epoch_of("status").and_then(|status| status["epoch"].as_u64()) {
            watched
                .checks
                .hold("the status never goes back", status >= self.status, || format!("{} {status}", self.status));
            self.status = status;
        }
        if let Some(fence) = epoch_of("owner").and_then(|owner| owner["generation"].as_u64()) {
            watched
                .checks
                .hold("the boards' fence never goes back", fence >= self.fence, || format!("{} {fence}", self.fence));
            self.fence = fence;
        }
        shown
    }

    fn pointer(&mut self, watched: &Watched, name: &str, to: &str, is_there: bool) {
        let checks = &watched.checks;
        checks.hold("a pointer points at a board", is_there, || format!("{name} → {to}"));
        let last = self.pointers.insert(name.to_owned(), to.to_owned());
        checks.hold("a pointer never goes back", last.as_deref().is_none_or(|last| last <= to), || {
            format!("{name} from {last:?} to {to}")
        });
    }

    fn board(&mut self, watched: &Watched, name: &str, text: &str) -> Option<Board> {
        let checks = &watched.checks;
        if let Some(known) = self.seen.get(name).filter(|known| known.text == text) {
            return Some(known.clone());
        }
        let board = Board::read(text);
        checks.hold("a board can be read", board.is_some(), || format!("{name}: {text}"));
        let board = board?;
        checks.hold("a board is sorted, whole and adds up", board.is_right(), || format!("{name}: {board:?}"));
        if let Some(last) = self.seen.get(name) {
            checks.hold("a board never goes back, a final one never changes", board.may_follow(last), || {
                format!("{name} from {last:?} to {board:?}")
            });
            checks.hold("no board by an old generation after a newer fence", board.generation >= self.fence, || {
                format!("{name}: {board:?} after fence {}", self.fence)
            });
        }
        self.seen.insert(name.to_owned(), board.clone());
        Some(board)
    }
}
