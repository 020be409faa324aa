//! Strict parameters. Anything unknown, repeated or out of bounds is refused, all at once and with what is allowed;
//! nothing is clamped or ignored, since that would hide a client's mistake.

use crate::problem::{Problem, Wrong};
use crate::query::{Given, parameters};
use stream::{EventTime, KindIndex, WindowKind, Windows};

/// K when none is given.
const K_DEFAULT: u32 = 100;

/// Windows that are sums of panes: known, not built yet. Name and other name.
const SLIDING: [(&str, &str); 4] =
    [("last_hour", "last_hour"), ("last_24h", "last_24h"), ("24h", "last_24h"), ("last_30d", "last_30d")];

/// Other names of a kind.
const ALIASES: [(&str, &str); 2] = [("all-time", "all_time"), ("all", "all_time")];

/// What a parameter means, whatever a route calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Meaning {
    Window,
    K,
    At,
    /// Refused by name until there are dimensions.
    Region,
    Verbose,
}

/// A parameter of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) meaning: Meaning,
}

/// Which window of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// The one with the greatest counted event time.
    Current,
    /// The newest that had an event and is closed or final.
    Closed,
    /// The one that holds an instant.
    Instant(EventTime),
}

/// A question for a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListQuery {
    pub(crate) kind: KindIndex,
    pub(crate) k: u32,
    pub(crate) at: At,
}

/// What parameters are judged by.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) windows: Windows,
    pub(crate) k: u32,
}

impl Rules {
    /// K when none is given.
    pub(crate) fn k_default(&self) -> u32 {
        K_DEFAULT.min(self.k)
    }

    /// Names of the configured kinds.
    pub(crate) fn configured(&self) -> String {
        let names: Vec<&str> = self.windows.kinds().iter().map(|kind| kind.name.as_str()).collect();
        names.join(", ")
    }

    /// Every accepted name of a configured kind.
    pub(crate) fn window_names(&self) -> Vec<&str> {
        let kinds = self.windows.kinds().iter().map(|kind| kind.name.as_str());
        let aliases = ALIASES.iter().filter(|(_, kind)| self.windows.index_of(kind).is_some()).map(|(alias, _)| *alias);
        kinds.chain(aliases).collect()
    }

    /// A list's question.
    pub(crate) fn list(&self, known: &'static [Parameter], query: &str) -> Result<ListQuery, Problem> {
        let mut reading = Values::take(known, query);
        let (parameter, window) = reading.named(Meaning::Window);
        let kind = match window {
            None => {
                if !reading.is_refused(parameter) {
                    reading.refuse(parameter, "it is required", &self.configured());
                }
                None
            }
            Some(name) => self.window(parameter, &name, &mut reading),
        };
        let k = self.k(&mut reading);
        let at = at(&mut reading);
        if let (parameter, Some(_)) = reading.named(Meaning::Region) {
            reading.refuse(parameter, "lists by region are not built yet", "leave it out");
        }
        reading.done()?;
        match kind {
            Some(Kind::Configured(kind)) => Ok(ListQuery { kind, k, at }),
            Some(Kind::Known(name)) => Err(Problem::window_not_configured(parameter, name, &self.configured())),
            None => unreachable!("a window that is absent or wrong has been refused"),
        }
    }

    fn window(&self, parameter: &str, given: &str, reading: &mut Values) -> Option<Kind> {
        let name = ALIASES.iter().find(|(alias, _)| *alias == given).map_or(given, |(_, kind)| *kind);
        if let Some(kind) = self.windows.index_of(name) {
            return Some(Kind::Configured(kind));
        }
        let kinds = WindowKind::NAMES.iter().map(|name| (*name, *name));
        if let Some((_, known)) = kinds.chain(SLIDING).find(|(known, _)| *known == name) {
            return Some(Kind::Known(known));
        }
        reading.refuse(parameter, "it is not a window", &self.configured());
        None
    }

    fn k(&self, reading: &mut Values) -> u32 {
        let (parameter, Some(given)) = reading.named(Meaning::K) else { return self.k_default() };
        let digits = !given.is_empty() && given.bytes().all(|byte| byte.is_ascii_digit());
        let k = given.parse().ok().filter(|k| digits && (1..=self.k).contains(k));
        k.unwrap_or_else(|| {
            let reason = if digits { "it is out of bounds" } else { "it is not a whole number in digits" };
            reading.refuse(parameter, reason, &format!("1 to {}", self.k));
            self.k_default()
        })
    }
}

enum Kind {
    Configured(KindIndex),
    Known(&'static str),
}

/// Whether `verbose` was asked for, the only parameter of the health routes.
pub(crate) fn verbose(known: &'static [Parameter], query: &str) -> Result<bool, Problem> {
    let mut reading = Values::take(known, query);
    let verbose = match reading.named(Meaning::Verbose) {
        (_, None) => false,
        (parameter, Some(value)) => match value.as_str() {
            "" | "true" | "1" => true,
            "false" | "0" => false,
            _ => {
                reading.refuse(parameter, "it is not a yes or no", "true or false");
                false
            }
        },
    };
    reading.done().map(|()| verbose)
}

/// No parameters at all.
pub(crate) fn none(query: &str) -> Result<(), Problem> {
    Values::take(&[], query).done()
}

fn at(reading: &mut Values) -> At {
    match reading.named(Meaning::At) {
        (_, None) => At::Current,
        (parameter, Some(value)) => match value.as_str() {
            "current" => At::Current,
            "closed" => At::Closed,
            text => instant(text).map_or_else(
                || {
                    let allowed =
                        "current, closed, or an RFC 3339 instant such as 2025-10-19T14:05:00Z, in 1970 to 9999";
                    reading.refuse(parameter, "it is not an instant", allowed);
                    At::Current
                },
                At::Instant,
            ),
        },
    }
}

/// `YYYY-MM-DDTHH:MM:SS[.fff…](Z|±HH:MM)` in 1970 to 9999, the form of events' own times (contract, "Kafka event").
fn instant(text: &str) -> Option<EventTime> {
    let fits = |text: &str, pattern: &str| {
        text.len() == pattern.len()
            && text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                b'+' => byte == b'+' || byte == b'-',
                _ => byte == wanted,
            })
    };
    if !text.is_ascii() || text.len() < 20 {
        return None;
    }
    let (civil, rest) = text.split_at(19);
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().position(|byte| !byte.is_ascii_digit())?),
        None => ("0", rest),
    };
    let shaped = fits(civil, "0000-00-00T00:00:00") && (offset == "Z" || fits(offset, "+00:00"));
    let second_60 = civil.ends_with("60");
    let offset_hours = if offset == "Z" { 0 } else { offset.get(1..3)?.parse().ok()? };
    if !shaped || fraction.is_empty() || second_60 || offset_hours > 23 {
        return None;
    }
    let millis = &fraction[..fraction.len().min(3)];
    let at: jiff::Timestamp = format!("{civil}.{millis}{offset}").parse().ok()?;
    EventTime::valid(at.as_millisecond())
}

/// The values given for a route's parameters, and everything wrong about them.
struct Values {
    known: &'static [Parameter],
    given: Vec<(&'static str, String)>,
    wrong: Vec<Wrong>,
}

impl Values {
    fn take(known: &'static [Parameter], query: &str) -> Self {
        let names: Vec<&str> =
            known.iter().filter(|known| known.meaning != Meaning::Region).map(|known| known.name).collect();
        let allowed = if names.is_empty() { "no parameter".to_owned() } else { names.join(", ") };
        let mut values = Values { known, given: Vec::new(), wrong: Vec::new() };
        let mut seen: Vec<&str> = Vec::new();
        for Given { name, value } in parameters(query) {
            let Some(parameter) = known.iter().find(|known| known.name == name) else {
                let shown: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
                values.refuse(&shown, "this route has no such parameter", &allowed);
                continue;
            };
            if seen.contains(&parameter.name) {
                values.refuse(parameter.name, "it is given more than once", "once");
                continue;
            }
            seen.push(parameter.name);
            match value {
                Some(value) => values.given.push((parameter.name, value)),
                None => values.refuse(parameter.name, "it is not percent-encoded UTF-8", "percent-encoded UTF-8"),
            }
        }
        values
    }

    /// The route's name for a meaning, and the value given.
    fn named(&self, meaning: Meaning) -> (&'static str, Option<String>) {
        let Some(parameter) = self.known.iter().find(|known| known.meaning == meaning) else { return ("", None) };
        let given = self.given.iter().find(|(name, _)| *name == parameter.name);
        (parameter.name, given.map(|(_, value)| value.clone()))
    }

    fn is_refused(&self, name: &str) -> bool {
        self.wrong.iter().any(|wrong| wrong.name == name)
    }

    fn refuse(&mut self, name: &str, reason: &str, allowed: &str) {
        self.wrong.push(Wrong { name: name.to_owned(), reason: reason.to_owned(), allowed: allowed.to_owned() });
    }

    fn done(self) -> Result<(), Problem> {
        if self.wrong.is_empty() { Ok(()) } else { Err(Problem::invalid_parameters(self.wrong)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stream::Zone;

    const KNOWN: &[Parameter] = &[
        Parameter { name: "window", meaning: Meaning::Window },
        Parameter { name: "k", meaning: Meaning::K },
        Parameter { name: "at", meaning: Meaning::At },
        Parameter { name: "region", meaning: Meaning::Region },
    ];

    fn rules() -> Rules {
        let kinds = ["minute", "hour", "all_time"].map(|name| WindowKind::named(name).unwrap()).to_vec();
        Rules { windows: Windows::new(kinds, Zone::utc()).unwrap(), k: 1000 }
    }

    #[test]
    fn what_is_accepted() {
        let at = |millis| At::Instant(EventTime::from_millis(millis));
        let cases = [
            ("window=hour", 1, 100, At::Current),
            ("window=minute&k=1", 0, 1, At::Current),
            ("k=1000&window=all_time", 2, 1000, At::Current),
            ("window=all-time&k=007", 2, 7, At::Current),
            ("window=all&at=current", 2, 100, At::Current),
            ("%77indow=h%6Fur&at=closed", 1, 100, At::Closed),
            ("window=hour&at=2025-10-19T14:05:00Z", 1, 100, at(1_760_882_700_000)),
            ("window=hour&at=2025-10-19T16:05:00+02:00", 1, 100, at(1_760_882_700_000)),
            ("window=hour&at=2025-10-19T16%3A05%3A00%2B02%3A00", 1, 100, at(1_760_882_700_000)),
            ("window=hour&at=2025-10-19T14:05:00.123987654321Z", 1, 100, at(1_760_882_700_123)),
            ("window=hour&at=1970-01-01T00:00:00Z", 1, 100, at(0)),
        ];
        for (query, kind, k, at) in cases {
            assert_eq!(rules().list(KNOWN, query), Ok(ListQuery { kind, k, at }), "{query}");
        }
    }

    #[test]
    fn what_is_refused_and_why() {
        let cases = [
            ("", "window", "required"),
            ("window=", "window", "not a window"),
            ("window=Hour", "window", "not a window"),
            ("window=fortnight", "window", "not a window"),
            ("window=hour%00", "window", "not a window"),
            ("window=%zz", "window", "percent-encoded"),
            ("window=%FF", "window", "percent-encoded"),
            ("window=hour&window=hour", "window", "more than once"),
            ("window=hour&%77indow=hour", "window", "more than once"),
            ("window=hour&k=", "k", "digits"),
            ("window=hour&k=0", "k", "out of bounds"),
            ("window=hour&k=1001", "k", "out of bounds"),
            ("window=hour&k=99999999999999999999", "k", "out of bounds"),
            ("window=hour&k=-1", "k", "digits"),
            ("window=hour&k=+5", "k", "digits"),
            ("window=hour&k=1.5", "k", "digits"),
            ("window=hour&k=1e2", "k", "digits"),
            ("window=hour&k=%D9%A3", "k", "digits"),
            ("window=hour&k=10&k=10", "k", "more than once"),
            ("window=hour&limit=10", "limit", "no such parameter"),
            ("window=hour&K=10", "K", "no such parameter"),
            ("window=hour&=10", "", "no such parameter"),
            ("window=hour&region=NA", "region", "not built yet"),
            ("window=hour&at=", "at", "not an instant"),
            ("window=hour&at=latest", "at", "not an instant"),
            ("window=hour&at=2025-10-19", "at", "not an instant"),
            ("window=hour&at=2025-10-19T14:05Z", "at", "not an instant"),
            ("window=hour&at=2025-10-19T14:05:00", "at", "not an instant"),
            ("window=hour&at=2025-10-19t14:05:00z", "at", "not an instant"),
            ("window=hour&at=2025-10-19T14:05:60Z", "at", "not an instant"),
            ("window=hour&at=2025-02-29T14:05:00Z", "at", "not an instant"),
            ("window=hour&at=2025-10-19T14:05:00.Z", "at", "not an instant"),
            ("window=hour&at=2025-10-19T14:05:00+24:00", "at", "not an instant"),
            ("window=hour&at=1969-12-31T23:59:59Z", "at", "not an instant"),
            ("window=hour&at=1760882700000", "at", "not an instant"),
        ];
        for (query, name, reason) in cases {
            let problem = rules().list(KNOWN, query).expect_err(query);
            assert_eq!(problem.name(), "invalid-parameter", "{query}");
            let [wrong] = problem.errors() else { panic!("{query}: {problem:?}") };
            assert!(wrong.name == name && wrong.reason.contains(reason), "{query}: {wrong:?}");
            assert!(!wrong.allowed.is_empty(), "{query}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let problem = rules().list(KNOWN, "window=x&k=0&at=y&z").unwrap_err();
        let names: Vec<&str> = problem.errors().iter().map(|wrong| wrong.name.as_str()).collect();
        assert_eq!(names, ["z", "window", "k", "at"]);
    }

    #[test]
    fn known_windows_that_are_not_configured() {
        for window in ["day", "month", "last_hour", "last_24h", "24h", "last_30d"] {
            let problem = rules().list(KNOWN, &format!("window={window}")).unwrap_err();
            assert_eq!(problem.name(), "window-not-configured", "{window}");
            assert_eq!(problem.errors()[0].allowed, "minute, hour, all_time");
        }
        let wrong_too = rules().list(KNOWN, "window=day&k=0").unwrap_err();
        assert_eq!(wrong_too.name(), "invalid-parameter");
    }

    #[test]
    fn a_small_k_lowers_the_default() {
        let rules = Rules { k: 10, ..rules() };
        assert_eq!(rules.list(KNOWN, "window=hour").unwrap().k, 10);
    }

    #[test]
    fn health_and_bare_routes() {
        const HEALTH: &[Parameter] = &[Parameter { name: "verbose", meaning: Meaning::Verbose }];
        assert_eq!(verbose(HEALTH, "verbose"), Ok(true));
        assert_eq!(verbose(HEALTH, "verbose=true"), Ok(true));
        assert_eq!(verbose(HEALTH, ""), Ok(false));
        assert!(verbose(HEALTH, "verbose=maybe").is_err());
        assert!(verbose(HEALTH, "verbose&verbose").is_err());
        assert_eq!(none("").and(none("&")), Ok(()));
        assert!(none("x").is_err());
    }
}
