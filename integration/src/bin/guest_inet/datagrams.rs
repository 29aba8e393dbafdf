//! UDP.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::{ERR, HUP, IN, OUT, RDHUP, events, failure, ioctl_int, set_int, settle};
use integration::checks;
use integration::guest::{Check, error_of};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recv, send, shutdown};

pub(crate) const CHECKS: &[Check] = checks![
    datagrams_keep_their_borders,
    connected_datagrams_hear_one,
    datagram_to_nobody_is_refused,
    datagram_sizes,
    datagrams_are_dropped_when_full,
    datagram_needs_a_destination,
    datagram_control_messages,
    datagrams_over_v6,
    shutdown_of_datagrams,
];

fn datagram_pair() -> (UdpSocket, UdpSocket) {
    let one = UdpSocket::bind("127.0.0.1:0").expect("bind");
    let two = UdpSocket::bind("127.0.0.1:0").expect("bind");
    (one, two)
}

fn datagrams_keep_their_borders() {
    let (one, two) = datagram_pair();
    let to = two.local_addr().expect("name");
    for bytes in [b"one".as_slice(), b"", b"three"] {
        assert_eq!(one.send_to(bytes, to).expect("send"), bytes.len());
    }
    let mut bytes = [0; 16];
    assert_eq!(two.recv_from(&mut bytes).expect("receive"), (3, one.local_addr().expect("name")));
    assert_eq!(two.recv(&mut bytes).expect("receive"), 0);
    assert_eq!(ioctl_int(two.as_raw_fd(), libc::FIONREAD), 5);
    assert_eq!(two.peek(&mut bytes).expect("peek"), 5);
    let flags = MsgFlags::MSG_TRUNC;
    assert_eq!(recv(two.as_raw_fd(), &mut bytes[..2], flags), Ok(5), "the whole length");
    assert_eq!(error_of(recv(two.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT)), Errno::EAGAIN);
}

fn connected_datagrams_hear_one() {
    let (one, two) = datagram_pair();
    let three = UdpSocket::bind("127.0.0.1:0").expect("bind");
    one.connect(two.local_addr().expect("name")).expect("connect");
    two.send_to(b"yes", one.local_addr().expect("name")).expect("send");
    three.send_to(b"no!!", one.local_addr().expect("name")).expect("send");
    assert_eq!(one.recv(&mut [0; 9]).expect("receive"), 3);
    assert_eq!(error_of(recv(one.as_raw_fd(), &mut [0; 9], MsgFlags::MSG_DONTWAIT)), Errno::EAGAIN);
    assert_eq!(one.send(b"four").expect("send"), 4);
    assert_eq!(two.recv(&mut [0; 9]).expect("receive"), 4);
    let unbound = UdpSocket::bind("0.0.0.0:0").expect("bind");
    unbound.connect(two.local_addr().expect("name")).expect("connect");
    assert_eq!(unbound.local_addr().expect("name").ip(), IpAddr::V4(Ipv4Addr::LOCALHOST));
}

fn datagram_to_nobody_is_refused() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    socket.send_to(b"x", "127.0.0.1:9").expect("nobody tells");
    settle();
    assert_eq!(error_of(recv(socket.as_raw_fd(), &mut [0; 9], MsgFlags::MSG_DONTWAIT)), Errno::EAGAIN);
    socket.connect("127.0.0.1:9").expect("connect");
    socket.send(b"x").expect("send");
    settle();
    assert_eq!(events(&socket), OUT | ERR);
    assert_eq!(failure(socket.recv(&mut [0; 9])), Errno::ECONNREFUSED);
    assert_eq!(error_of(recv(socket.as_raw_fd(), &mut [0; 9], MsgFlags::MSG_DONTWAIT)), Errno::EAGAIN);
}

fn datagram_sizes() {
    let (one, two) = datagram_pair();
    let to = two.local_addr().expect("name");
    assert_eq!(one.send_to(&[1; 65_507], to).expect("send"), 65_507);
    assert_eq!(two.recv(&mut [0; 70_000]).expect("receive"), 65_507);
    for size in [65_508, 65_536, 300_000] {
        assert_eq!(failure(one.send_to(&vec![1; size], to)), Errno::EMSGSIZE, "{size}");
    }
}

fn datagrams_are_dropped_when_full() {
    let (one, two) = datagram_pair();
    let to = two.local_addr().expect("name");
    for _ in 0..3000 {
        one.send_to(&[1; 1000], to).expect("never full for the sender");
    }
    let mut received = 0;
    while recv(two.as_raw_fd(), &mut [0; 2000], MsgFlags::MSG_DONTWAIT).is_ok() {
        received += 1;
    }
    assert!((50..400).contains(&received), "{received}");
}

fn datagram_needs_a_destination() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    assert_eq!(failure(socket.send(b"x")), Errno::EDESTADDRREQ);
    assert_eq!(failure(socket.send_to(b"x", "127.0.0.1:0")), Errno::EINVAL);
    assert_eq!(failure(socket.send_to(b"x", "127.255.255.255:9")), Errno::EACCES);
    assert_eq!(failure(socket.send_to(b"x", "[::1]:9")), Errno::EAFNOSUPPORT);
}

fn datagram_control_messages() {
    use nix::sys::socket::{ControlMessageOwned, recvmsg};
    let (one, two) = datagram_pair();
    for name in [libc::IP_PKTINFO, libc::IP_RECVTTL, libc::IP_RECVTOS] {
        set_int(&two, libc::IPPROTO_IP, name, 1).expect("setsockopt");
    }
    one.send_to(b"x", two.local_addr().expect("name")).expect("send");
    let mut bytes = [0; 8];
    let mut buffers = [std::io::IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!([u8; 100]);
    let message =
        recvmsg::<SockaddrStorage>(two.as_raw_fd(), &mut buffers, Some(&mut space), MsgFlags::empty())
            .expect("receive");
    let found: Vec<_> = message.cmsgs().expect("control").collect();
    assert!(found.iter().any(|message| matches!(message,
        ControlMessageOwned::Ipv4PacketInfo(info)
            if info.ipi_ifindex == 1 && info.ipi_addr.s_addr == u32::from_ne_bytes([127, 0, 0, 1]))));
    assert!(found.len() >= 3, "{found:?}");
}

fn datagrams_over_v6() {
    let one = UdpSocket::bind("[::1]:0").expect("bind");
    let two = UdpSocket::bind("[::]:0").expect("bind");
    let port = two.local_addr().expect("name").port();
    one.send_to(b"six", ("::1", port)).expect("send");
    let (len, from) = two.recv_from(&mut [0; 9]).expect("receive");
    assert_eq!((len, from), (3, one.local_addr().expect("name")));
    let four = UdpSocket::bind("127.0.0.1:0").expect("bind");
    four.send_to(b"four", ("127.0.0.1", port)).expect("send");
    let (len, from) = two.recv_from(&mut [0; 9]).expect("receive");
    assert_eq!((len, from.ip()), (4, IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())));
    two.send_to(b"back", from).expect("send");
    assert_eq!(four.recv(&mut [0; 9]).expect("receive"), 4);
}

fn shutdown_of_datagrams() {
    let (one, two) = datagram_pair();
    assert_eq!(error_of(shutdown(one.as_raw_fd(), nix::sys::socket::Shutdown::Both)), Errno::ENOTCONN);
    one.connect(two.local_addr().expect("name")).expect("connect");
    shutdown(one.as_raw_fd(), nix::sys::socket::Shutdown::Both).expect("shutdown");
    assert_eq!(events(&one), IN | OUT | RDHUP | HUP);
    assert_eq!(one.recv(&mut [0; 9]).expect("the end"), 0);
    assert_eq!(error_of(send(one.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL)), Errno::EPIPE);
}
