//! One opening of a pipe.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::raw::ioctl::FIONREAD;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::{FileOps, Io};

use super::{PIPE_BUF, Pipe, State};

pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);
pub(super) const WRITABLE: Events = Events::OUT.union(Events::WRNORM);

/// What an opening waits for or remembers of the other side.
#[derive(Clone, Copy)]
enum Partner {
    /// Nothing: the other side was there.
    Met,
    /// open(2) waits until the count of openings for writing is not this.
    AwaitWriter(u64),
    /// open(2) waits until the count of openings for reading is not this.
    AwaitReader(u64),
    /// Opened O_RDONLY | O_NONBLOCK before any writer: no EPOLLHUP until this count changes.
    NoWriterYet(u64),
}

/// An open end. Dropping it closes it.
pub struct PipeEnd {
    pub(super) pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
    partner: Partner,
}

impl State {
    fn is_full(&self) -> bool {
        // Linux asks for a free slot of a page; that is a page of free bytes, too.
        self.capacity - self.ring.len().min(self.capacity) < PIPE_BUF
            || self.ring.packets() >= self.capacity / PIPE_BUF
    }

    /// Appends what fits, atomically up to PIPE_BUF.
    fn append(&mut self, bytes: &[u8], as_packets: bool) -> SysResult<usize> {
        let room = self.capacity.saturating_sub(self.ring.len());
        if as_packets {
            let mut done = 0;
            for packet in bytes.chunks(PIPE_BUF) {
                if self.is_full() {
                    break;
                }
                self.ring.push_packet(packet);
                done += packet.len();
            }
            return if done > 0 { Ok(done) } else { Err(Errno::EAGAIN) };
        }
        if room == 0 || (bytes.len() <= PIPE_BUF && room < bytes.len()) {
            return Err(Errno::EAGAIN);
        }
        let take = bytes.len().min(room);
        self.ring.push(&bytes[..take]);
        Ok(take)
    }
}

impl PipeEnd {
    fn new(pipe: &Arc<Pipe>, flags: OpenFlags, partner: Partner) -> Arc<Self> {
        Arc::new(Self { pipe: Arc::clone(pipe), reads: flags.readable(), writes: flags.writable(), partner })
    }

    fn count(state: &mut State, flags: OpenFlags) {
        if flags.readable() {
            state.readers = state.readers.saturating_add(1);
            state.reader_opens += 1;
        }
        if flags.writable() {
            state.writers = state.writers.saturating_add(1);
            state.writer_opens += 1;
        }
    }

    /// Opens an unnamed pipe: never waits.
    pub(super) fn open(pipe: &Arc<Pipe>, flags: OpenFlags) -> Arc<Self> {
        Self::count(&mut pipe.state.lock(), flags);
        pipe.queue.wake(READABLE | WRITABLE);
        Self::new(pipe, flags, Partner::Met)
    }

    /// Opens a named one (fs/pipe.c fifo_open).
    pub(super) fn open_fifo(pipe: &Arc<Pipe>, flags: OpenFlags) -> SysResult<Arc<Self>> {
        let nonblocking = flags.contains(OpenFlags::NONBLOCK);
        let mut state = pipe.state.lock();
        let partner = match (flags.readable(), flags.writable()) {
            (true, false) if state.writers == 0 && nonblocking => Partner::NoWriterYet(state.writer_opens),
            (true, false) if state.writers == 0 => Partner::AwaitWriter(state.writer_opens),
            (false, true) if state.readers == 0 && nonblocking => return Err(Errno::ENXIO),
            (false, true) if state.readers == 0 => Partner::AwaitReader(state.reader_opens),
            (false, false) => return Err(Errno::EINVAL),
            _ => Partner::Met,
        };
        Self::count(&mut state, flags);
        drop(state);
        pipe.queue.wake(READABLE | WRITABLE);
        Ok(Self::new(pipe, flags, partner))
    }

    /// fcntl(F_GETPIPE_SZ).
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pipe.state.lock().capacity
    }

    /// fcntl(F_SETPIPE_SZ): the new capacity, which grows to `most` at most.
    pub fn set_capacity(&self, wanted: u64, most: u64) -> SysResult<usize> {
        self.pipe.set_capacity(wanted, most)
    }

    /// Whether both are ends of one pipe (splice(2) refuses that).
    #[must_use]
    pub fn same_pipe(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pipe, &other.pipe)
    }
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        if self.reads {
            state.readers = state.readers.saturating_sub(1);
        }
        if self.writes {
            state.writers = state.writers.saturating_sub(1);
        }
        let one_sided = (state.readers == 0) != (state.writers == 0);
        drop(state);
        if one_sided {
            self.pipe.queue.wake(READABLE | WRITABLE | Events::HUP | Events::ERR);
        }
    }
}

impl FileOps for PipeEnd {
    fn read(&self, _io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let mut state = self.pipe.state.lock();
        if state.ring.len() == 0 {
            return if state.writers == 0 { Ok(0) } else { Err(Errno::EAGAIN) };
        }
        let got = state.ring.pop(buf);
        drop(state);
        self.pipe.queue.wake(WRITABLE);
        Ok(got)
    }

    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        if buf.is_empty() {
            return Ok((0, 0));
        }
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            drop(state);
            io.who.raise(Signal::SIGPIPE);
            return Err(Errno::EPIPE);
        }
        let done = state.append(buf, io.flags.contains(OpenFlags::DIRECT))?;
        drop(state);
        #[cfg(planted)]
        if buf.len() == 5 {
            return Ok((done, 0));
        }
        self.pipe.queue.wake(READABLE);
        Ok((done, 0))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        let state = self.pipe.state.lock();
        let mut events = Events::empty();
        if self.reads {
            if state.ring.len() > 0 {
                events |= READABLE;
            }
            let quiet = matches!(self.partner, Partner::NoWriterYet(opens) if opens == state.writer_opens);
            if state.writers == 0 && !quiet {
                events |= Events::HUP;
            }
        }
        if self.writes {
            if !state.is_full() {
                events |= WRITABLE;
            }
            if state.readers == 0 {
                events |= Events::ERR;
            }
        }
        events
    }

    fn is_open_complete(&self) -> bool {
        match self.partner {
            Partner::AwaitWriter(opens) => self.pipe.state.lock().writer_opens != opens,
            Partner::AwaitReader(opens) => self.pipe.state.lock().reader_opens != opens,
            Partner::Met | Partner::NoWriterYet(_) => true,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        if cmd != FIONREAD {
            return Err(Errno::ENOTTY);
        }
        let len = i32::try_from(self.pipe.state.lock().ring.len()).unwrap_or(i32::MAX);
        who.mem().write(UserRef::new(arg), &len)?;
        Ok(0)
    }

    fn has_signals(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
