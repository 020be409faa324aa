//! The reader over lists of one's own: whatever implements `Boards` can be served and looked at. Plays of songs that
//! exist nowhere; `cargo run -p reader --example own_lists`, then open the address it prints.

use bytes::Bytes;
use reader::{Boards, Limits, ReaderSettings, Reading, Stores, bind_or_next, serve};
use std::sync::Arc;
use stream::{
    Blob, BoardKeys, Clock, EventTime, Generation, Key, Sequence, SystemClock, Vocabulary, Window, WindowKind,
    WindowState, Windows, Zone,
};

/// Every hour and minute is asked of this instead of a store.
struct Invented {
    words: Vocabulary,
    windows: Windows,
    clock: SystemClock,
}

impl Invented {
    fn list(&self, window: Window, current: bool) -> Blob {
        let now = EventTime::from_millis(self.clock.now().0);
        let bounded = window.start != EventTime::MIN;
        let turn = if bounded { window.start.millis() / 60_000 % 97 } else { 11 };
        let elapsed =
            if bounded { (now.millis().min(window.end.millis()) - window.start.millis()) / 1000 } else { 86_400 };
        let count =
            |song: i64| (elapsed.max(0) * (400 + (song * 31 + turn * song * 7) % 53) / (song + 2)).unsigned_abs() + 1;
        let mut items: Vec<(Key, u64)> =
            (0..40).map(|song| (Key::new(&format!("song-{song:03}")), count(song))).collect();
        items.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Blob {
            job: "invented".into(),
            generation: Generation(1),
            epoch: Sequence(now.millis().unsigned_abs() / 250),
            window: self.windows.kind(window.kind).name.clone(),
            window_start: bounded.then_some(window.start),
            window_end: bounded.then_some(window.end),
            state: if current { WindowState::Open } else { WindowState::Final },
            as_of: Some(now),
            published_at: now,
            k: 40,
            total_events: items.iter().map(|(_, count)| count).sum(),
            total_keys: 40,
            items,
        }
    }
}

impl Boards for Invented {
    fn name(&self) -> &'static str {
        "invention"
    }

    fn get<'a>(&'a self, key: &'a str) -> Reading<'a, Option<Bytes>> {
        let keys = BoardKeys::new("topk", self.windows.clone());
        let now = EventTime::from_millis(self.clock.now().0);
        let kinds = 0..self.windows.len() as u8;
        let of_kind = kinds.flat_map(|kind| {
            let current = self.windows.window(kind, now);
            let before = EventTime::from_millis(current.start.millis().saturating_sub(1));
            [(current, true), (self.windows.window(kind, before), false)]
        });
        let board = of_kind.into_iter().find(|(window, _)| keys.blob(window.id()) == key);
        let bytes = board.map(|(window, current)| self.list(window, current).encode(&self.words).into());
        Box::pin(async move { Ok(bytes) })
    }

    fn pointer<'a>(&'a self, key: &'a str) -> Reading<'a, Option<String>> {
        let keys = BoardKeys::new("topk", self.windows.clone());
        let now = EventTime::from_millis(self.clock.now().0);
        // Days have no list, so that the page shows how it waits.
        let start =
            (0..self.windows.len() as u8).filter(|kind| self.windows.kind(*kind).name != "day").find_map(|kind| {
                let current = self.windows.window(kind, now);
                let before = EventTime::from_millis(current.start.millis().saturating_sub(1));
                let closed = key == keys.closed(kind) && current.start != EventTime::MIN;
                let closed = closed.then(|| keys.start(self.windows.window(kind, before).id()));
                closed.or((key == keys.current(kind)).then(|| keys.start(current.id())))
            });
        Box::pin(async move { Ok(start) })
    }
}

#[tokio::main]
async fn main() {
    let words = Vocabulary::new("play", "plays", "song", "songs");
    let kinds = WindowKind::NAMES.iter().filter_map(|name| WindowKind::named(name)).collect();
    let windows = Windows::new(kinds, Zone::utc()).expect("five kinds with five names");
    let boards = Invented { words: words.clone(), windows: windows.clone(), clock: SystemClock::default() };
    let settings = ReaderSettings {
        job: "invented".into(),
        words,
        retention: vec![None; windows.len()],
        windows,
        prefix: "topk".into(),
        k: 40,
        clock: Arc::new(SystemClock::default()),
        version: env!("CARGO_PKG_VERSION").into(),
        render_metrics: Arc::new(String::new),
        limits: Limits::default(),
    };
    let (listener, _) = bind_or_next("127.0.0.1:8090").await.expect("a free port");
    println!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    let stores = Stores { boards: Some(Arc::new(boards)), tables: None };
    serve(listener, settings, stores, std::future::pending()).await.expect("serving");
}
