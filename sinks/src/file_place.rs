//! Whether a file can be kept at a path, found out without leaving anything behind: a job that has not begun yet must know
//! before it begins.

use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// The file at `path` can be written, or made, and others beside it.
///
/// # Errors
/// Why not.
pub(crate) fn probe(path: &Path) -> Result<()> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // Folders that are missing are made when the file is; what counts is the nearest that is there.
    let folder = path.ancestors().skip(1).map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    let folder = folder.into_iter().find(|folder| folder.exists());
    let folder = folder.ok_or_else(|| Error::new(ErrorKind::NotFound, "no folder above it is there"))?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.probe", std::process::id()));
    let probe = folder.join(name);
    File::create_new(&probe)?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_probed_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let (file, deep) = (folder.path().join("file"), folder.path().join("a/b/c/file"));
        probe(&file).unwrap();
        probe(&deep).unwrap();
        assert!(names().is_empty(), "{:?}", names());
        fs::write(&file, "kept").unwrap();
        probe(&file).unwrap();
        assert_eq!((fs::read_to_string(&file).unwrap().as_str(), names().len()), ("kept", 1));
        assert_eq!(probe(&file.join("below")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(probe(folder.path()).unwrap_err().kind(), ErrorKind::IsADirectory);
        assert_eq!(names().len(), 1);
    }
}
