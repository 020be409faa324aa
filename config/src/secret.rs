//! Keeps secrets out of everything that is printed: settings, and messages that quote an address or a line of a file.
//!
//! Masking errs towards hiding too much. A password that should have been percent-encoded may hold any character, so everything up to
//! the last `@` is taken for part of it.

/// What stands in place of a secret.
pub(crate) const MASK: &str = "***";

/// Names whose values are secret though no part of them says so.
const SECRET_NAMES: [&str; 4] = ["ssl.key.pem", "private.key.pem", "sasl.oauthbearer.config", "sasl.jaas.config"];

/// Whether a setting of this name, such as `sasl.password` or `sink.postgres.password`, is a secret as a whole.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut parts = name.split(['.', '_', '-']).rev();
    name.ends_with("token")
        || SECRET_NAMES.iter().any(|secret| name.ends_with(secret))
        || parts.any(|part| {
            ["password", "passwd", "passphrase", "secret"].iter().any(|word| part.ends_with(word))
                || part.starts_with("credential")
        })
}

/// The text with the passwords in it replaced by `***`: those of URLs such as `postgres://user:secret@host/db?password=secret`, and
/// of assignments such as `host=localhost password=secret`. Other text is returned as it is.
pub fn mask_url(text: &str) -> String {
    mask_assignments(&mask_user_information(text))
}

/// Hides what stands between the user's colon and the last `@` after `://`.
fn mask_user_information(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let Some((user_information, host)) = rest.rsplit_once('@') else { return text.to_owned() };
    match user_information.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:{MASK}@{host}"),
        None => text.to_owned(),
    }
}

/// Hides the right side of every `name=value` whose name is secret, quotes and spaces around `=` included.
fn mask_assignments(text: &str) -> String {
    let is_url = text.contains("://");
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        let name = before.trim_end().trim_end_matches(['"', '\'']);
        let start = name.rfind(|c: char| !c.is_alphanumeric() && !"._-".contains(c)).map_or(0, |index| {
            // The separator may be longer than one byte.
            index + name[index..].chars().next().map_or(1, char::len_utf8)
        });
        masked.push_str(&rest[..=at]);
        rest = after;
        if is_secret_name(&name[start..]) {
            let value = after.trim_start();
            masked.push_str(&after[..after.len() - value.len()]);
            masked.push_str(MASK);
            rest = &value[value_length(value, is_url)..];
        }
    }
    masked + rest
}

/// How many bytes of `text` belong to the value at its start: to the closing quote, or to the next separator.
fn value_length(text: &str, is_url: bool) -> usize {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut escaped = false;
            for (index, character) in text.char_indices().skip(1) {
                if character == quote && !escaped {
                    return index + 1;
                }
                escaped = character == '\\' && !escaped;
            }
            text.len()
        }
        _ => text.find(|c: char| c.is_whitespace() || (is_url && c == '&')).unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_urls_are_masked() {
        for (text, expected) in [
            ("postgres://user:secret@host/db", "postgres://user:***@host/db"),
            ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
            ("postgres://u:p@ss/w?rd@host/db", "postgres://u:***@host/db"),
            ("postgres://u:a:b@host", "postgres://u:***@host"),
            ("postgres://user@host:5432/db", "postgres://user@host:5432/db"),
            ("redis://localhost:6379", "redis://localhost:6379"),
            (
                "postgres://host/db?sslmode=require&password=a%20b&x=1",
                "postgres://host/db?sslmode=require&password=***&x=1",
            ),
            ("host=h password=a&b user=u", "host=h password=*** user=u"),
            (r"host=h password = 'a \' b' user=u", "host=h password = *** user=u"),
            ("PASSWORD=é x", "PASSWORD=*** x"),
            ("é password=x", "é password=***"),
            ("password=", "password=***"),
            (r#""sasl.password" = "a b", c = 1"#, r#""sasl.password" = ***, c = 1"#),
            (r#"password = "never closed"#, "password = ***"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("", ""),
        ] {
            assert_eq!(mask_url(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "secret_access_key",
            "sslpassword",
            "api_token",
            "sink.postgres.PASSWORD",
            "credentials",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "sasl.username",
            "ssl.ca.location",
            "security.protocol",
            "sasl.oauthbearer.token.endpoint.url",
            "event.key",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
