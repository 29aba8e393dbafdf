//! One directory for each running sandbox, so that an id is used once.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why an id can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("container id {0:?} is not valid: use letters, digits, '_', '+', '-' and '.', at most 1024")]
    BadId(String),
    #[error("a sandbox with id {0:?} exists already; choose another id or delete it")]
    Exists(String),
    #[error("state directory {0}: {1}")]
    Io(PathBuf, io::Error),
}

/// The state directory of one sandbox; removed when dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    lock: fs::File,
}

fn is_valid(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    !id.is_empty() && id.len() <= 1024 && id.chars().all(allowed) && id != "." && id != ".."
}

impl StateDir {
    /// The default parent directory: /run/palisade for root, else below XDG_RUNTIME_DIR or /tmp.
    #[must_use]
    pub fn default_root() -> PathBuf {
        let uid = rustix::process::geteuid();
        match std::env::var_os("XDG_RUNTIME_DIR") {
            _ if uid.is_root() => PathBuf::from("/run/palisade"),
            Some(dir) => Path::new(&dir).join("palisade"),
            None => PathBuf::from(format!("/tmp/palisade-{uid}")),
        }
    }

    /// Takes `id` below `root`. A directory whose owner is dead is taken over.
    pub fn create(root: &Path, id: &str) -> Result<Self, StateError> {
        if !is_valid(id) {
            return Err(StateError::BadId(id.to_owned()));
        }
        let path = root.join(id);
        let failed = |error| StateError::Io(path.clone(), error);
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = fs::File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, lock }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::Exists(id.to_owned())),
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // Nothing else can be done about a directory that somebody removed or locked.
        let _ = fs::remove_dir_all(&self.path);
        let _ = self.lock.unlock();
    }
}
