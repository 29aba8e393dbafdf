//! Pipes (pipe(7)) and named fifos (fifo(7)), after Linux v6.18 fs/pipe.c.
//!
//! A [`Pipe`] is the buffer; a [`PipeEnd`] is one opening of it (the reading side, the writing side, or for
//! a fifo both), and what counts readers and writers; a [`PipeInode`] lets /proc/self/fd/N open it again;
//! a [`Fifo`] is what a filesystem keeps in the inode of a named one.
//!
//! The buffer is one ring of bytes where Linux has 16 slots of a page: capacity, PIPE_BUF atomicity, poll
//! and end-of-file are Linux's, only the moment when a write of a few bytes into a nearly full pipe fits
//! differs. It is allocated when first written and grows up to the capacity.
//!
//! Lock order: `Fifo.pipe` → `Pipe.state`. Wake-ups happen after `Pipe.state` is released.

mod end;
mod ring;
mod splice;

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::{OpenFlags, S_IFIFO};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;
use kernel_vfs::anon::{AnonAttributes, AnonInode, AnonKind, anon_path};
use kernel_vfs::device::{self, FifoMaker};
use kernel_vfs::file::{File, FileOps};
use kernel_vfs::inode::{FileKind, Inode, Metadata, SetAttributes};

pub use end::PipeEnd;
use ring::Ring;

/// Writes of up to this many bytes are atomic (include/uapi/linux/limits.h).
pub const PIPE_BUF: usize = 4096;
/// Capacity of a new pipe.
pub const DEFAULT_CAPACITY: usize = 65536;
/// Most that F_SETPIPE_SZ gives (/proc/sys/fs/pipe-max-size).
pub const MAX_CAPACITY: usize = 1 << 20;
/// Capacities together after which new pipes get two pages (/proc/sys/fs/pipe-user-pages-soft).
const SOFT_TOTAL: usize = 16384 * 4096;

/// Sum of the capacities of all pipes, as Linux's `user_struct.pipe_bufs`.
static TOTAL_CAPACITY: AtomicUsize = AtomicUsize::new(0);

struct State {
    ring: Ring,
    capacity: usize,
    readers: u32,
    writers: u32,
    /// How often it was opened for reading and writing: what a waiting open of a fifo looks at.
    reader_opens: u64,
    writer_opens: u64,
}

/// A pipe's buffer and its counts.
pub struct Pipe {
    state: Mutex<State>,
    queue: WaitQueue,
}

impl Pipe {
    fn new() -> Arc<Self> {
        let taken = TOTAL_CAPACITY.fetch_add(DEFAULT_CAPACITY, Ordering::Relaxed);
        let mut capacity = DEFAULT_CAPACITY;
        if taken > SOFT_TOTAL {
            capacity = 2 * 4096;
            TOTAL_CAPACITY.fetch_sub(DEFAULT_CAPACITY - capacity, Ordering::Relaxed);
        }
        let state = State {
            ring: Ring::default(),
            capacity,
            readers: 0,
            writers: 0,
            reader_opens: 0,
            writer_opens: 0,
        };
        Arc::new(Self { state: Mutex::new(state), queue: WaitQueue::new() })
    }

    /// F_SETPIPE_SZ: rounds up to a power of two of pages and returns what it became. EINVAL beyond 2 GiB,
    /// EPERM beyond `most` and [`MAX_CAPACITY`] or when all pipes together hold too much, EBUSY when the content
    /// doesn't fit.
    fn set_capacity(&self, wanted: u64, most: u64) -> SysResult<usize> {
        if wanted > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        let rounded = usize::try_from(wanted).map_err(|_| Errno::EINVAL)?.max(4096).next_power_of_two();
        let mut state = self.state.lock();
        let grows = rounded > state.capacity;
        let most = usize::try_from(most).unwrap_or(MAX_CAPACITY).min(MAX_CAPACITY);
        let others = TOTAL_CAPACITY.load(Ordering::Relaxed).saturating_sub(state.capacity);
        if grows && (rounded > most || others.saturating_add(rounded) > SOFT_TOTAL) {
            return Err(Errno::EPERM);
        }
        if state.ring.len() > rounded {
            return Err(Errno::EBUSY);
        }
        TOTAL_CAPACITY.fetch_add(rounded, Ordering::Relaxed);
        TOTAL_CAPACITY.fetch_sub(state.capacity, Ordering::Relaxed);
        state.capacity = rounded;
        state.ring.shrink_to(rounded);
        drop(state);
        if grows {
            self.queue.wake(end::WRITABLE);
        }
        Ok(rounded)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        TOTAL_CAPACITY.fetch_sub(self.state.get_mut().capacity, Ordering::Relaxed);
    }
}

/// Inode of an unnamed pipe: what fstat(2) shows and /proc/self/fd/N opens anew.
pub struct PipeInode {
    pipe: Arc<Pipe>,
    metadata: Mutex<Metadata>,
}

/// pipe2(2): the reading and the writing file. Of `flags` O_NONBLOCK and O_DIRECT matter.
pub fn open(who: &dyn Caller, flags: OpenFlags) -> SysResult<(Arc<File>, Arc<File>)> {
    let (reader, writer, inode) = open_pair(who)?;
    let ino = inode.metadata.lock().ino;
    let path = anon_path(AnonKind::Pipe, format!("pipe:[{ino}]").as_bytes(), Arc::<PipeInode>::clone(&inode));
    let status = flags & (OpenFlags::NONBLOCK | OpenFlags::DIRECT);
    // Packets are the writer's affair (fs/pipe.c create_pipe_files).
    let read_status = status.difference(OpenFlags::DIRECT);
    let read_file = File::new(path.clone(), Arc::<PipeInode>::clone(&inode), reader, read_status);
    Ok((read_file, File::new(path, inode, writer, status | OpenFlags::WRONLY)))
}

/// The two ends and the inode of a new pipe.
fn open_pair(who: &dyn Caller) -> SysResult<(Arc<PipeEnd>, Arc<PipeEnd>, Arc<PipeInode>)> {
    let pipe = Pipe::new();
    let reader = PipeEnd::open(&pipe, OpenFlags::empty());
    let writer = PipeEnd::open(&pipe, OpenFlags::WRONLY);
    let credentials = who.credentials();
    let (uid, gid, now_ns) = (credentials.fsuid, credentials.fsgid, who.now_realtime_ns());
    let attributes = AnonAttributes { mode: 0o600, uid, gid, now_ns };
    let metadata = AnonInode::new(AnonKind::Pipe, FileKind::Fifo, attributes).metadata()?;
    Ok((reader, writer, Arc::new(PipeInode { pipe, metadata: Mutex::new(metadata) })))
}

impl Inode for PipeInode {
    fn kind(&self) -> FileKind {
        FileKind::Fifo
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(*self.metadata.lock())
    }
    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        if change.size.is_some() {
            return Err(Errno::EINVAL);
        }
        let mut metadata = self.metadata.lock();
        if let Some(mode) = change.mode {
            metadata.mode = S_IFIFO | mode & 0o7777;
        }
        metadata.uid = change.uid.unwrap_or(metadata.uid);
        metadata.gid = change.gid.unwrap_or(metadata.gid);
        metadata.atime = change.atime.unwrap_or(metadata.atime);
        metadata.mtime = change.mtime.unwrap_or(metadata.mtime);
        Ok(())
    }
    fn open(&self, flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Ok(PipeEnd::open(&self.pipe, flags))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// What the inode of a named fifo keeps: its pipe while somebody has it open. The content is lost with
/// the last close, as Linux does.
#[derive(Default)]
pub struct Fifo {
    pipe: Mutex<Weak<Pipe>>,
}

impl device::Fifo for Fifo {
    /// Never waits: where Linux would, the end answers that its opening is not complete until its partner
    /// has come, and counts as open meanwhile, which is how two opens that wait for each other meet
    /// (fifo_open).
    fn open(&self, flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let pipe = {
            let mut known = self.pipe.lock();
            known.upgrade().unwrap_or_else(|| {
                let pipe = Pipe::new();
                *known = Arc::downgrade(&pipe);
                pipe
            })
        };
        Ok(PipeEnd::open_fifo(&pipe, flags)?)
    }
}

/// Makes [`Fifo`]s for every filesystem.
pub struct Fifos;

impl FifoMaker for Fifos {
    fn make(&self) -> Arc<dyn device::Fifo> {
        Arc::<Fifo>::default()
    }
}

#[cfg(test)]
mod tests;
