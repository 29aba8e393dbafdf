//! Mounts behind descriptors: what rustix lacks of the calls on them (mount_setattr(2), unshare(2)).

use std::os::fd::{AsRawFd, BorrowedFd};

use abi_linux::SysResult;

use crate::{check, check_long};

/// How mounts and unmounts on the host spread to a mount (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// As they are.
    Unchanged,
    /// They come in, none goes out.
    Slave,
    Private,
}

/// What a mount is to refuse from now on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refuses(u64);

impl Refuses {
    pub const WRITES: Self = Self(libc::MOUNT_ATTR_RDONLY);
    pub const SETUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    pub const DEVICES: Self = Self(libc::MOUNT_ATTR_NODEV);

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which mounts a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    One,
    /// And all below it.
    All,
}

/// mount_setattr(2) on the mount that `mount` is the root of.
pub fn change(mount: BorrowedFd<'_>, reach: Reach, refuses: Refuses, spread: Spread) -> SysResult<()> {
    let propagation = match spread {
        Spread::Unchanged => 0,
        Spread::Slave => libc::MS_SLAVE,
        Spread::Private => libc::MS_PRIVATE,
    };
    let attr = libc::mount_attr { attr_set: refuses.0, attr_clr: 0, propagation, userns_fd: 0 };
    let pointer: *const libc::mount_attr = &attr;
    let below = if reach == Reach::All { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::AT_EMPTY_PATH | below;
    let size = size_of::<libc::mount_attr>();
    let empty = c"".as_ptr();
    // SAFETY: `empty` is a live NUL-terminated string, `pointer` is to a live struct of the size that is passed; both
    // are only read.
    let ret =
        unsafe { libc::syscall(libc::SYS_mount_setattr, mount.as_raw_fd(), empty, flags, pointer, size) };
    check_long(ret).map(drop)
}

/// unshare(2) of mounts, System V IPC and host names: the calling thread has its own from now on.
pub fn leave_namespaces() -> SysResult<()> {
    // SAFETY: integers only; descriptors and memory stay shared.
    let ret = unsafe { libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS) };
    check(ret).map(drop)
}
