//! The supervisor's standard streams as open files of the guest.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use host_files::{Stream, StreamKind};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;
use kernel_vfs::anon::{AnonKind, anon_path};
use kernel_vfs::file::{File, FileOps, Io, Whence};
use kernel_vfs::inode::{FileKind, Inode, Metadata, SetAttributes};
use platform_api::{Platform, ReadyListener, WatchId};

use super::inode::metadata_of;

/// Wakes whoever waits for a stream.
struct Wakeup {
    queue: WaitQueue,
}

impl ReadyListener for Wakeup {
    fn ready(&self, events: Events, _look: u64) {
        self.queue.wake(events);
    }
}

/// One standard stream; all open files on it share it.
struct HostStream {
    stream: Stream,
    platform: Arc<dyn Platform>,
    wakeup: Arc<Wakeup>,
    watch: OnceLock<WatchId>,
    /// Where the last transfer ended; a transfer from elsewhere moves the host's position first.
    end: Mutex<u64>,
}

/// Opens one of the supervisor's standard descriptors (a duplicate of it) for the guest. It shares the
/// position and the file with the host's programs. `text` is what /proc/pid/fd shows.
pub fn open_stream(fd: OwnedFd, text: &[u8], platform: &Arc<dyn Platform>) -> SysResult<Arc<File>> {
    let stream = Stream::new(fd)?;
    let (readable, writable) = stream.access()?;
    let mut flags = match (readable, writable) {
        (true, true) => OpenFlags::RDWR,
        (false, true) => OpenFlags::WRONLY,
        _ => OpenFlags::empty(),
    };
    if stream.is_append()? {
        flags |= OpenFlags::APPEND;
    }
    let seekable = stream.kind() == StreamKind::Regular;
    let position = if seekable { stream.position().unwrap_or(0) } else { 0 };
    let wakeup = Arc::new(Wakeup { queue: WaitQueue::new() });
    let watch = OnceLock::new();
    if !seekable {
        let listener = Arc::clone(&wakeup) as Arc<dyn ReadyListener>;
        // A device that epoll refuses (/dev/null) is always ready.
        if let Ok(id) = platform.watch_fd(stream.as_fd(), listener) {
            let _set_once = watch.set(id);
        }
    }
    let host =
        HostStream { stream, platform: Arc::clone(platform), wakeup, watch, end: Mutex::new(position) };
    let ops = Arc::new(StreamOps(Arc::new(host)));
    let inode = Arc::new(StreamInode { ops: Arc::clone(&ops) });
    let path = anon_path(AnonKind::Pipe, text, Arc::clone(&inode) as Arc<dyn Inode>);
    let file = File::new(path, inode, ops, flags);
    *file.position() = position;
    Ok(file)
}

struct StreamOps(Arc<HostStream>);

/// F_GETPIPE_SZ of a standard stream; EBADF for what is none, or no pipe.
pub fn pipe_capacity(ops: &dyn FileOps) -> SysResult<usize> {
    ops.as_any().downcast_ref::<StreamOps>().ok_or(Errno::EBADF)?.0.stream.pipe_capacity()
}

impl HostStream {
    fn is_seekable(&self) -> bool {
        self.stream.kind() == StreamKind::Regular
    }

    /// Runs a transfer at `offset`: at the host's own position when that is where the last one ended.
    fn at<T>(
        &self,
        offset: u64,
        transfer: impl FnOnce() -> SysResult<T>,
        len: impl Fn(&T) -> usize,
    ) -> SysResult<(T, u64)> {
        if !self.is_seekable() {
            return Ok((transfer()?, 0));
        }
        let mut end = self.end.lock();
        if *end != offset {
            self.stream.seek(i64::try_from(offset).map_err(|_| Errno::EINVAL)?, false)?;
        }
        let done = transfer()?;
        *end = offset.saturating_add(len(&done) as u64);
        Ok((done, *end))
    }
}

impl FileOps for StreamOps {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        self.0.at(io.offset, || self.0.stream.read(buf), |&len| len).map(|(len, _)| len)
    }

    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let result = self.0.at(io.offset, || self.0.stream.write(buf), |&len| len);
        match result {
            Err(Errno::EPIPE) => {
                io.who.raise(abi_linux::signal::Signal::SIGPIPE);
                Err(Errno::EPIPE)
            }
            Ok((len, _)) if self.0.is_seekable() && io.flags.contains(OpenFlags::APPEND) => {
                let end = self.0.stream.position()?;
                *self.0.end.lock() = end;
                Ok((len, end))
            }
            other => other,
        }
    }

    fn is_seekable(&self) -> bool {
        self.0.is_seekable()
    }

    fn seek(&self, whence: Whence, offset: i64) -> SysResult<u64> {
        if whence != Whence::End || !self.0.is_seekable() {
            return Err(Errno::EINVAL);
        }
        self.0.stream.stat()?.size.checked_add_signed(offset).ok_or(Errno::EINVAL)
    }

    fn poll(&self) -> Events {
        if self.0.is_seekable() {
            return Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM;
        }
        let mut events = self.0.stream.poll();
        if events.contains(Events::IN) {
            events |= Events::RDNORM;
        }
        if events.contains(Events::OUT) {
            events |= Events::WRNORM;
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.0.watch.get().map(|_| &self.0.wakeup.queue)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        crate::hoststream::ioctl(&self.0.stream, who, cmd, arg)
    }

    fn sync(&self, _data_only: bool) -> SysResult<()> {
        if self.0.is_seekable() { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn has_signals(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for HostStream {
    fn drop(&mut self) {
        if let Some(&watch) = self.watch.get() {
            self.platform.unwatch_fd(watch);
        }
    }
}

struct StreamInode {
    ops: Arc<StreamOps>,
}

impl Inode for StreamInode {
    fn kind(&self) -> FileKind {
        match self.ops.0.stream.kind() {
            StreamKind::Regular => FileKind::Regular,
            StreamKind::Pipe => FileKind::Fifo,
            StreamKind::Socket => FileKind::Socket,
            StreamKind::Terminal | StreamKind::Device => FileKind::CharDevice,
        }
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let stat = self.ops.0.stream.stat()?;
        // The host's device numbers mean nothing to the guest.
        Ok(metadata_of(&stat, 0))
    }

    /// Only the size of a regular file: reopening with O_TRUNC.
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        match *change {
            SetAttributes { size: Some(size), mode: None, uid: None, gid: None, .. }
                if self.ops.0.is_seekable() =>
            {
                self.ops.0.stream.truncate(size)
            }
            _ => Err(Errno::EPERM),
        }
    }

    /// Opening /proc/self/fd/1 gives another open file on the same stream.
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(Arc::clone(&self.ops) as Arc<dyn FileOps>)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
