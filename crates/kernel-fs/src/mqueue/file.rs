//! The open directory, and open queues: descriptors of mq_open(2), or what open(2) makes of a queue's name.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::wait::WaitQueue;
use kernel_ipc::mqueue::{NotifyKind, PosixQueue};
use kernel_vfs::file::{DirEntry, FileOps, Io, Whence};
use kernel_vfs::inode::FileKind;

use super::Shared;
use super::inode::{FILE_SIZE, QueueInode};

/// How many entries are taken from the directory at a time.
const BATCH: usize = 64;
/// Positions of "." and "..".
const DOTS: [&[u8]; 2] = [b".", b".."];
const SIGEV_THREAD: i32 = 2;
const SIGEV_NONE: i32 = 1;

/// The open directory.
pub(super) struct RootFile {
    shared: Arc<Shared>,
    ino: u64,
}

impl RootFile {
    pub(super) fn new(shared: Arc<Shared>, ino: u64) -> Self {
        Self { shared, ino }
    }
}

impl FileOps for RootFile {
    fn read(&self, _io: Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EISDIR)
    }
    fn read_dir(
        &self,
        _who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let dots = DOTS.len() as u64;
        for (name, at) in DOTS.into_iter().zip(0..) {
            let entry = DirEntry { name, ino: self.ino, kind: FileKind::Directory, next: at + 1 };
            if at >= position && !emit(entry) {
                return Ok(());
            }
        }
        let mut from = position.saturating_sub(dots);
        loop {
            let batch = self.shared.directory.lock().window(from, BATCH);
            for (at, name, ino) in &batch {
                from = at + 1;
                let entry = DirEntry { name, ino: *ino, kind: FileKind::Regular, next: from + dots };
                if !emit(entry) {
                    return Ok(());
                }
            }
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An open queue.
pub(super) struct QueueFile {
    inode: Arc<QueueInode>,
}

impl QueueFile {
    pub(super) fn new(inode: Arc<QueueInode>) -> Self {
        Self { inode }
    }

    pub(super) fn queue(&self) -> &Arc<PosixQueue> {
        &self.inode.queue
    }

    pub(super) fn touch(&self) {
        self.inode.touch(|attributes, now| (attributes.atime, attributes.ctime) = (now, now));
    }

    /// What mqueue_read_file says.
    fn text(&self) -> String {
        let status = self.inode.queue.status();
        let (notify, signal, pid) = match status.notify {
            Some((pid, NotifyKind::Signal(signal))) => (0, signal, pid),
            Some((pid, NotifyKind::None)) => (SIGEV_NONE, 0, pid),
            Some((pid, NotifyKind::Thread)) => (SIGEV_THREAD, 0, pid),
            None => (0, 0, 0),
        };
        let bytes = status.bytes;
        format!("QSIZE:{bytes:<10} NOTIFY:{notify:<5} SIGNO:{signal:<5} NOTIFY_PID:{pid:<6}\n")
    }
}

impl FileOps for QueueFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let text = self.text();
        let at = usize::try_from(io.offset).unwrap_or(usize::MAX);
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        if len > 0 {
            self.touch();
        }
        Ok(len)
    }
    fn seek(&self, whence: Whence, offset: i64) -> SysResult<u64> {
        let inside = || u64::try_from(offset).ok().filter(|&at| at < FILE_SIZE).ok_or(Errno::ENXIO);
        match whence {
            Whence::End => FILE_SIZE.checked_add_signed(offset).ok_or(Errno::EINVAL),
            Whence::Data => inside(),
            Whence::Hole => inside().map(|_| FILE_SIZE),
            Whence::Set | Whence::Current => Err(Errno::EINVAL),
        }
    }
    fn poll(&self) -> Events {
        self.inode.queue.poll()
    }
    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(self.inode.queue.wait_queue())
    }
    fn flush(&self, who: &dyn Caller) {
        self.inode.queue.unregister(who.pid());
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}
