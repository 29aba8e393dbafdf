//! epoll_create(2), epoll_ctl(2), epoll_wait(2) (fs/eventpoll.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::{EpollEvent, OpenFlags};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_fs::epoll::{Control, Epoll};
use kernel_vfs::anon::{AnonAttributes, AnonInode, AnonKind, anon_file};
use kernel_vfs::file::{File, FileOps};
use kernel_vfs::inode::FileKind;

use super::mask;
use super::wait::{Deadline, wait_for, wait_more};
use crate::cx::{Cx, Outcome};

const EPOLL_CTL_ADD: u32 = 1;
const EPOLL_CTL_DEL: u32 = 2;
const EPOLL_CTL_MOD: u32 = 3;
/// Most events of one wait (EP_MAX_EVENTS).
const MAX_EVENTS: i32 = i32::MAX / size_of::<EpollEvent>() as i32;

/// An open file of an anonymous inode, such as `anon_inode:[eventfd]`.
pub(crate) fn open_anonymous(cx: &Cx, name: &str, ops: Arc<dyn FileOps>, flags: OpenFlags) -> Arc<File> {
    let attributes = AnonAttributes { mode: 0o600, uid: 0, gid: 0, now_ns: cx.now_realtime_ns() };
    let inode = Arc::new(AnonInode::new(AnonKind::AnonInode, FileKind::Regular, attributes));
    anon_file(AnonKind::AnonInode, name.as_bytes(), inode, ops, flags)
}

/// epoll_create1(2).
pub(crate) fn sys_epoll_create1(cx: &Cx, flags: u32) -> SysResult<Fd> {
    if flags & !OpenFlags::CLOEXEC.bits() != 0 {
        return Err(Errno::EINVAL);
    }
    let file = open_anonymous(cx, "anon_inode:[eventpoll]", Epoll::new(), OpenFlags::RDWR);
    cx.install(file, flags != 0)
}

/// epoll_create(2).
pub(crate) fn sys_epoll_create(cx: &Cx, size: i32) -> SysResult<Fd> {
    if size <= 0 { Err(Errno::EINVAL) } else { sys_epoll_create1(cx, 0) }
}

/// epoll_ctl(2).
pub(crate) fn sys_epoll_ctl(cx: &Cx, epfd: Fd, op: u32, fd: Fd, event: UserRef<EpollEvent>) -> SysResult<()> {
    let event = if op == EPOLL_CTL_DEL { EpollEvent::default() } else { cx.mem().read(event)? };
    let epoll = cx.file(epfd)?;
    let file = cx.file(fd)?;
    if !file.ops.is_pollable() {
        return Err(Errno::EPERM);
    }
    let control = match op {
        EPOLL_CTL_ADD => Control::Add(event),
        EPOLL_CTL_MOD => Control::Modify(event),
        EPOLL_CTL_DEL => Control::Delete,
        _ => {
            Epoll::of(&epoll)?;
            return Err(Errno::EINVAL);
        }
    };
    Epoll::of(&epoll)?.control(&file, fd.0, control)
}

/// [`sys_epoll_wait`] of what is there.
pub(crate) fn try_epoll_wait(
    cx: &Cx,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    max: i32,
    timeout_ms: i32,
) -> Option<SysResult<Outcome>> {
    if max <= 0 || max > MAX_EVENTS {
        return None;
    }
    let file = cx.file(epfd).ok()?;
    let epoll = Epoll::of(&file).ok()?;
    cx.kernel().platform.look_at_shared();
    let ready = epoll.try_wait(max as usize);
    if ready.is_empty() {
        return (timeout_ms == 0).then(|| Ok(Outcome::from(0_usize)));
    }
    Some(cx.mem().write_array(events, &ready).map(|()| Outcome::from(ready.len())))
}

/// [`sys_epoll_pwait`] of what is there.
pub(crate) fn try_epoll_pwait(
    cx: &Cx,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    max: i32,
    timeout_ms: i32,
    sigmask: UserRef<u64>,
    _sigsetsize: usize,
) -> Option<SysResult<Outcome>> {
    sigmask.is_null().then(|| try_epoll_wait(cx, epfd, events, max, timeout_ms))?
}

/// Whether [`try_epoll_wait`] has found nothing in this very call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Yes,
    No,
}

async fn wait(
    cx: &Cx,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    max: i32,
    deadline: Deadline,
    tried: Tried,
) -> SysResult<usize> {
    let file = cx.file(epfd)?;
    if max <= 0 || max > MAX_EVENTS {
        return Err(Errno::EINVAL);
    }
    let epoll = Epoll::of(&file)?;
    // What is taken is bounded by the files that the epoll watches.
    let max = max as usize;
    let watched = [(Arc::clone(&file), abi_linux::fs::Events::IN)];
    let mut look = || Some(epoll.try_wait(max)).filter(|ready| !ready.is_empty());
    let ready = match tried {
        Tried::Yes => wait_more(cx, &watched, deadline, look).await,
        Tried::No => wait_for(cx, &watched, deadline, &mut look).await,
    };
    let Some(ready) = ready else { return Ok(0) };
    cx.mem().write_array(events, &ready)?;
    Ok(ready.len())
}

/// epoll_wait(2).
pub(crate) async fn sys_epoll_wait(
    cx: &Cx,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    max: i32,
    timeout_ms: i32,
) -> SysResult<usize> {
    wait(cx, epfd, events, max, Deadline::after_ms(cx, timeout_ms), Tried::Yes).await
}

/// epoll_pwait(2).
pub(crate) async fn sys_epoll_pwait(
    cx: &Cx,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    max: i32,
    timeout_ms: i32,
    sigmask: UserRef<u64>,
    sigsetsize: usize,
) -> SysResult<usize> {
    let _mask = mask::put(cx, sigmask, sigsetsize)?;
    let tried = if sigmask.is_null() { Tried::Yes } else { Tried::No };
    wait(cx, epfd, events, max, Deadline::after_ms(cx, timeout_ms), tried).await
}

/// epoll_pwait2(2).
pub(crate) async fn sys_epoll_pwait2(
    cx: &Cx,
    epfd: Fd,
    events: UserRef<EpollEvent>,
    max: i32,
    timeout: UserRef<Timespec>,
    sigmask: UserRef<u64>,
    sigsetsize: usize,
) -> SysResult<usize> {
    let wanted = timeout.non_null().map(|at| cx.mem().read(at)).transpose()?;
    let deadline = Deadline::after(cx, wanted)?;
    let _mask = mask::put(cx, sigmask, sigsetsize)?;
    wait(cx, epfd, events, max, deadline, Tried::No).await
}
