//! Passes bytes between a terminal's master and containerd's FIFOs; a thread each way, which end with the terminal.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

use crate::error::{Error, io};

/// Their buffer is the largest thing on it.
const STACK: usize = 64 * 1024;

/// Starts passing.
pub(crate) fn start(master: OwnedFd, input: OwnedFd, output: OwnedFd) -> Result<(), Error> {
    let other = master.try_clone().map_err(io("the terminal"))?;
    let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(body).map_err(io("a thread"))
    };
    spawn("tty-out", Box::new(move || pass(&File::from(other), &File::from(output))))?;
    spawn("tty-in", Box::new(move || pass_input(&File::from(input), &File::from(master))))?;
    Ok(())
}

/// Passes what there is; false at the end of either side.
fn step(mut from: &File, mut to: &File) -> bool {
    let mut buffer = [0; 8192];
    match from.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => to.write_all(buffer.get(..count).unwrap_or_default()).is_ok(),
        // EIO: nobody has the terminal open any more.
        Err(error) => matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock),
    }
}

fn pass(from: &File, to: &File) {
    while step(from, to) {}
}

/// As [`pass`], but ends with the terminal even if nothing is typed any more.
fn pass_input(input: &File, master: &File) {
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(master.as_fd(), PollFlags::empty()),
        ];
        if poll(&mut fds, None).is_err_and(|errno| errno != rustix::io::Errno::INTR) {
            return;
        }
        let [typed, gone] = fds.map(|fd| fd.revents());
        if !gone.is_empty() || (!typed.is_empty() && !step(input, master)) {
            return;
        }
    }
}
