//! Bytes between guest memory and files.
//!
//! Large transfers go through the thread's scratch buffer piece by piece. The position of a file is locked
//! for each piece alone, never while guest memory is copied. A read that cannot be delivered gives the
//! position back; what a stream gave is lost then, as there is no way to put it back.

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::Pieces;
use kernel_fs::tty::{self, Operation, SlaveFile};
use kernel_net::SocketFile;
use kernel_task::limits::{INFINITY, Resource};
use kernel_vfs::file::{File, Io};
use kernel_vfs::inode::FileKind;

use crate::cx::{Cx, SCRATCH_LEN, with_scratch};

/// Streams take no more than this at once: a pipe's usual capacity.
const STREAM_CHUNK: usize = 64 * 1024;

/// Where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the file's position, which moves; streams have only this.
    Position,
    /// At an offset; the position stays.
    At(u64),
}

/// ESPIPE for files without positions.
pub(super) fn check_seekable(file: &File) -> SysResult<()> {
    if file.ops.is_seekable() { Ok(()) } else { Err(Errno::ESPIPE) }
}

/// One read or write.
pub(super) struct Transfer<'a> {
    cx: &'a Cx,
    file: &'a File,
    bytes: Pieces,
    place: Place,
    seekable: bool,
    flags: OpenFlags,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(cx: &'a Cx, file: &'a File, bytes: Pieces, place: Place) -> Self {
        Self { cx, file, bytes, place, seekable: file.ops.is_seekable(), flags: file.flags() }
    }

    /// Replaces the status flags for this transfer (RWF_APPEND and its like).
    pub(super) fn with_flags(self, flags: OpenFlags) -> Self {
        Self { flags, ..self }
    }

    fn io(&self, offset: u64) -> Io<'_> {
        Io { who: &*self.cx.task, offset, flags: self.flags }
    }

    /// Linux refuses offsets whose sum with the count is no loff_t (rw_verify_area).
    fn check_range(&self) -> SysResult<()> {
        let Place::At(offset) = self.place else { return Ok(()) };
        let end = offset.checked_add(self.bytes.total() as u64);
        if end.is_some_and(|end| i64::try_from(end).is_ok()) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn directory_or(&self, errno: Errno) -> Errno {
        if self.file.inode.kind() == FileKind::Directory { Errno::EISDIR } else { errno }
    }

    /// Tries, and waits where the file makes it wait. A background process that its terminal stops waits
    /// even under O_NONBLOCK.
    async fn block_on<T>(
        &self,
        operation: Operation,
        mut attempt: impl FnMut() -> SysResult<T>,
    ) -> SysResult<T> {
        let ops = &self.file.ops;
        let interest = if operation == Operation::Read { Events::IN } else { Events::OUT };
        loop {
            let waits =
                |result: &SysResult<T>| matches!(result, Err(Errno::EAGAIN)) && !self.is_stopped(operation);
            let result = match ops.wait_queue() {
                Some(queue) if !self.flags.contains(OpenFlags::NONBLOCK) => {
                    queue.wait_until(interest, || Some(attempt()).filter(|result| !waits(result))).await
                }
                _ => attempt(),
            };
            match result {
                Err(Errno::EAGAIN) if self.is_stopped(operation) => self.cx.park_for_job_control().await,
                result => return result,
            }
        }
    }

    /// Whether EAGAIN came from job control.
    fn is_stopped(&self, operation: Operation) -> bool {
        tty::job_control_blocks(&*self.file.ops, &*self.cx.task, operation)
    }

    /// The terminal that this is a read of, if VMIN and VTIME make such a read wait by the clock.
    fn timed_terminal(&self) -> Option<&'a SlaveFile> {
        let file: &'a File = self.file;
        let terminal = file.ops.as_any().downcast_ref::<SlaveFile>()?;
        let timed = !self.flags.contains(OpenFlags::NONBLOCK) && terminal.is_read_timed();
        timed.then_some(terminal)
    }

    /// Such a read: what is there when the time is over, perhaps nothing.
    async fn read_timed(self, terminal: &SlaveFile) -> SysResult<usize> {
        loop {
            match self.try_read() {
                Err(Errno::EAGAIN) if self.is_stopped(Operation::Read) => {
                    self.cx.park_for_job_control().await
                }
                Err(Errno::EAGAIN) => break,
                result => return result,
            }
        }
        terminal.wait_timed(self.bytes.total(), &self.cx.kernel().timers).await;
        let flags = self.flags | OpenFlags::NONBLOCK;
        let now = self.with_flags(flags);
        match now.block_on(Operation::Read, || now.try_read()).await {
            Err(Errno::EAGAIN) => Ok(0),
            result => result,
        }
    }

    /// Reads, waiting for the first byte where the file makes it wait.
    pub(super) async fn read(self) -> SysResult<usize> {
        if let Ok(socket) = SocketFile::of(self.file) {
            return crate::net::receive::read(self.cx, socket.socket(), &self.bytes, self.flags).await;
        }
        self.check_range()?;
        if let Some(terminal) = self.timed_terminal() {
            return self.read_timed(terminal).await;
        }
        let empty = self.bytes.total() == 0;
        match self.block_on(Operation::Read, || self.try_read()).await {
            Err(Errno::EAGAIN) if empty => Ok(0),
            Ok(count) => {
                if count > 0 {
                    self.file.accessed();
                }
                Ok(count)
            }
            Err(errno) => Err(self.directory_or(errno)),
        }
    }

    /// Reads what is there; EAGAIN when that is nothing yet. Of regular files and pipes.
    pub(super) fn read_now(&self) -> SysResult<usize> {
        self.check_range()?;
        let count = self.try_read()?;
        if count > 0 {
            self.file.accessed();
        }
        Ok(count)
    }

    /// Writes as much as one piece takes; EAGAIN when there is no room for it. Of regular files and pipes.
    pub(super) fn write_now(&self) -> SysResult<usize> {
        self.check_range()?;
        let written = self.write_piece(0, self.bytes.total())?;
        if written > 0 {
            self.file.modified();
        }
        Ok(written)
    }

    fn try_read(&self) -> SysResult<usize> {
        let total = self.bytes.total();
        let mut done = 0;
        loop {
            let want = (total - done).min(SCRATCH_LEN);
            let got = match with_scratch(want, |scratch| self.read_piece(done, scratch)) {
                Ok(got) => got,
                // An empty read must not wait for data that it does not take.
                Err(Errno::EAGAIN) if total == 0 => return Ok(0),
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => return Ok(done),
            };
            done += got;
            // A short piece is the end, a packet, a line, or a buffer that ends in unmapped memory.
            if done == total || got < want {
                return Ok(done);
            }
        }
    }

    fn read_piece(&self, done: usize, scratch: &mut [u8]) -> SysResult<usize> {
        let ops = &self.file.ops;
        let moves = self.place == Place::Position && self.seekable;
        let got = match self.place {
            Place::At(offset) => ops.read(self.io(offset.saturating_add(done as u64)), scratch)?,
            Place::Position if moves => {
                let mut position = self.file.position();
                let got = ops.read(self.io(*position), scratch)?;
                *position = position.saturating_add(got as u64);
                got
            }
            Place::Position => ops.read(self.io(0), scratch)?,
        };
        let bytes = scratch.get(..got).ok_or(Errno::EIO)?;
        let copied = if got == 0 { Ok(0) } else { self.cx.mem().scatter(&self.bytes, done, bytes) };
        let lost = got - copied.unwrap_or(0).min(got);
        if moves && lost > 0 {
            let mut position = self.file.position();
            *position = position.saturating_sub(lost as u64);
        }
        copied
    }

    /// Writes all of it, waiting where the file makes it wait. What was written before an error or a
    /// signal is the result.
    pub(super) async fn write(&self) -> SysResult<usize> {
        if let Ok(socket) = SocketFile::of(self.file) {
            return crate::net::send::write(self.cx, socket.socket(), &self.bytes, self.flags).await;
        }
        self.check_range()?;
        let chunk = if self.seekable { SCRATCH_LEN } else { STREAM_CHUNK };
        let total = self.bytes.total();
        let mut done = 0;
        loop {
            let want = (total - done).min(chunk);
            let written = if self.seekable {
                self.write_piece(done, want)
            } else {
                self.block_on(Operation::Write, || self.write_piece(done, want)).await
            };
            match written {
                Ok(written) => done += written,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            if done >= total || written == Ok(0) {
                break;
            }
            if !self.seekable {
                self.cx.set_progress(done);
            }
        }
        self.cx.set_progress(0);
        if done > 0 {
            self.file.modified();
        }
        Ok(done)
    }

    fn write_piece(&self, done: usize, want: usize) -> SysResult<usize> {
        with_scratch(want, |scratch| {
            let got = if want == 0 { 0 } else { self.cx.mem().gather(&self.bytes, done, scratch)? };
            let bytes = scratch.get(..got).ok_or(Errno::EIO)?;
            match self.place {
                Place::At(offset) => {
                    let offset = offset.saturating_add(done as u64);
                    let bytes = within_limit(self.cx, self.file, self.flags, offset, bytes)?;
                    self.file.ops.write(self.io(offset), bytes).map(|(written, _)| written)
                }
                Place::Position if self.seekable => self.write_at_position(bytes),
                Place::Position => self.file.ops.write(self.io(0), bytes).map(|(written, _)| written),
            }
        })
    }

    fn write_at_position(&self, bytes: &[u8]) -> SysResult<usize> {
        let mut position = self.file.position();
        let bytes = within_limit(self.cx, self.file, self.flags, *position, bytes)?;
        let (written, end) = self.file.ops.write(self.io(*position), bytes)?;
        *position = if self.flags.contains(OpenFlags::APPEND) {
            end
        } else {
            position.saturating_add(written as u64)
        };
        Ok(written)
    }
}

/// What RLIMIT_FSIZE leaves of a write; SIGXFSZ and EFBIG when that is nothing
/// (mm/filemap.c generic_write_check_limits).
pub(super) fn within_limit<'b>(
    cx: &Cx,
    file: &File,
    flags: OpenFlags,
    offset: u64,
    bytes: &'b [u8],
) -> SysResult<&'b [u8]> {
    let limit = cx.process.limits.get(Resource::Fsize).soft;
    if limit == INFINITY || bytes.is_empty() || file.inode.kind() != FileKind::Regular {
        return Ok(bytes);
    }
    let append = flags.contains(OpenFlags::APPEND);
    let start = if append { file.inode.metadata()?.size } else { offset };
    match limit.checked_sub(start).filter(|&left| left > 0) {
        None => {
            cx.raise(Signal::SIGXFSZ);
            Err(Errno::EFBIG)
        }
        Some(left) => Ok(&bytes[..bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX))]),
    }
}
