//! Between the user's terminal and the container's: the user's goes raw, and bytes pass both ways. Line
//! editing, echo, ^C and ^Z are the work of the container's own terminal.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex as StdMutex, PoisonError};

use abi_linux::fs::Events;
use kernel_base::sync::Mutex;
use kernel_base::wait::Listener;
use kernel_fs::tty::{PtyMaster, Termios as GuestTermios, WindowSize};
use platform_api::KernelEvents;
use rustix::stdio;
use rustix::termios::{
    OptionalActions, SpecialCodeIndex as Code, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

use crate::error::Error;
use crate::jobs::start_thread;

/// The session of the container's first process, which is born with the terminal.
pub(crate) const INIT_SESSION: i32 = 1;

/// Bytes per transfer.
const CHUNK: usize = 16 * 1024;

/// Wakes the thread that writes to the user's terminal.
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
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }
}

/// The relay of one sandbox.
pub(crate) struct Relay {
    pty: Arc<PtyMaster>,
    events: Arc<dyn KernelEvents>,
    /// The user's settings, to be restored.
    original: Termios,
    /// Held while output goes to the user's terminal, so that `finish` can flush the rest.
    output: Mutex<()>,
    readable: Arc<Bell>,
    writable: Arc<Bell>,
}

fn user_input() -> BorrowedFd<'static> {
    stdio::stdin()
}

fn user_output() -> BorrowedFd<'static> {
    if isatty(stdio::stdout()) { stdio::stdout() } else { stdio::stdin() }
}

impl Relay {
    /// Makes the user's terminal raw and starts both directions.
    pub(crate) fn start(pty: Arc<PtyMaster>, events: Arc<dyn KernelEvents>) -> Result<Arc<Self>, Error> {
        let original = tcgetattr(user_input()).map_err(|errno| Error::Terminal(errno.into()))?;
        let (readable, writable) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        pty.wait_queue().add_listener(Events::IN | Events::HUP, Arc::clone(&readable) as Arc<dyn Listener>);
        pty.wait_queue().add_listener(Events::OUT | Events::HUP, Arc::clone(&writable) as Arc<dyn Listener>);
        pty.set_termios(&guest_termios(&original));
        let relay = Arc::new(Self { pty, events, original, output: Mutex::new(()), readable, writable });
        relay.resume();
        let (reader, writer) = (Arc::clone(&relay), Arc::clone(&relay));
        start_thread("tty-in", move || reader.pass_input())?;
        start_thread("tty-out", move || writer.pass_output())?;
        Ok(relay)
    }

    fn pass_input(&self) {
        let mut buf = [0; 1024];
        loop {
            let mut bytes = match rustix::io::read(user_input(), &mut buf) {
                Ok(0) => return,
                Ok(n) => &buf[..n],
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
            };
            while !bytes.is_empty() {
                let taken = self.pty.input(bytes);
                self.events.drain();
                bytes = &bytes[taken..];
                if taken == 0 {
                    self.writable.wait();
                }
            }
        }
        // The user's terminal is gone: the kernel sends SIGHUP, which the guest's program gets.
    }

    fn pass_output(&self) {
        loop {
            self.readable.wait();
            self.flush_output();
        }
    }

    /// Moves what the container wrote to the user's terminal.
    fn flush_output(&self) {
        let _one_at_a_time = self.output.lock();
        let mut buf = vec![0; CHUNK];
        loop {
            let n = self.pty.take_output(&mut buf);
            if n == 0 {
                return;
            }
            self.events.drain();
            if write_all(user_output(), &buf[..n]).is_err() {
                return;
            }
        }
    }

    /// Tells the container's terminal the size of the user's.
    pub(crate) fn sync_window_size(&self) {
        if let Ok(size) = tcgetwinsize(user_output()) {
            let size =
                WindowSize { rows: size.ws_row, columns: size.ws_col, x_pixels: size.ws_xpixel, y_pixels: size.ws_ypixel };
            self.pty.set_window_size(size);
        }
    }

    /// The container's foreground process group.
    pub(crate) fn set_foreground(&self, pgid: i32) {
        self.pty.set_session(INIT_SESSION, pgid);
    }

    /// Gives the user's terminal back as it was.
    pub(crate) fn suspend(&self) {
        self.flush_output();
        let _ = tcsetattr(user_input(), OptionalActions::Drain, &self.original);
    }

    /// Takes the user's terminal (again).
    pub(crate) fn resume(&self) {
        let mut raw = self.original.clone();
        raw.make_raw();
        let _ = tcsetattr(user_input().as_fd(), OptionalActions::Now, &raw);
        self.sync_window_size();
    }

    /// Passes on what is left, and gives the user's terminal back.
    pub(crate) fn finish(&self) {
        self.suspend();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.suspend();
    }
}

fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(rustix::io::Errno::INTR) => {}
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
