//! Asynchronous I/O of libaio: io_setup(2) to io_pgetevents(2) (fs/aio.c, Linux v6.18).
//!
//! A context is named by the address of a page of zeros in the caller: libaio looks there for a ring that it may read
//! by itself, finds none, and makes the call.

use std::sync::Arc;

use abi_linux::fs::{IoVec, OpenFlags};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{Pieces, UserRef};
use kernel_fs::eventfd::EventFd;
use kernel_task::aio::{AIO_MAX_NR, Completed};
use kernel_vfs::file::File;
use platform_api::{Performed, Step};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::transfer::{Place, Transfer, check_seekable};
use super::vector::{status_of, sync_after};
use crate::cx::{Cx, Outcome};
use crate::poll::mask;

const MMAP: i32 = 9;
const MUNMAP: i32 = 11;
const PAGE_SIZE: u64 = 4096;
const PROT_READ: u64 = 1;
/// MAP_PRIVATE and MAP_ANONYMOUS.
const MAP_FLAGS: u64 = 0x22;
/// More are EINVAL, not EAGAIN: twice as many events of 32 bytes have to be fewer than 2^28 bytes (ioctx_alloc).
const NR_EVENTS_MAX: u32 = 0x1000_0000 / 32 / 2;
/// Opcodes (include/uapi/linux/aio_abi.h).
const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const FDSYNC: u16 = 3;
const NOOP: u16 = 6;
const PREADV: u16 = 7;
const PWRITEV: u16 = 8;
const FLAG_RESFD: u32 = 1;
/// Where the kernel writes its key (KIOCB_KEY, 0) into a request.
const KEY_OFFSET: u64 = 8;

/// `struct iocb`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    reqprio: i16,
    fd: i32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: i32,
}

/// `struct io_event`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct IoEvent {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

/// `struct __aio_sigset`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct AioSigset {
    mask: u64,
    size: u64,
}

/// io_setup(2): the caller maps the page that names the context.
pub(crate) fn sys_io_setup(cx: &Cx, count: u32, at: u64) -> SysResult<Outcome> {
    let old: u64 = cx.mem().read(UserRef::new(at))?;
    if old != 0 || count == 0 || count > NR_EVENTS_MAX {
        return Err(Errno::EINVAL);
    }
    let contexts = &cx.process.aio;
    contexts.check_room(count)?;
    let args = [0, PAGE_SIZE, PROT_READ, MAP_FLAGS, u64::MAX, 0];
    cx.perform(|performed| match performed {
        Performed::Started => Step::Perform { nr: MMAP, args },
        Performed::Interrupted => Step::Again,
        Performed::Result(error) if (-4095..0).contains(&error) => Step::Return(error),
        Performed::Result(address) => {
            let address = address.cast_unsigned();
            match cx.mem().write(UserRef::new(at), &address) {
                Ok(()) => {
                    contexts.insert(address, count);
                    Step::Return(0)
                }
                Err(errno) => Step::Return(-i64::from(errno.raw())),
            }
        }
    })
}

/// io_destroy(2).
pub(crate) fn sys_io_destroy(cx: &Cx, context: u64) -> SysResult<Outcome> {
    cx.process.aio.remove(context)?;
    cx.perform(|performed| match performed {
        Performed::Started => Step::Perform { nr: MUNMAP, args: [context, PAGE_SIZE, 0, 0, 0, 0] },
        Performed::Interrupted | Performed::Result(_) => Step::Return(0),
    })
}

/// A request whose file is known.
struct Request {
    iocb: Iocb,
    at: u64,
    file: Arc<File>,
    /// The eventfd that is told.
    told: Option<Arc<File>>,
}

impl Request {
    /// Reads and checks it (io_submit_one).
    fn read(cx: &Cx, at: u64) -> SysResult<Self> {
        let iocb: Iocb = cx.mem().read(UserRef::new(at))?;
        if iocb.reserved != 0 || i64::try_from(iocb.nbytes).is_err() {
            return Err(Errno::EINVAL);
        }
        let file = cx.file(Fd(iocb.fd))?;
        let told = match iocb.flags & FLAG_RESFD {
            0 => None,
            _ => {
                let told = cx.file(Fd(iocb.resfd))?;
                told.ops.as_any().is::<EventFd>().then_some(told).map(Some).ok_or(Errno::EINVAL)?
            }
        };
        cx.mem().write(UserRef::new(at.saturating_add(KEY_OFFSET)), &0u32)?;
        Ok(Self { iocb, at, file, told })
    }

    fn pieces(&self, cx: &Cx) -> SysResult<Pieces> {
        match self.iocb.opcode {
            PREADV | PWRITEV => {
                let count = usize::try_from(self.iocb.nbytes).map_err(|_| Errno::EINVAL)?;
                cx.mem().read_iovec(UserRef::<IoVec>::new(self.iocb.buf), count)
            }
            _ => cx.buffer(self.iocb.buf, usize::try_from(self.iocb.nbytes).map_err(|_| Errno::EINVAL)?),
        }
    }

    /// Performs it. An error of the outer kind refuses the request, one of the inner is its result.
    async fn perform(&self, cx: &Cx) -> SysResult<SysResult<usize>> {
        let (iocb, file) = (&self.iocb, &*self.file);
        match iocb.opcode {
            NOOP => Ok(Ok(0)),
            FSYNC | FDSYNC => {
                if iocb.buf != 0 || iocb.offset != 0 || iocb.nbytes != 0 || iocb.rw_flags != 0 {
                    return Err(Errno::EINVAL);
                }
                Ok(file.ops.sync(iocb.opcode == FDSYNC).map(|()| 0))
            }
            PREAD | PREADV | PWRITE | PWRITEV => self.transfer(cx).await,
            _ => Err(Errno::EINVAL),
        }
    }

    async fn transfer(&self, cx: &Cx) -> SysResult<SysResult<usize>> {
        let (iocb, file) = (&self.iocb, &*self.file);
        let is_read = matches!(iocb.opcode, PREAD | PREADV);
        if is_read {
            file.check_readable()?
        } else {
            file.check_writable()?
        }
        let place = match check_seekable(file) {
            Ok(()) => Place::At(u64::try_from(iocb.offset).map_err(|_| Errno::EINVAL)?),
            Err(_) => Place::Position,
        };
        // Reads of pipes and sockets wait here, as on Linux, whose aio is for files. A write that would wait is answered
        // by EAGAIN: interrupted, it could not tell what it has written from what was submitted.
        let waits = if is_read { OpenFlags::empty() } else { OpenFlags::NONBLOCK };
        let status = status_of(file, iocb.rw_flags)? | waits;
        let transfer = Transfer::new(cx, file, self.pieces(cx)?, place).with_flags(status);
        Ok(if is_read {
            transfer.read().await
        } else {
            let written = transfer.write().await;
            written.and_then(|written| sync_after(file, iocb.rw_flags).map(|()| written))
        })
    }
}

/// io_submit(2): how many requests were taken; the error of the first where none was.
pub(crate) async fn sys_io_submit(cx: &Cx, context: u64, count: i64, requests: u64) -> SysResult<i64> {
    let context = cx.process.aio.get(context)?;
    let count = u64::try_from(count).map_err(|_| Errno::EINVAL)?;
    let mut taken = 0;
    while taken < count && taken < u64::from(AIO_MAX_NR) {
        // What an interruption of the next one's wait returns.
        cx.set_progress(usize::try_from(taken).unwrap_or(0));
        match submit_one(cx, &context, requests.saturating_add(taken.saturating_mul(8))).await {
            Ok(()) => taken += 1,
            Err(errno) if taken == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    cx.set_progress(0);
    Ok(taken.cast_signed())
}

async fn submit_one(cx: &Cx, context: &kernel_task::aio::AioContext, pointer: u64) -> SysResult<()> {
    let at: u64 = cx.mem().read(UserRef::new(pointer))?;
    context.check_room()?;
    let request = Request::read(cx, at)?;
    let result = match request.perform(cx).await? {
        Ok(len) => i64::try_from(len).unwrap_or(i64::MAX),
        Err(errno) => -i64::from(errno.raw()),
    };
    context.complete(Completed { data: request.iocb.data, request: request.at, result });
    if let Some(told) = request.told.as_ref().and_then(|told| told.ops.as_any().downcast_ref::<EventFd>()) {
        told.signal();
    }
    Ok(())
}

/// io_getevents(2).
pub(crate) async fn sys_io_getevents(
    cx: &Cx,
    context: u64,
    least: i64,
    most: i64,
    events: UserRef<IoEvent>,
    timeout: UserRef<Timespec>,
) -> SysResult<usize> {
    let timeout = timeout.non_null().map(|at| cx.mem().read(at)).transpose()?;
    let context = cx.process.aio.get(context)?;
    let (Ok(least), Ok(most)) = (usize::try_from(least), usize::try_from(most)) else {
        return Err(Errno::EINVAL);
    };
    if least > most {
        return Err(Errno::EINVAL);
    }
    let timers = &cx.kernel().timers;
    let limit_ns = timeout.map(|timeout| timeout.to_ns().ok_or(Errno::EINVAL)).transpose()?;
    let deadline = limit_ns.map(|ns| timers.now_ns().saturating_add(ns));
    let found = match timers.limit(deadline, context.take(least, most)).await {
        Some(found) => found?,
        None => context.take_present(most)?,
    };
    let shown = |done: &Completed| IoEvent { data: done.data, obj: done.request, res: done.result, res2: 0 };
    let found: Vec<_> = found.iter().map(shown).collect();
    cx.mem().write_array(events, &found)?;
    Ok(found.len())
}

/// io_pgetevents(2).
pub(crate) async fn sys_io_pgetevents(
    cx: &Cx,
    context: u64,
    least: i64,
    most: i64,
    events: UserRef<IoEvent>,
    timeout: UserRef<Timespec>,
    sigset: UserRef<[u64; 2]>,
) -> SysResult<usize> {
    if let Some(at) = timeout.non_null() {
        let _: Timespec = cx.mem().read(at)?;
    }
    let sigset = UserRef::<AioSigset>::new(sigset.addr());
    let sigset = sigset.non_null().map(|at| cx.mem().read(at)).transpose()?;
    let _mask = match sigset {
        Some(AioSigset { mask: at, size }) => {
            mask::put(cx, UserRef::new(at), usize::try_from(size).map_err(|_| Errno::EINVAL)?)?
        }
        None => None,
    };
    sys_io_getevents(cx, context, least, most, events, timeout).await
}

/// io_cancel(2): what was submitted is done.
pub(crate) fn sys_io_cancel(cx: &Cx, context: u64, request: u64, _result: u64) -> SysResult<()> {
    let _key: u32 = cx.mem().read(UserRef::new(request.saturating_add(KEY_OFFSET)))?;
    cx.process.aio.get(context)?;
    Err(Errno::EINVAL)
}
