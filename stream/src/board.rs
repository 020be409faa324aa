//! A published top K: its name and its bytes. All that the writer and the readers of boards share (contract, "Redis").

use crate::{
    EventTime, Fault, Generation, Key, KindIndex, Ranking, Sequence, Vocabulary, WindowId, WindowState, Windows,
};
use serde_json::{Map, Value, json};

/// A board's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blob {
    /// The job that wrote it.
    pub job: String,
    /// The incarnation that wrote it.
    pub generation: Generation,
    /// The epoch it is as of.
    pub epoch: Sequence,
    /// Name of the window kind.
    pub window: String,
    /// First instant; none for all time.
    pub window_start: Option<EventTime>,
    /// First instant after; none for all time.
    pub window_end: Option<EventTime>,
    /// Open, closed or final.
    pub state: WindowState,
    /// The job watermark; none while undefined.
    pub as_of: Option<EventTime>,
    /// Wall clock of the write, milliseconds since 1970.
    pub published_at: EventTime,
    /// K as configured.
    pub k: u32,
    /// Sum over all keys.
    pub total_events: u64,
    /// Keys with a count.
    pub total_keys: u64,
    /// At most K, best first.
    pub items: Vec<(Key, u64)>,
}

impl Blob {
    /// The blob of a ranking.
    #[allow(clippy::too_many_arguments, reason = "each is a member of the blob")]
    pub fn of(
        ranking: &Ranking,
        windows: &Windows,
        job: &str,
        commit: &crate::Commit,
        published_at: crate::WallTime,
        k: u32,
    ) -> Self {
        Blob {
            job: job.to_owned(),
            generation: commit.generation,
            epoch: commit.sequence,
            window: windows.kind(ranking.window.kind).name.clone(),
            window_start: ranking.start(),
            window_end: ranking.start().map(|_| ranking.window.end),
            state: ranking.state,
            as_of: commit.watermark,
            published_at: EventTime::from_millis(published_at.0),
            k,
            total_events: ranking.totals.events,
            total_keys: ranking.totals.keys,
            items: ranking.entries.clone(),
        }
    }

    /// The bytes to store.
    pub fn encode(&self, words: &Vocabulary) -> String {
        let instant = |at: Option<EventTime>| at.map(|at| at.to_string());
        let items: Vec<Value> = self.items.iter().map(|(key, count)| json!([key, count])).collect();
        let (events, keys) = (format!("total_{}", words.events), format!("total_{}", words.keys));
        json!({
            "v": 1, "job": self.job, "generation": self.generation, "epoch": self.epoch, "window": self.window,
            "window_start": instant(self.window_start), "window_end": instant(self.window_end), "state": self.state,
            "as_of": instant(self.as_of), "published_at": self.published_at.to_string(), "k": self.k,
            events: self.total_events, keys: self.total_keys, "items": items,
        })
        .to_string()
    }

    /// Read stored bytes. Unknown members are ignored, an unknown version is refused.
    ///
    /// # Errors
    /// Not a blob of version 1, said by name.
    pub fn decode(bytes: &[u8], words: &Vocabulary) -> Result<Self, Fault> {
        let wrong = |why: String| {
            Fault::failed("cannot read a board", why, "let the job rewrite it, or look who else writes these keys")
        };
        let blob: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let member = |name: &str| blob.get(name).ok_or_else(|| wrong(format!("member \"{name}\" is missing")));
        let number =
            |name: &str| member(name)?.as_u64().ok_or_else(|| wrong(format!("member \"{name}\" is not a count")));
        let text = |name: &str| {
            member(name)?.as_str().map(str::to_owned).ok_or_else(|| wrong(format!("member \"{name}\" is not a text")))
        };
        let instant = |name: &str| match member(name)? {
            Value::Null => Ok(None),
            Value::String(text) => match text.parse::<jiff::Timestamp>() {
                Ok(at) => Ok(Some(EventTime::from_millis(at.as_millisecond()))),
                Err(error) => Err(wrong(format!("member \"{name}\": {error}"))),
            },
            _ => Err(wrong(format!("member \"{name}\" is not an instant"))),
        };
        let version = number("v")?;
        if version != 1 {
            return Err(wrong(format!("it has version {version}, and this program knows version 1")));
        }
        let items: Vec<(Key, u64)> =
            serde_json::from_value(member("items")?.clone()).map_err(|error| wrong(error.to_string()))?;
        Ok(Blob {
            job: text("job")?,
            generation: Generation(number("generation")?),
            epoch: Sequence(number("epoch")?),
            window: text("window")?,
            window_start: instant("window_start")?,
            window_end: instant("window_end")?,
            state: serde_json::from_value(member("state")?.clone()).map_err(|error| wrong(error.to_string()))?,
            as_of: instant("as_of")?,
            published_at: instant("published_at")?.ok_or_else(|| wrong("member \"published_at\" is null".into()))?,
            k: u32::try_from(number("k")?).map_err(|error| wrong(error.to_string()))?,
            total_events: number(&format!("total_{}", words.events))?,
            total_keys: number(&format!("total_{}", words.keys))?,
            items,
        })
    }
}

/// How boards and pointers are named.
#[derive(Clone, Debug)]
pub struct BoardKeys {
    prefix: String,
    windows: Windows,
}

impl BoardKeys {
    /// Names under a prefix.
    pub fn new(prefix: &str, windows: Windows) -> Self {
        BoardKeys { prefix: prefix.to_owned(), windows }
    }

    /// The `{start}` of a window: `2025-10-19T14:05` for windows of minutes, `2025-10-19` and `2025-10` in the job's
    /// zone, `all`.
    pub fn start(&self, id: WindowId) -> String {
        use crate::Span;
        match self.windows.kind(id.kind).span {
            Span::Minutes(_) => id.start.to_string()[..16].to_owned(),
            Span::Day => self.windows.zone().date(id.start).to_string(),
            Span::Month => self.windows.zone().date(id.start).to_string()[..7].to_owned(),
            Span::AllTime => "all".to_owned(),
        }
    }

    /// `topk:{window}:{start}`.
    pub fn blob(&self, id: WindowId) -> String {
        format!("{}:{}:{}", self.prefix, self.windows.kind(id.kind).name, self.start(id))
    }

    /// `topk:{window}:current`.
    pub fn current(&self, kind: KindIndex) -> String {
        format!("{}:{}:current", self.prefix, self.windows.kind(kind).name)
    }

    /// `topk:{window}:closed`.
    pub fn closed(&self, kind: KindIndex) -> String {
        format!("{}:{}:closed", self.prefix, self.windows.kind(kind).name)
    }

    /// `topk:owner`: the job and generation that own this prefix.
    pub fn owner(&self) -> String {
        format!("{}:owner", self.prefix)
    }

    /// `topk:status`: what is to be known of the job itself.
    pub fn status(&self) -> String {
        format!("{}:status", self.prefix)
    }

    /// What the names of a kind's boards and pointers begin with: `topk:{window}:`.
    pub fn of_kind(&self, kind: KindIndex) -> String {
        format!("{}:{}:", self.prefix, self.windows.kind(kind).name)
    }

    /// The board that a pointer's content names; the inverse of [`BoardKeys::start`].
    pub fn blob_of_start(&self, kind: KindIndex, start: &str) -> String {
        format!("{}:{}:{}", self.prefix, self.windows.kind(kind).name, start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{WindowKind, Zone};

    #[test]
    fn names_are_those_of_the_contract() {
        let kinds = WindowKind::NAMES.iter().map(|name| WindowKind::named(name).unwrap()).collect();
        let windows = Windows::new(kinds, Zone::named("Europe/Zurich").unwrap()).unwrap();
        let keys = BoardKeys::new("topk", windows.clone());
        let at = EventTime::from_millis(1_760_882_700_000);
        let names: Vec<String> = (0..5).map(|kind| keys.blob(windows.window(kind, at).id())).collect();
        let expected = [
            "topk:minute:2025-10-19T14:05",
            "topk:hour:2025-10-19T14:00",
            "topk:day:2025-10-19",
            "topk:month:2025-10",
            "topk:all_time:all",
        ];
        assert_eq!(names, expected);
        assert_eq!(keys.current(1), "topk:hour:current");
        assert_eq!((keys.status().as_str(), keys.of_kind(1).as_str()), ("topk:status", "topk:hour:"));
    }

    #[test]
    fn a_blob_reads_back_and_has_the_members_of_the_contract() {
        let words = Vocabulary::new("play", "plays", "song", "songs");
        let blob = Blob {
            job: "songs".into(),
            generation: Generation(3),
            epoch: Sequence(17),
            window: "hour".into(),
            window_start: Some(EventTime::from_millis(1_760_882_400_000)),
            window_end: Some(EventTime::from_millis(1_760_886_000_000)),
            state: WindowState::Closed,
            as_of: None,
            published_at: EventTime::from_millis(1_760_886_001_234),
            k: 1000,
            total_events: 5,
            total_keys: 2,
            items: vec![(Key::new("v\"1"), 3), (Key::new("v7"), 2)],
        };
        let text = blob.encode(&words);
        assert_eq!(Blob::decode(text.as_bytes(), &words).unwrap(), blob);
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["window_start"], "2025-10-19T14:00:00Z");
        assert_eq!(value["items"][0], json!(["v\"1", 3]));
        assert_eq!(value["total_songs"], 2);
        assert!(value["as_of"].is_null());
        let newer = text.replace("\"v\":1", "\"v\":2");
        assert!(Blob::decode(newer.as_bytes(), &words).unwrap_err().why.contains("version 2"));
    }
}
