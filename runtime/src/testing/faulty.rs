//! A store that fails or waits as told: before the operation, or after it was done.

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;

/// What is attempted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Put,
    Get,
    List,
    Delete,
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Pass,
    Fail,
    /// It is done, and the answer is lost.
    PassThenFail,
    /// "It exists": 409, or 412, while somebody else's write of that name is under way or said to be.
    Conflict,
    /// It is not allowed: a read-only file system, a bucket without the right.
    Forbid,
    /// No answer ever comes.
    Hang,
    /// It is done, and no answer ever comes.
    PassThenHang,
}

type Plan = dyn Fn(Operation, &str) -> Fate + Send + Sync;

/// Asks a plan before every operation. The plan may block, which freezes the caller.
#[derive(Clone)]
struct Faulty {
    inner: Arc<dyn ObjectStore>,
    plan: Arc<Plan>,
}

pub(crate) fn faulty(
    inner: &Arc<dyn ObjectStore>,
    plan: impl Fn(Operation, &str) -> Fate + Send + Sync + 'static,
) -> Arc<dyn ObjectStore> {
    Arc::new(Faulty { inner: inner.clone(), plan: Arc::new(plan) })
}

fn lost<T>() -> Result<T> {
    Err(object_store::Error::Generic { store: "faulty", source: "as planned".into() })
}

impl Faulty {
    async fn judged<T>(&self, operation: Operation, path: &Path, work: impl Future<Output = Result<T>>) -> Result<T> {
        match (self.plan)(operation, path.as_ref()) {
            Fate::Pass => work.await,
            Fate::Fail => lost(),
            Fate::PassThenFail => {
                let _ = work.await;
                lost()
            }
            Fate::Conflict => {
                Err(object_store::Error::AlreadyExists { path: path.to_string(), source: "as planned".into() })
            }
            Fate::Forbid => {
                Err(object_store::Error::PermissionDenied { path: path.to_string(), source: "as planned".into() })
            }
            Fate::Hang => std::future::pending().await,
            Fate::PassThenHang => {
                let _ = work.await;
                std::future::pending().await
            }
        }
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

// Spelt out as async_trait spells it, which saves a dependency.
impl ObjectStore for Faulty {
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
        async move { self.judged(Operation::Put, location, self.inner.put_opts(location, payload, opts)).await }.boxed()
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
        async move { self.judged(Operation::Get, location, self.inner.get_opts(location, options)).await }.boxed()
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .then(move |path| {
                let this = this.clone();
                async move {
                    let path = path?;
                    this.judged(Operation::Delete, &path, this.inner.delete(&path)).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match (self.plan)(Operation::List, prefix.map_or("", |prefix| prefix.as_ref())) {
            Fate::Pass => self.inner.list(prefix),
            fate => {
                let this = Faulty { inner: self.inner.clone(), plan: Arc::new(move |_, _| fate) };
                let at = prefix.cloned().unwrap_or_default();
                futures_util::stream::once(async move { this.judged(Operation::List, &at, async { lost() }).await })
                    .boxed()
            }
        }
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
