//! flock(2) and the record locks of fcntl(2) (fs/locks.c, Linux v6.18).

use abi_linux::fs::Events;
use abi_linux::raw::general::{
    F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLKW, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH,
    LOCK_UN,
};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::file::File;
use kernel_vfs::locks::{LockKind, LockOwner, Record, table};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::cx::Cx;

/// `struct flock` of x86_64.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Flock {
    l_type: i16,
    l_whence: i16,
    pad0: u32,
    l_start: i64,
    l_len: i64,
    l_pid: i32,
    pad1: u32,
}

/// First and last byte that a request means (flock64_to_posix_lock).
fn range_of(file: &File, request: &Flock) -> SysResult<(u64, u64)> {
    let base = match request.l_whence {
        0 => 0,
        1 => *file.position(),
        2 => file.inode.metadata()?.size,
        _ => return Err(Errno::EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| Errno::EOVERFLOW)?;
    let start = base.checked_add(request.l_start).ok_or(Errno::EOVERFLOW)?;
    let (first, last) = match request.l_len {
        0 => return Ok((u64::try_from(start).map_err(|_| Errno::EINVAL)?, u64::MAX)),
        len if len > 0 => (start, start.checked_add(len - 1).ok_or(Errno::EOVERFLOW)?),
        len => (start.checked_add(len).ok_or(Errno::EINVAL)?, start.checked_sub(1).ok_or(Errno::EINVAL)?),
    };
    match (u64::try_from(first), u64::try_from(last)) {
        (Ok(first), Ok(last)) => Ok((first, last)),
        _ => Err(Errno::EINVAL),
    }
}

fn kind_of(l_type: i16) -> SysResult<Option<LockKind>> {
    match u32::try_from(l_type) {
        Ok(F_RDLCK) => Ok(Some(LockKind::Shared)),
        Ok(F_WRLCK) => Ok(Some(LockKind::Exclusive)),
        Ok(F_UNLCK) => Ok(None),
        _ => Err(Errno::EINVAL),
    }
}

/// The lock that a request asks for; of no use but for its range when it asks for F_UNLCK.
fn record(cx: &Cx, file: &File, op: u32, request: &Flock) -> SysResult<Record> {
    let kind = kind_of(request.l_type)?.unwrap_or(LockKind::Shared);
    let (start, last) = range_of(file, request)?;
    if !matches!(op, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW) {
        let owner = LockOwner::Files(cx.process.files.id());
        return Ok(Record { owner, kind, start, last, pid: cx.process.pid });
    }
    if request.l_pid != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = LockOwner::Description(std::ptr::from_ref(file).addr());
    Ok(Record { owner, kind, start, last, pid: -1 })
}

/// F_GETLK and F_OFD_GETLK.
pub(crate) fn get(cx: &Cx, file: &File, op: u32, arg: u64) -> SysResult<()> {
    let at = UserRef::<Flock>::new(arg);
    let mut request = cx.mem().read(at)?;
    if kind_of(request.l_type)?.is_none() {
        return Err(Errno::EINVAL);
    }
    let wanted = record(cx, file, op, &request)?;
    match table().test_record(file, &wanted)? {
        None => request.l_type = F_UNLCK as i16,
        Some(lock) => {
            request.l_type = if lock.kind == LockKind::Shared { F_RDLCK } else { F_WRLCK } as i16;
            request.l_whence = 0;
            request.l_start = lock.start as i64;
            let to_end = lock.last >= i64::MAX as u64;
            request.l_len = if to_end { 0 } else { (lock.last - lock.start + 1) as i64 };
            request.l_pid = lock.pid;
        }
    }
    cx.mem().write(at, &request)
}

/// F_SETLK, F_SETLKW and their relatives for open files.
pub(crate) async fn set(cx: &Cx, file: &File, op: u32, arg: u64) -> SysResult<()> {
    let request = cx.mem().read(UserRef::<Flock>::new(arg))?;
    let wanted = record(cx, file, op, &request)?;
    match kind_of(request.l_type)? {
        None => return table().clear_record(file, wanted),
        Some(LockKind::Shared) => file.check_readable()?,
        Some(LockKind::Exclusive) => file.check_writable()?,
    }
    if !matches!(op, F_SETLKW | F_OFD_SETLKW) {
        return table().set_record(file, wanted);
    }
    let mut waiting = table().wait_for_record(file, wanted);
    table().wait_queue().wait_until(Events::IN, || waiting.attempt()).await
}

/// flock(2).
pub(crate) async fn sys_flock(cx: &Cx, fd: Fd, op: u32) -> SysResult<()> {
    let kind = match op & !LOCK_NB {
        LOCK_SH => Some(LockKind::Shared),
        LOCK_EX => Some(LockKind::Exclusive),
        LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let file = cx.file(fd)?;
    if kind.is_some() && file.flags().bits() & 3 == 3 {
        // Opened with access mode 3, for neither reading nor writing.
        return Err(Errno::EBADF);
    }
    if op & LOCK_NB != 0 {
        return table().flock(&file, kind);
    }
    let attempt = || Some(table().flock(&file, kind)).filter(|result| *result != Err(Errno::EAGAIN));
    table().wait_queue().wait_until(Events::IN, attempt).await
}
