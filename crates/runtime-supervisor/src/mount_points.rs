//! Places to mount on: found, made where they are missing, and removed again if the sandbox fails to start.
//! Also what hides or protects a path by a mount on itself: linux.maskedPaths and linux.readonlyPaths.
//!
//! Symbolic links are followed inside the container's root only, because the container's own path walk does it.

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::inode::{FileKind, SuperBlock};
use kernel_vfs::mount::{Depth, Mount, MountFlags, MountNamespace};
use kernel_vfs::path::Path;
use kernel_vfs::walk::{WalkContext, WalkFlags};

/// A name that was made.
struct Made {
    dir: Path,
    name: Vec<u8>,
    kind: FileKind,
}

/// The mount points of one namespace.
pub(crate) struct MountPoints {
    namespace: Arc<MountNamespace>,
    made: Vec<Made>,
}

/// Looks a path up as `who`.
fn find(namespace: &MountNamespace, path: &[u8], who: &dyn Caller) -> SysResult<Path> {
    with_walk(namespace, who, |walk| walk.resolve(None, path, WalkFlags::empty()))
}

fn with_walk<T>(namespace: &MountNamespace, who: &dyn Caller, body: impl FnOnce(&WalkContext<'_>) -> T) -> T {
    let credentials = who.credentials();
    let root = &namespace.root();
    body(&WalkContext { root, cwd: root, creds: &credentials, who, umask: 0o022 })
}

impl MountPoints {
    pub(crate) fn new(namespace: &Arc<MountNamespace>) -> Self {
        Self { namespace: Arc::clone(namespace), made: Vec::new() }
    }

    /// The place at `path`; made for something of `kind`, with what leads to it, where it is missing.
    pub(crate) fn find_or_make(&mut self, path: &[u8], kind: FileKind, who: &dyn Caller) -> SysResult<Path> {
        match find(&self.namespace, path, who) {
            Err(Errno::ENOENT) => {}
            found => return found,
        }
        self.make_parents(path, who)?;
        self.make(path, kind, who)?;
        find(&self.namespace, path, who)
    }

    /// Makes the directories that lead to `path`, where they are missing.
    pub(crate) fn make_parents(&mut self, path: &[u8], who: &dyn Caller) -> SysResult<()> {
        let slashes = path.iter().enumerate().filter(|&(at, &b)| b == b'/' && at > 0).map(|(at, _)| at);
        for end in slashes {
            self.make(path.get(..end).unwrap_or_default(), FileKind::Directory, who)?;
        }
        Ok(())
    }

    /// Lends a walk through the tree as `who`.
    pub(crate) fn with_walk<T>(&self, who: &dyn Caller, body: impl FnOnce(&WalkContext<'_>) -> T) -> T {
        with_walk(&self.namespace, who, body)
    }

    fn make(&mut self, path: &[u8], kind: FileKind, who: &dyn Caller) -> SysResult<()> {
        if find(&self.namespace, path, who).is_ok() {
            return Ok(());
        }
        let at = path.iter().rposition(|&b| b == b'/').ok_or(Errno::ENOENT)?;
        let (dir, name) = (path.get(..=at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default());
        if name.is_empty() {
            return Ok(());
        }
        let dir = find(&self.namespace, dir, who)?;
        with_walk(&self.namespace, who, |walk| match kind {
            FileKind::Directory => walk.mkdir(None, path, 0o755),
            _ => {
                let flags = OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY;
                walk.open(None, path, flags, 0o644, WalkFlags::empty()).map(drop)
            }
        })?;
        self.made.push(Made { dir, name: name.to_vec(), kind });
        Ok(())
    }

    /// Removes what was made, the last first; below the mounts, which nobody uses any more.
    pub(crate) fn remove(&self) {
        for made in self.made.iter().rev() {
            let removed = match made.kind {
                FileKind::Directory => made.dir.inode().rmdir(&made.name),
                _ => made.dir.inode().unlink(&made.name),
            };
            if let Err(error) = removed {
                tracing::warn!(name = %String::from_utf8_lossy(&made.name), %error, "cannot remove a mount point");
            }
        }
    }

    /// Makes `path` read-only, if it exists.
    pub(crate) fn write_protect(&self, path: &[u8], who: &dyn Caller) -> SysResult<()> {
        let Some(at) = self.existing(path, who)? else { return Ok(()) };
        let flags = at.mount.flags() | MountFlags::RDONLY;
        self.namespace.bind(&at, &at, Depth::Recursive)?.set_flags(flags);
        Ok(())
    }

    /// Hides `path`, if it exists: a directory below an empty one, anything else below `devices`' null.
    pub(crate) fn mask(
        &self,
        path: &[u8],
        devices: &Arc<dyn SuperBlock>,
        empty: impl FnOnce() -> SysResult<Arc<dyn SuperBlock>>,
        who: &dyn Caller,
    ) -> SysResult<()> {
        let Some(at) = self.existing(path, who)? else { return Ok(()) };
        if at.inode().kind() == FileKind::Directory {
            return self.namespace.mount(&empty()?, b"tmpfs", MountFlags::RDONLY, &at).map(drop);
        }
        let aside = MountNamespace::new(Mount::of(devices, b"tmpfs", MountFlags::empty()));
        let null = find(&aside, b"/null", who)?;
        // Only the namespace that a mount is in may copy it.
        let copy = aside.copy_of(&null, Depth::One)?;
        self.namespace.attach(&copy, &at)
    }

    fn existing(&self, path: &[u8], who: &dyn Caller) -> SysResult<Option<Path>> {
        match find(&self.namespace, path, who) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            found => found.map(Some),
        }
    }
}
