//! The host's files that a container sees: its root and its volumes, as trees in the supervisor's own root directory.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use abi_linux::{Errno, SysResult};
use host_files::Node;
use host_files::tree::{self, Depth, Links};
use kernel_fs::proc::hooks::HostPrefixes;
use platform_notify::home::{Home, HostRoot, Hung, KEPT};
use runtime_control::{Place, Places, Rootfs};
use runtime_oci::{ContainerSpec, MountKind};

use crate::error::{Error, shown};

/// Open trees, and where they hang: they stay there until this value is dropped.
pub(crate) struct Trees {
    root: Tree,
    /// By the index of the mount.
    binds: BTreeMap<usize, Tree>,
}

struct Tree {
    file: OwnedFd,
    /// How the host names it in what the supervisor reads.
    name: PathBuf,
    _hung: Option<Hung>,
}

/// What becomes of the host's root directory for a container: one that has it as its own keeps it.
pub(crate) fn host_root(spec: &ContainerSpec) -> HostRoot {
    let is_kept = spec.rootfs == Path::new("/") && (spec.overlay || spec.readonly);
    if is_kept { HostRoot::Kept } else { HostRoot::Left }
}

/// What is to be opened of its root before the supervisor leaves.
pub(crate) fn rootfs(spec: &ContainerSpec) -> Rootfs {
    match host_root(spec) {
        HostRoot::Kept => Rootfs::Left,
        HostRoot::Left => Rootfs::Opened,
    }
}

impl Trees {
    /// Hangs what was opened for a container.
    pub(crate) fn hang(spec: &ContainerSpec, places: &mut Places, home: &Home) -> Result<Self, Error> {
        let failed = |errno| match errno {
            // openat2(2) itself.
            Errno::ENOSYS => Error::Platform(errno),
            _ => Error::Rootfs { path: spec.rootfs.display().to_string(), errno },
        };
        let root = match places.take(Place::Rootfs).pop() {
            Some(file) => Tree::hang(file, &spec.rootfs, home).map_err(failed)?,
            None => kept(home).map_err(failed)?,
        };
        let mut binds = BTreeMap::new();
        for (index, mount) in spec.mounts.iter().enumerate() {
            let MountKind::Bind(source) = &mount.kind else { continue };
            let destination = shown(&mount.destination);
            let failed = |errno| Error::Mount { destination, errno, remedy: "" };
            let file = places.take(Place::Mount(index)).pop().ok_or(Errno::EBADF);
            let tree = file.and_then(|file| Tree::hang(file, source, home)).map_err(failed)?;
            binds.insert(index, tree);
        }
        Ok(Self { root, binds })
    }

    /// The container's root.
    pub(crate) fn root(&self) -> SysResult<Node> {
        self.root.node()
    }

    /// The source of a mount.
    pub(crate) fn bind(&self, index: usize) -> SysResult<Node> {
        self.binds.get(&index).ok_or(Errno::ENOENT)?.node()
    }

    /// Which of the host's names a guest sees, and where: for /proc/pid/maps.
    pub(crate) fn names(&self, spec: &ContainerSpec) -> HostPrefixes {
        let mut names = HostPrefixes::new();
        names.add(self.root.name.as_os_str().as_bytes(), b"/");
        for (index, tree) in &self.binds {
            if let Some(mount) = spec.mounts.get(*index) {
                names.add(tree.name.as_os_str().as_bytes(), &mount.destination);
            }
        }
        names
    }
}

impl Tree {
    fn hang(file: OwnedFd, source: &Path, home: &Home) -> SysResult<Self> {
        let hung = home.hang(file.as_fd())?;
        let name = hung.as_ref().map_or_else(|| source.to_path_buf(), Hung::path);
        Ok(Self { file, name, _hung: hung })
    }

    fn node(&self) -> SysResult<Node> {
        let file = self.file.try_clone();
        file.map(Node::from_fd).map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))
    }
}

fn kept(home: &Home) -> SysResult<Tree> {
    let name = PathBuf::from(if home.is_own() { KEPT } else { "/" });
    Ok(Tree { file: tree::open(&name, Links::Refuse, Depth::Kept)?, name, _hung: None })
}
