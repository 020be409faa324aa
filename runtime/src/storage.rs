//! Where a journal can live: a directory, or a prefix of a bucket. A new place is a variant here and, if it is a bucket,
//! a few lines in [`bucket`].

mod bucket;
mod leftovers;

use crate::journal::Patience;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stream::{Fault, WallTime};

/// A place for a journal's objects.
pub type Storage = Arc<dyn ObjectStore>;

/// What `job.state` names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A directory on this machine: `file:./data`, or the path alone.
    Directory(PathBuf),
    /// A prefix of a bucket: `s3://bucket/prefix`.
    Bucket(Bucket),
}

/// A prefix of a bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// Who keeps it.
    pub service: Service,
    /// The bucket's name; of Azure, the container's.
    pub name: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

/// Who keeps a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// Amazon S3, and whatever speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl Service {
    const ALL: [Service; 3] = [Service::S3, Service::Gcs, Service::Azure];

    /// What a URL of its begins with, before `://`.
    pub fn scheme(self) -> &'static str {
        match self {
            Service::S3 => "s3",
            Service::Gcs => "gs",
            Service::Azure => "az",
        }
    }

    /// The cargo feature that this binary lacks to speak to it; none if it has it.
    pub fn missing_feature(self) -> Option<&'static str> {
        let (feature, is_built) = match self {
            Service::S3 => ("s3", cfg!(feature = "s3")),
            Service::Gcs => ("gcs", cfg!(feature = "gcs")),
            Service::Azure => ("azure", cfg!(feature = "azure")),
        };
        (!is_built).then_some(feature)
    }
}

impl Place {
    /// Understand a setting. Nothing is opened.
    ///
    /// # Errors
    /// Why it names no place, and what to write instead.
    pub fn parse(text: &str) -> Result<Place, (String, String)> {
        let wrong = |why: &str, hint: &str| Err((why.to_owned(), hint.to_owned()));
        let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| *scheme != "file") else {
            let path = text.strip_prefix("file://").or(text.strip_prefix("file:")).unwrap_or(text);
            return match path {
                "" => wrong("it names no directory", "use file:PATH, such as file:./data"),
                path => Ok(Place::Directory(PathBuf::from(path))),
            };
        };
        let Some(service) = Service::ALL.into_iter().find(|service| service.scheme() == scheme) else {
            return wrong(
                "it is not a place this program knows",
                "use file:PATH, such as file:./data, or s3://, gs:// or az:// with a bucket and a prefix",
            );
        };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        if name.is_empty() || !is_name(name) {
            return wrong(
                "it names no bucket",
                "write it like s3://bucket/prefix; endpoint, region and credentials are in the environment",
            );
        }
        let prefix = prefix.trim_matches('/');
        if prefix.contains(['?', '#']) || object_store::path::Path::parse(prefix).is_err() {
            return wrong(
                "its prefix is not one of plain names",
                "use letters, digits, '-', '_' and '.' between single slashes",
            );
        }
        Ok(Place::Bucket(Bucket { service, name: name.to_owned(), prefix: prefix.to_owned() }))
    }

    /// Open what lies below it in these folders. A directory is made if need be, a bucket must be there; whether it is
    /// shows when it is first read.
    ///
    /// # Errors
    /// The directory cannot be made; a bucket's settings in the environment are wrong, or this binary cannot speak to it.
    pub fn open(&self, folders: &[&str]) -> Result<Storage, Fault> {
        match self {
            Place::Directory(path) => {
                let store = local(&folders.iter().fold(path.clone(), |path, folder| path.join(folder)))?;
                sync_names(path, folders);
                Ok(store)
            }
            Place::Bucket(bucket) => bucket.open(folders),
        }
    }

    /// Remove what writes that were cut short left there. For whoever is about to run the job.
    pub fn sweep(&self, folders: &[&str], now: WallTime) {
        // A bucket keeps nothing of a put that was not completed.
        if let Place::Directory(path) = self {
            leftovers::remove(&folders.iter().fold(path.clone(), |path, folder| path.join(folder)), now);
        }
    }

    /// How patient to be with it. A bucket is out of our hands: once the job runs, it is waited for much longer.
    pub fn patience(&self) -> Patience {
        match self {
            Place::Directory(_) => Patience::default(),
            Place::Bucket(_) => Patience::with_a_bucket(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(path) => write!(f, "{}", path.display()),
            Place::Bucket(Bucket { service, name, prefix }) => write!(f, "{}://{name}/{prefix}", service.scheme()),
        }
    }
}

/// That the folders are there must survive a loss of power, as what is in them does: the name of each is synced in the one
/// above it, at each start, since an earlier one may have been cut short. One that may not be opened is somebody else's.
fn sync_names(path: &Path, folders: &[&str]) {
    let mut folder = path.to_owned();
    let above = path.parent().map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above });
    let mut to_sync: Vec<PathBuf> = above.map(Path::to_owned).into_iter().collect();
    for name in folders {
        to_sync.push(folder.clone());
        folder.push(name);
    }
    for folder in to_sync {
        if let Err(error) = File::open(&folder).and_then(|folder| folder.sync_all()) {
            tracing::warn!(folder = %folder.display(), %error, "cannot sync the folder that the journal lies in");
        }
    }
}

/// A directory on this machine, created if need be. Every object is synced to disk before it counts as written.
fn local(path: &Path) -> Result<Storage, Fault> {
    let fault = |error: &dyn fmt::Display| {
        Fault::failed(
            format!("cannot open the journal in {}", path.display()),
            error,
            "make job.state a directory this user can write to",
        )
    };
    std::fs::create_dir_all(path).map_err(|error| fault(&error))?;
    let store = LocalFileSystem::new_with_prefix(path).map_err(|error| fault(&error))?;
    // A base's folder goes with its last part.
    Ok(Arc::new(store.with_fsync(true).with_automatic_cleanup(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(service: Service, name: &str, prefix: &str) -> Place {
        Place::Bucket(Bucket { service, name: name.into(), prefix: prefix.into() })
    }

    #[test]
    fn places_are_told_apart_by_their_scheme() {
        let places = [
            ("file:./data", Place::Directory("./data".into())),
            ("file:///var/lib/topk", Place::Directory("/var/lib/topk".into())),
            ("./data", Place::Directory("./data".into())),
            ("s3://views", bucket(Service::S3, "views", "")),
            ("s3://views/", bucket(Service::S3, "views", "")),
            ("s3://views/a/b/", bucket(Service::S3, "views", "a/b")),
            ("gs://views/a", bucket(Service::Gcs, "views", "a")),
            ("az://views/a", bucket(Service::Azure, "views", "a")),
        ];
        for (text, place) in places {
            assert_eq!(Place::parse(text), Ok(place), "{text}");
        }
        for text in ["", "file:", "s3://", "s3:///a", "s3://us er@b/a", "s3://b/a?region=x", "s3://b/a//b", "ftp://a/b"]
        {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_folder_goes_with_the_last_object_in_it() {
        use object_store::ObjectStoreExt;
        let folder = tempfile::tempdir().unwrap();
        let store = Place::Directory(folder.path().join("data")).open(&["journal", "songs"]).unwrap();
        let base = folder.path().join("data/journal/songs/base/7-1-00ff");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            for part in ["base/7-1-00ff/0000", "base/7-1-00ff/0001"] {
                store.put(&part.into(), "x".into()).await.unwrap();
            }
            store.delete(&"base/7-1-00ff/0000".into()).await.unwrap();
            assert!(base.exists());
            store.delete(&"base/7-1-00ff/0001".into()).await.unwrap();
        });
        assert!(!base.exists());
    }

    #[test]
    fn a_bucket_of_a_service_that_is_not_built_in_names_the_feature() {
        for service in Service::ALL {
            let Some(feature) = service.missing_feature() else { continue };
            let fault = bucket(service, "views", "").open(&["journal"]).unwrap_err();
            assert!(fault.to_string().contains(&format!("--features {feature}")), "{fault}");
        }
    }
}
