//! The one table of routes. The dispatcher, the strictness of parameters and `/openapi.json` all come from it.

use crate::parameters::{Meaning, Parameter};
use crate::query::percent_decoded;
use stream::Vocabulary;

/// How a list is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// `{meta, items}` with ranks.
    Full,
    /// `[{songId, plays}]`.
    Pairs,
    /// `{period, top_songs: [{song_id, play_count}]}`.
    Period,
}

/// What answers a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Endpoint {
    List(Shape),
    Page,
    Live,
    Ready,
    Metrics,
    OpenApi,
    /// Named by the contract for later, refused by name until then.
    Later,
}

/// A path and what it answers.
#[derive(Debug)]
pub(crate) struct Route {
    /// As documented; a segment `{name}` stands for any one segment.
    pub(crate) path: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) summary: String,
}

/// Every route, in the order of the documentation.
#[derive(Debug)]
pub(crate) struct Routes(Vec<Route>);

const fn parameter(name: &'static str, meaning: Meaning) -> Parameter {
    Parameter { name, meaning }
}

const LIST: &[Parameter] = &[
    parameter("window", Meaning::Window),
    parameter("k", Meaning::K),
    parameter("at", Meaning::At),
    parameter("region", Meaning::Region),
];
const PERIOD: &[Parameter] = &[
    parameter("period", Meaning::Window),
    parameter("k", Meaning::K),
    parameter("at", Meaning::At),
    parameter("region", Meaning::Region),
];
const HEALTH: &[Parameter] = &[parameter("verbose", Meaning::Verbose)];

impl Routes {
    pub(crate) fn new(words: &Vocabulary) -> Self {
        let Vocabulary { events, key, keys, .. } = words;
        let list = format!("The top {keys} of a window by {events}");
        let route = |path: String, endpoint, parameters, summary: &str| Route {
            path,
            endpoint,
            parameters,
            summary: summary.to_owned(),
        };
        let built = [
            route("/".into(), Endpoint::Page, &[], "The live page"),
            route(
                "/v1/top".into(),
                Endpoint::List(Shape::Full),
                LIST,
                &format!("{list}, with ranks and the window's state"),
            ),
            route(format!("/{events}/top-k"), Endpoint::List(Shape::Pairs), LIST, &format!("{list}, as pairs")),
            route(format!("/{events}/{key}"), Endpoint::List(Shape::Pairs), LIST, &format!("{list}, as pairs")),
            route("/top-k".into(), Endpoint::List(Shape::Pairs), LIST, &format!("{list}, as pairs")),
            route(
                format!("/v1/{keys}/top"),
                Endpoint::List(Shape::Period),
                PERIOD,
                &format!("{list}, with the period's name"),
            ),
            route("/livez".into(), Endpoint::Live, HEALTH, "Whether the process runs"),
            route("/readyz".into(), Endpoint::Ready, HEALTH, "Whether a store of lists answers"),
            route("/metrics".into(), Endpoint::Metrics, &[], "Metrics as Prometheus text"),
            route("/openapi.json".into(), Endpoint::OpenApi, &[], "This description"),
        ];
        let later = [
            ("/top-posts".into(), "the list by region and timeframe".to_owned()),
            ("/v1/stream".into(), "the stream of server-sent events".into()),
            (format!("/v1/{keys}/{{id}}"), format!("the counts of one {key}")),
            (format!("/v1/{keys}/{{id}}/series"), format!("the series of one {key}")),
        ];
        let later = later.map(|(path, summary): (String, String)| route(path, Endpoint::Later, &[], &summary));
        Routes(built.into_iter().chain(later).collect())
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// The route of a raw path. Segments decode one by one, so `%2F` is never a separator.
    pub(crate) fn find(&self, raw: &str) -> Option<&Route> {
        let path: Vec<String> = raw.split('/').map(percent_decoded).collect::<Option<_>>()?;
        self.iter().find(|route| {
            let segments = route.path.split('/');
            segments.clone().count() == path.len()
                && segments.zip(&path).all(|(segment, given)| {
                    segment == given || (segment.starts_with('{') && segment.ends_with('}') && !given.is_empty())
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_from_the_words_and_decode_by_segment() {
        let routes = Routes::new(&Vocabulary::new("play", "plays", "song", "songs"));
        let endpoint = |path: &str| routes.find(path).map(|route| route.endpoint);
        assert_eq!(endpoint("/"), Some(Endpoint::Page));
        assert_eq!(endpoint("/plays/top-k"), Some(Endpoint::List(Shape::Pairs)));
        assert_eq!(endpoint("/plays/song"), Some(Endpoint::List(Shape::Pairs)));
        assert_eq!(endpoint("/v1/songs/top"), Some(Endpoint::List(Shape::Period)));
        assert_eq!(endpoint("/v1/%74op"), Some(Endpoint::List(Shape::Full)));
        assert_eq!(endpoint("/v1/songs/s%2F1"), Some(Endpoint::Later));
        assert_eq!(endpoint("/v1/songs/s1/series"), Some(Endpoint::Later));
        for unknown in ["", "//", "/v1%2Ftop", "/v1/top/", "/v1/songs/", "/listens/top-k", "/V1/top", "/%zz", "/v1"] {
            assert_eq!(endpoint(unknown), None, "{unknown}");
        }
    }
}
