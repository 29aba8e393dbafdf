//! Where the path of an *at call begins.

use abi_linux::fs::AT_FDCWD;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::path::Path;
use kernel_vfs::walk::{WalkContext, WalkFlags};

use crate::cx::Cx;

/// AT_SYMLINK_NOFOLLOW, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_NO_AUTOMOUNT, AT_EMPTY_PATH
/// (include/uapi/linux/fcntl.h).
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
pub(crate) const AT_REMOVEDIR: u32 = 0x200;
pub(crate) const AT_EACCESS: u32 = 0x200;
pub(crate) const AT_SYMLINK_FOLLOW: u32 = 0x400;
pub(crate) const AT_NO_AUTOMOUNT: u32 = 0x800;
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
/// AT_STATX_FORCE_SYNC and AT_STATX_DONT_SYNC.
pub(crate) const AT_STATX_SYNC_TYPE: u32 = 0x6000;
/// The working directory.
pub(crate) const CWD: Fd = Fd(AT_FDCWD);

/// A path argument: its text, and the directory to begin in (`None`: the working directory).
pub(crate) struct Target {
    pub(crate) at: Option<Path>,
    pub(crate) path: Vec<u8>,
}

/// What becomes of an empty path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    Refused,
    Allowed,
}

impl Target {
    /// Reads the path, then looks at `dirfd`, which counts for relative paths alone. O_PATH descriptors
    /// are fine; that it is a directory is the walk's to find out.
    pub(crate) fn read(cx: &Cx, dirfd: Fd, path: UserCStr) -> SysResult<Self> {
        Self::of(cx, dirfd, cx.mem().read_path(path)?, Empty::Refused)
    }

    /// As [`Target::read`]; an empty path is looked up, too.
    pub(crate) fn read_even_empty(cx: &Cx, dirfd: Fd, path: UserCStr) -> SysResult<Self> {
        Self::of(cx, dirfd, cx.mem().read_path(path)?, Empty::Allowed)
    }

    /// As [`Target::read`], or [`Target::read_even_empty`] where the call's flags have AT_EMPTY_PATH.
    pub(crate) fn read_with(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32) -> SysResult<Self> {
        if flags & AT_EMPTY_PATH != 0 {
            return Self::read_even_empty(cx, dirfd, path);
        }
        Self::read(cx, dirfd, path)
    }

    /// As [`Target::read`]; with AT_EMPTY_PATH a null pointer is an empty path (Linux 6.11).
    pub(crate) fn read_maybe_empty(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32) -> SysResult<Self> {
        if path.0 == 0 && flags & AT_EMPTY_PATH != 0 {
            return Self::of(cx, dirfd, Vec::new(), Empty::Allowed);
        }
        Self::read_with(cx, dirfd, path, flags)
    }

    fn of(cx: &Cx, dirfd: Fd, path: Vec<u8>, empty: Empty) -> SysResult<Self> {
        if path.is_empty() && empty == Empty::Refused {
            // getname(): before the descriptor is looked at.
            return Err(Errno::ENOENT);
        }
        let relative = path.first() != Some(&b'/');
        let at =
            if relative && dirfd != CWD { Some(cx.process.files.get(dirfd)?.path.clone()) } else { None };
        Ok(Self { at, path })
    }

    /// Finds it.
    pub(crate) fn resolve(&self, walk: &WalkContext<'_>, flags: WalkFlags) -> SysResult<Path> {
        walk.resolve(self.at.as_ref(), &self.path, flags)
    }
}
