//! Open files. A [`File`] is an open file description (open(2)); [`FileOps`] is what its kind of file does.
//!
//! Every operation is non-blocking: it answers EAGAIN where Linux would wait, and the system call layer
//! waits on [`FileOps::wait_queue`] for [`FileOps::poll`] to say otherwise. Disk I/O alone may take time.
//!
//! Lock order: `File.position` before anything that the operations lock.

use std::any::Any;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::{Mutex, MutexGuard};
use kernel_base::wait::{Listener, WaitQueue};

use crate::busy::Writing;
use crate::inode::{FileKind, Inode};
use crate::notify::{self, Happened};
use crate::owner::{Owner, Ownership};
use crate::path::Path;

/// What an operation needs to know beside its bytes.
#[derive(Clone, Copy)]
pub struct Io<'a> {
    /// Who calls.
    pub who: &'a dyn Caller,
    /// Where in a seekable file; 0 for streams.
    pub offset: u64,
    /// Status flags of the open file (O_APPEND, O_NONBLOCK, O_DIRECT …).
    pub flags: OpenFlags,
}

/// One entry for getdents64(2).
#[derive(Clone, Copy, Debug)]
pub struct DirEntry<'a> {
    pub name: &'a [u8],
    pub ino: u64,
    pub kind: FileKind,
    /// Position to go on from after this entry.
    pub next: u64,
}

/// What mmap(2) of a file maps on the host.
pub enum Mapping {
    /// A host file (of the hostfs, or a memfd); the guest's offset is the file's.
    Host(Arc<OwnedFd>),
    /// A file in memory, which the host's lists of mappings know only by its label.
    Memory { fd: Arc<OwnedFd>, label: u64 },
    /// Fresh zero pages (/dev/zero).
    Zero,
}

/// Where lseek(2) starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    Set,
    Current,
    End,
    Data,
    Hole,
}

/// What an open file of some kind does. Defaults are what Linux answers for a file without the operation.
pub trait FileOps: Send + Sync + Any {
    /// Reads into `buf` at `io.offset` (seekable) or from the stream. 0 is the end. EAGAIN: not now.
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let _ = (io, buf);
        Err(Errno::EINVAL)
    }
    /// Writes. For O_APPEND the file finds the offset itself and returns it as the second value: where the
    /// position stands after the write. Streams return any position.
    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let _ = (io, buf);
        Err(Errno::EINVAL)
    }
    /// Whether it has a position (lseek, pread); pipes, sockets and terminals don't: ESPIPE.
    fn is_seekable(&self) -> bool {
        true
    }
    /// Ready for what. Regular files always are.
    fn poll(&self) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }
    /// As `poll`, for a caller of [`FileOps::wait_queue`] who asks for these, errors and hang-ups alone, and has looked
    /// at what has come for files of the host.
    fn poll_for(&self, interest: Events) -> Events {
        let _ = interest;
        self.poll()
    }
    /// Whom to ask for changes of `poll`; `None` when it never changes.
    fn wait_queue(&self) -> Option<&WaitQueue> {
        None
    }
    /// Whether epoll_ctl(2) accepts it (EPERM for regular files and directories).
    fn is_pollable(&self) -> bool {
        self.wait_queue().is_some()
    }
    /// Whether its owner can be told by signals (fasync): pipes, sockets, terminals, inotify.
    fn has_signals(&self) -> bool {
        false
    }
    /// False while open(2) of a fifo still waits for the other side, which makes `wait_queue` wake.
    fn is_open_complete(&self) -> bool {
        true
    }
    /// ioctl(2); ENOTTY for unknown commands. `arg` is a value or a guest address for `who.mem()`.
    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        let _ = (who, cmd, arg);
        Err(Errno::ENOTTY)
    }
    /// Directory entries from `position` on, until `emit` answers false (its buffer is full).
    fn read_dir(
        &self,
        who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let _ = (who, position, emit);
        Err(Errno::ENOTDIR)
    }
    /// Whether every lseek(2) leads to the start (null_lseek).
    fn stays_at_start(&self) -> bool {
        false
    }
    /// New position for SEEK_END, SEEK_DATA and SEEK_HOLE; the others are the VFS's own.
    fn seek(&self, whence: Whence, offset: i64) -> SysResult<u64> {
        let _ = (whence, offset);
        Err(Errno::EINVAL)
    }
    /// The host file to map. `writable` for shared writable mappings.
    fn mapping(&self, writable_shared: bool, executable: bool) -> SysResult<Mapping> {
        let _ = (writable_shared, executable);
        Err(Errno::ENODEV)
    }
    /// fsync(2) and fdatasync(2).
    fn sync(&self, data_only: bool) -> SysResult<()> {
        let _ = data_only;
        Err(Errno::EINVAL)
    }
    /// EOPNOTSUPP for a mode of fallocate(2) that it lacks.
    fn knows_allocation(&self, mode: u32) -> SysResult<()> {
        let _ = mode;
        Ok(())
    }
    /// fallocate(2).
    fn allocate(&self, mode: u32, offset: u64, len: u64) -> SysResult<()> {
        let _ = (mode, offset, len);
        Err(Errno::EOPNOTSUPP)
    }
    /// The last reference through a file descriptor table of some process was closed (Linux's flush):
    /// drops POSIX record locks.
    fn flush(&self, who: &dyn Caller) {
        let _ = who;
    }
    /// Lines for /proc/pid/fdinfo beyond pos, flags and mnt_id.
    fn fdinfo(&self) -> String {
        String::new()
    }
    /// For downcasts by the system calls of its kind (epoll_ctl, timerfd_settime …).
    fn as_any(&self) -> &dyn Any;
}

/// Told when an open file goes away, while its operations still work: an epoll entry (Linux's
/// eventpoll_release). Called from the drop of the last reference, so it may run with the locks of whoever
/// dropped it; nobody may drop a `File` below a lock of an epoll.
pub trait FileWatcher: Send + Sync {
    /// The last reference to `file` is gone.
    fn file_gone(&self, file: &File);
}

/// How a file came to be open.
#[derive(Default)]
pub(crate) struct Opening {
    /// The call that opened it made it.
    pub created: bool,
    #[expect(dead_code, reason = "held for its drop")]
    pub writing: Option<Writing>,
}

/// An open file description: shared by dup(2) and fork(2).
pub struct File {
    /// Where it was opened; for pipes and the like a place that only prints (`pipe:[7]`).
    pub path: Path,
    /// Its inode, for fstat(2).
    pub inode: Arc<dyn Inode>,
    /// What it does.
    pub ops: Arc<dyn FileOps>,
    opening: Opening,
    flags: AtomicU32,
    position: Mutex<u64>,
    watchers: Mutex<Vec<Weak<dyn FileWatcher>>>,
    ownership: Mutex<Option<Box<Ownership>>>,
}

impl Drop for File {
    fn drop(&mut self) {
        if let (Some(mut ownership), Some(queue)) = (self.ownership.get_mut().take(), self.ops.wait_queue()) {
            ownership.forget(queue);
        }
        if self.is_writer() {
            self.path.mount.count_writer(false);
        }
        let flags = self.flags();
        if !flags.contains(OpenFlags::PATH) {
            let what = if flags.writable() { Happened::CLOSE_WRITE } else { Happened::CLOSE_NOWRITE };
            notify::at(&self.path, what);
        }
        let watchers = std::mem::take(self.watchers.get_mut());
        for watcher in watchers.iter().filter_map(Weak::upgrade) {
            watcher.file_gone(self);
        }
    }
}

/// Status flags that fcntl(F_SETFL) may change (fs/fcntl.c SETFL_MASK).
const SETFL_MASK: OpenFlags =
    OpenFlags::APPEND.union(OpenFlags::NONBLOCK).union(OpenFlags::DIRECT).union(OpenFlags::NOATIME);

impl File {
    /// A freshly opened file at position 0. `flags` without those that only concern the opening.
    #[must_use]
    pub fn new(path: Path, inode: Arc<dyn Inode>, ops: Arc<dyn FileOps>, flags: OpenFlags) -> Arc<Self> {
        Self::opened(path, inode, ops, flags, Opening::default())
    }

    pub(crate) fn opened(
        path: Path,
        inode: Arc<dyn Inode>,
        ops: Arc<dyn FileOps>,
        flags: OpenFlags,
        opening: Opening,
    ) -> Arc<Self> {
        let once =
            OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::NOCTTY | OpenFlags::TRUNC | OpenFlags::CLOEXEC;
        let kept = flags.difference(once);
        let file = Self {
            path,
            inode,
            ops,
            opening,
            flags: AtomicU32::new(kept.bits()),
            position: Mutex::default(),
            watchers: Mutex::default(),
            ownership: Mutex::default(),
        };
        if file.is_writer() {
            file.path.mount.count_writer(true);
        }
        Arc::new(file)
    }

    /// Whether it keeps its mount from becoming read-only (FMODE_WRITER of do_dentry_open).
    fn is_writer(&self) -> bool {
        let flags = self.flags();
        flags.writable() && !flags.contains(OpenFlags::PATH) && self.inode.kind() == FileKind::Regular
    }

    /// Whether the call that opened it made it, too (F_CREATED_QUERY).
    #[must_use]
    pub fn was_created(&self) -> bool {
        self.opening.created
    }

    /// Access mode and status flags.
    #[must_use]
    pub fn flags(&self) -> OpenFlags {
        OpenFlags::from_bits_retain(self.flags.load(Ordering::Relaxed))
    }

    /// fcntl(F_SETFL): only the flags in SETFL_MASK change.
    pub fn set_status_flags(&self, wanted: OpenFlags) {
        let kept = self.flags().difference(SETFL_MASK);
        self.flags.store(kept.union(wanted.intersection(SETFL_MASK)).bits(), Ordering::Relaxed);
    }

    /// Whom it tells by signals.
    pub fn owner(&self) -> Owner {
        self.ownership.lock().as_ref().map_or_else(Owner::default, |ownership| ownership.owner)
    }

    /// Changes whom it tells.
    pub fn change_owner(&self, change: impl FnOnce(&mut Owner)) {
        change(&mut self.ownership.lock().get_or_insert_default().owner);
    }

    /// O_ASYNC: has `listener` told when it can be read or written, or nobody.
    pub fn set_async(&self, listener: Option<Arc<dyn Listener>>) {
        let Some(queue) = self.ops.wait_queue() else { return };
        let mut flags = self.flags();
        flags.set(OpenFlags::ASYNC, listener.is_some());
        let mut interest = Events::PRI;
        interest.set(Events::IN, flags.readable());
        interest.set(Events::OUT, flags.writable());
        let mut ownership = self.ownership.lock();
        ownership.get_or_insert_default().listen(queue, interest, listener);
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// Whether calls on it must not wait.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.flags().contains(OpenFlags::NONBLOCK)
    }

    /// EBADF unless open for reading (and not O_PATH).
    pub fn check_readable(&self) -> SysResult<()> {
        let flags = self.flags();
        if flags.readable() && !flags.contains(OpenFlags::PATH) { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// EBADF unless open for writing (and not O_PATH).
    pub fn check_writable(&self) -> SysResult<()> {
        let flags = self.flags();
        if flags.writable() && !flags.contains(OpenFlags::PATH) { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// The position, locked for the length of one read, write or seek (Linux's f_pos_lock).
    pub fn position(&self) -> MutexGuard<'_, u64> {
        self.position.lock()
    }

    /// Has `watcher` told when this file goes away, once however often it asks; those that went away
    /// themselves are forgotten.
    pub fn watch(&self, watcher: Weak<dyn FileWatcher>) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|known| known.strong_count() > 0);
        let address = watcher.as_ptr().cast::<()>();
        if !watchers.iter().any(|known| known.as_ptr().cast::<()>() == address) {
            watchers.push(watcher);
        }
    }

    /// A descriptor of it was closed by `who`: gives back that process's record locks, and tells the
    /// operations.
    pub fn flush(&self, who: &dyn Caller) {
        crate::locks::table().descriptor_closed(self, who.files_id());
        self.ops.flush(who);
    }

    /// What an operation at `offset` is told.
    #[must_use]
    pub fn io<'a>(&self, who: &'a dyn Caller, offset: u64) -> Io<'a> {
        Io { who, offset, flags: self.flags() }
    }
}
