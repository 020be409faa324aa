//! The journal's store: in memory, create-only, with every outcome that a bucket or a disk can give. Each operation is a
//! point where others may run, before it and after it.

use super::fibers::point;
use super::oracle::Snapshot;
use super::swarm::Operation;
use super::world::World;
use crate::journal::{Says, peek};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;

/// The store as one instance sees it.
#[derive(Clone)]
pub(super) struct SimulatedStore {
    pub(super) world: Arc<World>,
    pub(super) instance: usize,
}

/// An operation that is still under way although nobody waits for it.
pub(super) enum Late {
    Put(usize, Path, Bytes),
    Delete(Path),
}

fn lost<T>() -> Result<T> {
    Err(Error::Generic { store: "simulated", source: "as the seed has it".into() })
}

/// It reaches the store now.
pub(super) fn land(world: &Arc<World>, late: Late) {
    match late {
        Late::Put(instance, path, bytes) => {
            world.meet("a put arrives late");
            let _ = put(world, instance, &path, bytes);
        }
        Late::Delete(path) => {
            let _ = world.objects.delete(&path).now_or_never();
        }
    }
}

fn put(world: &Arc<World>, instance: usize, path: &Path, bytes: Bytes) -> Result<PutResult> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    let outcome = world.objects.put_opts(path, bytes.clone().into(), options).now_or_never().expect("memory answers");
    world.note(|| format!("{instance}: put {path}: {}", if outcome.is_ok() { "created" } else { "exists" }));
    if outcome.is_ok() && !world.damaged.load(std::sync::atomic::Ordering::Relaxed) {
        created(world, instance, path.as_ref(), &bytes);
    }
    outcome
}

fn created(world: &World, instance: usize, name: &str, bytes: &Bytes) {
    let Some(record) = peek(name, bytes) else { return };
    let (generation, starts) = (record.generation, matches!(record.says, Says::Fence | Says::Genesis(_)));
    match &record.says {
        Says::Base { .. } => world.meet("compaction"),
        Says::Epoch(epoch) if epoch.granted.iter().any(|grant| grant.floor.is_some()) => world.meet("grant"),
        _ => {}
    }
    let acted = |name: &str, sequence: u64, snapshot: &Snapshot| match name {
        "tables" => world.tables.lock().expect("never poisoned").acted >= sequence,
        "letters" => snapshot.dead.is_subset(&world.letters.lock().expect("never poisoned").delivered),
        // Boards that lack nothing acknowledge what they were never given.
        _ => true,
    };
    let seen = {
        let log = world.log.lock().expect("never poisoned");
        world.oracle.lock().expect("never poisoned").see(record, &log, &acted)
    };
    match seen {
        Err(why) => world.violated(why),
        Ok(is_next) => {
            let mut instances = world.instances();
            let one = &mut instances[instance];
            if starts && is_next {
                one.generation = Some(generation);
            }
            one.is_astray |= !is_next;
            drop(instances);
            if !is_next {
                world.meet("a deleted number is taken again");
            }
        }
    }
}

impl SimulatedStore {
    fn begin(&self, operation: Operation) {
        self.world.instances()[self.instance].in_store = true;
        self.world.ambush(self.instance, operation);
        point();
    }

    fn end(&self, operation: Operation) {
        self.world.ambush(self.instance, operation);
        point();
        self.world.instances()[self.instance].in_store = false;
    }

    fn fails(&self) -> bool {
        self.world.store_fails(self.instance)
    }

    fn create(&self, path: &Path, payload: PutPayload) -> Result<PutResult> {
        let operation = Operation::put(path.as_ref());
        self.begin(operation);
        let world = &self.world;
        let bytes: Bytes = payload.into();
        let outcome = match self.fails().then(|| world.fibers.below(4)) {
            None => put(world, self.instance, path, bytes),
            Some(0) => lost(),
            Some(1) => {
                world.meet("an answer is lost");
                let _ = put(world, self.instance, path, bytes);
                lost()
            }
            Some(2) => {
                let late = Late::Put(self.instance, path.clone(), bytes);
                world.in_flight.lock().expect("never poisoned").push(late);
                lost()
            }
            // 409 while another put of the name is under way: nothing need be there.
            Some(_) => Err(Error::AlreadyExists { path: path.to_string(), source: "conflict".into() }),
        };
        self.end(operation);
        outcome
    }

    fn erase(&self, path: Path) -> Result<Path> {
        self.begin(Operation::Delete);
        let world = &self.world;
        world.note(|| format!("{}: delete {path}", self.instance));
        let outcome = match self.fails().then(|| world.fibers.below(3)) {
            Some(0) => lost(),
            Some(1) => {
                world.in_flight.lock().expect("never poisoned").push(Late::Delete(path));
                lost()
            }
            fate => {
                world.meet("deletion");
                let _ = world.objects.delete(&path).now_or_never();
                if fate.is_some() { lost() } else { Ok(path) }
            }
        };
        self.end(Operation::Delete);
        outcome
    }
}

impl fmt::Debug for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedStore")
    }
}

impl fmt::Display for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

// Spelt out as async_trait spells it, which saves a dependency.
impl ObjectStore for SimulatedStore {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        _: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        async move { self.create(location, payload) }.boxed()
    }

    fn put_multipart_opts<'a, 'b, 'c>(
        &'a self,
        _: &'b Path,
        _: PutMultipartOptions,
    ) -> BoxFuture<'c, Result<Box<dyn MultipartUpload>>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        unreachable!("the journal puts whole objects")
    }

    fn get_opts<'a, 'b, 'c>(&'a self, location: &'b Path, options: GetOptions) -> BoxFuture<'c, Result<GetResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        async move {
            self.begin(Operation::Read);
            let outcome = if self.fails() { lost() } else { self.world.objects.get_opts(location, options).await };
            self.end(Operation::Read);
            outcome
        }
        .boxed()
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .map(move |path| {
                let path = path?;
                this.erase(path)
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.begin(Operation::List);
        let is_lost = self.fails();
        let found = self.world.objects.list(prefix);
        self.end(Operation::List);
        if is_lost { futures_util::stream::once(async { lost() }).boxed() } else { found }
    }

    fn list_with_delimiter<'a, 'b, 'c>(&'a self, _: Option<&'b Path>) -> BoxFuture<'c, Result<ListResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        unreachable!("the journal lists whole folders")
    }

    fn copy_opts<'a, 'b, 'd, 'c>(&'a self, _: &'b Path, _: &'d Path, _: CopyOptions) -> BoxFuture<'c, Result<()>>
    where
        'a: 'c,
        'b: 'c,
        'd: 'c,
        Self: 'c,
    {
        unreachable!("the journal never copies")
    }
}
