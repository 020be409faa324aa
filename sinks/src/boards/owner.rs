//! Whose boards these are: the small JSON text beside them. Decisions only.

use serde::{Deserialize, Serialize};
use stream::{Bug, Fault, Generation, Sequence, seeded};

/// The owner of a prefix, and how far it has published.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Owner {
    pub(super) job: String,
    pub(super) generation: Generation,
    /// Epoch of the last publish that was complete.
    pub(super) epoch: Option<Sequence>,
}

impl Owner {
    pub(super) fn encode(&self) -> String {
        serde_json::to_string(self).expect("an owner is texts and numbers")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(bytes).map_err(|error| {
            Fault::failed(
                "cannot read who owns these boards",
                error,
                "look who else writes the key that ends in \":owner\", then delete it",
            )
        })
    }

    /// Whether incarnation `generation` of `job` may take over from this one.
    pub(super) fn yields_to(&self, job: &str, generation: Generation, place: &str) -> Result<(), Fault> {
        if self.job != job {
            return Err(Fault::usage(
                format!("job \"{job}\" cannot use the boards in {place}"),
                format!("they belong to job \"{}\"", self.job),
                "give each job a prefix of its own (sink.redis.prefix)",
            ));
        }
        if self.generation > generation && !seeded(Bug::UnguardedPublish) {
            return Err(newer(place, self.generation, generation));
        }
        Ok(())
    }
}

/// A newer incarnation has taken over.
pub(super) fn newer(place: &str, stored: Generation, ours: Generation) -> Fault {
    Fault::fenced(
        format!("may no longer write the boards in {place}"),
        format!("generation {stored} has taken over from this one, generation {ours}"),
    )
}
