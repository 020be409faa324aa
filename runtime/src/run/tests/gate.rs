//! A store in memory that takes journal records up to a number, and lets the next one wait.

use crate::storage::Storage;
use crate::testing::faulty::{Fate, Operation, faulty};
use futures_util::{FutureExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use std::sync::{Arc, Condvar, Mutex};

/// See the module. Reading and everything but `commit/` passes always.
#[derive(Clone)]
pub(super) struct Gate {
    inner: Arc<InMemory>,
    up_to: Arc<(Mutex<u64>, Condvar)>,
}

impl Gate {
    pub(super) fn open() -> Self {
        Self::over(InMemory::new())
    }

    fn over(inner: InMemory) -> Self {
        Gate { inner: Arc::new(inner), up_to: Arc::new((Mutex::new(u64::MAX), Condvar::new())) }
    }

    /// The objects as they are now, in a store of their own: what is on disk after a `kill -9`.
    pub(super) fn as_it_stands(&self) -> Self {
        Self::over(self.inner.fork())
    }

    pub(super) fn store(&self) -> Storage {
        let inner: Storage = self.inner.clone();
        let up_to = self.up_to.clone();
        faulty(&inner, move |operation, name| {
            if let (Operation::Put, Some(record)) = (operation, name.strip_prefix("commit/")) {
                let record: u64 = record.parse().expect("records have numbers");
                let (reached, changed) = &*up_to;
                drop(changed.wait_while(reached.lock().unwrap(), |reached| record > *reached).unwrap());
            }
            Fate::Pass
        })
    }

    pub(super) fn take_up_to(&self, record: u64) {
        let (reached, changed) = &*self.up_to;
        *reached.lock().unwrap() = record;
        changed.notify_all();
    }

    /// Bytes of everything that is there.
    pub(super) fn bytes(&self) -> u64 {
        let list = self.inner.list(None).try_collect::<Vec<ObjectMeta>>();
        list.now_or_never().expect("memory answers at once").unwrap().iter().map(|object| object.size).sum()
    }

    /// Numbers of the records that are there, in order.
    pub(super) fn records(&self) -> Vec<u64> {
        let list = self.inner.list(Some(&Path::from("commit"))).try_collect::<Vec<ObjectMeta>>();
        let objects = list.now_or_never().expect("memory answers at once").unwrap();
        let mut records: Vec<u64> =
            objects.iter().map(|object| object.location.filename().unwrap().parse().unwrap()).collect();
        records.sort_unstable();
        records
    }
}
