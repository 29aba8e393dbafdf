//! Files that tell of events: eventfd(2) and timerfd_create(2).

pub(crate) mod inotify;
mod siginfo;
pub(crate) mod signalfd;

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::time::Itimerspec;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_fs::eventfd::{Counting, EventFd};
use kernel_fs::timerfd::TimerFd;
use kernel_vfs::file::File;

use crate::cx::Cx;
use crate::poll::epoll::open_anonymous;

const EFD_SEMAPHORE: u32 = 1;
/// EFD_CLOEXEC and EFD_NONBLOCK, TFD_CLOEXEC and TFD_NONBLOCK are open(2)'s.
const DESCRIPTOR_FLAGS: u32 = OpenFlags::CLOEXEC.union(OpenFlags::NONBLOCK).bits();

fn status(flags: u32) -> (OpenFlags, bool) {
    let flags = OpenFlags::from_bits_retain(flags & DESCRIPTOR_FLAGS);
    (OpenFlags::RDWR | flags & OpenFlags::NONBLOCK, flags.contains(OpenFlags::CLOEXEC))
}

/// eventfd2(2).
pub(crate) fn sys_eventfd2(cx: &Cx, initial: u32, flags: u32) -> SysResult<Fd> {
    if flags & !(EFD_SEMAPHORE | DESCRIPTOR_FLAGS) != 0 {
        return Err(Errno::EINVAL);
    }
    let counting = if flags & EFD_SEMAPHORE != 0 { Counting::Semaphore } else { Counting::Whole };
    let (status, cloexec) = status(flags);
    cx.install(open_anonymous(cx, "anon_inode:[eventfd]", EventFd::new(initial, counting), status), cloexec)
}

/// eventfd(2).
pub(crate) fn sys_eventfd(cx: &Cx, initial: u32) -> SysResult<Fd> {
    sys_eventfd2(cx, initial, 0)
}

/// timerfd_create(2).
pub(crate) fn sys_timerfd_create(cx: &Cx, clock: i32, flags: u32) -> SysResult<Fd> {
    if flags & !DESCRIPTOR_FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    let kernel = cx.kernel();
    let timer = TimerFd::new(clock, &*cx.task, Arc::clone(&kernel.platform), Arc::clone(&kernel.timers))?;
    let (status, cloexec) = status(flags);
    cx.install(open_anonymous(cx, "anon_inode:[timerfd]", timer, status), cloexec)
}

fn timer_of(file: &File) -> SysResult<&TimerFd> {
    file.ops.as_any().downcast_ref().ok_or(Errno::EINVAL)
}

/// timerfd_settime(2).
pub(crate) fn sys_timerfd_settime(
    cx: &Cx,
    fd: Fd,
    flags: u32,
    new: UserRef<Itimerspec>,
    old: UserRef<Itimerspec>,
) -> SysResult<()> {
    let new = cx.mem().read(new)?;
    TimerFd::check_setting(flags, &new)?;
    let file = cx.file(fd)?;
    let before = timer_of(&file)?.set_time(flags, &new)?;
    match old.non_null() {
        Some(old) => cx.mem().write(old, &before),
        None => Ok(()),
    }
}

/// timerfd_gettime(2).
pub(crate) fn sys_timerfd_gettime(cx: &Cx, fd: Fd, value: UserRef<Itimerspec>) -> SysResult<()> {
    let file = cx.file(fd)?;
    cx.mem().write(value, &timer_of(&file)?.time())
}
