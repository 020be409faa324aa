//! The reader's routes, through its real router: any path, query, method and header gets an answer that says what is wrong, and
//! never a failure of ours.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use hyper_util::service::TowerToHyperService;
use reader::{Boards, Limits, ReaderSettings, Reading, Stores};
use std::sync::{Arc, Mutex};
use stream::{ManualClock, Vocabulary, WallTime, WindowKind, Windows, Zone};

pub(super) const WORDS: &[&str] = &[
    "/v1/top",
    "/top-k",
    "/views/top-k",
    "/views/video",
    "/v1/videos/top",
    "/livez",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/",
    "?",
    "&",
    "=",
    "window=hour",
    "window=",
    "k=",
    "k=10",
    "at=",
    "at=closed",
    "at=current",
    "region=",
    "period=day",
    "at=2025-10-19T14:00:00%2B02:00",
    "%00",
    "%ff",
    "%",
    "+",
    "..",
    "//",
    "\nGET",
    "\nPOST",
    "\nHEAD",
    "\naccept: text/html",
    "\nif-none-match: *",
    "\nif-none-match: \"",
    "\naccept-encoding: gzip",
    "verbose=1",
    "last_hour",
    "all-time",
    "é",
];

pub(super) fn corpus() -> Vec<Vec<u8>> {
    super::owned(&[
        "/v1/top?window=hour&k=10&at=2025-10-19T14:00:00Z",
        "/v1/top?window=all_time\nGET\nif-none-match: \"abc\"",
        "/views/top-k?window=minute&k=1&at=closed\nHEAD",
        "/v1/videos/top?period=day&k=3\nGET\naccept: text/html",
        "/openapi.json\nPOST",
        "/?window=hour",
        "/readyz?verbose=1",
    ])
}

pub(super) fn words() -> Vocabulary {
    Vocabulary::new("view", "views", "video", "videos")
}

/// A store of boards that has the same bytes under every key.
#[derive(Default)]
pub(super) struct Same {
    held: Mutex<(Vec<u8>, Option<String>)>,
}

impl Same {
    /// A board, and what every pointer says.
    pub(super) fn hold(&self, board: Vec<u8>, pointer: Option<String>) {
        *self.held.lock().expect("nobody panics while holding it") = (board, pointer);
    }
}

impl Boards for Same {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get<'a>(&'a self, _: &'a str) -> Reading<'a, Option<bytes::Bytes>> {
        let board = self.held.lock().expect("nobody panics while holding it").0.clone();
        Box::pin(async move { Ok((!board.is_empty()).then(|| board.into())) })
    }

    fn pointer<'a>(&'a self, _: &'a str) -> Reading<'a, Option<String>> {
        let pointer = self.held.lock().expect("nobody panics while holding it").1.clone();
        Box::pin(async move { Ok(pointer) })
    }
}

/// A reader over that store.
pub(super) struct Bench {
    pub(super) store: Arc<Same>,
    app: Router,
    runtime: tokio::runtime::Runtime,
}

thread_local! {
    static BENCH: Bench = Bench::new();
}

impl Bench {
    pub(super) fn with<T>(use_it: impl FnOnce(&Bench) -> T) -> T {
        BENCH.with(use_it)
    }

    fn new() -> Self {
        let kinds = ["minute", "hour", "day", "all_time"].map(|name| WindowKind::named(name).expect("a kind"));
        let store = Arc::new(Same::default());
        let settings = ReaderSettings {
            job: "views".to_owned(),
            words: words(),
            windows: Windows::new(kinds.into(), Zone::utc()).expect("windows"),
            prefix: "topk".to_owned(),
            k: 1000,
            retention: vec![None; 4],
            clock: Arc::new(ManualClock::at(WallTime(1_760_882_700_000))),
            version: "1".to_owned(),
            render_metrics: Arc::new(|| "topk_up 1\n".to_owned()),
            limits: Limits::default(),
        };
        let app = reader::router(settings, Stores { boards: Some(store.clone()), tables: None });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Bench { store, app, runtime }
    }

    /// Status and body of a request; of one that HTTP does not allow, as hyper answers it.
    pub(super) fn ask(&self, request: Builder) -> (u16, String) {
        let Ok(request) = request.body(Body::empty()) else { return (400, "{}".to_owned()) };
        self.runtime.block_on(async {
            let service = TowerToHyperService::new(self.app.clone());
            let answer = hyper::service::Service::call(&service, request).await.expect("a router has no errors");
            let status = answer.status().as_u16();
            let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.expect("a body");
            (status, String::from_utf8(body.to_vec()).expect("every answer is text"))
        })
    }
}

/// The target on the first line, then a method, then headers.
pub(super) fn ask(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let path = lines.next().unwrap_or_default();
    let method = lines.next().unwrap_or(b"GET");
    let request = || {
        let mut request = Request::builder().uri(path).method(method);
        for line in lines.clone() {
            let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
            request = request.header(&line[..at], line.get(at + 1..).unwrap_or_default().trim_ascii_start());
        }
        request
    };
    Bench::with(|bench| {
        let (status, body) = bench.ask(request());
        assert!([200, 304, 400, 404, 405, 413, 501, 503].contains(&status), "{status} {body}");
        if [400, 404, 405, 501].contains(&status) && method != b"HEAD" {
            let _: serde_json::Value = serde_json::from_str(&body).expect("a refusal is JSON");
        }
        assert_eq!(bench.ask(request()), (status, body), "the same question has the same answer");
    });
}
