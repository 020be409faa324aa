//! The plain live page: one answer with its style and script inside and nothing fetched from elsewhere. What may run
//! is pinned by hash in the Content-Security-Policy, so a key that looks like markup could not run even if it got in.

use crate::answer::Names;
use crate::parameters::Rules;
use crate::settings::ReaderSettings;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use stream::Span;

const MARKUP: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// The page, rendered once.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    body: Bytes,
    policy: HeaderValue,
}

impl Page {
    pub(crate) fn new(settings: &ReaderSettings, rules: &Rules, names: &Names) -> Self {
        let windows = rules.windows.kinds().iter();
        let windows: Vec<_> = windows
            .map(|kind| json!({"name": kind.name, "label": kind.name.replace('_', " "), "endless": kind.span == Span::AllTime}))
            .collect();
        let words = &settings.words;
        let facts = json!({
            "windows": windows,
            "zone": rules.windows.zone().name(),
            "k": rules.k_default(),
            "words": {"events": words.events, "key": words.key, "keys": words.keys},
            "members": {
                "key": names.key, "count": names.count, "totalEvents": names.total_events, "totalKeys": names.total_keys,
            },
        });
        // In a script element only `<` could end the element.
        let facts = facts.to_string().replace('<', "\\u003c");
        // Our own text goes in last: a word of the job that looks like a place is then not filled.
        let body = MARKUP
            .replace("{title}", &escaped(&format!("Top {} by {}", words.keys, words.events)))
            .replace("{job}", &escaped(&settings.job))
            .replace("{key}", &escaped(&words.key))
            .replace("{count}", &escaped(&words.events))
            .replace("{facts}", &facts)
            .replace("{style}", STYLE)
            .replace("{script}", SCRIPT);
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'",
            pinned(STYLE),
            pinned(SCRIPT)
        );
        Page { body: body.into(), policy: HeaderValue::from_str(&policy).expect("hashes are plain text") }
    }

    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.clone()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

fn pinned(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
