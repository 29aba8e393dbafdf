//! Calls on descriptor *numbers*: checks ask about numbers that are closed, too high or somebody else's, for
//! which there is no owned type.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use nix::Result;
use nix::errno::Errno;

/// dup2(2).
pub fn dup2(old: RawFd, new: RawFd) -> Result<RawFd> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::dup2(old, new) })
}

/// dup3(2).
pub fn dup3(old: RawFd, new: RawFd, flags: i32) -> Result<RawFd> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::dup3(old, new, flags) })
}

/// dup(2).
pub fn dup(old: RawFd) -> Result<RawFd> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::dup(old) })
}

/// close(2).
pub fn close(fd: RawFd) -> Result<()> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::close(fd) }).map(drop)
}

/// fcntl(2) with an integer argument.
pub fn fcntl(fd: RawFd, command: i32, argument: i32) -> Result<i32> {
    assert!(!matches!(command, libc::F_SETLK | libc::F_SETLKW | libc::F_GETLK), "these take a pointer");
    // SAFETY: the command takes an integer.
    Errno::result(unsafe { libc::fcntl(fd, command, argument) })
}

/// read(2).
pub fn read(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is writable for its length.
    let count = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
    Errno::result(count).map(isize::unsigned_abs)
}

/// write(2).
pub fn write(fd: RawFd, bytes: &[u8]) -> Result<usize> {
    // SAFETY: the bytes are readable for their length.
    let count = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    Errno::result(count).map(isize::unsigned_abs)
}

/// lseek(2).
pub fn lseek(fd: RawFd, offset: i64, whence: i32) -> Result<i64> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::lseek(fd, offset, whence) })
}

/// An owner for a number that the caller has just been given.
pub fn own(fd: RawFd) -> OwnedFd {
    // SAFETY: checks call this only on a number that a call has just returned to them.
    unsafe { OwnedFd::from_raw_fd(fd) }
}
