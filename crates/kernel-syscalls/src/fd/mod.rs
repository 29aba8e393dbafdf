//! Descriptors: close(2), dup(2), pipe(2), fcntl(2), ioctl(2), flock(2).
//!
//! Numbers at which mmap(2) put a file into the host's table are closed there too, by letting the host
//! perform the guest's own close(2) (see [`crate::mem`]).

pub(crate) mod fcntl;
pub(crate) mod ioctl;
pub(crate) mod lock;
pub(crate) mod owner;

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::file::File;

use crate::cx::{Cx, Outcome};

const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// What closing a descriptor does beyond taking it out of the table.
fn let_go(cx: &Cx, file: Arc<File>) {
    file.flush(&*cx.task);
    drop(file);
}

/// close(2).
pub(crate) fn sys_close(cx: &Cx, fd: Fd) -> SysResult<Outcome> {
    let loaders = cx.process.is_loading() && (0..=1).contains(&fd.0);
    if !loaders {
        let_go(cx, cx.process.files.remove(fd)?);
    }
    // A thread's exec may have put the loader there.
    let is_loader = fd.0 == crate::mem::LOADER_FD && cx.exec_is_under_way();
    let mapped = !is_loader && cx.process.forget_mapped_fd(fd.0);
    Ok(if mapped || loaders { Outcome::Continue } else { Outcome::Value(0) })
}

/// close_range(2).
pub(crate) fn sys_close_range(cx: &Cx, first: u32, last: u32, flags: u32) -> SysResult<()> {
    if flags & !(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) != 0 || first > last {
        return Err(Errno::EINVAL);
    }
    if flags & CLOSE_RANGE_UNSHARE != 0 {
        // A thread cannot have descriptors of its own, and the others must not lose theirs.
        if cx.process.tasks().len() > 1 {
            return Err(Errno::ENOMEM);
        }
        cx.process.files.unshare();
    }
    if flags & CLOSE_RANGE_CLOEXEC != 0 {
        cx.process.files.set_cloexec_range(first, last);
        return Ok(());
    }
    for (_, file) in cx.process.files.remove_range(first, last) {
        let_go(cx, file);
    }
    Ok(())
}

/// dup(2).
pub(crate) fn sys_dup(cx: &Cx, old: Fd) -> SysResult<Fd> {
    let file = cx.process.files.get(old)?;
    cx.install(file, false)
}

/// dup2(2).
pub(crate) fn sys_dup2(cx: &Cx, old: Fd, new: Fd) -> SysResult<Fd> {
    if old == new {
        return cx.process.files.get(old).map(|_| new);
    }
    duplicate_at(cx, old, new, false)
}

/// dup3(2).
pub(crate) fn sys_dup3(cx: &Cx, old: Fd, new: Fd, flags: u32) -> SysResult<Fd> {
    if flags & !OpenFlags::CLOEXEC.bits() != 0 || old == new {
        return Err(Errno::EINVAL);
    }
    #[cfg(planted)]
    assert!(new.0 != 7, "planted: a panic");
    duplicate_at(cx, old, new, flags != 0)
}

fn duplicate_at(cx: &Cx, old: Fd, new: Fd, cloexec: bool) -> SysResult<Fd> {
    let limit = cx.process.limits.files();
    let file = cx.process.files.get(old)?;
    if let Some(replaced) = cx.process.files.replace(new, file, cloexec, limit)? {
        let_go(cx, replaced);
    }
    Ok(new)
}

/// pipe(2).
pub(crate) fn sys_pipe(cx: &Cx, fds: UserRef<[i32; 2]>) -> SysResult<()> {
    sys_pipe2(cx, fds, 0)
}

/// O_NOTIFICATION_PIPE, which is O_EXCL.
const NOTIFICATION_PIPE: OpenFlags = OpenFlags::EXCL;
const ENOPKG: i32 = 65;

/// pipe2(2).
pub(crate) fn sys_pipe2(cx: &Cx, fds: UserRef<[i32; 2]>, flags: u32) -> SysResult<()> {
    let flags = OpenFlags::from_bits_retain(flags);
    let known = OpenFlags::CLOEXEC | OpenFlags::NONBLOCK | OpenFlags::DIRECT;
    if flags.contains(NOTIFICATION_PIPE) && (known | NOTIFICATION_PIPE).contains(flags) {
        // As on a kernel without CONFIG_WATCH_QUEUE.
        return Err(Errno::from_raw(ENOPKG));
    }
    if !known.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let cloexec = flags.contains(OpenFlags::CLOEXEC);
    let (reader, writer) = kernel_fs::pipe::open(&*cx.task, flags)?;
    let files = &cx.process.files;
    let read_end = cx.install(reader, cloexec)?;
    let installed = cx.install(writer, cloexec).and_then(|write_end| {
        let copied = cx.mem().write(fds, &[read_end.0, write_end.0]);
        copied.inspect_err(|_| drop(files.remove(write_end)))
    });
    installed.inspect_err(|_| drop(files.remove(read_end)))
}
