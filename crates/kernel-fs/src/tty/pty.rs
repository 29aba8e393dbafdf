//! A pseudoterminal: the state that both sides share, and what the master does to it (pty(7),
//! drivers/tty/pty.c).
//!
//! Bytes of the master wait in `pending` while the line discipline's buffer is full; the slave's output
//! waits in `Output`. Both are bounded.
//!
//! Lock order: `Pty.state` is a leaf. Signals are raised and waiters woken after it is released.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};

use abi_linux::fs::Events;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::wait::{Listener, WaitQueue};

use super::input::{Effects, Input};
use super::output::Output;
use super::terminals::{SessionSignals, Terminals};
use super::termios::{EXTPROC, IXON, Termios, VSTART, VSTOP, WindowSize};

/// What the master may write ahead of the line discipline (tty_buffer_set_limit of ptys).
const PENDING_LIMIT: usize = 16384;

pub(super) const READABLE: Events = Events::IN.union(Events::RDNORM);
pub(super) const WRITABLE: Events = Events::OUT.union(Events::WRNORM);
/// Packet mode's news (ioctl_tty(2) TIOCPKT).
pub(super) const TIOCPKT_FLUSHREAD: u8 = 1;
pub(super) const TIOCPKT_FLUSHWRITE: u8 = 2;
pub(super) const TIOCPKT_STOP: u8 = 4;
pub(super) const TIOCPKT_START: u8 = 8;
pub(super) const TIOCPKT_NOSTOP: u8 = 16;
pub(super) const TIOCPKT_DOSTOP: u8 = 32;
pub(super) const TIOCPKT_IOCTL: u8 = 64;

#[derive(Default)]
pub(super) struct State {
    pub(super) termios: Termios,
    /// Bits of the attributes that stay as they are (TIOCSLCKTRMIOS).
    pub(super) locked_attributes: Termios,
    pub(super) window: WindowSize,
    pub(super) input: Input,
    pub(super) output: Output,
    pending: VecDeque<u8>,
    pub(super) packet_mode: bool,
    pub(super) packet_news: u8,
    /// Session whose controlling terminal it is, and its foreground group; 0 for none.
    pub(super) session: i32,
    pub(super) pgrp: i32,
    pub(super) locked: bool,
    pub(super) exclusive: bool,
    pub(super) slaves: u32,
    /// Some slave was open, and none is now: the master reads EIO.
    pub(super) slave_closed: bool,
    /// The master is gone: nothing works any more.
    pub(super) hung_up: bool,
    /// Programs' output goes to the master as it is: a terminal behind it does the processing.
    pub(super) passes_output: bool,
}

/// Both sides of a pty.
pub struct Pty {
    index: u32,
    pub(super) terminals: Weak<Terminals>,
    pub(super) signals: Arc<dyn SessionSignals>,
    pub(super) state: Mutex<State>,
    pub(super) slave_queue: WaitQueue,
    pub(super) master_queue: WaitQueue,
    /// Told when a program wants input or changes the attributes.
    demand: OnceLock<Arc<dyn Listener>>,
}

impl State {
    /// Hands bytes of the master to the line discipline as far as it takes them.
    fn receive(&mut self, effects: &mut Effects) {
        loop {
            let (chunk, _) = self.pending.as_slices();
            if chunk.is_empty() {
                return;
            }
            let n = self.input.receive(chunk, &self.termios, &mut self.output, effects);
            self.pending.drain(..n);
            if n == 0 {
                return;
            }
        }
    }

    pub(super) fn note(&mut self, news: u8) {
        if self.packet_mode {
            self.packet_news |= news;
        }
    }

    pub(super) fn note_flow(&mut self) {
        let (set, clear) =
            if self.output.stopped { (TIOCPKT_STOP, TIOCPKT_START) } else { (TIOCPKT_START, TIOCPKT_STOP) };
        self.packet_news &= !clear;
        self.note(set);
    }

    fn uses_flow_chars(termios: &Termios) -> bool {
        termios.input(IXON) && termios.c_cc[VSTOP] == 0x13 && termios.c_cc[VSTART] == 0x11
    }

    /// Changes attributes (tty_set_termios, n_tty_set_termios, pty_set_termios).
    pub(super) fn set_termios(&mut self, wanted: &Termios) {
        let old = self.termios;
        let new = wanted.for_pty(&old);
        self.termios = new;
        self.input.mode_changed(&old, &new);
        if old.input(IXON) && !new.input(IXON) && !self.output.stopped_by_call {
            self.output.stopped = false;
            self.output.release();
        }
        if Self::uses_flow_chars(&old) != Self::uses_flow_chars(&new) {
            let uses = Self::uses_flow_chars(&new);
            let (set, clear) =
                if uses { (TIOCPKT_DOSTOP, TIOCPKT_NOSTOP) } else { (TIOCPKT_NOSTOP, TIOCPKT_DOSTOP) };
            self.packet_news &= !clear;
            self.note(set);
        }
        if new.local(EXTPROC) || old.local(EXTPROC) {
            self.note(TIOCPKT_IOCTL);
        }
    }
}

impl Pty {
    pub(super) fn new(index: u32, terminals: Weak<Terminals>, signals: Arc<dyn SessionSignals>) -> Arc<Self> {
        let state = State { locked: true, locked_attributes: Termios::NONE, ..State::default() };
        let state = Mutex::new(state);
        let (slave_queue, master_queue) = (WaitQueue::new(), WaitQueue::new());
        let demand = OnceLock::new();
        Arc::new(Self { index, terminals, signals, state, slave_queue, master_queue, demand })
    }

    /// A program wants input, or the attributes to be its own. Called with no lock held.
    pub(super) fn demand(&self) {
        if let Some(listener) = self.demand.get() {
            listener.notify(READABLE);
        }
    }

    /// Its number in /dev/pts.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Whether its master is gone.
    #[must_use]
    pub fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    /// The foreground group of its session, 0 for none.
    #[must_use]
    pub fn foreground_group(&self) -> i32 {
        self.state.lock().pgrp
    }

    /// Runs `change`, then hands waiting input on, raises what that raises, and wakes both sides.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let room_before = state.output.room();
        let result = change(&mut state);
        let mut effects = Effects::default();
        state.receive(&mut effects);
        if effects.flow_changed {
            state.note_flow();
        }
        if effects.flushed {
            state.note(TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE);
        }
        let pgrp = state.pgrp;
        let mut slave = Events::empty();
        if state.input.is_available(&state.termios, 1) {
            slave |= READABLE;
        }
        // Only where there is more than before: a writer whose next character needs two bytes must not be
        // woken by its own vain attempt while there is one.
        if state.output.room() > room_before {
            slave |= WRITABLE;
        }
        let mut master = Events::empty();
        if state.output.len() > 0 {
            master |= READABLE;
        }
        if state.packet_news != 0 {
            master |= READABLE | Events::PRI;
        }
        if state.pending.len() < PENDING_LIMIT {
            master |= WRITABLE;
        }
        if state.slave_closed {
            master |= Events::HUP;
        }
        drop(state);
        for signal in effects.signals {
            if pgrp != 0 {
                self.signals.signal_group(pgrp, signal);
            }
        }
        self.slave_queue.wake(slave);
        self.master_queue.wake(master);
        result
    }

    /// Sets the window size; a change is a SIGWINCH for the foreground group (pty_resize).
    pub(super) fn resize(&self, window: WindowSize) {
        let mut state = self.state.lock();
        let changed = state.window != window;
        state.window = window;
        let pgrp = state.pgrp;
        drop(state);
        if changed && pgrp != 0 {
            self.signals.signal_group(pgrp, Signal::SIGWINCH);
        }
    }

    /// Ends the session's hold; its foreground group.
    pub(super) fn release_session(&self, sid: i32) -> Option<i32> {
        let mut state = self.state.lock();
        if state.session != sid {
            return None;
        }
        state.session = 0;
        let pgrp = std::mem::take(&mut state.pgrp);
        (pgrp != 0).then_some(pgrp)
    }

    /// The line is gone (__tty_hangup): the session's leader gets SIGHUP and SIGCONT, every slave file
    /// reads the end and writes EIO.
    pub(super) fn hang_up(&self) {
        let mut state = self.state.lock();
        state.hung_up = true;
        let session = std::mem::take(&mut state.session);
        let pgrp = std::mem::take(&mut state.pgrp);
        state.input.flush();
        state.pending.clear();
        state.output.flush();
        drop(state);
        if session != 0 {
            if let Some(terminals) = self.terminals.upgrade() {
                terminals.hung_up(session, pgrp);
            }
            self.signals.signal_process(session, Signal::SIGHUP);
            self.signals.signal_process(session, Signal::SIGCONT);
        }
        self.slave_queue.wake(READABLE | WRITABLE | Events::HUP | Events::ERR);
    }
}

/// The master's side, usable without a guest process: the supervisor relays a host terminal through it.
/// Dropping it hangs the terminal up.
pub struct PtyMaster {
    pub(super) pty: Arc<Pty>,
}

impl PtyMaster {
    pub(super) fn new(pty: Arc<Pty>) -> Self {
        Self { pty }
    }

    /// The terminal.
    #[must_use]
    pub fn pty(&self) -> &Arc<Pty> {
        &self.pty
    }

    /// Lets slaves be opened (TIOCSPTLCK with 0).
    pub fn unlock(&self) {
        self.pty.state.lock().locked = false;
    }

    /// Types bytes: how many were taken, 0 when the terminal can take none now.
    pub fn input(&self, bytes: &[u8]) -> usize {
        self.pty.with(|state| {
            let taken = PENDING_LIMIT.saturating_sub(state.pending.len()).min(bytes.len());
            state.pending.extend(&bytes[..taken]);
            taken
        })
    }

    /// Tells `listener` when a program looks for input in vain or changes the attributes; once.
    pub fn on_demand(&self, listener: Arc<dyn Listener>) {
        let _ = self.pty.demand.set(listener);
    }

    /// Whether programs' output comes here unprocessed, because a terminal behind it does that. Refused
    /// (false) while output of the other kind is left.
    pub fn pass_output(&self, passes: bool) -> bool {
        let mut state = self.pty.state.lock();
        let empty = state.output.is_drained();
        if empty {
            state.passes_output = passes;
        }
        empty
    }

    /// Whether ^S or TCOOFF holds output back.
    #[must_use]
    pub fn is_output_stopped(&self) -> bool {
        self.pty.state.lock().output.stopped
    }

    /// The user's terminal is gone: so is this one.
    pub fn hang_up(&self) {
        self.pty.hang_up();
    }

    /// Takes output, 0 when there is none now.
    pub fn take_output(&self, buf: &mut [u8]) -> usize {
        if self.pty.state.lock().output.len() == 0 {
            return 0;
        }
        self.pty.with(|state| state.output.take(buf))
    }

    /// What it is ready for.
    #[must_use]
    pub fn poll(&self) -> Events {
        let state = self.pty.state.lock();
        let mut events = Events::empty();
        if state.output.len() > 0 {
            events |= READABLE;
        }
        if state.packet_mode && state.packet_news != 0 {
            events |= READABLE | Events::PRI;
        }
        if state.pending.len() < PENDING_LIMIT {
            events |= WRITABLE;
        }
        if state.slave_closed {
            events |= Events::HUP;
        }
        events
    }

    /// Woken when [`PtyMaster::poll`] may have changed.
    #[must_use]
    pub fn wait_queue(&self) -> &WaitQueue {
        &self.pty.master_queue
    }

    /// Sets the window size.
    pub fn set_window_size(&self, window: WindowSize) {
        self.pty.resize(window);
    }

    /// Sets the attributes, for a terminal that starts like the host's.
    pub fn set_termios(&self, termios: &Termios) {
        self.pty.with(|state| state.set_termios(termios));
    }

    /// The attributes now.
    #[must_use]
    pub fn termios(&self) -> Termios {
        self.pty.state.lock().termios
    }

    /// Makes it the controlling terminal of a session, with a foreground group: for the container's first
    /// process, which is born with one.
    pub fn set_session(&self, sid: i32, pgrp: i32) {
        let mut state = self.pty.state.lock();
        state.session = sid;
        state.pgrp = pgrp;
        drop(state);
        if let Some(terminals) = self.pty.terminals.upgrade() {
            terminals.acquire(sid, &self.pty);
        }
    }

    /// The foreground group; 0 for none.
    #[must_use]
    pub fn foreground_group(&self) -> i32 {
        self.pty.state.lock().pgrp
    }

    /// Whether every slave has been closed.
    #[must_use]
    pub fn is_slave_closed(&self) -> bool {
        self.pty.state.lock().slave_closed
    }

    /// read(2) of the master: packets under TIOCPKT; EIO when the slaves are closed and all is read.
    pub(super) fn read(&self, buf: &mut [u8]) -> SysResult<usize> {
        let state = self.pty.state.lock();
        let (news, packets, empty) = (state.packet_news, state.packet_mode, state.output.len() == 0);
        let closed = state.slave_closed;
        drop(state);
        let Some((first, rest)) = buf.split_first_mut() else { return Ok(0) };
        if packets && news != 0 {
            *first = std::mem::take(&mut self.pty.state.lock().packet_news);
            return Ok(1);
        }
        if empty {
            return Err(if closed { Errno::EIO } else { Errno::EAGAIN });
        }
        if packets {
            *first = 0;
            return Ok(1 + self.take_output(rest));
        }
        Ok(self.take_output(buf))
    }
}

impl Drop for PtyMaster {
    fn drop(&mut self) {
        if let Some(terminals) = self.pty.terminals.upgrade() {
            terminals.remove(self.pty.index);
        }
        self.pty.hang_up();
    }
}
