//! A terminal whose other end is the test: starts a program on a new pty as its session's leader, types,
//! and reads what appears.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{Winsize, grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::process::{self, shell_status};

nix::ioctl_write_ptr_bad!(set_window_size, libc::TIOCSWINSZ, Winsize);
nix::ioctl_write_int_bad!(set_controlling_terminal, libc::TIOCSCTTY);

/// How long an expected text may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal.
pub struct Terminal {
    master: File,
    child: Child,
    /// What appeared since the last match.
    pending: String,
    /// All that appeared, for messages.
    transcript: String,
}

impl Terminal {
    /// Starts `command` as the leader of a new session on a new terminal of 24 rows and 80 columns.
    pub fn start(mut command: Command) -> Self {
        process::default_signals();
        let master =
            posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).expect("a pty can be had");
        grantpt(&master).expect("the pty is ours");
        unlockpt(&master).expect("the pty is ours");
        let name = ptsname_r(&master).expect("a pty has a name");
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(&name)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let duplicate = || Stdio::from(slave.try_clone().expect("a descriptor is free"));
        command.stdin(duplicate()).stdout(duplicate()).stderr(duplicate());
        // SAFETY: the closure makes two system calls and touches no memory that another thread could hold.
        unsafe { command.pre_exec(become_session_leader) };
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let owned = master.as_fd().try_clone_to_owned().expect("a descriptor is free");
        let mut terminal =
            Self { master: File::from(owned), child, pending: String::new(), transcript: String::new() };
        terminal.resize(24, 80);
        terminal
    }

    /// Types `text`. Control keys are their bytes: ^C is "\x03", ^Z "\x1a".
    pub fn type_text(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("the terminal takes input");
    }

    /// Types a line and its Enter.
    pub fn type_line(&mut self, line: &str) {
        self.type_text(&format!("{line}\r"));
    }

    /// Waits until `text` appears and forgets what came up to its end. Returns what came before it.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.pending.find(text) {
                let before = self.pending[..at].to_owned();
                self.pending.drain(..at + text.len());
                return before;
            }
            assert!(
                self.read_some(deadline),
                "{text:?} does not appear on the terminal, which showed:\n{}\npending: {:?}",
                self.transcript,
                self.pending
            );
        }
    }

    /// Changes the window's size, as a terminal emulator does.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is a pty master and `size` outlives the call.
        unsafe { set_window_size(self.master.as_raw_fd(), &size) }.expect("a pty has a size");
    }

    /// The name of the line settings: what `stty -a` on the other end would print can be compared by this.
    pub fn settings(&self) -> nix::sys::termios::Termios {
        nix::sys::termios::tcgetattr(self.master.as_fd()).expect("a pty has settings")
    }

    /// Waits for the program's end: its status as a shell says it.
    pub fn wait(&mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return shell_status(status);
            }
            if Instant::now() > deadline {
                panic!("the program does not end; the terminal showed:\n{}", self.transcript);
            }
            // Its last output has to go somewhere.
            self.read_some(Instant::now() + Duration::from_millis(20));
        }
    }

    /// Hangs up: the line is gone, and its session gets SIGHUP.
    pub fn hang_up(&mut self) {
        self.master = File::open("/dev/null").expect("there is a /dev/null");
    }

    /// All that appeared so far.
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Takes what the terminal shows. False when nothing came before the deadline, or nothing can come.
    fn read_some(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let mut fds = [PollFd::new(self.master.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, timeout).unwrap_or(0) == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        // EIO: every descriptor of the other end is closed.
        let count = self.master.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            std::thread::sleep(Duration::from_millis(5));
            return Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None));
        }
        let text = String::from_utf8_lossy(&bytes[..count]);
        self.pending.push_str(&text);
        self.transcript.push_str(&text);
        true
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            process::kill_tree(self.child.id());
            // Only to reap it.
            let _ = self.child.wait();
        }
    }
}

/// Runs in the child before exec.
fn become_session_leader() -> std::io::Result<()> {
    nix::unistd::setsid()?;
    // SAFETY: stdin is a terminal that has no session yet; the argument 0 does not steal one.
    unsafe { set_controlling_terminal(libc::STDIN_FILENO, 0) }?;
    Ok(())
}
