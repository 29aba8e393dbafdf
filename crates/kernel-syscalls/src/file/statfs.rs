//! statfs(2) and fstatfs(2).

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use kernel_base::reg::Fd;
use kernel_base::user::{UserCStr, UserRef};
use kernel_vfs::walk::WalkFlags;

use crate::cx::Cx;
use crate::path::at::{CWD, Target};

/// statfs(2).
pub(crate) fn sys_statfs(cx: &Cx, path: UserCStr, buf: UserRef<StatFs>) -> SysResult<()> {
    let target = Target::read(cx, CWD, path)?;
    let stat = cx.with_walk(|walk| walk.statfs(&target.resolve(walk, WalkFlags::empty())?))?;
    cx.mem().write(buf, &stat)
}

/// fstatfs(2); O_PATH descriptors, too.
pub(crate) fn sys_fstatfs(cx: &Cx, fd: Fd, buf: UserRef<StatFs>) -> SysResult<()> {
    let file = cx.process.files.get(fd)?;
    let stat = cx.with_walk(|walk| walk.statfs(&file.path))?;
    cx.mem().write(buf, &stat)
}
