//! The values of environment variables and flags: plain texts, read as the type of the setting's default.

use crate::ConfigError;
use crate::Origin;
use crate::schema::{Known, Schema};
use crate::toml_layer::{Assignment, Layer, section_error, type_error, unknown_key};
use crate::value::{Property, Value};
use std::collections::BTreeMap;
use std::ffi::OsString;
use toml::de::DeValue;

/// Variables of other programs do not begin like this.
const PREFIX: &str = "TOPK__";

/// Reads `TOPK__SINK__POSTGRES__URL` as `sink.postgres.url`, in any letter case; other variables are none of ours.
pub(crate) fn read_environment(variables: &[(OsString, OsString)], schema: &Schema) -> Layer {
    let mut layer = Layer::default();
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut ours: Vec<(&str, &OsString)> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX)))
        .collect();
    ours.sort();
    for (name, value) in ours {
        let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
        let origin = Origin::Environment(name.to_owned());
        let problem = |what: String, hint: String| ConfigError {
            key: Some(key.clone()),
            origin: Some(origin.clone()),
            what,
            why: "each setting has one variable, and its value is UTF-8 text".to_owned(),
            hint,
        };
        if let Some(other) = seen.insert(key.clone(), name) {
            layer
                .errors
                .push(problem(format!("{key} is given by {other} and by {name}"), format!("unset {other} or {name}")));
        } else if let Some(text) = value.to_str() {
            assign(&key, text, origin, schema, spell_variable, &mut layer);
        } else {
            layer
                .errors
                .push(problem(format!("the value of {name} is not UTF-8"), format!("set {name} to UTF-8 text")));
        }
    }
    layer
}

/// Reads overrides of `(flag, key, text)`.
pub(crate) fn read_flags(flags: &[(String, String, String)], schema: &Schema) -> Layer {
    let mut layer = Layer::default();
    for (flag, key, text) in flags {
        assign(key, text, Origin::Flag(flag.clone()), schema, str::to_owned, &mut layer);
    }
    layer
}

fn spell_variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn assign(key: &str, text: &str, origin: Origin, schema: &Schema, spell: fn(&str) -> String, layer: &mut Layer) {
    match schema.find(key) {
        Known::Setting(setting) => match parse(text, &setting.default, &origin) {
            Ok(value) => layer.assignments.push(Assignment { key: key.to_owned(), value, origin }),
            Err(reason) => layer.errors.push(type_error(key, &setting.default, reason, origin)),
        },
        Known::Property(setting, name) => {
            let property = Property { text: text.to_owned(), origin: origin.clone() };
            let value = Value::Table(BTreeMap::from([(name.to_owned(), property)]));
            layer.assignments.push(Assignment { key: setting.key.clone(), value, origin });
        }
        Known::Section => layer.errors.push(section_error(key, schema, origin)),
        Known::Nothing => layer.errors.push(unknown_key(key, schema, origin, spell)),
    }
}

fn parse(text: &str, like: &Value, origin: &Origin) -> Result<Value, String> {
    let trimmed = text.trim();
    match like {
        Value::Text(_) => Ok(Value::Text(text.to_owned())),
        Value::List(_) if trimmed.is_empty() => Ok(Value::List(Vec::new())),
        Value::List(_) if !trimmed.starts_with('[') => {
            Ok(Value::List(trimmed.split(',').map(|item| item.trim().to_owned()).collect()))
        }
        _ => {
            let value = DeValue::parse(trimmed).map_err(|_| format!("its text is not {}", like.kind()))?;
            Value::from_toml(value.get_ref(), like, origin)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Layer {
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        read_environment(&variables, &Schema::shipped())
    }

    fn value(name: &str, text: &str) -> Value {
        let mut layer = environment(&[(name, text)]);
        assert_eq!(layer.errors, [], "{name}={text}");
        layer.assignments.remove(0).value
    }

    #[test]
    fn texts_take_the_type_of_the_default() {
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).to_owned()).collect());
        assert_eq!(value("TOPK__SINK__POSTGRES__URL", " \"as is\" "), Value::Text(" \"as is\" ".into()));
        assert_eq!(value("TOPK__JOB__NAME", ""), Value::Text(String::new()));
        assert_eq!(value("TOPK__TOPK__K", " 1_000 "), Value::Integer(1000));
        assert_eq!(value("topk__topk__k", "-5"), Value::Integer(-5));
        assert_eq!(value("Topk__Event__Key", "id, vid"), list(&["id", "vid"]));
        assert_eq!(value("TOPK__EVENT__KEY", r#"["a,b", "c"]"#), list(&["a,b", "c"]));
        assert_eq!(value("TOPK__EVENT__KEY", " "), list(&[]));
    }

    #[test]
    fn booleans_are_read_though_no_setting_is_one_yet() {
        let read = |text| parse(text, &Value::Boolean(false), &Origin::Default);
        assert_eq!(read("true"), Ok(Value::Boolean(true)));
        assert_eq!(read("false"), Ok(Value::Boolean(false)));
        assert_eq!(read("1"), Err("it is an integer".into()));
        assert_eq!(read("yes"), Err("its text is not true or false".into()));
    }

    #[test]
    fn properties_come_one_by_one_or_as_a_table() {
        for (name, text) in [
            ("TOPK__SOURCE__KAFKA__PROPERTIES__SECURITY__PROTOCOL", "SSL"),
            ("TOPK__SOURCE__KAFKA__PROPERTIES", r#"{ "security.protocol" = "SSL" }"#),
        ] {
            let Value::Table(table) = value(name, text) else { panic!("a table") };
            assert_eq!(table["security.protocol"].text, "SSL");
            assert_eq!(table["security.protocol"].origin, Origin::Environment(name.into()));
        }
    }

    #[test]
    fn mistakes_name_the_variable_and_how_to_spell_it() {
        let layer = environment(&[
            ("TOPK__TOPK__K", "ten"),
            ("TOPK__JOB__WORKERS", "2 3"),
            ("TOPK__SINK__POSTGRES__ULR", "x"),
            ("TOPK__SINK", "x"),
            ("TOPK__EVENT__KEY", "[1]"),
            ("topk__job__name", "a"),
            ("TOPK__JOB__NAME", "b"),
            ("PATH", "/bin"),
            ("TOPK_URL", "not ours"),
        ]);
        let errors: Vec<String> = layer.errors.iter().map(ToString::to_string).collect();
        let expected = [
            "event.key must be a list of strings (from env TOPK__EVENT__KEY)\nwhy: one of its items is an integer",
            "job.workers must be an integer (from env TOPK__JOB__WORKERS)\nwhy: its text is not an integer",
            "sink is a section and takes no value (from env TOPK__SINK)",
            "sink.postgres.ulr is not a known key (from env TOPK__SINK__POSTGRES__ULR)\nwhy: the nearest known key is sink.postgres.url\n\
             what to do: write TOPK__SINK__POSTGRES__URL or remove it",
            "topk.k must be an integer (from env TOPK__TOPK__K)\nwhy: its text is not an integer",
            "job.name is given by TOPK__JOB__NAME and by topk__job__name",
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for (error, start) in errors.iter().zip(expected) {
            assert!(error.starts_with(start), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn text_that_is_not_utf_8_is_an_error_only_where_it_is_ours() {
        use std::os::unix::ffi::OsStringExt;
        let broken = || OsString::from_vec(vec![0xff]);
        let variables =
            [(OsString::from("TOPK__JOB__NAME"), broken()), ("OTHER".into(), broken()), (broken(), "x".into())];
        let layer = read_environment(&variables, &Schema::shipped());
        assert_eq!(layer.errors.len(), 1);
        assert!(layer.errors[0].what.contains("TOPK__JOB__NAME is not UTF-8"));
    }

    #[test]
    fn flags_name_themselves() {
        let flags = [("--top".to_owned(), "topk.k".to_owned(), "many".to_owned())];
        let layer = read_flags(&flags, &Schema::shipped());
        assert!(layer.errors[0].to_string().starts_with("topk.k must be an integer (from flag --top)"));
    }
}
