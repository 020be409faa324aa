//! Names of tables and columns. The words come from the job; SQL is written as templates with `{names}` to fill in.

use super::TablesSettings;
use stream::{Fault, KindIndex, Span};

/// Longest name that Postgres keeps whole.
const NAME_BYTES_MAX: usize = 63;

/// One step of the schema. Applied under a lock, in order, each once; the version is kept in `topk_job`.
pub(crate) struct Migration {
    /// Its number, from 1.
    pub(crate) version: i32,
    /// Run once.
    pub(crate) once: &'static str,
    /// Run for each kind of windows with a start.
    pub(crate) each_kind: &'static str,
    /// Run for all time, if configured.
    pub(crate) all_time: &'static str,
}

impl Migration {
    /// The migrations still to apply, in order, and the version they lead to.
    ///
    /// # Errors
    /// The tables were made by a newer program.
    pub(crate) fn missing<'a>(
        all: &'a [Migration],
        applied: i32,
        place: &str,
    ) -> Result<(&'a [Migration], i32), Fault> {
        let newest = all.last().map_or(0, |migration| migration.version);
        if applied > newest {
            return Err(Fault::usage(
                format!("cannot use the tables in {place}"),
                format!("they have schema version {applied}, and this program knows up to {newest}"),
                "use the program that made them, or a newer one",
            ));
        }
        Ok((&all[all.iter().take_while(|migration| migration.version <= applied).count()..], newest))
    }
}

/// The names of one job's tables.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    settings: TablesSettings,
    /// Schema and dot, quoted; empty in SQLite.
    within: String,
}

impl Layout {
    /// Names within a schema, or within a file.
    ///
    /// # Errors
    /// Names that SQL or we ourselves could not keep apart.
    pub(crate) fn new(settings: &TablesSettings, schema: Option<&str>) -> Result<Self, Fault> {
        let words = &settings.words;
        let names = [
            ("sink.postgres.table_prefix", &settings.table_prefix),
            ("sink.postgres.key_column", &settings.key_column),
            ("the event's name", &words.event),
            ("the events' name", &words.events),
            ("the key's name", &words.key),
            ("the keys' name", &words.keys),
        ];
        for (what, name) in names {
            check_name(what, name)?;
        }
        let columns = ["period", "region", "start_time", "end_time", "rank", "window_start"];
        if columns.contains(&settings.key_column.as_str())
            || settings.key_column == words.events
            || settings.key_column == format!("{}_count", words.event)
        {
            return Err(Fault::usage(
                format!("sink.postgres.key_column \"{}\" is refused", settings.key_column),
                "the tables have another column of that name",
                "choose another name",
            ));
        }
        let layout = Layout {
            settings: settings.clone(),
            within: schema.map(|schema| format!("{}.", quoted(schema))).unwrap_or_default(),
        };
        for kind in 0..settings.windows.len() as KindIndex {
            // A partition's name has the most.
            let longest = format!("{}_unpartitioned", layout.counts_name(kind));
            if longest.len() > NAME_BYTES_MAX {
                return Err(Fault::usage(
                    format!("sink.postgres.table_prefix \"{}\" is too long", settings.table_prefix),
                    format!("the name {longest} would have more than {NAME_BYTES_MAX} bytes"),
                    "choose a shorter one",
                ));
            }
        }
        Ok(layout)
    }

    /// Bare name of a kind's count table.
    pub(crate) fn counts_name(&self, kind: KindIndex) -> String {
        format!("{}_{}", self.settings.table_prefix, self.settings.windows.kind(kind).name)
    }

    fn name(&self, token: &str, kind: Option<KindIndex>) -> String {
        let words = &self.settings.words;
        let of_kind = || kind.expect("this name differs by kind");
        let table = |name: &str| self.table(name);
        match token {
            "schema" => self.within.trim_end_matches('.').to_owned(),
            "progress" => table("topk_progress"),
            "ledger" => table("topk_ledger"),
            "job" => table("topk_job"),
            "status" => table("window_status"),
            "top_k" => table(&format!("top_k_{}", words.keys)),
            "counts" => table(&self.counts_name(of_kind())),
            "counts_index" => quoted(&format!("{}_top", self.counts_name(of_kind()))),
            "counts_key" => quoted(&format!("{}_pkey", self.counts_name(of_kind()))),
            "counts_before_key" => quoted(&format!("{}_before_pkey", self.counts_name(of_kind()))),
            "counts_before_index" => quoted(&format!("{}_before_top", self.counts_name(of_kind()))),
            "counts_before" => quoted(&format!("{}_unpartitioned", self.counts_name(of_kind()))),
            "kind" => self.settings.windows.kind(of_kind()).name.clone(),
            "key" => quoted(&self.settings.key_column),
            "events" => quoted(&words.events),
            "keys" => quoted(&words.keys),
            "event_count" => quoted(&format!("{}_count", words.event)),
            "an_event" => words.event.clone(),
            "some_events" => words.events.clone(),
            "a_key" => words.key.clone(),
            "some_keys" => words.keys.clone(),
            _ => unreachable!("no name {{{token}}} in SQL templates"),
        }
    }

    /// A table of this schema or file by its bare name.
    pub(crate) fn table(&self, name: &str) -> String {
        format!("{}{}", self.within, quoted(name))
    }

    /// Fill in the names of a template; those that differ by kind need one.
    pub(crate) fn sql(&self, template: &str, kind: Option<KindIndex>) -> String {
        let mut sql = String::with_capacity(template.len() * 2);
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let (token, after) = after.split_once('}').expect("a template closes its braces");
            sql.push_str(before);
            sql.push_str(&self.name(token, kind));
            rest = after;
        }
        sql.push_str(rest);
        sql
    }

    /// Everything a migration runs.
    pub(crate) fn migration(&self, migration: &Migration) -> String {
        let mut sql = self.sql(migration.once, None);
        for (kind, of) in self.settings.windows.kinds().iter().enumerate() {
            let template = if of.span == Span::AllTime { migration.all_time } else { migration.each_kind };
            sql.push_str(&self.sql(template, Some(kind as KindIndex)));
        }
        sql
    }
}

/// A name of lower-case letters, digits and underscores reads the same with and without quotes, and in comments.
fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if plain && begins && name.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::usage(
        format!("{what} \"{name}\" cannot name a table or column"),
        "it is not made of lower-case letters, digits and underscores, beginning with a letter",
        "choose another name, such as \"song_plays\"",
    ))
}

/// An SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::conformance::settings;

    #[test]
    fn names_are_filled_in() {
        let layout = Layout::new(&settings(), Some("a\"b")).unwrap();
        let sql = layout.sql("SELECT {key}, {events} FROM {counts}, {top_k};", Some(0));
        assert_eq!(sql, r#"SELECT "song_id", "plays" FROM "a""b"."song_plays_minute", "a""b"."top_k_songs";"#);
    }

    #[test]
    fn names_that_clash_are_refused() {
        let refused = |change: &dyn Fn(&mut TablesSettings)| {
            let mut settings = settings();
            change(&mut settings);
            Layout::new(&settings, None).unwrap_err().what
        };
        assert!(refused(&|settings| settings.key_column = "rank".into()).contains("rank"));
        assert!(refused(&|settings| settings.key_column = "plays".into()).contains("plays"));
        assert!(refused(&|settings| settings.table_prefix = "Song plays".into()).contains("Song plays"));
        assert!(refused(&|settings| settings.table_prefix = "p".repeat(60)).contains("too long"));
    }
}
