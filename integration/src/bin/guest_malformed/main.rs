//! Socket calls with malformed arguments of every kind: addresses, message headers, vectors, control messages, options. What
//! each answers is printed; the test compares what the host says with what is said inside. The arguments come from a
//! generator whose seed is fixed, so both sides ask the same.

mod addresses;
mod messages;
mod options;
mod random;

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;

use integration::{guest, network};
use nix::errno::Errno;
use random::Random;

/// The kinds of sockets, with a name for each.
const KINDS: &[(&str, i32, i32, i32)] = &[
    ("tcp4", libc::AF_INET, libc::SOCK_STREAM, 0),
    ("tcp6", libc::AF_INET6, libc::SOCK_STREAM, 0),
    ("udp4", libc::AF_INET, libc::SOCK_DGRAM, 0),
    ("udp6", libc::AF_INET6, libc::SOCK_DGRAM, 0),
    ("stream", libc::AF_UNIX, libc::SOCK_STREAM, 0),
    ("datagram", libc::AF_UNIX, libc::SOCK_DGRAM, 0),
    ("packets", libc::AF_UNIX, libc::SOCK_SEQPACKET, 0),
];

/// Where nothing is mapped.
const NOWHERE: usize = 0x10;

/// A socket of a kind, non-blocking.
fn open(kind: usize) -> OwnedFd {
    let (_, family, kind, protocol) = KINDS[kind];
    // SAFETY: the call takes no pointer.
    let fd = Errno::result(unsafe { libc::socket(family, kind | libc::SOCK_NONBLOCK, protocol) });
    guest::fd::own(fd.expect("socket"))
}

/// What a call has answered, as text.
fn answer(result: i64) -> String {
    if result < 0 { format!("{:?}", Errno::last()) } else { result.to_string() }
}

fn raw(fd: &impl AsFd) -> RawFd {
    fd.as_fd().as_raw_fd()
}

fn main() -> ExitCode {
    // Where there can be none, the sandbox has just that.
    let _ = network::enter_loopback();
    let dir = guest::scratch::Scratch::new();
    std::env::set_current_dir(dir.dir()).expect("a directory of its own");
    let mut random = Random::new(0x5eed);
    addresses::try_all(&mut random);
    messages::try_all(&mut random);
    options::try_all(&mut random);
    ExitCode::SUCCESS
}
