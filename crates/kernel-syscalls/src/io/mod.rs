//! read(2), write(2) and their relatives, lseek(2), sendfile(2), and the sync family.
//!
//! [`transfer::Transfer`] moves bytes between guest memory and a file; handlers here only check arguments
//! in Linux's order (fs/read_write.c, Linux v6.18).

pub(crate) mod aio;
pub(crate) mod copy;
mod now;
pub(crate) mod sendfile;
pub(crate) mod splice;
pub(crate) mod sync;
mod transfer;
pub(crate) mod vector;

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{Pieces, TASK_SIZE};
use kernel_fs::pidfd::PidFd;
use kernel_fs::signalfd::SignalFd;
use kernel_vfs::anon;
use kernel_vfs::file::Whence;

use crate::cx::{Cx, Outcome};
use crate::events::signalfd;
use transfer::{Place, Transfer};

/// One buffer. access_ok looks at all of `count`, before it is cut to MAX_RW_COUNT.
fn buffer(cx: &Cx, addr: u64, count: usize) -> SysResult<Pieces> {
    match addr.checked_add(count as u64) {
        Some(end) if end <= TASK_SIZE => cx.buffer(addr, count),
        _ => Err(Errno::EFAULT),
    }
}

/// An explicit file offset; EINVAL when negative.
fn offset(raw: i64) -> SysResult<Place> {
    u64::try_from(raw).map(Place::At).map_err(|_| Errno::EINVAL)
}

/// [`sys_read`] of what is there.
pub(crate) fn try_read(cx: &Cx, fd: Fd, buf: u64, count: usize) -> Option<SysResult<Outcome>> {
    now::read(cx, fd, buf, count, Place::Position)
}

/// [`sys_write`] where there is room.
pub(crate) fn try_write(cx: &Cx, fd: Fd, buf: u64, count: usize) -> Option<SysResult<Outcome>> {
    now::write(cx, fd, buf, count, Place::Position)
}

/// [`sys_pread64`] of what is there.
pub(crate) fn try_pread64(cx: &Cx, fd: Fd, buf: u64, count: usize, at: i64) -> Option<SysResult<Outcome>> {
    now::read(cx, fd, buf, count, Place::At(u64::try_from(at).ok()?))
}

/// [`sys_pwrite64`] where there is room.
pub(crate) fn try_pwrite64(cx: &Cx, fd: Fd, buf: u64, count: usize, at: i64) -> Option<SysResult<Outcome>> {
    now::write(cx, fd, buf, count, Place::At(u64::try_from(at).ok()?))
}

/// read(2).
pub(crate) async fn sys_read(cx: &Cx, fd: Fd, buf: u64, count: usize) -> SysResult<Outcome> {
    let file = cx.file(fd)?;
    file.check_readable()?;
    let bytes = buffer(cx, buf, count)?;
    if let Some(signals) = SignalFd::of(&file) {
        return signalfd::read(cx, &file, signals, &bytes).await;
    }
    Transfer::new(cx, &file, bytes, Place::Position).read().await.map(Outcome::from)
}

/// write(2).
pub(crate) async fn sys_write(cx: &Cx, fd: Fd, buf: u64, count: usize) -> SysResult<usize> {
    let file = cx.file(fd)?;
    file.check_writable()?;
    Transfer::new(cx, &file, buffer(cx, buf, count)?, Place::Position).write().await
}

/// pread(2).
pub(crate) async fn sys_pread64(cx: &Cx, fd: Fd, buf: u64, count: usize, at: i64) -> SysResult<usize> {
    let place = offset(at)?;
    let file = cx.file(fd)?;
    transfer::check_seekable(&file)?;
    file.check_readable()?;
    Transfer::new(cx, &file, buffer(cx, buf, count)?, place).read().await
}

/// pwrite(2).
pub(crate) async fn sys_pwrite64(cx: &Cx, fd: Fd, buf: u64, count: usize, at: i64) -> SysResult<usize> {
    let place = offset(at)?;
    let file = cx.file(fd)?;
    transfer::check_seekable(&file)?;
    file.check_writable()?;
    Transfer::new(cx, &file, buffer(cx, buf, count)?, place).write().await
}

/// lseek(2).
pub(crate) fn sys_lseek(cx: &Cx, fd: Fd, offset: i64, whence: u32) -> SysResult<u64> {
    let file = cx.file(fd)?;
    let whence = match whence {
        0 => Whence::Set,
        1 => Whence::Current,
        2 => Whence::End,
        3 => Whence::Data,
        4 => Whence::Hole,
        #[cfg(planted)]
        _ => return Err(Errno::ENOTTY),
        #[cfg(not(planted))]
        _ => return Err(Errno::EINVAL),
    };
    // noop_llseek of eventfd, epoll, timerfd, signalfd and inotify; a pidfd is no anon_inode any more.
    if anon::is_anon_inode(&*file.inode) && !file.ops.as_any().is::<PidFd>() {
        return Ok(0);
    }
    transfer::check_seekable(&file)?;
    let mut position = file.position();
    let new = match whence {
        _ if file.ops.stays_at_start() => 0,
        Whence::Set => u64::try_from(offset).map_err(|_| Errno::EINVAL)?,
        Whence::Current => {
            let sum = i64::try_from(*position).ok().and_then(|now| now.checked_add(offset));
            sum.and_then(|sum| u64::try_from(sum).ok()).ok_or(Errno::EINVAL)?
        }
        Whence::End | Whence::Data | Whence::Hole => file.ops.seek(whence, offset)?,
    };
    *position = new;
    Ok(new)
}
