//! A container's terminal behind a pty of the host, whose master somebody else holds (`--console-socket`).
//!
//! The host's side is raw: line discipline, echo and job control are the container's terminal's. One thread passes
//! bytes both ways. Nobody tells the slave's holder of a new window size unless the pty is its controlling terminal,
//! which one process can have only one of; so the thread looks now and then.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use abi_linux::fs::Events;
use kernel_base::sync::Mutex;
use kernel_base::wait::Listener;
use kernel_fs::tty::{PtyMaster, WindowSize as GuestSize};
use platform_api::KernelEvents;
use runtime_control::WindowSize;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, OutputModes, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::error::Error;
use crate::jobs::STACK;

/// How often the window's size is looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
/// How long the last output may take when nobody reads it.
const DRAIN: Duration = Duration::from_secs(2);
/// Bytes per transfer.
const CHUNK: usize = 4096;

/// One terminal's relay.
pub(crate) struct Console {
    shared: Arc<Shared>,
    done: Mutex<Option<Receiver<()>>>,
}

struct Shared {
    pty: Arc<PtyMaster>,
    slave: OwnedFd,
    bell: OwnedFd,
    /// The process that it belongs to has ended.
    finished: AtomicBool,
    /// The host's size that was seen last.
    seen: Mutex<(u16, u16)>,
}

impl Listener for Shared {
    fn notify(&self, _events: Events) {
        self.ring();
    }
}

impl Shared {
    fn ring(&self) {
        // A full counter is rung already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    fn set_size(&self, rows: u16, columns: u16) {
        self.pty.set_window_size(GuestSize { rows, columns, x_pixels: 0, y_pixels: 0 });
    }

    /// Follows what was set on the host's pty: its size, and whether a line feed becomes two characters.
    fn follow(&self, events: &dyn KernelEvents) {
        if let Ok(size) = tcgetwinsize(&self.slave) {
            let size = (size.ws_row, size.ws_col);
            if std::mem::replace(&mut *self.seen.lock(), size) != size {
                self.set_size(size.0, size.1);
                events.drain();
            }
        }
        if let Ok(termios) = tcgetattr(&self.slave)
            && !termios.output_modes.contains(OutputModes::ONLCR)
        {
            let mut own = self.pty.termios();
            if own.c_oflag & OutputModes::ONLCR.bits() != 0 {
                own.c_oflag &= !OutputModes::ONLCR.bits();
                self.pty.set_termios(&own);
            }
        }
    }
}

/// Makes a pty of the host raw: master and slave. Its ONLCR flag, without effect in raw mode, says what its owner wants
/// of the container's terminal.
fn set_up_pty(master: OwnedFd, size: Option<WindowSize>) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    let mut termios = tcgetattr(&slave)?;
    termios.make_raw();
    termios.output_modes |= OutputModes::ONLCR;
    tcsetattr(&slave, OptionalActions::Now, &termios)?;
    if let Some(size) = size {
        tcsetwinsize(&slave, winsize(size))?;
    }
    rustix::io::ioctl_fionbio(&slave, true)?;
    Ok((master, slave))
}

fn winsize(size: WindowSize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl Console {
    /// Starts a relay between `pty` and a new one of the host; gives that one's master.
    pub(crate) fn start(
        pty: Arc<PtyMaster>,
        master: OwnedFd,
        size: Option<WindowSize>,
        events: Arc<dyn KernelEvents>,
    ) -> Result<(Self, OwnedFd), Error> {
        let failed = |errno: Errno| Error::Terminal(errno.into());
        let (master, slave) = set_up_pty(master, size).map_err(failed)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(failed)?;
        let (finished, seen) = (AtomicBool::new(false), Mutex::new((0, 0)));
        let shared = Arc::new(Shared { pty, slave, bell, finished, seen });
        let listener = Arc::clone(&shared) as Arc<dyn Listener>;
        let key = shared.pty.wait_queue().add_listener(Events::IN | Events::OUT | Events::HUP, listener);
        shared.follow(&*events);
        let (ending, done) = channel();
        let relay = Arc::clone(&shared);
        let body = move || {
            pass(&relay, &*events);
            relay.pty.wait_queue().remove(key);
            drop((relay, ending));
        };
        let builder = thread::Builder::new().name("tty".to_owned()).stack_size(STACK);
        builder.spawn(body).map_err(Error::Thread)?;
        Ok((Self { shared, done: Mutex::new(Some(done)) }, master))
    }

    /// Passes on what is left, and ends.
    pub(crate) fn finish(&self) {
        self.shared.finished.store(true, Ordering::SeqCst);
        self.shared.ring();
    }

    /// Waits for the end of a relay that is finishing.
    pub(crate) fn drain(&self) {
        if let Some(done) = self.done.lock().take() {
            let _ = done.recv_timeout(DRAIN);
        }
    }

    /// Takes over what was set on the host's side by now: the size that an engine gives before the start.
    pub(crate) fn follow(&self, events: &dyn KernelEvents) {
        self.shared.follow(events);
    }

    pub(crate) fn resize(&self, size: WindowSize) {
        *self.shared.seen.lock() = (size.rows, size.columns);
        let _ = tcsetwinsize(&self.shared.slave, winsize(size));
        self.shared.set_size(size.rows, size.columns);
    }
}

/// The relay's life.
fn pass(shared: &Shared, events: &dyn KernelEvents) {
    let (mut output, mut input) = (Pending::default(), Pending::default());
    loop {
        let written = move_output(shared, &mut output, events);
        let gone = move_input(shared, &mut input, events).is_err() || written.is_err();
        if gone {
            // Whoever held the master is gone, and with it the terminal.
            shared.pty.hang_up();
            events.drain();
            return;
        }
        let over = shared.finished.load(Ordering::SeqCst) || shared.pty.pty().is_hung_up();
        if over && output.is_empty() {
            return;
        }
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::IN, input.is_empty());
        wanted.set(PollFlags::OUT, !output.is_empty());
        let mut both = [
            PollFd::from_borrowed_fd(shared.slave.as_fd(), wanted),
            PollFd::new(&shared.bell, PollFlags::IN),
        ];
        match poll(&mut both, Some(&LOOK)) {
            // What cannot be written at the end for so long, nobody will read.
            Ok(0) if over => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let mut count = [0; 8];
        let _ = rustix::io::read(&shared.bell, &mut count);
        shared.follow(events);
    }
}

/// Bytes that could not be passed on yet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    fn refill(&mut self, from: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(from);
        self.done = 0;
    }
}

fn move_output(shared: &Shared, pending: &mut Pending, events: &dyn KernelEvents) -> Result<(), Errno> {
    loop {
        while !pending.is_empty() {
            match rustix::io::write(&shared.slave, pending.rest()) {
                Ok(count) => pending.done += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let mut chunk = [0; CHUNK];
        let count = shared.pty.take_output(&mut chunk);
        if count == 0 {
            return Ok(());
        }
        events.drain();
        pending.refill(chunk.get(..count).unwrap_or_default());
    }
}

fn move_input(shared: &Shared, pending: &mut Pending, events: &dyn KernelEvents) -> Result<(), Errno> {
    loop {
        while !pending.is_empty() {
            let count = shared.pty.input(pending.rest());
            events.drain();
            pending.done += count;
            if count == 0 {
                return Ok(());
            }
        }
        let mut chunk = [0; CHUNK];
        match rustix::io::read(&shared.slave, &mut chunk) {
            // The master is closed.
            Ok(0) | Err(Errno::IO) => return Err(Errno::IO),
            Ok(count) => pending.refill(chunk.get(..count).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}
