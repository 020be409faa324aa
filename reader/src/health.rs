//! `/livez` and `/readyz`, in the manner of Kubernetes: the status code is the contract, the text is for people.
//!
//! Liveness asks no store: a restart of the reader would not mend it. Ready is whoever can answer from either store.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use std::fmt::Write;

/// The process runs.
pub(crate) fn live(verbose: bool) -> Response<Body> {
    text(StatusCode::OK, if verbose { "[+]process ok\nlivez check passed\n".into() } else { "ok\n".into() })
}

/// Whether one of the stores answers; by name if `verbose` or if none does.
pub(crate) fn ready(stores: &[(&'static str, bool)], verbose: bool) -> Response<Body> {
    let ready = stores.iter().any(|(_, answers)| *answers);
    if ready && !verbose {
        return text(StatusCode::OK, "ok\n".into());
    }
    let mut lines = String::new();
    for (name, answers) in stores {
        let line = if *answers { format!("[+]{name} ok") } else { format!("[-]{name} does not answer") };
        writeln!(lines, "{line}").expect("a String takes every line");
    }
    lines.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
    text(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, lines)
}

/// Prometheus's text format.
pub(crate) fn metrics(rendered: String) -> Response<Body> {
    let mut response = text(StatusCode::OK, rendered);
    let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, version);
    response
}

fn text(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
