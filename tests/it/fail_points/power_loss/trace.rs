//! What strace saw, as changes of a file system.

use std::collections::HashMap;
use std::path::PathBuf;

/// A call that was successful.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// A file that was not there, or is empty now.
    Create(PathBuf),
    Folder(PathBuf),
    Write(PathBuf),
    /// Of a file or of a folder.
    Sync(PathBuf),
    Link(PathBuf, PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

/// Every successful call in the order of their ends; one that another thread's line interrupted is put together again.
pub(super) fn calls(trace: &str) -> Vec<Call> {
    let mut begun: HashMap<&str, String> = HashMap::new();
    let mut found = Vec::new();
    for line in trace.lines() {
        let Some((thread, said)) = line.split_once(' ') else { continue };
        let said = said.trim_start();
        let whole = if let Some(first) = said.strip_suffix("<unfinished ...>") {
            begun.insert(thread, first.to_owned());
            continue;
        } else if let Some((_, rest)) = said.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            begun.remove(thread).unwrap_or_default() + rest
        } else {
            said.to_owned()
        };
        found.extend(call(&whole));
    }
    found
}

fn call(text: &str) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, answer) = rest.rsplit_once(" = ")?;
    if answer.trim_start().starts_with('-') {
        return None;
    }
    // Of a descriptor its path: `12</a/b>`; of a path, what stands in quotes.
    let descriptor = || Some(PathBuf::from(arguments.split_once('<')?.1.split_once('>')?.0));
    let paths: Vec<PathBuf> = arguments.split('"').skip(1).step_by(2).map(PathBuf::from).collect();
    match name {
        "openat" if arguments.contains("O_TRUNC") || arguments.contains("O_EXCL") => {
            Some(Call::Create(paths.first()?.clone()))
        }
        "write" | "pwrite64" | "ftruncate" => Some(Call::Write(descriptor()?)),
        "fsync" | "fdatasync" => Some(Call::Sync(descriptor()?)),
        "link" | "linkat" => Some(Call::Link(paths.first()?.clone(), paths.get(1)?.clone())),
        "rename" | "renameat" | "renameat2" => Some(Call::Rename(paths.first()?.clone(), paths.get(1)?.clone())),
        "unlink" | "unlinkat" => Some(Call::Remove(paths.first()?.clone())),
        "mkdir" | "mkdirat" => Some(Call::Folder(paths.first()?.clone())),
        _ => None,
    }
}

#[test]
fn interrupted_calls_are_put_together() {
    let trace = "7 fsync(9</a/b#1> <unfinished ...>\n8 mkdir(\"/a\", 0777) = -1 EEXIST (File exists)\n7 <... fsync resumed>) = 0\n\
                 8 linkat(AT_FDCWD</>, \"/a/b#1\", AT_FDCWD</>, \"/a/b\", 0) = 0\n8 write(3</c>, \"\"..., 5) = 5\n";
    let expected = [Call::Sync("/a/b#1".into()), Call::Link("/a/b#1".into(), "/a/b".into()), Call::Write("/c".into())];
    assert_eq!(calls(trace), expected);
}
