//! A found list as JSON, with the headers that let caches keep it for as long as it is true.

use crate::lists::Found;
use crate::parameters::{At, ListQuery};
use crate::routes::Shape;
use crate::stores::Listing;
use axum::body::Body;
use axum::http::header::{AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, WARNING};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::time::Duration;
use stream::{Key, Vocabulary, WindowState};

/// Names of members, from the job's words.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// `plays`
    pub(crate) count: String,
    /// `songId`
    pub(crate) key: String,
    /// `song_id`
    pub(crate) key_column: String,
    /// `play_count`
    pub(crate) count_column: String,
    /// `top_songs`
    pub(crate) top: String,
    /// `total_plays`
    pub(crate) total_events: String,
    /// `total_songs`
    pub(crate) total_keys: String,
}

impl Names {
    pub(crate) fn new(words: &Vocabulary) -> Self {
        Names {
            count: words.events.clone(),
            key: format!("{}Id", words.key),
            key_column: format!("{}_id", words.key),
            count_column: format!("{}_count", words.event),
            top: format!("top_{}", words.keys),
            total_events: format!("total_{}", words.events),
            total_keys: format!("total_{}", words.keys),
        }
    }
}

/// An answer's body and tag: a function of the list, the list before it, the shape and the length. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    body: Bytes,
    etag: HeaderValue,
}

impl Rendered {
    /// `window` is the kind's name.
    pub(crate) fn of(names: &Names, shape: Shape, query: ListQuery, window: &str, found: &Found) -> Self {
        let previous = found.previous.as_ref().map(|previous| previous.ranks());
        let listing = found.list.listing.iter().flat_map(|listing| &listing.items);
        let items: Vec<Item<'_>> = listing
            .take(query.k as usize)
            .zip(1..)
            .map(|((key, count), rank)| Item {
                names,
                shape,
                rank,
                key,
                count: *count,
                previous: previous.and_then(|previous| previous.get(key)),
            })
            .collect();
        let items = raw(&items);
        let body = match shape {
            Shape::Full => json(&Full { meta: Meta { names, query, window, found }, items: &items }),
            Shape::Pairs => json(&items),
            Shape::Period => json(&Period { names, window, items: &items }),
        };
        let etag = HeaderValue::from_str(&etag(window, found, &items)).expect("hexadecimal digits in quotes");
        Rendered { body: body.into(), etag }
    }
}

/// The response; 304 without a body if the client has it. `age`: no store could be asked, and this is how long ago one
/// last gave this list.
pub(crate) fn response(
    rendered: Rendered,
    at: At,
    state: Option<WindowState>,
    age: Option<Duration>,
    request: &HeaderMap,
) -> Response<Body> {
    let mut response = if matches(request, rendered.etag.as_bytes()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(rendered.body.len()));
        response
    } else {
        let mut response = Response::new(Body::from(rendered.body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, rendered.etag);
    match age {
        None => headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control(at, state))),
        Some(age) => {
            headers.insert(AGE, HeaderValue::from(age.as_secs()));
            // As a cache says it that could not ask the origin (RFC 7234, 5.5.2).
            headers.insert(WARNING, HeaderValue::from_static("111 topk \"Revalidation Failed\""));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"))
        }
    };
    response
}

/// Over the items as shown and the window's state (contract), and the window they belong to. `as_of` and `epoch` move
/// with every commit; a list that did not change keeps its tag.
fn etag(window: &str, found: &Found, items: &RawValue) -> String {
    let start = found.window.map(|window| window.start.millis());
    let state = found.list.listing.as_ref().and_then(|listing| listing.state).map(|state| state.to_string());
    let hash =
        Sha256::new().chain_update(format!("{window} {start:?} {state:?} ")).chain_update(items.get()).finalize();
    let digits: String = hash[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Whether `If-None-Match` names the tag; weak comparison, as RFC 9110 has it for this header.
fn matches(request: &HeaderMap, etag: &[u8]) -> bool {
    let lines = request.get_all(IF_NONE_MATCH).into_iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag)
}

/// Only an instant's window keeps its meaning; `current` and `closed` move on. Final lists are kept for an hour and
/// not for ever, so that a job begun anew under the same address is seen.
fn cache_control(at: At, state: Option<WindowState>) -> &'static str {
    match (at, state) {
        (At::Instant(_), Some(WindowState::Final)) => "public, max-age=3600",
        (At::Instant(_), Some(WindowState::Closed)) => "public, max-age=5",
        _ => "public, max-age=1",
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers always serialize")
}

fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("texts and numbers always serialize")
}

#[derive(Serialize)]
struct Full<'a> {
    meta: Meta<'a>,
    items: &'a RawValue,
}

struct Meta<'a> {
    names: &'a Names,
    query: ListQuery,
    window: &'a str,
    found: &'a Found,
}

impl Serialize for Meta<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let listing = self.found.list.listing.as_ref();
        let of = |member: fn(&Listing) -> u64| listing.map_or(0, member);
        let bounded = self.found.window.filter(|window| window.start != stream::EventTime::MIN);
        let mut map = serializer.serialize_map(Some(12))?;
        map.serialize_entry("window", self.window)?;
        map.serialize_entry("window_start", &bounded.map(|window| window.start.to_string()))?;
        map.serialize_entry("window_end", &bounded.map(|window| window.end.to_string()))?;
        map.serialize_entry("state", &listing.and_then(|listing| listing.state))?;
        map.serialize_entry("as_of", &listing.and_then(|listing| listing.as_of).map(|at| at.to_string()))?;
        map.serialize_entry("epoch", &listing.and_then(|listing| listing.epoch))?;
        map.serialize_entry("generation", &listing.and_then(|listing| listing.generation))?;
        map.serialize_entry("region", &None::<&str>)?;
        map.serialize_entry("k", &self.query.k)?;
        map.serialize_entry(&self.names.total_events, &of(|listing| listing.total_events))?;
        map.serialize_entry(&self.names.total_keys, &of(|listing| listing.total_keys))?;
        map.serialize_entry("source", self.found.list.source)?;
        map.end()
    }
}

struct Item<'a> {
    names: &'a Names,
    shape: Shape,
    rank: u32,
    key: &'a Key,
    count: u64,
    previous: Option<&'a u32>,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.shape {
            Shape::Full => {
                map.serialize_entry("rank", &self.rank)?;
                map.serialize_entry(&self.names.key, self.key)?;
                map.serialize_entry(&self.names.count, &self.count)?;
                map.serialize_entry("previousRank", &self.previous)?;
            }
            Shape::Pairs => {
                map.serialize_entry(&self.names.key, self.key)?;
                map.serialize_entry(&self.names.count, &self.count)?;
            }
            Shape::Period => {
                map.serialize_entry(&self.names.key_column, self.key)?;
                map.serialize_entry(&self.names.count_column, &self.count)?;
            }
        }
        map.end()
    }
}

struct Period<'a> {
    names: &'a Names,
    window: &'a str,
    items: &'a RawValue,
}

impl Serialize for Period<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("period", self.window)?;
        map.serialize_entry(&self.names.top, self.items)?;
        map.end()
    }
}
