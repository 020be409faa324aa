//! A setting's value before anyone has given it a meaning: what TOML can say, less what no setting needs.

use crate::Origin;
use std::collections::BTreeMap;
use toml::de::DeValue;

/// One entry of a free table: its text and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Property {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// The value of a setting. The default's variant is the setting's type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<String>),
    /// Names that are not ours to know, such as librdkafka's. The layers add to it rather than replace it.
    Table(BTreeMap<String, Property>),
}

impl Value {
    /// The type in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list of strings",
            Self::Table(_) => "a table of strings",
        }
    }

    /// As TOML, on one line.
    pub(crate) fn to_toml(&self) -> String {
        match self {
            Self::Text(text) => quote(text),
            Self::Integer(integer) => integer.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::List(items) => format!("[{}]", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(", ")),
            Self::Table(entries) if entries.is_empty() => "{}".to_owned(),
            Self::Table(entries) => {
                let entry =
                    |(name, property): (&String, &Property)| format!("{} = {}", quote(name), quote(&property.text));
                format!("{{ {} }}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// `given` as a value of the same type as `like`; the error says what it is instead.
    pub(crate) fn from_toml(given: &DeValue<'_>, like: &Value, origin: &Origin) -> Result<Value, String> {
        match (like, given) {
            (Self::Text(_), DeValue::String(text)) => Ok(Self::Text(text.to_string())),
            // An instant may be written without quotes: TOML has a type of its own for it.
            (Self::Text(_), DeValue::Datetime(instant)) => Ok(Self::Text(instant.to_string())),
            (Self::Boolean(_), DeValue::Boolean(boolean)) => Ok(Self::Boolean(*boolean)),
            (Self::Integer(_), DeValue::Integer(integer)) => i64::from_str_radix(integer.as_str(), integer.radix())
                .map(Self::Integer)
                .map_err(|_| "it does not fit into 64 bits".to_owned()),
            (Self::List(_), DeValue::Array(items)) => items
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::String(text) => Ok(text.to_string()),
                    other => Err(format!("one of its items is {}", describe(other))),
                })
                .collect::<Result<_, _>>()
                .map(Self::List),
            (Self::Table(_), DeValue::Table(entries)) => {
                let mut table = BTreeMap::new();
                flatten(entries, "", origin, &mut table)?;
                Ok(Self::Table(table))
            }
            (_, other) => Err(format!("it is {}", describe(other))),
        }
    }
}

/// Unquoted dotted names nest in TOML; `security.protocol = "SSL"` is the name `security.protocol` all the same.
fn flatten(
    entries: &toml::de::DeTable<'_>,
    prefix: &str,
    origin: &Origin,
    table: &mut BTreeMap<String, Property>,
) -> Result<(), String> {
    for (name, value) in entries {
        let name = format!("{prefix}{}", name.get_ref());
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(integer) => integer.to_string(),
            DeValue::Float(float) => float.to_string(),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Table(inner) => {
                flatten(inner, &format!("{name}."), origin, table)?;
                continue;
            }
            other => return Err(format!("its entry {name} is {}", describe(other))),
        };
        if table.insert(name.clone(), Property { text, origin: origin.clone() }).is_some() {
            return Err(format!("its entry {name} is given twice"));
        }
    }
    Ok(())
}

fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a section",
    }
}

/// A TOML string on one line.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_reads_back() {
        for text in ["", "plain", r#"a "b" \ c"#, "tab\tline\nreturn\rnul\0del\u{7f}\u{85}", "Zürich 東京", "'''"] {
            let quoted = quote(text);
            assert!(!quoted.contains('\n'), "{quoted}");
            assert_eq!(DeValue::parse(&quoted).unwrap().get_ref().as_str(), Some(text), "{quoted}");
        }
    }
}
