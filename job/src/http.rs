//! The job's own small server: is it alive, is it ready, its metrics. And the recorder behind `/metrics`.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use stream::Fault;

/// Seconds; from a fast flush to a stuck one.
const BUCKETS: [f64; 12] = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Install the recorder of this process's metrics.
///
/// # Errors
/// One is installed already.
pub fn record() -> Result<PrometheusHandle, Fault> {
    let wrong = |error: &dyn std::fmt::Display| Fault::failed("cannot record metrics", error, "report this as a bug");
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &BUCKETS)
        .map_err(|error| wrong(&error))?;
    let handle = builder.install_recorder().map_err(|error| wrong(&error))?;
    crate::metrics::describe();
    Ok(handle)
}

/// Whether the job counts: every worker has its counts back, and nobody has asked it to stop.
#[derive(Debug, Default)]
pub struct Readiness {
    begun: AtomicBool,
    ended: AtomicBool,
}

impl Readiness {
    /// The job counts.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// It ends, also if it has not begun yet.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    fn is_ready(&self) -> bool {
        self.begun.load(Ordering::Acquire) && !self.ended.load(Ordering::Acquire)
    }
}

/// `/livez`, `/readyz`, `/metrics`. Liveness never asks another service: an outage is not a reason to be killed.
pub fn router(metrics: PrometheusHandle, readiness: Arc<Readiness>) -> Router {
    let readiness = move || {
        let ready = readiness.is_ready();
        async move {
            if ready {
                (StatusCode::OK, "ok\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready: the job is starting or draining\n")
            }
        }
    };
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .route("/metrics", get(move || async move { (text, metrics.render()) }))
}
