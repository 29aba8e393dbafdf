//! One directory for each running sandbox, so that an id is used once.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Why an id can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("container id {:?} is not valid: use letters, digits, '_', '+', '-' and '.', at most 255", .0.chars().take(40).collect::<String>())]
    BadId(String),
    #[error("a sandbox with id {0:?} exists already; choose another id or end that one")]
    Exists(String),
    #[error("state directory {0}: {1}; choose another one with --root")]
    Io(PathBuf, io::Error),
}

/// The state directory of one sandbox; removed when dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    _lock: fs::File,
}

/// How often the race with sandboxes that end is run.
const TRIES: u32 = 100;

/// Most bytes of an id: it is a file name.
const MAX_ID: usize = 255;

fn is_valid(id: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    !id.is_empty() && id.len() <= MAX_ID && id.chars().all(allowed) && id != "." && id != ".."
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
        // A directory that vanishes between two steps belonged to a sandbox that has just ended.
        for _ in 0..TRIES {
            match Self::take(&path) {
                Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                Ok(None) => {}
                Err(fs::TryLockError::WouldBlock) => return Err(StateError::Exists(id.to_owned())),
                Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(fs::TryLockError::Error(error)) => return Err(StateError::Io(path, error)),
            }
        }
        Err(StateError::Exists(id.to_owned()))
    }

    /// Locks the directory at `path`; `None` when its last owner removed it meanwhile.
    fn take(path: &Path) -> Result<Option<fs::File>, fs::TryLockError> {
        fs::create_dir_all(path).map_err(fs::TryLockError::Error)?;
        let name = path.join("lock");
        let lock = fs::File::create(&name).map_err(fs::TryLockError::Error)?;
        lock.try_lock()?;
        let same =
            |named: fs::Metadata, ours: fs::Metadata| (named.dev(), named.ino()) == (ours.dev(), ours.ino());
        let named = fs::metadata(&name).map_err(fs::TryLockError::Error)?;
        Ok(same(named, lock.metadata().map_err(fs::TryLockError::Error)?).then_some(lock))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StateDir {
    fn drop(&mut self) {
        // Renamed first, so that nothing of a sandbox that takes the id meanwhile is removed; '~' is in no id.
        // The lock goes with the last descriptor, after this: who gets it then sees that it has another name.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let gone = self.path.with_file_name(format!("~{}-{number}", std::process::id()));
        // Nothing else can be done about a directory that somebody else removed.
        let _ = fs::rename(&self.path, &gone).and_then(|()| fs::remove_dir_all(&gone));
    }
}

#[cfg(test)]
mod tests {
    use super::{StateDir, StateError};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    struct Root(std::path::PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("palisade-state-{name}-{}", std::process::id())))
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn id_is_taken_until_its_owner_is_gone() {
        let root = Root::new("taken");
        let first = StateDir::create(&root.0, "a").unwrap();
        assert!(matches!(StateDir::create(&root.0, "a"), Err(StateError::Exists(_))));
        assert!(StateDir::create(&root.0, "b").is_ok());
        drop(first);
        assert!(!root.0.join("a").exists());
        assert!(StateDir::create(&root.0, "a").is_ok());
    }

    #[test]
    fn one_of_many_wins_each_time() {
        let root = Root::new("race");
        let inside = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(_held) = StateDir::create(&root.0, "a") else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
    }

    #[test]
    fn ids_that_are_no_plain_names_are_refused() {
        let root = Root::new("ids");
        for id in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0", &"x".repeat(256)] {
            assert!(matches!(StateDir::create(&root.0, id), Err(StateError::BadId(_))), "{id:?}");
        }
    }
}
