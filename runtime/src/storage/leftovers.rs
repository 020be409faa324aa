//! What a write that was cut short leaves in a directory: `NAME#1` beside the `NAME` that it would have become. No listing shows
//! it, so compaction does not collect it; a part of a base can be many megabytes.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};
use stream::WallTime;

/// No write takes this long: whoever began it is gone.
const OLD: Duration = Duration::from_secs(3600);

/// Remove what is old, and folders that hold nothing any more, below a folder. What cannot be removed is in nobody's way.
pub(super) fn remove(folder: &Path, now: WallTime) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let Ok(about) = entry.metadata() else { continue };
        let written = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let age = written.and_then(|time| Duration::from_millis(now.0.try_into().ok()?).checked_sub(time));
        let is_old = age.is_some_and(|age| age > OLD);
        if about.is_dir() {
            remove(&path, now);
            if is_old {
                // Only an empty one can be.
                let _ = fs::remove_dir(&path);
            }
        } else if is_old && is_unfinished(&path) && fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), bytes = about.len(), "removed what an interrupted write had left");
        }
    }
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::time::SystemTime;

    #[test]
    fn only_what_is_old_and_unfinished_goes() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base/7-1-00ff");
        fs::create_dir_all(&base).unwrap();
        let names = ["commit-8#1", "commit-8", "notes#one", "base/7-1-00ff/0000#12"];
        let written: SystemTime = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for name in names {
            File::create(folder.path().join(name)).unwrap().set_modified(written).unwrap();
        }
        let there = || names.map(|name| folder.path().join(name).exists());
        let at = |seconds: i64| WallTime((1_000_000 + seconds) * 1000);
        remove(folder.path(), at(3600));
        assert_eq!(there(), [true; 4], "somebody may still be writing");
        remove(folder.path(), at(3601));
        assert_eq!(there(), [false, true, true, false]);
        assert!(base.exists(), "it was made a moment ago");
        File::open(&base).unwrap().set_modified(written).unwrap();
        remove(folder.path(), at(3601));
        assert!(!base.exists());
    }
}
