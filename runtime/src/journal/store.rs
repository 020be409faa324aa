//! The object store behind a plain, blocking face: every attempt has a deadline, reads are retried here, writes are
//! attempted once and judged by [`super::chain`].

use super::Patience;
use super::attempts::{Attempts, Waiting};
use bytes::Bytes;
#[cfg(test)]
use futures_util::FutureExt;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use stream::{FailPoint, Fault};
use tokio::runtime::{Builder, Runtime};
use tokio::time::error::Elapsed;

/// As many names as one request may have, where a store deletes several in one.
const DELETED_AT_ONCE: usize = 1000;

/// Objects by name. Called from plain threads only: it blocks.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    pub(super) waiting: Waiting,
    /// How many threads read and fold at once.
    pub(super) threads: usize,
    // An option so that Drop can take it: a runtime must not be dropped inside another's task. The simulation has none.
    runtime: Option<Runtime>,
}

impl Drop for Objects {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An object in a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Listed {
    pub(super) name: String,
    pub(super) size: u64,
}

/// How one attempt to create an object ended.
pub(super) enum Attempt {
    Created,
    /// It exists already; by whom is for the caller to find out.
    Exists,
    /// It may have been created or not.
    Unknown(Fault),
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, patience: Patience) -> Result<Self, Fault> {
        #[cfg(test)]
        if crate::simulation::is_here() {
            return Ok(Objects { store, waiting: Waiting::new(patience), threads: 1, runtime: None });
        }
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("journal-store").enable_all().build().map_err(
                |error| Fault::failed("cannot start the journal's I/O thread", error, "look at process limits"),
            )?;
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Objects { store, waiting: Waiting::new(patience), threads, runtime: Some(runtime) })
    }

    pub(super) fn create_once(&self, name: &str, bytes: &Bytes) -> Attempt {
        let path = Path::from(name);
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.wait("write", name, self.store.put_opts(&path, bytes.clone().into(), options)) {
            Ok(_) => Attempt::Created,
            Err(Trouble::Exists) => Attempt::Exists,
            Err(Trouble::Missing) => Attempt::Unknown(absent(name)),
            Err(Trouble::Other(fault)) => Attempt::Unknown(fault),
        }
    }

    /// The bytes, or none if there is no such object.
    pub(super) fn read(&self, name: &str) -> Result<Option<Bytes>, Fault> {
        let path = Path::from(name);
        self.patiently("read", name, || {
            let whole = async { self.store.get(&path).await?.bytes().await };
            absent_is_none(self.wait("read", name, whole), name)
        })
    }

    pub(super) fn exists(&self, name: &str) -> Result<bool, Fault> {
        let path = Path::from(name);
        self.patiently("look for", name, || {
            absent_is_none(self.wait("look for", name, self.store.head(&path)), name).map(|meta| meta.is_some())
        })
    }

    /// Every object below a folder, sorted by name.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<Listed>, Fault> {
        let path = Path::from(folder);
        let found = self.patiently("list", folder, || {
            let listing = async { self.store.list(Some(&path)).try_collect::<Vec<_>>().await };
            absent_is_none(self.wait("list", folder, listing), folder)
        })?;
        let mut objects: Vec<Listed> = found
            .unwrap_or_default()
            .into_iter()
            .map(|meta| Listed { name: meta.location.to_string(), size: meta.size })
            .collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Deleting what is not there is a success. In as few requests as the store allows; after a failure all of them
    /// once more.
    pub(super) fn delete(&self, names: &[String]) -> Result<(), Fault> {
        names.chunks(DELETED_AT_ONCE).try_for_each(|names| {
            let what = format!("{} and {} more", names[0], names.len() - 1);
            self.patiently("delete", &what, || {
                // The stream outlives the borrow.
                let names: Vec<String> = names.into();
                let paths = names.into_iter().map(|name| {
                    let wrong = |fault| Error::Generic { store: "journal", source: Box::new(fault) };
                    FailPoint::DeleteNext.reach().map_err(wrong).map(|()| Path::from(name))
                });
                let deleting = async {
                    let mut deleted = self.store.delete_stream(futures_util::stream::iter(paths).boxed());
                    while let Some(outcome) = deleted.next().await {
                        match outcome {
                            Ok(_) | Err(Error::NotFound { .. }) => {}
                            Err(error) => return Err(error),
                        }
                    }
                    Ok(())
                };
                absent_is_none(self.wait("delete", &what, deleting), &what).map(|_| ())
            })
        })
    }

    pub(super) fn sleep(&self, pause: Duration) {
        if !pause.is_zero() {
            self.runtime().block_on(async { tokio::time::sleep(pause).await });
        }
    }

    fn patiently<T>(&self, verb: &'static str, name: &str, attempt: impl Fn() -> Result<T, Fault>) -> Result<T, Fault> {
        let mut attempts = Attempts::of(self, verb, name);
        loop {
            match attempt() {
                Err(fault) if attempts.again(&fault) => {}
                outcome => return outcome,
            }
        }
    }

    fn wait<T>(
        &self,
        verb: &str,
        name: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Trouble> {
        let what = || format!("cannot {verb} journal object {name}");
        let deadline = self.waiting.deadline();
        match self.block_on(deadline, work) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Error::AlreadyExists { .. } | Error::Precondition { .. })) => Err(Trouble::Exists),
            Ok(Err(error)) if names_no_bucket(&error) => Err(Trouble::Other(Fault::failed(
                what(),
                "the bucket of job.state does not exist",
                "create the bucket, or correct job.state or the endpoint, region and account in the environment",
            ))),
            Ok(Err(Error::NotFound { .. })) => Err(Trouble::Missing),
            Ok(Err(error)) => {
                let hint = "check that the directory or bucket of job.state is there, writable and not full; for a bucket, the network, and endpoint and credentials in the environment";
                let why = with_cause(&error);
                Err(Trouble::Other(match error {
                    Error::PermissionDenied { .. }
                    | Error::Unauthenticated { .. }
                    | Error::NotImplemented { .. }
                    | Error::NotSupported { .. }
                    | Error::InvalidPath { .. }
                    | Error::UnknownConfigurationKey { .. } => Fault::failed(what(), why, hint),
                    _ => Fault::transient(what(), why, hint),
                }))
            }
            Err(_) => Err(Trouble::Other(Fault::transient(
                what(),
                format!("no answer within {deadline:?}"),
                "check the disk or the bucket that holds the state",
            ))),
        }
    }

    fn block_on<T>(&self, deadline: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        #[cfg(test)]
        if self.runtime.is_none() {
            return Ok(work.now_or_never().expect("the simulated store answers at once"));
        }
        self.runtime().block_on(async { tokio::time::timeout(deadline, work).await })
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("the runtime is there until it is dropped")
    }
}

/// Of a bucket that is not there, services say the same status as of an object that is not there.
fn names_no_bucket(error: &Error) -> bool {
    let (Error::NotFound { source, .. } | Error::Generic { source, .. }) = error else { return false };
    let said = source.to_string();
    ["NoSuchBucket", "ContainerNotFound"].iter().any(|code| said.contains(code))
}

/// What the store says, and what is at the bottom of it: a client that cannot connect leaves that to its source.
fn with_cause(error: &Error) -> String {
    let said = error.to_string();
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = cause.to_string();
    if said.contains(&cause) { said } else { format!("{said}: {cause}") }
}

enum Trouble {
    Exists,
    Missing,
    Other(Fault),
}

fn absent(name: &str) -> Fault {
    Fault::transient(
        format!("cannot use journal object {name}"),
        "the store says that it is not there",
        "check the directory or bucket that holds the state",
    )
}

fn absent_is_none<T>(outcome: Result<T, Trouble>, name: &str) -> Result<Option<T>, Fault> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(Trouble::Missing) => Ok(None),
        Err(Trouble::Exists) => Err(absent(name)),
        Err(Trouble::Other(fault)) => Err(fault),
    }
}
