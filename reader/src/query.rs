//! Percent-encoding, strictly: what does not decode is refused, never guessed.
//!
//! RFC 3986 rules: `+` stands for itself, so that `at=2025-10-19T14:00:00+02:00` means what it says. No value that the
//! reader knows holds a space, so nothing is lost against the habit of forms.

/// Decode `%41` and the like. None for a broken escape or for bytes that are not UTF-8.
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            decoded.push((high * 16 + low) as u8);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}

/// A parameter as given: its name, and its value if both decode.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Given {
    pub(crate) name: String,
    /// None: the name or the value is not percent-encoded UTF-8.
    pub(crate) value: Option<String>,
}

/// The parameters of a query string, in order. A name without `=` has an empty value; empty pieces are skipped.
pub(crate) fn parameters(query: &str) -> Vec<Given> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            match percent_decoded(name) {
                Some(name) => Given { name, value: percent_decoded(value) },
                None => Given { name: name.to_owned(), value: None },
            }
        })
        .collect()
}

/// A path as it may be shown again: at most 200 bytes, and nothing but what a URL's path holds unescaped.
pub(crate) fn shown_path(path: &str) -> String {
    let mut shown = String::new();
    for byte in path.bytes() {
        if shown.len() >= 200 {
            break;
        }
        if byte.is_ascii_alphanumeric() || b"/-._~%:@".contains(&byte) {
            shown.push(char::from(byte));
        } else {
            shown.push_str(&format!("%{byte:02X}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode_or_are_refused() {
        assert_eq!(percent_decoded("a%2Bb+c%C5%BE").as_deref(), Some("a+b+cž"));
        for broken in ["%", "%4", "%zz", "%+1", "%FF", "a%C5"] {
            assert_eq!(percent_decoded(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_query_splits_before_it_decodes() {
        let given = |name: &str, value: Option<&str>| Given { name: name.into(), value: value.map(str::to_owned) };
        assert_eq!(
            parameters("window=hour&&%6b=1%260&verbose&x=a=b&y=%zz"),
            [
                given("window", Some("hour")),
                given("k", Some("1&0")),
                given("verbose", Some("")),
                given("x", Some("a=b")),
                given("y", None),
            ]
        );
        assert!(parameters("").is_empty());
    }

    #[test]
    fn a_shown_path_holds_no_markup_and_has_an_end() {
        assert_eq!(shown_path("/v1/<script>\"é"), "/v1/%3Cscript%3E%22%C3%A9");
        assert!(shown_path(&"/<".repeat(5000)).len() <= 202);
    }
}
