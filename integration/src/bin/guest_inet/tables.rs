//! Kinds of sockets, and what ioctls, netlink and /proc tell of interfaces and sockets.

use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use crate::{listener, tcp};
use integration::guest::{Check, error_of, in_child};
use integration::{checks, guest};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, recv, send};

pub(crate) const CHECKS: &[Check] = checks![
    kinds_and_protocols,
    interfaces_by_ioctl,
    interfaces_by_netlink,
    netlink_answers_and_refuses,
    proc_lists_sockets,
];

fn create(family: i32, kind: i32, protocol: i32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::socket(family, kind, protocol) }).map(guest::fd::own)
}

fn kinds_and_protocols() {
    for family in [libc::AF_INET, libc::AF_INET6] {
        for (kind, protocol, errno) in [
            (libc::SOCK_STREAM, libc::IPPROTO_UDP, Errno::EPROTONOSUPPORT),
            (libc::SOCK_DGRAM, libc::IPPROTO_TCP, Errno::EPROTONOSUPPORT),
            (libc::SOCK_STREAM, -1, Errno::EINVAL),
            (libc::SOCK_STREAM, 1000, Errno::EINVAL),
            (libc::SOCK_SEQPACKET, 0, Errno::ESOCKTNOSUPPORT),
            (libc::SOCK_RAW, 0, Errno::EPROTONOSUPPORT),
        ] {
            assert_eq!(error_of(create(family, kind, protocol)), errno, "{family} {kind} {protocol}");
        }
        create(family, libc::SOCK_STREAM, libc::IPPROTO_TCP).expect("TCP");
        create(family, libc::SOCK_DGRAM, libc::IPPROTO_UDP).expect("UDP");
    }
    let mut fds = [0; 2];
    // SAFETY: the array is writable.
    let pair = unsafe { libc::socketpair(libc::AF_INET, libc::SOCK_STREAM, 0, fds.as_mut_ptr()) };
    assert_eq!(error_of(Errno::result(pair)), Errno::EOPNOTSUPP);
}

fn interfaces_by_ioctl() {
    assert_eq!(nix::net::if_::if_nametoindex("lo"), Ok(1));
    assert_eq!(error_of(nix::net::if_::if_nametoindex("eth7")), Errno::ENODEV);
    let fd = tcp(AddressFamily::Inet);
    // SAFETY: all zeroes is an ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    // SAFETY: `request` outlives the call.
    assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFFLAGS, &raw mut request) }, 0);
    // SAFETY: the call has written the flags.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    assert_eq!(flags, libc::IFF_UP | libc::IFF_LOOPBACK | libc::IFF_RUNNING);
    // SAFETY: `request` outlives the call.
    assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) }, 0);
    // SAFETY: the call has written the number.
    assert_eq!(unsafe { request.ifr_ifru.ifru_mtu }, 65_536);
}

fn interfaces_by_netlink() {
    let all: Vec<_> = nix::ifaddrs::getifaddrs().expect("getifaddrs").collect();
    assert!(all.iter().all(|entry| entry.interface_name == "lo"));
    let addresses = all.iter().filter_map(|entry| entry.address.as_ref());
    let mut found: Vec<String> = addresses
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| address.ip().to_string());
            v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().to_string()))
        })
        .collect();
    found.sort();
    assert_eq!(found, ["127.0.0.1", "::1"]);
}

/// Sends one request of rtnetlink with this body: the type of the first message of the answer, and what follows its
/// header.
fn ask(kind: u16, flags: u16, body: &[u8]) -> (u16, Vec<u8>) {
    let fd = create(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE).expect("socket");
    let mut request = (16 + body.len() as u32).to_ne_bytes().to_vec();
    for half in [kind, flags | libc::NLM_F_REQUEST as u16, 7, 0, 0, 0] {
        request.extend_from_slice(&half.to_ne_bytes());
    }
    request.extend_from_slice(body);
    assert_eq!(send(fd.as_raw_fd(), &request, MsgFlags::empty()), Ok(request.len()));
    let mut answer = vec![0; 16_384];
    let len = recv(fd.as_raw_fd(), &mut answer, MsgFlags::empty()).expect("an answer");
    assert_eq!(answer[8], 7, "the request's number");
    (u16::from_ne_bytes([answer[4], answer[5]]), answer[16..len].to_vec())
}

fn netlink_answers_and_refuses() {
    let dump = libc::NLM_F_DUMP as u16;
    let (kind, link) = ask(libc::RTM_GETLINK, dump, &[0; 16]);
    assert_eq!((kind, link[4]), (libc::RTM_NEWLINK, 1));
    let mut first = [0; 16];
    first[4] = 1;
    assert_eq!(ask(libc::RTM_GETLINK, 0, &first).0, libc::RTM_NEWLINK);
    first[4] = 77;
    let (kind, error) = ask(libc::RTM_GETLINK, 0, &first);
    assert_eq!((i32::from(kind), &error[..4]), (libc::NLMSG_ERROR, (-libc::ENODEV).to_ne_bytes().as_slice()));
    // 127.0.0.1 is reached, 10.0.0.1 is not.
    let route = |ip: [u8; 4]| [[2, 32, 0, 0].as_slice(), &[0; 8], &[8, 0, 1, 0], &ip].concat();
    assert_eq!(ask(libc::RTM_GETROUTE, 0, &route([127, 0, 0, 1])).0, libc::RTM_NEWROUTE);
    let (_, error) = ask(libc::RTM_GETROUTE, 0, &route([10, 0, 0, 1]));
    assert_eq!(error[..4], (-libc::ENETUNREACH).to_ne_bytes());
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let status = in_child(|| {
        nix::unistd::setuid(65534.into()).expect("setuid");
        let (kind, error) = ask(libc::RTM_DELLINK, 0, &first);
        i32::from(i32::from(kind) != libc::NLMSG_ERROR || error[..4] != (-libc::EPERM).to_ne_bytes())
    });
    assert_eq!(status, 0);
}

fn proc_lists_sockets() {
    let (listener, address) = listener();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let _client = TcpStream::connect(address).expect("connect");
    let lines = |name: &str, port: u16, state: &str| {
        let text = std::fs::read_to_string(format!("/proc/net/{name}")).expect("read");
        let wanted = format!("0100007F:{port:04X}");
        let count = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| words[1] == wanted && words[3] == state)
            .count();
        assert!(text.lines().all(|line| line.len() == text.find('\n').unwrap_or(0)), "{text}");
        count
    };
    assert_eq!(lines("tcp", address.port(), "0A"), 1);
    assert_eq!(lines("udp", socket.local_addr().expect("name").port(), "07"), 1);
    drop(listener);
    assert_eq!(lines("tcp", address.port(), "0A"), 0);
}
