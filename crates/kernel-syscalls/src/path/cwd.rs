//! Where path walks begin: getcwd(2), chdir(2), fchdir(2), chroot(2), umask(2).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;

use super::at::{CWD, Target};
use crate::cx::Cx;

/// getcwd(2): the length with the NUL.
pub(crate) fn sys_getcwd(cx: &Cx, buf: u64, size: usize) -> SysResult<usize> {
    let fs = cx.process.fs.get();
    let mut text = fs.cwd.display_cwd(&fs.root)?;
    text.push(0);
    if text.len() > abi_linux::fs::PATH_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    if size < text.len() {
        return Err(Errno::ERANGE);
    }
    cx.mem().write_bytes(buf, &text)?;
    Ok(text.len())
}

fn find(cx: &Cx, path: UserCStr) -> SysResult<Path> {
    let target = Target::read(cx, CWD, path)?;
    cx.with_walk(|walk| target.resolve(walk, WalkFlags::DIRECTORY))
}

fn set_cwd(cx: &Cx, place: Path) {
    let old = cx.process.fs.change(|fs| std::mem::replace(&mut fs.cwd, place));
    drop(old);
}

/// chdir(2).
pub(crate) fn sys_chdir(cx: &Cx, path: UserCStr) -> SysResult<()> {
    let place = find(cx, path)?;
    cx.with_walk(|walk| walk.check_chdir(&place))?;
    set_cwd(cx, place);
    Ok(())
}

/// fchdir(2); O_PATH descriptors, too.
pub(crate) fn sys_fchdir(cx: &Cx, fd: Fd) -> SysResult<()> {
    let file = cx.process.files.get(fd)?;
    cx.with_walk(|walk| walk.check_chdir(&file.path))?;
    set_cwd(cx, file.path.clone());
    Ok(())
}

/// chroot(2).
pub(crate) fn sys_chroot(cx: &Cx, path: UserCStr) -> SysResult<()> {
    let place = find(cx, path)?;
    cx.with_walk(|walk| walk.check_chroot(&place))?;
    let old = cx.process.fs.change(|fs| std::mem::replace(&mut fs.root, place));
    drop(old);
    Ok(())
}

/// umask(2): the old mask.
pub(crate) fn sys_umask(cx: &Cx, mask: u32) -> SysResult<u32> {
    Ok(cx.process.fs.change(|fs| std::mem::replace(&mut fs.umask, mask & 0o777)))
}
