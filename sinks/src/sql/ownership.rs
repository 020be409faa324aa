//! Who owns a set of tables. One job for each schema or file: progress and window status are not kept per job.

use super::TablesSettings;
use stream::{Claim, Fault, Generation};

/// The row of `topk_job`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredOwner {
    pub(crate) job: String,
    pub(crate) table_prefix: String,
    pub(crate) key_column: String,
    pub(crate) generation: Generation,
}

impl StoredOwner {
    /// What a claim writes.
    pub(crate) fn claimed(claim: &Claim, settings: &TablesSettings) -> Self {
        StoredOwner {
            job: claim.job.clone(),
            table_prefix: settings.table_prefix.clone(),
            key_column: settings.key_column.clone(),
            generation: claim.generation,
        }
    }

    /// Whether the next owner may take over from this one.
    pub(crate) fn yields_to(&self, next: &StoredOwner, place: &str) -> Result<(), Fault> {
        if self.job != next.job {
            return Err(Fault::usage(
                format!("job \"{}\" cannot use the tables in {place}", next.job),
                format!("they belong to job \"{}\"", self.job),
                "give each job a schema (or SQLite file) of its own, or start it under the name it had",
            ));
        }
        if (&self.table_prefix, &self.key_column) != (&next.table_prefix, &next.key_column) {
            return Err(Fault::usage(
                format!("the tables in {place} have other names"),
                format!(
                    "they were made with table_prefix \"{}\" and key_column \"{}\"; now these are \"{}\" and \"{}\"",
                    self.table_prefix, self.key_column, next.table_prefix, next.key_column
                ),
                "set the names back, or use an empty schema (or SQLite file) and an empty journal",
            ));
        }
        if self.generation > next.generation {
            return Err(newer(place, self.generation, next.generation));
        }
        Ok(())
    }

    /// Whether this job may write here. A claim has made sure of it; somebody may have changed it since.
    pub(crate) fn writable_by(&self, job: &str, place: &str) -> Result<(), Fault> {
        if self.job == job {
            return Ok(());
        }
        Err(Fault::usage(
            format!("job \"{job}\" cannot use the tables in {place}"),
            format!("they belong to job \"{}\" now", self.job),
            "give each job a schema (or SQLite file) of its own",
        ))
    }

    /// Whether nobody newer than `claimed` has claimed these tables.
    pub(crate) fn held_by(&self, claimed: Option<Generation>, place: &str) -> Result<(), Fault> {
        match claimed {
            Some(ours) if self.generation > ours => Err(newer(place, self.generation, ours)),
            _ => Ok(()),
        }
    }

    /// There were tables at the claim, and there are none any more.
    pub(crate) fn gone(place: &str) -> Fault {
        Fault::failed(
            format!("cannot write the tables in {place}"),
            "they are gone: dropped or emptied while this job ran",
            "start again: they are then rebuilt from the journal",
        )
    }
}

/// A newer incarnation has claimed the tables.
pub(crate) fn newer(place: &str, stored: Generation, ours: Generation) -> Fault {
    Fault::fenced(
        format!("may no longer write the tables in {place}"),
        format!("generation {stored} has taken over from this one, generation {ours}"),
    )
}
