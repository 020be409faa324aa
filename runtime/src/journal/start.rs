//! Opening a journal and taking it over: fence first, close the slots, and only then read.

use super::chain::{self, Put, Record};
use super::format::{self, Kind, Sealed};
use super::record::{FIRST, Genesis, Link, Remembered};
use super::recover::{self, Gathered, Origin};
use super::slots::Fence;
use super::store::Objects;
use super::writer::Writer;
use super::{Ack, JournalSettings, LoadFrom, Recovered, slots};
use object_store::ObjectStore;
use std::cell::OnceCell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use stream::{
    Bug, Clock, EventTime, FailPoint, Fault, Generation, RecordHash, Sequence, SourceIdentity, WallTime, seeded,
};

/// A job's journal. Every method blocks and must be called from a plain thread, not from an async task.
pub struct Journal {
    pub(super) objects: Arc<Objects>,
    pub(super) settings: Arc<JournalSettings>,
    pub(super) clock: Arc<dyn Clock>,
}

/// What is there, seen without touching it.
#[derive(Clone, PartialEq, Debug)]
pub struct Glance {
    /// The first record.
    pub genesis: Genesis,
    /// The last incarnation.
    pub generation: Generation,
    /// The last record.
    pub sequence: Sequence,
    /// Its hash.
    pub hash: RecordHash,
    /// When it was written.
    pub written_at: WallTime,
}

/// Whether a record that somebody remembers belongs to our chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It does.
    InChain,
    /// It does not: the journal lost commits, or it was remembered in another life.
    NotInChain,
    /// It has been compacted away, so nobody can tell.
    Gone,
}

/// A journal that is ours, not yet loaded. Followers are asked for their progress now.
pub struct Started {
    /// Our generation.
    pub generation: Generation,
    /// Whether this start wrote the genesis record.
    pub created: bool,
    origin: Origin,
    gathered: OnceCell<Gathered>,
    objects: Arc<Objects>,
    settings: Arc<JournalSettings>,
    clock: Arc<dyn Clock>,
    nonce: u64,
    tail: Record,
}

impl Journal {
    /// Nothing is read or written yet.
    ///
    /// # Errors
    /// The I/O thread cannot be started.
    pub fn open(store: Arc<dyn ObjectStore>, settings: JournalSettings, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        assert_eq!(settings.retention.len(), settings.windows.len(), "a retention for every window kind");
        let mut objects = Objects::new(store, settings.patience)?;
        objects.threads = objects.threads.min(settings.threads);
        let objects = Arc::new(objects);
        Ok(Journal { objects, settings: Arc::new(settings), clock })
    }

    /// What is there; none if the journal is empty.
    ///
    /// # Errors
    /// The store fails, what it holds cannot be read, or its last commits are gone (exit 3).
    pub fn look(&self) -> Result<Option<Glance>, Fault> {
        let Some(tail) = slots::tail(&self.objects)? else { return Ok(None) };
        Ok(Some(Glance {
            genesis: Origin::read(&self.objects)?.body,
            generation: tail.link.generation,
            sequence: tail.link.sequence,
            hash: tail.opened.hash,
            written_at: WallTime(tail.link.written_at),
        }))
    }

    /// State as of the last record, read without taking over. While somebody compacts, what is being read may be
    /// deleted; then it is read again from the newer base.
    ///
    /// # Errors
    /// As [`Journal::look`].
    pub fn read(&self, from: &LoadFrom) -> Result<Option<(Genesis, Recovered)>, Fault> {
        let Some(mut tail) = slots::tail(&self.objects)? else { return Ok(None) };
        let origin = Origin::read(&self.objects)?;
        loop {
            let loaded = recover::gather(&self.objects, &origin, tail.base(), tail.link.sequence)
                .and_then(|gathered| recover::load(&self.objects, &self.settings, gathered, &tail, from));
            let fault = match loaded {
                Ok(loaded) => return Ok(Some((origin.body, loaded.recovered))),
                Err(fault) => fault,
            };
            match chain::tail(&self.objects)? {
                Some(newer) if newer.base() > tail.base() => tail = newer,
                _ => return Err(fault),
            }
        }
    }

    /// Take over: from here on every older instance fails at its next commit. An empty journal gets the genesis record
    /// that `genesis` gives, with a generation above `above` (what tables and boards show).
    ///
    /// # Errors
    /// A still newer instance has taken over meanwhile (exit 4); a journal of another job (exit 2); one that lost its last
    /// commits (exit 3); the store.
    pub fn start(&self, above: Generation, genesis: impl FnOnce() -> Result<Genesis, Fault>) -> Result<Started, Fault> {
        let nonce = nonce();
        let mut genesis = Some(genesis);
        let mut resolved: Option<Genesis> = None;
        loop {
            let tail = slots::tail(&self.objects)?;
            let created = tail.is_none();
            let (link, sealed) = match &tail {
                Some(tail) => {
                    self.check_job(&Origin::read(&self.objects)?.body)?;
                    self.fence(tail, nonce)?
                }
                None => {
                    if let Some(genesis) = genesis.take() {
                        resolved = Some(genesis()?);
                    }
                    let genesis = resolved.as_ref().expect("asked for above");
                    self.check_job(genesis)?;
                    self.genesis(genesis, above, nonce)?
                }
            };
            let (sequence, generation) = (link.sequence, link.generation);
            if created { FailPoint::GenesisBeforeCreate } else { FailPoint::FenceBeforeCreate }.reach()?;
            match chain::create(&self.objects, &chain::name_of(sequence), &sealed.bytes)? {
                Put::Foreign(bytes) if seeded(Bug::FenceNotRetried) => {
                    return Err(chain::foreign(Generation(0), sequence, &bytes));
                }
                Put::Foreign(_) => {
                    tracing::info!(sequence = sequence.0, "another instance is starting too; trying the next number");
                    continue;
                }
                Put::Ours => {
                    if created { FailPoint::GenesisCreated } else { FailPoint::FenceCreated }.reach()?;
                    if !chain::holds(&self.objects, sequence, sealed.hash)? {
                        slots::check_free(&self.objects, generation)?;
                        tracing::info!(
                            sequence = sequence.0,
                            "the journal went on while this start slept; beginning again"
                        );
                        continue;
                    }
                    slots::close(&self.objects, generation, sequence, sealed.hash)?;
                    FailPoint::FenceSlotsClosed.reach()?;
                }
            }
            tracing::info!(generation = generation.0, sequence = sequence.0, created, "the journal is ours");
            return Ok(Started {
                generation,
                created,
                origin: Origin::read(&self.objects)?,
                gathered: OnceCell::new(),
                objects: self.objects.clone(),
                settings: self.settings.clone(),
                clock: self.clock.clone(),
                nonce,
                tail: Record::open(sequence, &sealed.bytes)?,
            });
        }
    }

    fn fence(&self, tail: &Record, nonce: u64) -> Result<(Link, Sealed), Fault> {
        let link = Link {
            sequence: Sequence(tail.link.sequence.0 + 1),
            generation: Generation(tail.link.generation.0 + 1),
            previous: tail.opened.hash,
            base: tail.base(),
            written_at: self.clock.now().0,
            nonce,
        };
        let sealed = format::seal(Kind::Fence, &link, &[])?;
        Ok((link, sealed))
    }

    fn genesis(&self, genesis: &Genesis, above: Generation, nonce: u64) -> Result<(Link, Sealed), Fault> {
        let link = Link {
            sequence: FIRST,
            generation: Generation(above.0 + 1),
            previous: RecordHash::default(),
            base: Sequence(0),
            written_at: self.clock.now().0,
            nonce,
        };
        let body = serde_json::to_vec(genesis)
            .map_err(|error| Fault::failed("cannot write the genesis record", error, "report this as a bug"))?;
        let sealed = format::seal(Kind::Genesis, &link, &[body])?;
        Ok((link, sealed))
    }

    fn check_job(&self, genesis: &Genesis) -> Result<(), Fault> {
        if genesis.job == self.settings.job {
            return Ok(());
        }
        Err(Fault::usage(
            "cannot use this state",
            format!("it is the journal of job \"{}\", and this is job \"{}\"", genesis.job, self.settings.job),
            "give each job a state of its own (job.state), or the same name (job.name) to go on",
        ))
    }
}

impl Started {
    /// The first record.
    pub fn genesis(&self) -> &Genesis {
        &self.origin.body
    }

    /// The last record: our fence or genesis.
    pub fn sequence(&self) -> Sequence {
        self.tail.link.sequence
    }

    /// Its hash.
    pub fn hash(&self) -> RecordHash {
        self.tail.opened.hash
    }

    /// Tells whether a newer instance has taken over.
    pub fn fence(&self) -> Fence {
        Fence::new(self.objects.clone(), self.generation)
    }

    /// Whether a follower's progress belongs to our chain.
    ///
    /// # Errors
    /// The store fails, or the record cannot be read.
    pub fn standing(&self, sequence: Sequence, hash: RecordHash) -> Result<Standing, Fault> {
        if sequence > self.sequence() || sequence < FIRST {
            return Ok(Standing::NotInChain);
        }
        Ok(match chain::read(&self.objects, sequence)? {
            Some(record) if record.opened.hash == hash => Standing::InChain,
            Some(_) => Standing::NotInChain,
            None => Standing::Gone,
        })
    }

    /// The first incarnation of this chain: progress of an earlier one is of another life.
    ///
    /// # Errors
    /// None; what it tells has been read.
    pub fn first_generation(&self) -> Result<Generation, Fault> {
        Ok(self.origin.generation)
    }

    /// The source that the job reads: the one that genesis names, unless another was accepted since.
    ///
    /// # Errors
    /// The store fails, or what it holds cannot be read.
    pub fn source(&self) -> Result<SourceIdentity, Fault> {
        Ok(self.gathered()?.summary.source.clone().unwrap_or_else(|| self.origin.body.source.clone()))
    }

    /// What this journal could be built on again if it were lost, as JSON: genesis, and what was accepted since.
    ///
    /// # Errors
    /// The store fails, or what it holds cannot be read.
    pub fn remembered(&self) -> Result<String, Fault> {
        let summary = &self.gathered()?.summary;
        let remembered = Remembered {
            genesis: self.origin.body.clone(),
            began_at: self.origin.began_at,
            losses: summary.losses.clone(),
            rebuilt: summary.rebuilt.clone(),
            source: summary.source.clone(),
        };
        remembered.text()
    }

    /// Of a follower that has acted on `reached`: the record up to which the journal has lost some of what it lacks, and
    /// the watermark under which windows were final then; none if it has all.
    ///
    /// # Errors
    /// The store fails, or what it holds cannot be read.
    pub fn gap(&self, reached: Sequence) -> Result<Option<(Sequence, Option<EventTime>)>, Fault> {
        let base = self.gathered()?.base.as_ref().filter(|base| reached.max(FIRST) < base.dropped_at);
        Ok(base.map(|base| (base.dropped_at, base.dropped)))
    }

    /// Under this watermark windows were final that the journal no longer has.
    ///
    /// # Errors
    /// The store fails, or what it holds cannot be read.
    pub fn dropped(&self) -> Result<Option<EventTime>, Fault> {
        Ok(self.gathered()?.dropped())
    }

    /// What a follower had acknowledged when that was last written down. Its own account is later or the same.
    ///
    /// # Errors
    /// The store fails, or what it holds cannot be read.
    pub fn ack(&self, follower: &str) -> Result<Option<Ack>, Fault> {
        Ok(self.gathered()?.summary.acks.get(follower).copied())
    }

    /// Read state, knowing what followers lack, and begin to write.
    ///
    /// # Errors
    /// The store fails, or what it holds cannot be read.
    pub fn load(mut self, from: &LoadFrom) -> Result<(Recovered, Writer), Fault> {
        FailPoint::FenceBeforeLoad.reach()?;
        self.gathered()?;
        let gathered = self.gathered.take().expect("gathered above");
        let loaded = recover::load(&self.objects, &self.settings, gathered, &self.tail, from);
        let loaded = loaded.map_err(|fault| slots::overtaken_or(&self.objects, self.generation, fault))?;
        let delivered = self.origin.body.delivered.clone();
        let writer =
            Writer::new(self.objects, self.settings, self.clock, self.origin, self.nonce, &self.tail, &loaded)?;
        writer.objects.waiting.runs();
        // Followers are claimed by now. One of them may be a newer instance's, whose claim ours has undone, as Kafka lets
        // anybody: nothing is written there before it is known that there is none. A newer one claims later, and undoes ours.
        slots::check_next(&writer.objects, self.generation)?;
        FailPoint::StartLoaded.reach()?;
        Ok((Recovered { delivered, ..loaded.recovered }, writer))
    }

    /// Read once, after the fence.
    fn gathered(&self) -> Result<&Gathered, Fault> {
        if self.gathered.get().is_none() {
            let gathered = recover::gather(&self.objects, &self.origin, self.tail.base(), self.sequence())
                .map_err(|fault| slots::overtaken_or(&self.objects, self.generation, fault))?;
            // Nobody else sets it: this is not shared between threads.
            let _ = self.gathered.set(gathered);
        }
        Ok(self.gathered.get().expect("set above"))
    }
}

/// Different every time, so that no two writers offer the same bytes by chance.
pub(super) fn nonce() -> u64 {
    #[cfg(test)]
    if let Some(seeded) = crate::simulation::nonce() {
        return seeded;
    }
    RandomState::new().hash_one(std::process::id())
}
