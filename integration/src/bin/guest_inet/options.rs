//! Options of sockets and of their protocols.

use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

use crate::{get_int, pair, set_int, tcp};
use integration::checks;
use integration::guest::{Check, error_of};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

pub(crate) const CHECKS: &[Check] = checks![options_are_remembered, options_have_limits,];

fn options_are_remembered() {
    let (client, _server) = pair();
    let tcp = libc::IPPROTO_TCP;
    for (level, name, first, value) in [
        (tcp, libc::TCP_NODELAY, 0, 1),
        (tcp, libc::TCP_CORK, 0, 1),
        (tcp, libc::TCP_KEEPIDLE, 7200, 60),
        (tcp, libc::TCP_KEEPINTVL, 75, 10),
        (tcp, libc::TCP_KEEPCNT, 9, 3),
        (tcp, libc::TCP_USER_TIMEOUT, 0, 5000),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0, 1),
        (libc::SOL_SOCKET, libc::SO_REUSEADDR, 0, 1),
        (libc::SOL_SOCKET, libc::SO_PRIORITY, 0, 5),
        (libc::IPPROTO_IP, libc::IP_TOS, 0, 16),
        (libc::IPPROTO_IP, libc::IP_TTL, 64, 9),
    ] {
        assert_eq!(get_int(&client, level, name), Ok(first), "{level} {name}");
        set_int(&client, level, name, value).expect("setsockopt");
        let expected = if name == libc::IP_TOS && level == 0 { 16 } else { value };
        assert_eq!(get_int(&client, level, name), Ok(expected), "{level} {name}");
    }
    assert_eq!(get_int(&client, tcp, libc::TCP_MAXSEG).map(|size| size > 1000), Ok(true));
    assert_eq!(get_int(&client, tcp, libc::TCP_QUICKACK), Ok(1));
    for (name, value) in [
        (libc::SO_TYPE, libc::SOCK_STREAM),
        (libc::SO_DOMAIN, libc::AF_INET),
        (libc::SO_PROTOCOL, tcp),
        (libc::SO_ACCEPTCONN, 0),
        (libc::SO_RCVBUF, 131_072),
    ] {
        assert_eq!(get_int(&client, libc::SOL_SOCKET, name), Ok(value), "{name}");
    }
    let mut info = MaybeUninit::<[u8; 104]>::zeroed();
    let mut len = 104u32;
    let at = info.as_mut_ptr().cast();
    // SAFETY: the buffer is writable for the length.
    let done = unsafe { libc::getsockopt(client.as_raw_fd(), tcp, libc::TCP_INFO, at, &raw mut len) };
    assert_eq!((done, len), (0, 104));
    // SAFETY: zeroes, or what the call wrote.
    assert_eq!(unsafe { info.assume_init() }[0], 1, "established");
}

fn options_have_limits() {
    let fd = tcp(AddressFamily::Inet);
    let tcp = libc::IPPROTO_TCP;
    for (level, name, value, errno) in [
        (tcp, libc::TCP_KEEPIDLE, 0, Errno::EINVAL),
        (tcp, libc::TCP_KEEPCNT, 128, Errno::EINVAL),
        (tcp, libc::TCP_MAXSEG, 10, Errno::EINVAL),
        (tcp, 99, 1, Errno::ENOPROTOOPT),
        (libc::IPPROTO_IP, libc::IP_TTL, 0, Errno::EINVAL),
        (libc::IPPROTO_IP, libc::IP_TTL, 256, Errno::EINVAL),
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1, Errno::ENOPROTOOPT),
        (libc::SOL_SOCKET, libc::SO_TYPE, 1, Errno::ENOPROTOOPT),
        (1234, 1, 1, Errno::ENOPROTOOPT),
    ] {
        assert_eq!(error_of(set_int(&fd, level, name, value)), errno, "{level} {name} {value}");
    }
    assert_eq!(error_of(get_int(&fd, 1234, 1)), Errno::EOPNOTSUPP);
    let six = socket(AddressFamily::Inet6, SockType::Datagram, SockFlag::empty(), None).expect("socket");
    assert_eq!(get_int(&six, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY), Ok(0));
    assert_eq!(get_int(&six, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS), Ok(64));
}
