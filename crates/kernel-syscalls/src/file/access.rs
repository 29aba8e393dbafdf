//! access(2), faccessat(2), faccessat2(2).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::ops::real_credentials;
use kernel_vfs::permission::Access;
use kernel_vfs::walk::{WalkContext, WalkFlags};

use crate::cx::Cx;
use crate::path::at::{AT_EACCESS, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, CWD, Target};

/// faccessat2(2).
pub(crate) fn sys_faccessat2(cx: &Cx, dirfd: Fd, path: UserCStr, mode: u32, flags: u32) -> SysResult<()> {
    let want = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let target = Target::read_with(cx, dirfd, path, flags)?;
    let walk_flags = WalkFlags::from_at(flags);
    cx.with_walk(|walk| {
        if flags & AT_EACCESS != 0 {
            return walk.access(target.at.as_ref(), &target.path, want, walk_flags);
        }
        // The walk itself is made with the real ids, too (access_override_creds).
        let creds = real_credentials(walk.creds);
        let real = WalkContext { root: walk.root, cwd: walk.cwd, creds: &creds, ..*walk };
        real.access(target.at.as_ref(), &target.path, want, walk_flags)
    })
}

/// faccessat(2): the system call has no flags.
pub(crate) fn sys_faccessat(cx: &Cx, dirfd: Fd, path: UserCStr, mode: u32) -> SysResult<()> {
    sys_faccessat2(cx, dirfd, path, mode, 0)
}

/// access(2).
pub(crate) fn sys_access(cx: &Cx, path: UserCStr, mode: u32) -> SysResult<()> {
    sys_faccessat2(cx, CWD, path, mode, 0)
}
