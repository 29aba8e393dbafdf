//! The supervisor's own root directory, in a mount namespace of its own: nothing but `/proc`, where processes that are
//! none of its guests do not show and nothing can be written, and the trees of its containers at `/1`, `/2` and so on.
//!
//! Whoever has no CAP_SYS_ADMIN stays among the host's mounts. The trees hang in the namespace, and are not just open,
//! so that what is mounted below their sources on the host comes in where that was asked for, and so that the names in
//! guests' maps tell them apart.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use abi_linux::{Errno, SysResult};
use host_sys::mounts::{self, Reach, Refuses};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, mkdirat, open};
use rustix::io::Errno as HostErrno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree,
    unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

use crate::errno;
use crate::maker::Maker;

/// What becomes of the host's root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostRoot {
    Left,
    /// It is what a container sees, to be read only, at [`KEPT`].
    Kept,
}

/// Where the host's root is if it was kept.
pub const KEPT: &str = "/0";

/// Who hangs trees.
enum Mounts {
    Hosts,
    Own(Option<Arc<Maker>>),
}

/// Where a supervisor lives.
pub struct Home {
    mounts: Mounts,
    next: AtomicU32,
    null: OwnedFd,
    ptmx: Option<OwnedFd>,
}

/// A tree of the host that hangs in the supervisor's root.
pub struct Hung {
    number: u32,
    maker: Option<Arc<Maker>>,
}

impl Hung {
    /// Where.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        path(self.number)
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        // Without a maker the process ends with its containers.
        if let Some(maker) = &self.maker
            && let Err(error) = maker.take_down(self.number)
        {
            tracing::debug!(%error, number = self.number, "cannot take a tree down");
        }
    }
}

fn path(number: u32) -> PathBuf {
    PathBuf::from(format!("/{number}"))
}

impl Home {
    /// Moves the process, which has one thread, into a root of its own.
    pub fn leave(host_root: HostRoot) -> SysResult<Self> {
        let device = |path: &str| open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let null = device("/dev/null").map_err(errno)?;
        let ptmx = device("/dev/ptmx").ok();
        let mounts = match mounts::leave_namespaces() {
            Ok(()) => {
                enter_new_root(host_root).map_err(errno)?;
                Mounts::Own(None)
            }
            Err(Errno::EPERM) => {
                tracing::debug!("no CAP_SYS_ADMIN: the supervisor stays among the host's mounts");
                Mounts::Hosts
            }
            Err(error) => return Err(error),
        };
        Ok(Self { mounts, next: AtomicU32::new(1), null, ptmx })
    }

    /// From now on `maker` hangs trees, since this process may not any more.
    pub fn leave_it_to(&mut self, maker: &Arc<Maker>) -> SysResult<()> {
        if let Mounts::Own(whose) = &mut self.mounts {
            let own = open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
            maker.serve_home(own.map_err(errno)?.as_fd())?;
            *whose = Some(Arc::clone(maker));
        }
        Ok(())
    }

    /// Whether the supervisor has a root of its own.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.mounts, Mounts::Own(_))
    }

    /// Whether trees can still be hung once this process is confined.
    #[must_use]
    pub fn takes_more(&self) -> bool {
        !matches!(self.mounts, Mounts::Own(None))
    }

    /// Nothing in /proc can be written from now on. Needs CAP_SYS_ADMIN.
    pub fn seal(&self) -> SysResult<()> {
        if !self.is_own() {
            return Ok(());
        }
        let proc = open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(errno)?;
        mounts::change(proc.as_fd(), Reach::All, Refuses::WRITES, mounts::Spread::Unchanged)
    }

    /// Hangs a tree; `None` where the root is the host's.
    pub fn hang(&self, tree: BorrowedFd<'_>) -> SysResult<Option<Hung>> {
        let Mounts::Own(maker) = &self.mounts else { return Ok(None) };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        match maker {
            Some(maker) => maker.hang(number, tree)?,
            None => hang(number, tree)?,
        }
        Ok(Some(Hung { number, maker: maker.clone() }))
    }

    /// Opens /dev/null.
    pub fn null(&self) -> SysResult<OwnedFd> {
        reopen(self.null.as_fd())
    }

    /// Opens the master of a new pty of the host.
    pub fn new_pty(&self) -> SysResult<OwnedFd> {
        reopen(self.ptmx.as_ref().ok_or(Errno::ENOENT)?.as_fd())
    }
}

fn reopen(device: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let path = format!("/proc/self/fd/{}", host_sys::child::number(device));
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_err(errno)
}

/// Room for mount points; files take none.
const ROOT_OPTIONS: [(&str, &str); 3] = [("size", "4k"), ("nr_inodes", "4096"), ("mode", "555")];

fn enter_new_root(host_root: HostRoot) -> rustix::io::Result<()> {
    let proc = new_proc()?;
    // Nothing that happens here shows on the host.
    let propagation = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", propagation)?;
    let plain = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let plain = plain | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tmpfs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in ROOT_OPTIONS {
        fsconfig_set_string(tmpfs.as_fd(), name, value)?;
    }
    fsconfig_create(tmpfs.as_fd())?;
    let root = fsmount(tmpfs.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, plain)?;
    // /proc is only a directory to mount on: it exists, since the supervisor uses it.
    move_mount(&root, "", CWD, "/proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    mkdirat(&root, "proc", Mode::from_raw_mode(0o555))?;
    move_mount(&proc, "", &root, "proc", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    fchdir(&root)?;
    match host_root {
        HostRoot::Left => {
            pivot_root(".", ".")?;
            unmount(".", UnmountFlags::DETACH)?;
        }
        HostRoot::Kept => {
            let place = KEPT.trim_start_matches('/');
            mkdirat(&root, place, Mode::from_raw_mode(0o555))?;
            pivot_root(".", place)?;
            let kept = open(KEPT, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let refuses = Refuses::WRITES.and(Refuses::DEVICES).and(Refuses::SETUID);
            let changed = mounts::change(kept.as_fd(), Reach::All, refuses, mounts::Spread::Unchanged);
            changed.map_err(|error| HostErrno::from_raw_os_error(error.raw()))?;
        }
    }
    chdir("/")
}

/// A /proc in which only those processes show that one may trace; else the host's.
fn new_proc() -> rustix::io::Result<OwnedFd> {
    let new = || {
        let proc = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_set_string(proc.as_fd(), "hidepid", "ptraceable")?;
        fsconfig_create(proc.as_fd())?;
        let plain = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let plain = plain | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        fsmount(proc.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, plain)
    };
    let copy =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    // In a container of others, say, whose /proc hides something.
    new().or_else(|_: HostErrno| open_tree(CWD, "/proc", copy))
}

/// Hangs a tree at the root of the calling thread.
pub(crate) fn hang(number: u32, tree: BorrowedFd<'_>) -> SysResult<()> {
    let path = path(number);
    let stat = fstat(tree).map_err(errno)?;
    let made = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => mkdirat(CWD, &path, Mode::from_raw_mode(0o555)),
        _ => open(&path, OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()).map(drop),
    };
    made.map_err(errno)?;
    move_mount(tree, "", CWD, &path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(errno)
}

/// Takes a tree down again.
pub(crate) fn take_down(number: u32) -> SysResult<()> {
    let path = path(number);
    unmount(&path, UnmountFlags::DETACH).map_err(errno)?;
    match rustix::fs::unlink(&path) {
        Err(HostErrno::ISDIR) => rustix::fs::rmdir(&path),
        removed => removed,
    }
    .map_err(errno)
}
