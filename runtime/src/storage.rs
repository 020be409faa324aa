//! Where a journal can live. A new place is one function here and one line where the job reads `job.state`.

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use std::path::Path;
use std::sync::Arc;
use stream::Fault;

/// A place for a journal's objects.
pub type Storage = Arc<dyn ObjectStore>;

/// A directory on this machine, created if need be. Every object is synced to disk before it counts as written.
///
/// # Errors
/// The directory cannot be made or opened.
pub fn local(path: &Path) -> Result<Storage, Fault> {
    let fault = |error: &dyn std::fmt::Display| {
        Fault::failed(
            format!("cannot open the journal in {}", path.display()),
            error,
            "make job.state a directory this user can write to",
        )
    };
    std::fs::create_dir_all(path).map_err(|error| fault(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| fault(&error))?;
    Ok(Arc::new(store.with_fsync(true)))
}
