//! TCP and UDP over loopback, v4 and v6: connections and their ends, ports, options, datagrams. On the host the checks
//! run in a network namespace of their own that has lo alone.

mod connections;
mod datagrams;
mod options;
mod streams;
mod tables;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use integration::{guest, network};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, socket};

fn main() -> ExitCode {
    // Where there can be none, the sandbox has just that.
    let _ = network::enter_loopback();
    guest::main(
        &[connections::CHECKS, streams::CHECKS, options::CHECKS, datagrams::CHECKS, tables::CHECKS].concat(),
    )
}

const RDHUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);
const IN: PollFlags = PollFlags::POLLIN;
const OUT: PollFlags = PollFlags::POLLOUT;
const HUP: PollFlags = PollFlags::POLLHUP;
const ERR: PollFlags = PollFlags::POLLERR;

fn tcp(family: AddressFamily) -> OwnedFd {
    socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("socket")
}

fn nonblocking() -> OwnedFd {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Inet, SockType::Stream, flags, None).expect("socket")
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("name");
    (listener, address)
}

fn pair() -> (TcpStream, TcpStream) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).expect("connect");
    let (server, from) = listener.accept().expect("accept");
    assert_eq!(from, client.local_addr().expect("name"));
    (client, server)
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().expect("an errno"))
}

fn failure<T>(result: std::io::Result<T>) -> Errno {
    errno(&result.err().expect("an error"))
}

fn storage(address: SocketAddr) -> SockaddrStorage {
    SockaddrStorage::from(address)
}

/// poll(2) for everything.
fn events(fd: &impl AsFd) -> PollFlags {
    let mut asked = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events: libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP | libc::POLLPRI,
        revents: 0,
    };
    // SAFETY: `asked` outlives the call. nix knows no POLLRDHUP.
    assert!(unsafe { libc::poll(&raw mut asked, 1, 0) } >= 0);
    PollFlags::from_bits_retain(asked.revents)
}

/// The host's packets may take a moment.
fn settle() {
    thread::sleep(Duration::from_millis(20));
}

fn set_int(fd: &impl AsFd, level: i32, name: i32, value: i32) -> nix::Result<()> {
    let at = (&raw const value).cast();
    // SAFETY: the value is readable for its length.
    let done = unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, at, size_of::<i32>() as u32) };
    Errno::result(done).map(drop)
}

fn get_int(fd: &impl AsFd, level: i32, name: i32) -> nix::Result<i32> {
    let (mut value, mut len) = (0i32, size_of::<i32>() as u32);
    let (at, len_at) = ((&raw mut value).cast(), &raw mut len);
    // SAFETY: the value is writable for the length.
    let done = unsafe { libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, at, len_at) };
    Errno::result(done).map(|_| value)
}

fn ioctl_int(fd: RawFd, request: libc::Ioctl) -> i32 {
    let mut value = -1;
    // SAFETY: the value outlives the call.
    assert_eq!(unsafe { libc::ioctl(fd, request, &raw mut value) }, 0, "{}", Errno::last());
    value
}
