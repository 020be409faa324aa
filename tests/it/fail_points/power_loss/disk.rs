//! A file system that keeps what was synced and nothing else.

use super::trace::Call;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

/// Names below a root, which is there; and which of them a loss of power leaves.
pub(super) struct Disk {
    root: PathBuf,
    /// What a name is: a file by its number, or a folder.
    names: BTreeMap<PathBuf, Option<usize>>,
    /// The same as of the last sync of the folder that each is in.
    synced_names: BTreeMap<PathBuf, Option<usize>>,
    /// Files whose bytes are on disk.
    synced_files: HashSet<usize>,
    files: usize,
    /// By name, since a descriptor keeps the name that it was opened under.
    opened: HashMap<PathBuf, usize>,
}

impl Disk {
    pub(super) fn new(root: &Path) -> Self {
        Disk {
            root: root.to_owned(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            synced_files: HashSet::new(),
            files: 0,
            opened: HashMap::new(),
        }
    }

    pub(super) fn follow(&mut self, call: &Call) {
        match call {
            Call::Create(path) => {
                self.files += 1;
                self.names.insert(path.clone(), Some(self.files));
                self.opened.insert(path.clone(), self.files);
            }
            Call::Folder(path) => _ = self.names.insert(path.clone(), None),
            Call::Write(path) => {
                if let Some(file) = self.opened.get(path) {
                    self.synced_files.remove(file);
                }
            }
            Call::Sync(path) => match self.opened.get(path) {
                Some(file) => _ = self.synced_files.insert(*file),
                None => self.sync_folder(path),
            },
            Call::Link(from, to) => {
                if let Some(file) = self.names.get(from).copied() {
                    self.names.insert(to.clone(), file);
                }
            }
            Call::Rename(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Call::Remove(path) => _ = self.names.remove(path),
        }
    }

    fn sync_folder(&mut self, folder: &Path) {
        let is_in = |path: &Path| path.parent() == Some(folder);
        self.synced_names.retain(|path, _| !is_in(path));
        let now = self.names.iter().filter(|(path, _)| is_in(path));
        self.synced_names.extend(now.map(|(path, file)| (path.clone(), *file)));
    }

    /// Whether a loss of power leaves this name, and of a file its bytes.
    fn is_left(&self, path: &Path) -> bool {
        let way = path.ancestors().take_while(|part| *part != self.root);
        way.into_iter().all(|part| match self.synced_names.get(part) {
            Some(Some(file)) => self.synced_files.contains(file),
            Some(None) => true,
            None => false,
        })
    }

    fn objects_below<'a>(&self, names: &'a BTreeMap<PathBuf, Option<usize>>, folder: &Path) -> Vec<&'a PathBuf> {
        let is_object = |path: &Path| path.starts_with(folder) && !path.to_string_lossy().contains('#');
        names.iter().filter(|(path, file)| file.is_some() && is_object(path)).map(|(path, _)| path).collect()
    }

    /// Objects that are there now and would not be.
    pub(super) fn lost_below(&self, folder: &Path) -> Vec<PathBuf> {
        self.objects_below(&self.names, folder).into_iter().filter(|path| !self.is_left(path)).cloned().collect()
    }

    /// Objects that a loss of power would leave.
    pub(super) fn left_below(&self, folder: &Path) -> Vec<PathBuf> {
        self.objects_below(&self.synced_names, folder).into_iter().filter(|path| self.is_left(path)).cloned().collect()
    }
}
