//! `/openapi.json`: OpenAPI 3.1, made from the routes and parameters that the dispatcher itself uses.

use crate::answer::Names;
use crate::parameters::{Meaning, Parameter, Rules};
use crate::routes::{Endpoint, Route, Routes, Shape};
use crate::settings::ReaderSettings;
use serde_json::{Map, Value, json};

/// The document.
pub(crate) fn document(routes: &Routes, rules: &Rules, names: &Names, settings: &ReaderSettings) -> String {
    let built = routes.iter().filter(|route| route.endpoint != Endpoint::Later);
    let paths: Map<String, Value> =
        built.map(|route| (route.path.clone(), json!({"get": operation(route, rules, names)}))).collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("Top {} by {}", settings.words.keys, settings.words.events),
            "version": settings.version,
        },
        "paths": paths,
        "components": {"schemas": {"Problem": problem()}},
    });
    serde_json::to_string_pretty(&document).expect("texts and numbers always serialize")
}

fn operation(route: &Route, rules: &Rules, names: &Names) -> Value {
    let parameters: Vec<Value> = route.parameters.iter().filter_map(|parameter| described(parameter, rules)).collect();
    let mut responses = Map::new();
    let mut answer = |status: &str, description: &str, media: &str, schema: Value| {
        let content = json!({media: {"schema": schema}});
        responses.insert(status.to_owned(), json!({"description": description, "content": content}));
    };
    let text = json!({"type": "string"});
    let wrong = json!({"$ref": "#/components/schemas/Problem"});
    match route.endpoint {
        Endpoint::List(shape) => {
            answer(
                "200",
                "The list; empty where nothing was counted. With Age and Warning if no store answers and this is the last good one",
                "application/json",
                list(shape, names),
            );
            answer("404", "The window is not configured, or none has closed yet", PROBLEM, wrong.clone());
            answer("503", "No store of lists answers", PROBLEM, wrong.clone());
        }
        Endpoint::Page => answer("200", "The page", "text/html", text),
        Endpoint::OpenApi => answer("200", "OpenAPI 3.1", "application/json", json!({"type": "object"})),
        Endpoint::Ready => {
            answer("200", "Ready", "text/plain", text.clone());
            answer("503", "Not ready", "text/plain", text);
        }
        Endpoint::Live | Endpoint::Metrics => answer("200", "In good order", "text/plain", text),
        Endpoint::Later => unreachable!("only what is built is described"),
    }
    answer("400", "A parameter is unknown, repeated, missing or wrong", PROBLEM, wrong);
    if matches!(route.endpoint, Endpoint::List(_)) {
        responses.insert("304".into(), json!({"description": "Items and state are those of If-None-Match"}));
    }
    json!({"summary": route.summary, "parameters": parameters, "responses": responses})
}

const PROBLEM: &str = "application/problem+json";

fn described(parameter: &Parameter, rules: &Rules) -> Option<Value> {
    let (required, description, schema) = match parameter.meaning {
        Meaning::Window => (true, "The window kind", json!({"type": "string", "enum": rules.window_names()})),
        Meaning::K => {
            let schema = json!({"type": "integer", "minimum": 1, "maximum": rules.k, "default": rules.k_default()});
            (false, "How many items", schema)
        }
        Meaning::At => {
            let named = json!({"type": "string", "enum": ["current", "closed"]});
            let schema = json!({"anyOf": [named, {"type": "string", "format": "date-time"}], "default": "current"});
            (false, "The current window, the newest closed one, or the one that holds an instant", schema)
        }
        Meaning::Verbose => {
            (false, "Name every check", json!({"type": "string", "enum": ["", "true", "1", "false", "0"]}))
        }
        Meaning::Region => return None,
    };
    let name = parameter.name;
    Some(json!({"name": name, "in": "query", "required": required, "description": description, "schema": schema}))
}

fn list(shape: Shape, names: &Names) -> Value {
    let key = || json!({"type": "string"});
    let count = || json!({"type": "integer", "minimum": 0});
    let or_null = |kind: &str| json!({"type": [kind, "null"]});
    let instant = || json!({"type": ["string", "null"], "format": "date-time"});
    match shape {
        Shape::Full => {
            let meta = json!({
                "window": key(), "window_start": instant(), "window_end": instant(),
                "state": {"enum": ["open", "closed", "final", null]}, "as_of": instant(),
                "epoch": or_null("integer"), "generation": or_null("integer"), "region": or_null("string"),
                "k": count(), &names.total_events: count(), &names.total_keys: count(), "source": key(),
            });
            let item = object(json!({
                "rank": count(), &names.key: key(), &names.count: count(), "previousRank": or_null("integer"),
            }));
            object(json!({"meta": object(meta), "items": {"type": "array", "items": item}}))
        }
        Shape::Pairs => {
            let item = object(json!({&names.key: key(), &names.count: count()}));
            json!({"type": "array", "items": item})
        }
        Shape::Period => {
            let item = object(json!({&names.key_column: key(), &names.count_column: count()}));
            object(json!({"period": key(), &names.top: {"type": "array", "items": item}}))
        }
    }
}

/// An object with exactly these members always present.
fn object(properties: Value) -> Value {
    let required: Vec<String> = properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn problem() -> Value {
    let text = || json!({"type": "string"});
    let wrong = object(json!({"name": text(), "reason": text(), "allowed": text()}));
    json!({
        "type": "object",
        "description": "RFC 9457; errors is present where parameters are wrong",
        "required": ["type", "title", "status", "detail", "instance"],
        "properties": {
            "type": text(), "title": text(), "status": {"type": "integer"}, "detail": text(), "instance": text(),
            "errors": {"type": "array", "items": wrong},
        },
    })
}
