//! The slave's side: the terminal that programs use (/dev/pts/N, /dev/tty, /dev/console).

use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::timer::Timers;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::{FileOps, Io};

use super::input::Input;
use super::ioctl::{self, Side};
use super::pty::{Pty, READABLE, WRITABLE};
use super::termios::{EXTPROC, ICANON, OPOST, TOSTOP, Termios, VMIN, VTIME};

/// What is left of a terminal that was hung up (hung_up_tty_poll).
const HUNG_UP: Events = Events::IN
    .union(Events::OUT)
    .union(Events::ERR)
    .union(Events::HUP)
    .union(Events::RDNORM)
    .union(Events::WRNORM);
/// VTIME's unit, a tenth of a second.
const TENTH_NS: u64 = 100_000_000;

/// An opening of the slave.
pub struct SlaveFile {
    pub(super) pty: Arc<Pty>,
}

impl Pty {
    /// Opens the slave. EIO when it is locked or hung up, EBUSY when it is exclusive. A session leader
    /// without a terminal gets this one, unless O_NOCTTY (tty_open_proc_set_tty).
    pub fn open_slave(self: &Arc<Self>, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<SlaveFile>> {
        let privileged = who.credentials().has(Cap::SYS_ADMIN);
        let mut state = self.state.lock();
        if state.hung_up || state.locked {
            return Err(Errno::EIO);
        }
        if state.exclusive && !privileged {
            return Err(Errno::EBUSY);
        }
        state.slaves = state.slaves.checked_add(1).ok_or(Errno::ENFILE)?;
        state.slave_closed = false;
        let free = state.session == 0;
        drop(state);
        let file = Arc::new(SlaveFile { pty: Arc::clone(self) });
        let leader = who.pid() == who.sid();
        if free && leader && flags.readable() && !flags.contains(OpenFlags::NOCTTY) {
            // Somebody else's terminal is no error here, only none for this caller.
            let _kept = self.acquire(who);
        }
        Ok(file)
    }

    /// Makes it the controlling terminal of the caller, a session leader without one.
    pub(super) fn acquire(self: &Arc<Self>, who: &dyn Caller) -> SysResult<()> {
        let terminals = self.terminals.upgrade().ok_or(Errno::EIO)?;
        let (sid, pgid) = (who.sid(), who.pgid());
        if terminals.controlling(sid).is_some() {
            return Err(Errno::EPERM);
        }
        let mut state = self.state.lock();
        if state.session != 0 {
            return Err(Errno::EPERM);
        }
        state.session = sid;
        state.pgrp = pgid;
        drop(state);
        terminals.acquire(sid, self);
        Ok(())
    }
}

/// How a read waits without line editing and with VTIME (termios(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timing {
    /// No time involved.
    Untimed,
    /// MIN = 0, TIME > 0: until a byte comes or the time is over.
    Total { timeout_ns: u64 },
    /// MIN > 0, TIME > 0: from the first byte on, each within the time of the one before.
    BetweenBytes { timeout_ns: u64, min: usize },
}

fn timing(termios: &Termios) -> Timing {
    let timeout_ns = u64::from(termios.c_cc[VTIME]) * TENTH_NS;
    match usize::from(termios.c_cc[VMIN]) {
        _ if termios.local(ICANON) || timeout_ns == 0 => Timing::Untimed,
        0 => Timing::Total { timeout_ns },
        min => Timing::BetweenBytes { timeout_ns, min },
    }
}

impl SlaveFile {
    /// The terminal.
    #[must_use]
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// Whether a blocking read has to go through [`SlaveFile::wait_timed`] after EAGAIN.
    #[must_use]
    pub fn is_read_timed(&self) -> bool {
        timing(&self.pty.state.lock().termios) != Timing::Untimed
    }

    /// Waits as VMIN and VTIME say. Afterwards the caller reads with O_NONBLOCK set in the flags and takes
    /// EAGAIN for 0 bytes. `len` bytes are enough, whatever VMIN says.
    pub async fn wait_timed(&self, len: usize, timers: &Timers) {
        let length = || {
            let state = self.pty.state.lock();
            if state.hung_up { usize::MAX } else { state.input.readable_len(&state.termios) }
        };
        let mode = timing(&self.pty.state.lock().termios);
        match mode {
            Timing::Untimed => {}
            Timing::Total { timeout_ns } => self.grows_from(0, length, timers, timeout_ns).await,
            Timing::BetweenBytes { timeout_ns, min } => {
                self.pty.slave_queue.wait_until(READABLE, || (length() > 0).then_some(())).await;
                loop {
                    let seen = length();
                    if seen >= min.min(len) {
                        return;
                    }
                    self.grows_from(seen, length, timers, timeout_ns).await;
                    if length() <= seen {
                        return;
                    }
                }
            }
        }
    }

    /// Waits until there are more than `seen` bytes, but no longer than `timeout_ns`.
    async fn grows_from(&self, seen: usize, length: impl Fn() -> usize, timers: &Timers, timeout_ns: u64) {
        let mut grown = pin!(self.pty.slave_queue.wait_until(READABLE, || (length() > seen).then_some(())));
        let mut late = pin!(timers.sleep_until(timers.now_ns().saturating_add(timeout_ns)));
        std::future::poll_fn(|cx| {
            let done = grown.as_mut().poll(cx).is_ready() || late.as_mut().poll(cx).is_ready();
            if done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// How many bytes a read must find, so that it doesn't wait.
    fn needed(termios: &Termios, nonblocking: bool, len: usize) -> usize {
        if nonblocking { 1 } else { usize::from(termios.c_cc[VMIN]).min(len).max(1) }
    }
}

impl Drop for SlaveFile {
    fn drop(&mut self) {
        let mut state = self.pty.state.lock();
        state.slaves = state.slaves.saturating_sub(1);
        let last = state.slaves == 0;
        if last {
            state.slave_closed = true;
            // The next opener finds a terminal that nobody has stopped or claimed.
            state.exclusive = false;
        }
        drop(state);
        if last {
            self.pty.master_queue.wake(READABLE | Events::HUP);
        }
    }
}

impl FileOps for SlaveFile {
    fn read(&self, io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        if self.pty.state.lock().hung_up {
            return Ok(0);
        }
        self.pty.check_change(io.who, Signal::SIGTTIN)?;
        if buf.is_empty() {
            return Ok(0);
        }
        let nonblocking = io.flags.contains(OpenFlags::NONBLOCK);
        let mut state = self.pty.state.lock();
        let termios = state.termios;
        let line = termios.local(ICANON) && !termios.local(EXTPROC);
        let needed = if line { 1 } else { Self::needed(&termios, nonblocking, buf.len()) };
        if !state.input.is_available(&termios, needed) {
            // MIN = 0 and TIME = 0 never waits and never fails.
            let polls = !termios.local(ICANON) && termios.c_cc[VMIN] == 0 && termios.c_cc[VTIME] == 0;
            let answer = if polls || state.hung_up { Ok(0) } else { Err(Errno::EAGAIN) };
            drop(state);
            self.pty.demand();
            return answer;
        }
        let got = if line { state.input.read_line(buf) } else { state.input.read_raw(buf) };
        drop(state);
        // There is room now for what the master has typed ahead.
        self.pty.with(|_| ());
        Ok(got)
    }

    fn write(&self, io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        let (hung_up, to_stop) = {
            let state = self.pty.state.lock();
            (state.hung_up, state.termios.local(TOSTOP))
        };
        if hung_up {
            return Err(Errno::EIO);
        }
        if to_stop {
            self.pty.check_change(io.who, Signal::SIGTTOU)?;
        }
        let done = self.pty.with(|state| {
            let mut termios = state.termios;
            if state.passes_output {
                termios.c_oflag &= !OPOST;
            }
            state.output.write(buf, &termios)
        });
        if done == 0 && !buf.is_empty() { Err(Errno::EAGAIN) } else { Ok((done, 0)) }
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        let state = self.pty.state.lock();
        if state.hung_up {
            return HUNG_UP;
        }
        let mut events = Events::empty();
        if state.input.is_available(&state.termios, Input::poll_wants(&state.termios)) {
            events |= READABLE;
        }
        if state.output.room() > 0 {
            events |= WRITABLE;
        }
        drop(state);
        if !events.contains(READABLE) {
            self.pty.demand();
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pty.slave_queue)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        if self.pty.state.lock().hung_up {
            let gone = if cmd == abi_linux::raw::ioctl::TIOCSPGRP { Errno::ENOTTY } else { Errno::EIO };
            return Err(gone);
        }
        ioctl::perform(&self.pty, Side::Slave, who, cmd, arg)
    }

    fn has_signals(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
