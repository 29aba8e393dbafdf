//! readv(2), writev(2), and the calls with an offset and flags.

use std::sync::Arc;

use abi_linux::fs::{IoVec, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{Pieces, UserRef};
use kernel_fs::eventfd::EventFd;
use kernel_fs::signalfd::SignalFd;
use kernel_vfs::file::File;
use kernel_vfs::inode::FileKind;

use super::transfer::{Place, Transfer, check_seekable};
use crate::cx::{Cx, Outcome};
use crate::events::signalfd;

const RWF_HIPRI: u32 = 1;
const RWF_DSYNC: u32 = 2;
const RWF_SYNC: u32 = 4;
const RWF_NOWAIT: u32 = 8;
const RWF_APPEND: u32 = 16;
const RWF_NOAPPEND: u32 = 32;
const RWF_NOSIGNAL: u32 = 256;

/// A file's status flags with what RWF_ flags change in them (kiocb_set_rw_flags).
pub(super) fn status_of(file: &File, flags: u32) -> SysResult<OpenFlags> {
    let known = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND;
    // It matters to pipes and sockets alone, which would have to know of it.
    let is_quiet = !matches!(file.inode.kind(), FileKind::Fifo | FileKind::Socket);
    let known = if is_quiet { known | RWF_NOSIGNAL } else { known };
    let both = RWF_APPEND | RWF_NOAPPEND;
    let mut status = file.flags();
    if flags & !known != 0 {
        return Err(Errno::EOPNOTSUPP);
    }
    if flags & both == both {
        return Err(Errno::EINVAL);
    }
    if flags & RWF_NOWAIT != 0 {
        // Disk files would have to answer for their caches.
        if file.inode.kind() == FileKind::Regular {
            return Err(Errno::EOPNOTSUPP);
        }
        status |= OpenFlags::NONBLOCK;
    }
    if flags & RWF_APPEND != 0 {
        status |= OpenFlags::APPEND;
    }
    if flags & RWF_NOAPPEND != 0 {
        status.remove(OpenFlags::APPEND);
    }
    Ok(status)
}

/// What RWF_DSYNC and RWF_SYNC ask for after a write.
pub(super) fn sync_after(file: &File, flags: u32) -> SysResult<()> {
    if flags & (RWF_DSYNC | RWF_SYNC) != 0 && file.inode.kind() == FileKind::Regular {
        file.ops.sync(flags & RWF_SYNC == 0)?;
    }
    Ok(())
}

/// One vectored call: its file and where.
struct Vectored {
    file: Arc<File>,
    place: Place,
    flags: u32,
}

impl Vectored {
    fn new(cx: &Cx, fd: Fd, place: Place, flags: u32) -> SysResult<Self> {
        let file = cx.file(fd)?;
        if place != Place::Position {
            check_seekable(&file)?;
        }
        Ok(Self { file, place, flags })
    }

    async fn read(self, cx: &Cx, iov: u64, count: usize) -> SysResult<usize> {
        self.file.check_readable()?;
        let bytes = cx.mem().read_iovec(UserRef::<IoVec>::new(iov), segments(count))?;
        let status = status_of(&self.file, self.flags)?;
        Transfer::new(cx, &self.file, bytes, self.place).with_flags(status).read().await
    }

    /// A file that knows no vectors gets one segment after the other (do_loop_readv_writev).
    async fn write_each(self, cx: &Cx, bytes: &Pieces, status: OpenFlags) -> SysResult<usize> {
        let mut done = 0;
        for piece in bytes.iter() {
            let one = Transfer::new(cx, &self.file, Pieces::one(*piece), self.place).with_flags(status);
            match one.write().await {
                Ok(written) => done += written,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    async fn write(self, cx: &Cx, iov: u64, count: usize) -> SysResult<usize> {
        self.file.check_writable()?;
        let bytes = cx.mem().read_iovec(UserRef::<IoVec>::new(iov), segments(count))?;
        if bytes.total() == 0 && self.flags != 0 {
            return Ok(0);
        }
        let status = status_of(&self.file, self.flags)?;
        if EventFd::is(&self.file) {
            return self.write_each(cx, &bytes, status).await;
        }
        let written = Transfer::new(cx, &self.file, bytes, self.place).with_flags(status).write().await?;
        sync_after(&self.file, self.flags)?;
        Ok(written)
    }
}

/// Linux keeps the number of segments in 32 bits (import_iovec).
const fn segments(count: usize) -> usize {
    count & u32::MAX as usize
}

/// The offset of preadv(2): on a 64-bit kernel all of it is in the first register (pos_from_hl).
fn place_of(offset: i64) -> SysResult<Place> {
    super::offset(offset)
}

/// The offset of preadv2(2): -1 stands for the position.
fn place_or_position(offset: i64) -> SysResult<Place> {
    if offset == -1 { Ok(Place::Position) } else { place_of(offset) }
}

/// readv(2).
pub(crate) async fn sys_readv(cx: &Cx, fd: Fd, iov: u64, count: usize) -> SysResult<Outcome> {
    let vectored = Vectored::new(cx, fd, Place::Position, 0)?;
    let file = Arc::clone(&vectored.file);
    if let Some(signals) = SignalFd::of(&file) {
        let bytes = cx.mem().read_iovec(UserRef::<IoVec>::new(iov), segments(count))?;
        return signalfd::read(cx, &file, signals, &bytes).await;
    }
    vectored.read(cx, iov, count).await.map(Outcome::from)
}

/// writev(2).
pub(crate) async fn sys_writev(cx: &Cx, fd: Fd, iov: u64, count: usize) -> SysResult<usize> {
    Vectored::new(cx, fd, Place::Position, 0)?.write(cx, iov, count).await
}

/// preadv(2).
pub(crate) async fn sys_preadv(
    cx: &Cx,
    fd: Fd,
    iov: u64,
    count: usize,
    offset: i64,
    _high: u64,
) -> SysResult<usize> {
    Vectored::new(cx, fd, place_of(offset)?, 0)?.read(cx, iov, count).await
}

/// pwritev(2).
pub(crate) async fn sys_pwritev(
    cx: &Cx,
    fd: Fd,
    iov: u64,
    count: usize,
    offset: i64,
    _high: u64,
) -> SysResult<usize> {
    Vectored::new(cx, fd, place_of(offset)?, 0)?.write(cx, iov, count).await
}

/// preadv2(2).
pub(crate) async fn sys_preadv2(
    cx: &Cx,
    fd: Fd,
    iov: u64,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> SysResult<usize> {
    Vectored::new(cx, fd, place_or_position(offset)?, flags)?.read(cx, iov, count).await
}

/// pwritev2(2).
pub(crate) async fn sys_pwritev2(
    cx: &Cx,
    fd: Fd,
    iov: u64,
    count: usize,
    offset: i64,
    _high: u64,
    flags: u32,
) -> SysResult<usize> {
    Vectored::new(cx, fd, place_or_position(offset)?, flags)?.write(cx, iov, count).await
}
