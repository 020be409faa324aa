//! Turning the file over, so that it does not grow for ever: the full one gets another name, in place of the one that had
//! it before, and an empty one begins.
//!
//! A letter is in one of the two files at every moment. If the process dies in between, the progress file still tells the
//! full file's length; a claim cuts the empty file to no more than it has, and goes on after the same epoch.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The name of the full one.
pub(super) fn aside(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(".1");
    name.into()
}

/// Put the file at `path` aside and begin an empty one, locked. `full` is the locked file that is expected there; a try
/// that failed half way may have moved it already, and somebody may have taken it away.
pub(super) fn turn(path: &Path, full: &File) -> Result<File> {
    match is_at(path, full) {
        Ok(true) => fs::rename(path, aside(path))?,
        Ok(false) => return Err(Error::other("another file stands in its place")),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let empty = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    empty.try_lock().map_err(|_| Error::other("another instance has taken the new file"))?;
    Ok(empty)
}

/// Whether the open file is the one at `path`.
pub(super) fn is_at(path: &Path, file: &File) -> Result<bool> {
    let (there, open) = (fs::metadata(path)?, file.metadata()?);
    Ok((there.dev(), there.ino()) == (open.dev(), open.ino()))
}
