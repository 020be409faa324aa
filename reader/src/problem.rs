//! Errors as RFC 9457 `application/problem+json`: what is wrong, which parameter, what is allowed.

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

/// One wrong parameter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Wrong {
    pub(crate) name: String,
    pub(crate) reason: String,
    pub(crate) allowed: String,
}

/// An answer that is not the one asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Problem {
    /// Last part of `type`; programs tell problems apart by it.
    name: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: String,
    errors: Vec<Wrong>,
}

#[derive(Serialize)]
struct Body9457<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    instance: &'a str,
    #[serde(skip_serializing_if = "<[Wrong]>::is_empty")]
    errors: &'a [Wrong],
}

impl Problem {
    fn new(name: &'static str, status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Problem { name, status, title, detail: detail.into(), errors: Vec::new() }
    }

    pub(crate) fn invalid_parameters(errors: Vec<Wrong>) -> Self {
        let said: Vec<String> = errors.iter().map(|wrong| format!("{}: {}", wrong.name, wrong.reason)).collect();
        let detail = said.join("; ");
        Problem { errors, ..Self::new("invalid-parameter", StatusCode::BAD_REQUEST, "A parameter is wrong", detail) }
    }

    pub(crate) fn window_not_configured(parameter: &str, window: &str, configured: &str) -> Self {
        let wrong = Wrong {
            name: parameter.to_owned(),
            reason: format!("the window {window} is known, but this job does not count it"),
            allowed: configured.to_owned(),
        };
        let detail = format!("{}; it counts {configured}", wrong.reason);
        let problem = Self::new("window-not-configured", StatusCode::NOT_FOUND, "This job has no such window", detail);
        Problem { errors: vec![wrong], ..problem }
    }

    pub(crate) fn nothing_closed(window: &str, never: bool) -> Self {
        let detail = if never {
            format!("the window {window} has no end, so it never closes; ask for at=current")
        } else {
            format!("no {window} with events has closed yet; ask for at=current")
        };
        Self::new("no-closed-window", StatusCode::NOT_FOUND, "No such window has closed yet", detail)
    }

    pub(crate) fn unknown_route() -> Self {
        let detail = "no such route; /openapi.json lists them all";
        Self::new("unknown-route", StatusCode::NOT_FOUND, "There is nothing here", detail)
    }

    pub(crate) fn not_built(what: &str) -> Self {
        let detail = format!("{what} is not built yet; /openapi.json lists what is");
        Self::new("not-built-yet", StatusCode::NOT_FOUND, "This route is not built yet", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "lists can only be read: use GET or HEAD";
        Self::new("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "Only reading is possible", detail)
    }

    pub(crate) fn body_not_allowed() -> Self {
        let detail = "no route takes a request body; send none";
        Self::new("body-not-allowed", StatusCode::PAYLOAD_TOO_LARGE, "The request has a body", detail)
    }

    pub(crate) fn stores_away(detail: impl Into<String>) -> Self {
        Self::new("store-unavailable", StatusCode::SERVICE_UNAVAILABLE, "The lists cannot be read right now", detail)
    }

    /// The name behind `type`, for tests.
    #[cfg(test)]
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The wrong parameters, for tests.
    #[cfg(test)]
    pub(crate) fn errors(&self) -> &[Wrong] {
        &self.errors
    }

    /// The answer. `instance` is the path asked for, already fit to be shown.
    pub(crate) fn response(&self, instance: &str) -> Response<Body> {
        let body = Body9457 {
            r#type: format!("urn:topk:problem:{}", self.name),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            errors: &self.errors,
        };
        let bytes = serde_json::to_vec(&body).expect("texts and numbers always serialize");
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // The body stays unread, so nothing after it on this connection could be told from it.
            StatusCode::PAYLOAD_TOO_LARGE => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}
