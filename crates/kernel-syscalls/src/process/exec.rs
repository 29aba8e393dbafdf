//! execve(2) and execveat(2).
//!
//! A guest's exec is checked here and then performed by the host as an execveat of the loader, which comes
//! back as a notification of its own. Neither call's memory is trusted: the loader's name is the empty
//! string in the vDSO, and its descriptor is one that only the supervisor can have installed.

use abi_linux::fs::AT_FDCWD;
use abi_linux::raw::general::{__NR_execveat, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_task::exec::ExecTarget;
use kernel_vfs::inode::FileKind;
use kernel_vfs::walk::WalkFlags;

use super::check_pointer;
use crate::cx::{Cx, Outcome};

/// The loader's number in the caller's host table, close-on-exec and gone with the exec. The guest's own
/// descriptor of that number is not affected: the host's table holds nothing else but mapped files.
const LOADER_FD: i32 = 63;

/// execve(2).
pub(crate) fn sys_execve(cx: &Cx, pathname: UserCStr, argv: u64, envp: u64) -> SysResult<Outcome> {
    let path = cx.mem().read_path(pathname)?;
    cx.prepare_exec(&ExecTarget::Path { at: None, path: &path, flags: WalkFlags::empty() })?;
    substitute(cx, argv, envp)
}

/// execveat(2): a guest's, or the loader's own.
pub(crate) fn sys_execveat(
    cx: &Cx,
    dirfd: Fd,
    pathname: UserCStr,
    argv: u64,
    envp: u64,
    flags: u32,
) -> SysResult<Outcome> {
    let is_substituted =
        dirfd.0 == LOADER_FD && flags == AT_EMPTY_PATH && cx.empty_string().is_ok_and(|at| at == pathname.0);
    if cx.admit_loader_exec(is_substituted) {
        return Ok(Outcome::Continue);
    }
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = cx.mem().read_path(pathname)?;
    prepare_at(cx, dirfd, &path, flags)?;
    substitute(cx, argv, envp)
}

fn prepare_at(cx: &Cx, dirfd: Fd, path: &[u8], flags: u32) -> SysResult<()> {
    if dirfd.0 == AT_FDCWD || path.starts_with(b"/") {
        return prepare_below(cx, None, path, path, flags);
    }
    let file = cx.process.files.get(dirfd)?;
    // fs/exec.c alloc_bprm: the name by which a script's interpreter can open it again.
    let mut name = format!("/dev/fd/{}", dirfd.0).into_bytes();
    if path.is_empty() {
        if flags & AT_EMPTY_PATH == 0 {
            return Err(Errno::ENOENT);
        }
        return cx.prepare_exec(&ExecTarget::File { file: &file, name: &name });
    }
    name.push(b'/');
    name.extend_from_slice(path);
    prepare_below(cx, Some(&file.path), path, &name, flags)
}

fn prepare_below(
    cx: &Cx,
    at: Option<&kernel_vfs::path::Path>,
    path: &[u8],
    name: &[u8],
    flags: u32,
) -> SysResult<()> {
    if flags & AT_SYMLINK_NOFOLLOW != 0 {
        let found = cx.with_walk(|walk| walk.resolve(at, path, WalkFlags::from_at(flags)))?;
        if found.inode().kind() == FileKind::Symlink {
            return Err(Errno::ELOOP);
        }
    }
    cx.prepare_exec(&ExecTarget::PathNamed { at, path, flags: WalkFlags::from_at(flags), name })
}

fn substitute(cx: &Cx, argv: u64, envp: u64) -> SysResult<Outcome> {
    check_pointer(argv)?;
    check_pointer(envp)?;
    let empty = cx.empty_string()?;
    let args = [LOADER_FD as u64, empty, argv, envp, u64::from(AT_EMPTY_PATH), 0];
    Ok(Outcome::Substitute { nr: __NR_execveat as i32, args })
}
