//! Stores made of maps, for tests: they answer, have nothing, fail or hang as told.

use crate::settings::{Limits, ReaderSettings};
use crate::stores::{Boards, Listing, Reading, Stores, Tables};
use axum::body::Body;
use axum::http::{Method, Request};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::{
    Blob, BoardKeys, EventTime, Fault, Generation, Key, KindIndex, ManualClock, Sequence, Vocabulary, Window, WindowId,
    WindowKind, WindowState, Windows, Zone,
};

/// What a fake does when asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Answers,
    Fails,
    Hangs,
}

async fn moody<T>(mood: Mood, answer: T) -> Result<T, Fault> {
    match mood {
        Mood::Answers => Ok(answer),
        Mood::Fails => Err(Fault::transient("cannot read", "it is away", "wait")),
        Mood::Hangs => std::future::pending().await,
    }
}

#[derive(Default)]
pub(crate) struct FakeBoards {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) content: Mutex<HashMap<String, String>>,
    pub(crate) asked: AtomicUsize,
    pub(crate) put_back: Mutex<Vec<(String, Option<Duration>)>>,
    pub(crate) read_only: bool,
}

impl Boards for FakeBoards {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get<'a>(&'a self, key: &'a str) -> Reading<'a, Option<Bytes>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap();
        Box::pin(moody(mood, self.content.lock().unwrap().get(key).cloned().map(Bytes::from)))
    }

    fn pointer<'a>(&'a self, key: &'a str) -> Reading<'a, Option<String>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mood = *self.mood.lock().unwrap();
        Box::pin(moody(mood, self.content.lock().unwrap().get(key).cloned()))
    }

    fn put_back<'a>(&'a self, key: &'a str, blob: &'a str, time_to_live: Option<Duration>) -> Reading<'a, bool> {
        self.put_back.lock().unwrap().push((key.to_owned(), time_to_live));
        if self.read_only {
            return Box::pin(moody(Mood::Fails, false));
        }
        let mut content = self.content.lock().unwrap();
        let is_new = !content.contains_key(key);
        content.entry(key.to_owned()).or_insert_with(|| blob.to_owned());
        Box::pin(moody(*self.mood.lock().unwrap(), is_new))
    }
}

#[derive(Default)]
pub(crate) struct FakeTables {
    pub(crate) mood: Mutex<Mood>,
    pub(crate) asked: AtomicUsize,
    pub(crate) lists: HashMap<WindowId, Listing>,
    pub(crate) newest: Option<WindowId>,
    pub(crate) newest_closed: Option<WindowId>,
}

impl Tables for FakeTables {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn top_k(&self, window: WindowId, k: u32) -> Reading<'_, Option<Listing>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut list = self.lists.get(&window).cloned();
        if let Some(list) = &mut list {
            list.items.truncate(k as usize);
        }
        let mood = *self.mood.lock().unwrap();
        Box::pin(async move {
            // As a query on its way: whoever else asks meanwhile can join.
            tokio::task::yield_now().await;
            moody(mood, list).await
        })
    }

    fn newest(&self, kind: KindIndex, closed: bool) -> Reading<'_, Option<EventTime>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let newest = if closed { self.newest_closed } else { self.newest };
        Box::pin(moody(*self.mood.lock().unwrap(), newest.filter(|id| id.kind == kind).map(|id| id.start)))
    }
}

pub(crate) fn settings() -> ReaderSettings {
    let kinds = ["minute", "hour", "day", "all_time"].map(|name| WindowKind::named(name).unwrap()).to_vec();
    ReaderSettings {
        job: "song-plays".into(),
        words: Vocabulary::new("play", "plays", "song", "songs"),
        retention: vec![None, Some(Duration::from_secs(3600)), None, None],
        clock: Arc::new(ManualClock::at(stream::WallTime(1_760_882_700_000))),
        windows: Windows::new(kinds, Zone::named("Europe/Zurich").unwrap()).unwrap(),
        prefix: "topk".into(),
        k: 1000,
        version: "1.2.3".into(),
        render_metrics: Arc::new(|| "topk_up 1\n".into()),
        limits: Limits::default(),
    }
}

pub(crate) fn instant(text: &str) -> EventTime {
    EventTime::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

pub(crate) fn window(kind: &str, at: &str) -> Window {
    let windows = settings().windows;
    windows.window(windows.index_of(kind).unwrap(), instant(at))
}

pub(crate) fn listing(state: WindowState, items: &[(&str, u64)]) -> Listing {
    Listing {
        state: Some(state),
        as_of: Some(instant("2025-10-19T14:05:30Z")),
        epoch: Some(Sequence(17)),
        generation: Some(Generation(3)),
        total_events: items.iter().map(|(_, count)| count).sum(),
        total_keys: items.len() as u64,
        items: items.iter().map(|(key, count)| (Key::new(key), *count)).collect(),
    }
}

impl FakeBoards {
    /// Put a window's board.
    pub(crate) fn put(&self, window: Window, listing: &Listing) {
        let settings = settings();
        let bounded = window.start != EventTime::MIN;
        let blob = Blob {
            job: settings.job.clone(),
            generation: listing.generation.unwrap(),
            epoch: listing.epoch.unwrap(),
            window: settings.windows.kind(window.kind).name.clone(),
            window_start: bounded.then_some(window.start),
            window_end: bounded.then_some(window.end),
            state: listing.state.unwrap(),
            as_of: listing.as_of,
            published_at: instant("2025-10-19T14:06:00Z"),
            k: settings.k,
            total_events: listing.total_events,
            total_keys: listing.total_keys,
            items: listing.items.clone(),
        };
        let key = BoardKeys::new("topk", settings.windows).blob(window.id());
        self.content.lock().unwrap().insert(key, blob.encode(&settings.words));
    }

    /// Point at a window.
    pub(crate) fn point(&self, which: &str, window: Window) {
        let windows = settings().windows;
        let start = BoardKeys::new("topk", windows.clone()).start(window.id());
        let key = format!("topk:{}:{which}", windows.kind(window.kind).name);
        self.content.lock().unwrap().insert(key, start);
    }
}

/// A router over fakes, with a hand on its boards.
pub(crate) struct Opened {
    app: axum::Router,
    pub(crate) boards: Option<Arc<FakeBoards>>,
    pub(crate) tables: Option<Arc<FakeTables>>,
    pub(crate) clock: Arc<ManualClock>,
}

/// What came back.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Answered {
    /// A header's value; empty if absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

pub(crate) fn open(boards: Option<FakeBoards>, tables: Option<FakeTables>) -> Opened {
    let (boards, tables) = (boards.map(Arc::new), tables.map(Arc::new));
    let stores = Stores {
        boards: boards.clone().map(|boards| boards as Arc<dyn Boards>),
        tables: tables.clone().map(|tables| tables as Arc<dyn Tables>),
    };
    Opened { boards, tables, ..over(stores) }
}

/// A router over any stores.
pub(crate) fn over(stores: Stores) -> Opened {
    let clock = Arc::new(ManualClock::at(stream::WallTime(1_760_882_700_000)));
    let settings = ReaderSettings { clock: clock.clone(), ..settings() };
    Opened { app: crate::router(settings, stores), boards: None, tables: None, clock }
}

impl Opened {
    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answered {
        let request = headers
            .iter()
            .fold(Request::builder().method(method).uri(path), |request, (name, value)| request.header(*name, *value));
        let service = hyper_util::service::TowerToHyperService::new(self.app.clone());
        let response = hyper::service::Service::call(&service, request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Answered {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }
}

/// GET a path.
pub(crate) async fn ask(reader: &Opened, path: &str) -> Answered {
    reader.send(Method::GET, path, &[]).await
}
