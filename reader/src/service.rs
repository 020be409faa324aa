//! From a request to an answer: which route, which parameters, what the stores say. Everything but the socket.

use crate::answer::{self, Names, Rendered};
use crate::lists::Lists;
use crate::page::Page;
use crate::parameters::{self, Rules};
use crate::problem::Problem;
use crate::query::shown_path;
use crate::routes::{Endpoint, Route, Routes};
use crate::settings::ReaderSettings;
use crate::stores::Stores;
use crate::{health, openapi};
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
    TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Method, Response};
use bytes::Bytes;
use std::sync::Arc;

/// The reader as an axum router, without the limits on connections that [`crate::serve`] adds.
pub fn router(settings: ReaderSettings, stores: Stores) -> Router {
    let service = Arc::new(Service::new(settings, stores));
    Router::new().fallback(move |request: Request| {
        let service = Arc::clone(&service);
        async move { service.answer(request).await }
    })
}

struct Service {
    rules: Rules,
    names: Names,
    routes: Routes,
    lists: Lists,
    page: Page,
    openapi: Bytes,
    settings: ReaderSettings,
}

impl Service {
    fn new(settings: ReaderSettings, stores: Stores) -> Self {
        let rules = Rules { windows: settings.windows.clone(), k: settings.k };
        let names = Names::new(&settings.words);
        let routes = Routes::new(&settings.words);
        Service {
            lists: Lists::new(&settings, stores),
            page: Page::new(&settings, &rules, &names),
            openapi: openapi::document(&routes, &rules, &names, &settings).into(),
            rules,
            names,
            routes,
            settings,
        }
    }

    async fn answer(&self, request: Request) -> Response<Body> {
        // The body is never read: routes take none.
        let (request, _) = request.into_parts();
        let route = self.routes.find(request.uri.path());
        let result = match tokio::time::timeout(self.settings.limits.answer, self.dispatch(route, &request)).await {
            Ok(result) => result,
            Err(_) => Err(Problem::stores_away("the stores took too long")),
        };
        let response = result.unwrap_or_else(|problem| problem.response(&shown_path(request.uri.path())));
        let label = route.map_or("none", |route| route.path.as_str()).to_owned();
        metrics::counter!("topk_reader_requests_total", "route" => label, "status" => response.status().as_u16().to_string())
            .increment(1);
        finished(response, &request.method)
    }

    async fn dispatch(&self, route: Option<&Route>, request: &Parts) -> Result<Response<Body>, Problem> {
        let route = route.ok_or_else(Problem::unknown_route)?;
        if route.endpoint == Endpoint::Later {
            return Err(Problem::not_built(&route.summary));
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Problem::method_not_allowed());
        }
        if has_body(request) {
            return Err(Problem::body_not_allowed());
        }
        let query = request.uri.query().unwrap_or_default();
        match route.endpoint {
            Endpoint::List(shape) => {
                let query = self.rules.list(route.parameters, query)?;
                let found = self.lists.find(query, shape == crate::routes::Shape::Full).await?;
                metrics::counter!("topk_reader_lists_total", "source" => found.list.source).increment(1);
                if found.age.is_some() {
                    metrics::counter!("topk_reader_last_good_total").increment(1);
                }
                let window = &self.rules.windows.kind(query.kind).name;
                let wanted = (shape, query.k, found.previous.as_ref().map(|previous| previous.identity()));
                let render = || Rendered::of(&self.names, shape, query, window, &found);
                let rendered = found.list.rendered(wanted, render);
                let state = found.list.listing.as_ref().and_then(|listing| listing.state);
                Ok(answer::response(rendered, query.at, state, found.age, &request.headers))
            }
            Endpoint::Live => Ok(health::live(parameters::verbose(route.parameters, query)?)),
            Endpoint::Ready => {
                let verbose = parameters::verbose(route.parameters, query)?;
                Ok(health::ready(&self.lists.health(verbose).await, verbose))
            }
            Endpoint::Page => parameters::none(query).map(|()| self.page.response()),
            Endpoint::Metrics => parameters::none(query).map(|()| health::metrics((self.settings.render_metrics)())),
            Endpoint::OpenApi => parameters::none(query).map(|()| {
                let mut response = Response::new(Body::from(self.openapi.clone()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
                response
            }),
            Endpoint::Later => unreachable!("refused above"),
        }
    }
}

fn has_body(request: &Parts) -> bool {
    request.headers.contains_key(TRANSFER_ENCODING)
        || request.headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}

/// What every answer carries; a HEAD's is all headers and no body.
fn finished(mut response: Response<Body>, method: &Method) -> Response<Body> {
    let length = response.body().size_hint().exact();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    }
    // A 304 has its own: the length of the body it leaves out.
    if let Some(length) = length.filter(|_| !headers.contains_key(CONTENT_LENGTH)) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    if method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

#[cfg(test)]
mod tests;
