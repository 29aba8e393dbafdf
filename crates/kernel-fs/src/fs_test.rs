//! A process's view of a small mount tree, for unit tests of filesystems and of the path walk.

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::OpenFlags;
use kernel_base::cred::{CapSet, Credentials};
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::file::File;
use kernel_vfs::inode::{Metadata, SuperBlock};
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use kernel_vfs::path::Path;
use kernel_vfs::walk::{WalkContext, WalkFlags};
use platform_api::Platform;

use crate::io_test::FakeCaller;
use crate::tmpfs::{Tmpfs, TmpfsOptions};

/// A caller with a root directory.
pub(crate) struct Rig {
    pub(crate) caller: FakeCaller,
    pub(crate) namespace: Arc<MountNamespace>,
    pub(crate) root: Path,
    pub(crate) cwd: Path,
    pub(crate) creds: Credentials,
}

/// An empty tmpfs.
pub(crate) fn tmpfs(caller: &FakeCaller, options: TmpfsOptions) -> Arc<Tmpfs> {
    let platform = Arc::clone(&caller.platform) as Arc<dyn Platform>;
    Tmpfs::new(options, platform, Arc::new(DeviceRegistry::new())).expect("a root node fits")
}

impl Rig {
    /// Root of a container on `superblock`.
    pub(crate) fn on(caller: FakeCaller, superblock: &Arc<dyn SuperBlock>) -> Self {
        let mount = Mount::of(superblock, b"none", MountFlags::empty());
        let namespace = MountNamespace::new(mount);
        let cwd = namespace.root();
        Self {
            caller,
            namespace,
            root: cwd.clone(),
            cwd,
            creds: Credentials::new(0, 0, CapSet::CONTAINER_DEFAULT),
        }
    }

    /// Root of a container on an empty tmpfs.
    pub(crate) fn new() -> Self {
        let caller = FakeCaller::new();
        let superblock =
            tmpfs(&caller, TmpfsOptions { mode: 0o755, ..TmpfsOptions::default() }) as Arc<dyn SuperBlock>;
        Self::on(caller, &superblock)
    }

    /// The same view for another user.
    pub(crate) fn become_user(&mut self, uid: u32) {
        self.creds = Credentials::new(uid, uid, CapSet::EMPTY);
    }

    pub(crate) fn cx(&self) -> WalkContext<'_> {
        WalkContext { root: &self.root, cwd: &self.cwd, creds: &self.creds, who: &self.caller, umask: 0o022 }
    }

    pub(crate) fn find(&self, path: &str) -> SysResult<Path> {
        self.cx().resolve(None, path.as_bytes(), WalkFlags::NOFOLLOW)
    }

    pub(crate) fn stat(&self, path: &str) -> SysResult<Metadata> {
        self.cx().stat(None, path.as_bytes(), WalkFlags::empty()).map(|(metadata, _)| metadata)
    }

    pub(crate) fn open(&self, path: &str, flags: OpenFlags) -> SysResult<Arc<File>> {
        self.cx().open(None, path.as_bytes(), flags, 0o666, WalkFlags::empty())
    }

    pub(crate) fn mkdir(&self, path: &str) -> SysResult<()> {
        self.cx().mkdir(None, path.as_bytes(), 0o777)
    }

    /// Creates or truncates a file and writes to it.
    pub(crate) fn put(&self, path: &str, bytes: &[u8]) -> SysResult<()> {
        let file = self.open(path, OpenFlags::WRONLY | OpenFlags::CREAT | OpenFlags::TRUNC)?;
        file.ops.write(file.io(&self.caller, 0), bytes).map(drop)
    }

    /// A file's bytes.
    pub(crate) fn get(&self, path: &str) -> SysResult<Vec<u8>> {
        let file = self.open(path, OpenFlags::empty())?;
        let mut bytes = vec![0; 1 << 16];
        let len = file.ops.read(file.io(&self.caller, 0), &mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    /// Names in a directory, sorted, without "." and "..".
    pub(crate) fn list(&self, path: &str) -> SysResult<Vec<String>> {
        let dir = self.open(path, OpenFlags::DIRECTORY)?;
        let mut names = Vec::new();
        let mut position = 0;
        loop {
            let before = names.len();
            // A few at a time, as a small getdents64 buffer does.
            let mut room = 3;
            dir.ops.read_dir(&self.caller, position, &mut |entry| {
                if room == 0 {
                    return false;
                }
                room -= 1;
                names.push(String::from_utf8_lossy(entry.name).into_owned());
                position = entry.next;
                true
            })?;
            if names.len() == before {
                break;
            }
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }
}
