//! mkdir(2) and mknod(2).

use abi_linux::SysResult;
use abi_linux::fs::makedev;
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;

use super::at::{CWD, Target};
use crate::cx::Cx;

/// mkdirat(2).
pub(crate) fn sys_mkdirat(cx: &Cx, dirfd: Fd, path: UserCStr, mode: u32) -> SysResult<()> {
    let target = Target::read(cx, dirfd, path)?;
    cx.with_walk(|walk| walk.mkdir(target.at.as_ref(), &target.path, mode))
}

/// mkdir(2).
pub(crate) fn sys_mkdir(cx: &Cx, path: UserCStr, mode: u32) -> SysResult<()> {
    sys_mkdirat(cx, CWD, path, mode)
}

/// mknodat(2). `dev` is in the kernel's encoding of 32 bits (new_decode_dev), whose low parts are those of
/// stat(2).
pub(crate) fn sys_mknodat(cx: &Cx, dirfd: Fd, path: UserCStr, mode: u32, dev: u32) -> SysResult<()> {
    let target = Target::read(cx, dirfd, path)?;
    let rdev = makedev((dev >> 8) & 0xfff, dev & 0xff | (dev >> 12) & 0xf_ff00);
    cx.with_walk(|walk| walk.mknod(target.at.as_ref(), &target.path, mode & 0o177_777, rdev))
}

/// mknod(2).
pub(crate) fn sys_mknod(cx: &Cx, path: UserCStr, mode: u32, dev: u32) -> SysResult<()> {
    sys_mknodat(cx, CWD, path, mode, dev)
}
