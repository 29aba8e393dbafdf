//! The state directory: one directory for each container, with its record in `state.json`.
//!
//! Making the directory takes the id: of several that try at once one wins. Whoever changes a container (start,
//! delete, the one that creates it) holds a lock on the directory itself, so nothing is left of the lock when the
//! directory is gone. The record is replaced as a whole by rename(2); after creation its supervisor alone writes it.
//! A command that is killed half-way leaves a directory that [`Entry::remove`] can always take away.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags, openat, renameat_with};

use crate::record::Record;

/// Why the state of a container can't be read or changed. The first words are runc's, by which engines go.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("invalid container ID format {:?}: use letters, digits, '_', '+', '-' and '.', at most {MAX_ID}", .0.chars().take(40).collect::<String>())]
    BadId(String),
    #[error("container with given ID already exists: {0:?}; choose another id or delete that container")]
    Exists(String),
    #[error("container does not exist: {0:?}")]
    NotFound(String),
    #[error("state directory {0}: {1}; choose another one with --root")]
    Io(PathBuf, io::Error),
    #[error("state of container {0:?} cannot be read: {1}; remove it with delete --force")]
    Malformed(String, String),
}

/// Most bytes of an id: it is a file name.
const MAX_ID: usize = 255;
/// The record's file.
const RECORD: &str = "state.json";
/// Longest record that is read.
const MAX_RECORD: u64 = 16 << 20;
/// How often the race with a delete of the same id is run.
const TRIES: u32 = 100;

fn is_valid(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    !id.is_empty() && id.len() <= MAX_ID && id.chars().all(allowed) && id != "." && id != ".."
}

/// All containers below one directory (`--root`).
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// The directory of one container.
#[derive(Debug)]
pub struct Entry {
    id: String,
    path: PathBuf,
    /// Open for as long as it is used; locked by [`Entry::lock`].
    dir: File,
}

impl Store {
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The default: /run/palisade for root, else below XDG_RUNTIME_DIR or /tmp.
    #[must_use]
    pub fn default_root() -> PathBuf {
        let uid = rustix::process::geteuid();
        match std::env::var_os("XDG_RUNTIME_DIR") {
            _ if uid.is_root() => PathBuf::from("/run/palisade"),
            Some(dir) => Path::new(&dir).join("palisade"),
            None => PathBuf::from(format!("/tmp/palisade-{uid}")),
        }
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path_of(&self, id: &str) -> Result<PathBuf, StateError> {
        if is_valid(id) { Ok(self.root.join(id)) } else { Err(StateError::BadId(id.to_owned())) }
    }

    /// Takes `id`; the entry is locked.
    pub fn create(&self, id: &str) -> Result<Entry, StateError> {
        let path = self.path_of(id)?;
        let failed = |error| StateError::Io(path.clone(), error);
        fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.root).map_err(failed)?;
        for _ in 0..TRIES {
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(StateError::Exists(id.to_owned()));
                }
                Err(error) => return Err(failed(error)),
            }
            // A delete --force may have taken the empty directory away since.
            match self.open(id) {
                Ok(entry) if entry.lock()? => return Ok(entry),
                Ok(_) | Err(StateError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StateError::Exists(id.to_owned()))
    }

    /// The directory of a container; [`StateError::NotFound`].
    pub fn open(&self, id: &str) -> Result<Entry, StateError> {
        let path = self.path_of(id)?;
        let directory = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
        match fs::OpenOptions::new().read(true).custom_flags(directory).open(&path) {
            Ok(dir) => Ok(Entry { id: id.to_owned(), path, dir }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StateError::NotFound(id.to_owned())),
            Err(error) => Err(StateError::Io(path, error)),
        }
    }

    /// The ids that are taken, in order.
    pub fn ids(&self) -> Result<Vec<String>, StateError> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StateError::Io(self.root.clone(), error)),
        };
        let directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        let names = entries.filter_map(Result::ok).filter(directory);
        let mut ids: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.retain(|id| is_valid(id));
        ids.sort();
        Ok(ids)
    }
}

impl Entry {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the lock, which goes with this value; false when the container was removed meanwhile.
    pub fn lock(&self) -> Result<bool, StateError> {
        self.dir.lock().map_err(|error| StateError::Io(self.path.clone(), error))?;
        Ok(self.is_current())
    }

    /// Gives the lock back, for others to have while this value lives.
    pub fn unlock(&self) {
        // It cannot fail for a lock that is held.
        let _ = self.dir.unlock();
    }

    /// As [`Entry::lock`], but `None` when somebody else has it.
    pub fn try_lock(&self) -> Result<Option<bool>, StateError> {
        match self.dir.try_lock() {
            Ok(()) => Ok(Some(self.is_current())),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StateError::Io(self.path.clone(), error)),
        }
    }

    /// Whether the directory still has its name.
    fn is_current(&self) -> bool {
        let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        matches!((fs::symlink_metadata(&self.path), self.dir.metadata()), (Ok(a), Ok(b)) if same(&a, &b))
    }

    /// The same directory behind another descriptor: of its mount alone, where that is a tree. Its path is not looked at
    /// again by [`Entry::read`] and [`Entry::write`].
    pub fn behind(id: &str, directory: BorrowedFd<'_>) -> Result<Self, StateError> {
        let dir = rustix::fs::openat(directory, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let failed = |errno: rustix::io::Errno| StateError::Io(PathBuf::from(id), errno.into());
        dir.map(|dir| Self { id: id.to_owned(), path: PathBuf::from(id), dir: dir.into() }).map_err(failed)
    }

    /// The record; `None` in the moments before it is first written.
    pub fn read(&self) -> Result<Option<Record>, StateError> {
        let malformed =
            |problem: &dyn std::fmt::Display| StateError::Malformed(self.id.clone(), problem.to_string());
        let read = || -> io::Result<Option<Vec<u8>>> {
            let mut file = File::from(openat(&self.dir, RECORD, OFlags::CLOEXEC, Mode::empty())?);
            let len = file.metadata()?.len();
            if len > MAX_RECORD {
                return Ok(None);
            }
            let mut text = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
            file.read_to_end(&mut text)?;
            Ok(Some(text))
        };
        match read() {
            Ok(Some(text)) => serde_json::from_slice(&text).map(Some).map_err(|error| malformed(&error)),
            Ok(None) => Err(malformed(&"too long")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StateError::Io(self.path.clone(), error)),
        }
    }

    /// Replaces the record. A reader sees the old one or the new one.
    pub fn write(&self, record: &Record) -> Result<(), StateError> {
        let failed = |error| StateError::Io(self.path.clone(), error);
        let text = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        // The process's id: of two writers none spoils the other's file.
        let fresh = format!("{RECORD}.{}", std::process::id());
        let write = || -> io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.dir, &fresh, flags, Mode::from_raw_mode(0o644))?);
            file.write_all(&text)?;
            Ok(renameat_with(&self.dir, &fresh, &self.dir, RECORD, RenameFlags::empty())?)
        };
        write().map_err(failed)
    }

    /// Removes the container's directory, however much of it there is. Hold the lock.
    pub fn remove(self) -> Result<(), StateError> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StateError::Io(self.path, error)),
            _ => Ok(()),
        }
    }
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

#[cfg(test)]
#[path = "state_test.rs"]
mod tests;
