//! Boards: whatever bytes stand under a key, they are read as a board that reads back the same, or refused; and a reader
//! whose store holds nothing else answers all the same.

use super::http::{Bench, words};
use stream::Blob;

pub(super) const WORDS: &[&str] = &[
    "\"v\":1",
    "\"items\":[",
    "[\"s1\",3]",
    "\"state\":\"open\"",
    "\"final\"",
    "null",
    "\"k\":",
    "\"epoch\":",
    "{",
    "}",
    "]",
    "\"2025-10-19T14:00:00Z\"",
    "\"-009999-01-01T00:00:00Z\"",
    "\"9999-12-31T23:59:59.999Z\"",
    "\"total_views\":",
    "2025-10-19",
    "2025-10-19T14:00",
    "current",
    "\u{0}",
];

const BOARD: &str = r#"{"as_of":"2025-10-19T14:05:30Z","epoch":17,"generation":3,"items":[["s1",9],["s\"2",7]],"job":"j","k":1000,"published_at":"2025-10-19T14:06:00Z","state":"open","total_videos":2,"total_views":16,"v":1,"window":"hour","window_end":"2025-10-19T15:00:00Z","window_start":"2025-10-19T14:00:00Z"}"#;

pub(super) fn corpus() -> Vec<Vec<u8>> {
    let all = BOARD.replace("\"hour\"", "\"all_time\"").replace("\"2025-10-19T15:00:00Z\"", "null");
    super::owned(&[BOARD, &all, "2025-10-19T14:00", "all"])
}

pub(super) fn read(bytes: &[u8]) {
    if let Ok(blob) = Blob::decode(bytes, &words()) {
        assert_eq!(Blob::decode(blob.encode(&words()).as_bytes(), &words()), Ok(blob));
    }
    Bench::with(|bench| {
        let text = std::str::from_utf8(bytes).ok().map(str::to_owned);
        bench.store.hold(bytes.to_vec(), text);
        for path in ["/v1/top?window=hour&k=5", "/top-k?window=all_time&at=closed"] {
            let (status, body) = bench.ask(axum::http::Request::get(path));
            assert!([200, 404, 502, 503].contains(&status), "{path}: {status} {body}");
            let _: serde_json::Value = serde_json::from_str(&body).expect("every answer is JSON");
        }
        bench.store.hold(BOARD.as_bytes().to_vec(), Some("2025-10-19T14:00".to_owned()));
    });
}
