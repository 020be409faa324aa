//! A store in memory that takes journal records up to a number, and lets the next one wait.

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, future::BoxFuture};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// See the module. Reading and everything but `commit/` passes always.
#[derive(Clone)]
pub(super) struct Gate {
    inner: Arc<InMemory>,
    up_to: Arc<watch::Sender<u64>>,
}

impl Gate {
    pub(super) fn open() -> Self {
        Gate { inner: Arc::default(), up_to: Arc::new(watch::Sender::new(u64::MAX)) }
    }

    pub(super) fn take_up_to(&self, record: u64) {
        self.up_to.send_replace(record);
    }

    /// Numbers of the records that are there, in order.
    pub(super) fn records(&self) -> Vec<u64> {
        let list =
            futures_util::TryStreamExt::try_collect::<Vec<ObjectMeta>>(self.inner.list(Some(&Path::from("commit"))));
        let objects = list.now_or_never().expect("memory answers at once").unwrap();
        let mut records: Vec<u64> =
            objects.iter().map(|object| object.location.filename().unwrap().parse().unwrap()).collect();
        records.sort_unstable();
        records
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gate")
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("gate")
    }
}

// Spelt out as async_trait spells it, which saves a dependency.
impl ObjectStore for Gate {
    fn put_opts<'a, 'b, 'c>(
        &'a self,
        location: &'b Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> BoxFuture<'c, Result<PutResult>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        async move {
            if let Some(record) = location.as_ref().strip_prefix("commit/") {
                let record: u64 = record.parse().expect("records have numbers");
                let mut up_to = self.up_to.subscribe();
                up_to.wait_for(|up_to| record <= *up_to).await.expect("the gate outlives its store");
            }
            self.inner.put_opts(location, payload, opts).await
        }
        .boxed()
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
        self.inner.get_opts(location, options)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
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
