//! Between the user's terminal and the container's. Line editing, echo, ^C and ^Z are the work of the
//! container's own terminal once a program in it reads or changes settings: then the user's goes raw and
//! bytes pass both ways ([`Mode::Taken`]). Until then the user's terminal is left alone and only output
//! passes ([`Mode::Free`]), so a program that never reads takes no keystrokes from the shell, from a pager
//! behind a pipe, or from the job in the foreground.
//!
//! Lock order: `output` → `mode` → the container's terminal.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex as StdMutex, PoisonError};
use std::thread;
use std::time::Duration;

use abi_linux::fs::Events;
use kernel_base::sync::Mutex;
use kernel_base::wait::Listener;
use kernel_fs::tty::{PtyMaster, Termios as GuestTermios, WindowSize};
use nix::sys::signal::{SigSet, Signal};
use platform_api::KernelEvents;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{getpgrp, kill_current_process_group};
use rustix::stdio;
use rustix::termios::{
    OptionalActions, OutputModes, SpecialCodeIndex as Code, Termios, isatty, tcgetattr, tcgetpgrp,
    tcgetwinsize, tcsetattr,
};

use crate::error::Error;
use crate::jobs::start_thread;

/// The session of the container's first process, which is born with the terminal.
pub(crate) const INIT_SESSION: i32 = 1;

/// Bytes per transfer.
const CHUNK: usize = 16 * 1024;
/// How often a relay in the background looks whether it may have the terminal.
const FOREGROUND_POLL: Duration = Duration::from_millis(100);
/// The host sends SIGHUP before it ends reads; the guest's program shall see both in this order.
const HANG_UP_DELAY: Duration = Duration::from_millis(30);

/// Wakes a thread of the relay.
#[derive(Default)]
struct Bell {
    rung: StdMutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        while !*rung {
            rung = self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner);
        }
        *rung = false;
    }
}

impl Listener for Bell {
    fn notify(&self, _events: Events) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *rung, true) {
            self.changed.notify_all();
        }
    }
}

/// Rings when the container's programs want the terminal that the relay has not taken yet.
struct Demand {
    taken: AtomicBool,
    bell: Bell,
}

impl Listener for Demand {
    fn notify(&self, events: Events) {
        if !self.taken.load(Ordering::SeqCst) {
            self.bell.notify(events);
        }
    }
}

/// Whose the user's terminal is.
enum Mode {
    /// As it was.
    Free,
    /// Raw; with the settings to be restored.
    Taken(Box<Termios>),
}

/// The relay of one sandbox.
pub(crate) struct Relay {
    pty: Arc<PtyMaster>,
    events: Arc<dyn KernelEvents>,
    /// Held while output goes to the user's terminal, so that `finish` can flush the rest.
    output: Mutex<()>,
    mode: Mutex<Mode>,
    /// The settings that the container's terminal was given last.
    given: Mutex<GuestTermios>,
    demand: Arc<Demand>,
    readable: Arc<Bell>,
    writable: Arc<Bell>,
}

fn streams() -> [BorrowedFd<'static>; 3] {
    [stdio::stdin(), stdio::stdout(), stdio::stderr()]
}

/// Whether the user gave us a terminal at all.
pub(crate) fn has_terminal() -> bool {
    streams().into_iter().any(isatty)
}

fn user_input() -> BorrowedFd<'static> {
    streams().into_iter().find(|&fd| isatty(fd)).unwrap_or(stdio::stdin())
}

fn user_output() -> BorrowedFd<'static> {
    let [input, output, error] = streams();
    [output, error].into_iter().find(|&fd| isatty(fd)).unwrap_or(input)
}

/// Whether we may use the terminal. One that is not our controlling terminal knows no jobs.
fn is_foreground() -> bool {
    tcgetpgrp(user_input()).map_or(true, |pgrp| pgrp == getpgrp())
}

impl Relay {
    /// Starts passing output, and input when it is wanted.
    pub(crate) fn start(pty: Arc<PtyMaster>, events: Arc<dyn KernelEvents>) -> Result<Arc<Self>, Error> {
        let user = tcgetattr(user_input()).map_err(|errno| Error::Terminal(errno.into()))?;
        let (readable, writable) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        let demand = Arc::new(Demand { taken: AtomicBool::new(false), bell: Bell::default() });
        pty.wait_queue().add_listener(Events::IN | Events::HUP, Arc::clone(&readable) as Arc<dyn Listener>);
        pty.wait_queue().add_listener(Events::OUT | Events::HUP, Arc::clone(&writable) as Arc<dyn Listener>);
        pty.set_termios(&guest_termios(&user));
        pty.pass_output(true);
        pty.on_demand(Arc::clone(&demand) as Arc<dyn Listener>);
        let (given, mode) = (Mutex::new(pty.termios()), Mutex::new(Mode::Free));
        let relay =
            Arc::new(Self { pty, events, output: Mutex::new(()), mode, given, demand, readable, writable });
        relay.sync_window_size();
        let (reader, writer) = (Arc::clone(&relay), Arc::clone(&relay));
        start_thread("tty-in", move || reader.pass_input())?;
        start_thread("tty-out", move || writer.pass_output())?;
        Ok(relay)
    }

    fn is_taken(&self) -> bool {
        matches!(*self.mode.lock(), Mode::Taken(_))
    }

    fn pass_input(&self) {
        // In the background a read shall fail, not stop the whole sandbox.
        let mut job_signals = SigSet::empty();
        job_signals.add(Signal::SIGTTIN);
        let _ = job_signals.thread_block();
        let mut buf = [0; 1024];
        loop {
            self.demand.bell.wait();
            while !is_foreground() {
                // As the host does with a background process that reads.
                let _ = kill_current_process_group(rustix::process::Signal::TTIN);
                thread::sleep(FOREGROUND_POLL);
            }
            self.take();
            while self.is_taken() {
                match rustix::io::read(user_input(), &mut buf) {
                    Ok(n) if n > 0 => self.type_in(&buf[..n]),
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => wait_for(user_input(), PollFlags::IN),
                    // In the background: a stop, and no return to the foreground.
                    Err(Errno::IO) if !is_foreground() => self.release(),
                    _ => return self.hang_up(),
                }
            }
        }
    }

    fn type_in(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.pty.input(bytes);
            self.events.drain();
            bytes = &bytes[taken..];
            if taken == 0 {
                self.writable.wait();
            }
        }
    }

    fn hang_up(&self) {
        thread::sleep(HANG_UP_DELAY);
        self.pty.hang_up();
        self.events.drain();
    }

    fn pass_output(&self) {
        loop {
            self.readable.wait();
            let output = self.output.lock();
            self.flush();
            drop(output);
        }
    }

    /// Moves what the container wrote to the user's terminal. With `output` held.
    fn flush(&self) {
        let mut buf = vec![0; CHUNK];
        loop {
            let n = self.pty.take_output(&mut buf);
            if n == 0 {
                return;
            }
            self.events.drain();
            match write_all(user_output(), &buf[..n]) {
                // A terminal that was opened for reading only shows nothing.
                Ok(()) | Err(Errno::BADF) => {}
                Err(_) => return self.pty.hang_up(),
            }
        }
    }

    /// Tells the container's terminal the size of the user's.
    pub(crate) fn sync_window_size(&self) {
        if let Ok(size) = tcgetwinsize(user_output()) {
            let size = WindowSize {
                rows: size.ws_row,
                columns: size.ws_col,
                x_pixels: size.ws_xpixel,
                y_pixels: size.ws_ypixel,
            };
            self.pty.set_window_size(size);
        }
    }

    /// Sets the container's foreground process group.
    pub(crate) fn set_foreground(&self, pgid: i32) {
        self.pty.set_session(INIT_SESSION, pgid);
    }

    /// The container's foreground process group.
    pub(crate) fn foreground(&self) -> i32 {
        self.pty.foreground_group()
    }

    /// Makes the user's terminal raw, with all output of before on it. Nothing while in the background.
    fn take(&self) {
        let _output = self.output.lock();
        let mut mode = self.mode.lock();
        if let Mode::Taken(_) = *mode {
            return;
        }
        let Ok(user) = tcgetattr(user_input()) else { return };
        self.demand.taken.store(true, Ordering::SeqCst);
        self.give_settings(&user);
        self.switch_output(false);
        set_raw(&user);
        *mode = Mode::Taken(Box::new(user));
        self.sync_window_size();
    }

    /// Gives the user's terminal back as it was.
    fn release(&self) {
        let _output = self.output.lock();
        let mut mode = self.mode.lock();
        self.flush();
        if let Mode::Taken(user) = &*mode {
            self.switch_output(true);
            if is_foreground() {
                let _ = tcsetattr(user_input(), OptionalActions::Drain, user);
            }
            *mode = Mode::Free;
            self.demand.taken.store(false, Ordering::SeqCst);
        }
    }

    /// Changes who processes output, after what has been written so far.
    fn switch_output(&self, passes: bool) {
        self.flush();
        while !self.pty.pass_output(passes) {
            self.flush();
            // Stopped by ^S: what is held stays as it is.
            if self.pty.is_output_stopped() {
                return;
            }
        }
    }

    /// The container's terminal follows the user's until a program sets it.
    fn give_settings(&self, user: &Termios) {
        let mut given = self.given.lock();
        if self.pty.termios() == *given {
            self.pty.set_termios(&guest_termios(user));
            *given = self.pty.termios();
        }
    }

    /// Gives the user's terminal back for a stop; whether it had been taken.
    pub(crate) fn suspend(&self) -> bool {
        let taken = self.is_taken();
        self.release();
        taken
    }

    /// After a stop: takes the terminal again if it was.
    pub(crate) fn resume(&self, taken: bool) {
        self.sync_window_size();
        if taken && is_foreground() {
            self.take();
        }
    }

    /// Somebody else stopped us and may have changed the terminal that we have.
    pub(crate) fn retake(&self) {
        if let Mode::Taken(user) = &*self.mode.lock()
            && is_foreground()
        {
            set_raw(user);
        }
        self.sync_window_size();
    }

    /// Passes on what is left, and gives the user's terminal back.
    pub(crate) fn finish(&self) {
        self.release();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.release();
    }
}

/// Raw, but where the output goes elsewhere, the programs there may be writing to this terminal, too: they
/// find their line ends processed.
fn set_raw(user: &Termios) {
    let mut raw = user.clone();
    raw.make_raw();
    if !isatty(stdio::stdout()) {
        raw.output_modes |= user.output_modes & (OutputModes::OPOST | OutputModes::ONLCR);
    }
    let _ = tcsetattr(user_input(), OptionalActions::Now, &raw);
}

fn wait_for(fd: BorrowedFd<'_>, events: PollFlags) {
    let _ = rustix::event::poll(&mut [PollFd::from_borrowed_fd(fd, events)], None);
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            // Somebody made the terminal non-blocking.
            Err(Errno::AGAIN) => wait_for(fd, PollFlags::OUT),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The user's settings for the container's terminal, so that it starts alike.
fn guest_termios(user: &Termios) -> GuestTermios {
    const CODES: [Code; 16] = [
        Code::VINTR,
        Code::VQUIT,
        Code::VERASE,
        Code::VKILL,
        Code::VEOF,
        Code::VTIME,
        Code::VMIN,
        Code::VSWTC,
        Code::VSTART,
        Code::VSTOP,
        Code::VSUSP,
        Code::VEOL,
        Code::VREPRINT,
        Code::VDISCARD,
        Code::VWERASE,
        Code::VLNEXT,
    ];
    let mut guest = GuestTermios {
        c_iflag: user.input_modes.bits(),
        c_oflag: user.output_modes.bits(),
        c_lflag: user.local_modes.bits(),
        ..GuestTermios::default()
    };
    // CODES stand in the order of the kernel's c_cc.
    for (slot, code) in guest.c_cc.iter_mut().zip(CODES) {
        *slot = user.special_codes[code];
    }
    guest.c_cc[CODES.len()] = user.special_codes[Code::VEOL2];
    guest
}
