//! What goes over a connection, and how its halves end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::{
    ERR, HUP, IN, OUT, RDHUP, events, failure, ioctl_int, listener, pair, set_int, settle, storage, tcp,
};
use integration::guest::{Check, error_of, in_child};
use integration::{checks, guest};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{AddressFamily, MsgFlags, SockaddrStorage, recv, send, setsockopt, shutdown, sockopt};

pub(crate) const CHECKS: &[Check] = checks![
    half_close_and_the_rest,
    both_halves_closed,
    close_with_unread_bytes_resets,
    linger_of_nothing_resets,
    write_to_closed_peer_is_reset_then_broken,
    unconnected_socket_is_not_written,
    poll_of_fresh_and_listening_sockets,
    full_connection_blocks_and_goes_on,
    megabytes_through_a_connection,
    peek_waitall_and_trunc,
    urgent_byte,
    receive_timeout,
    edge_triggered_epoll,
    ioctls_count_bytes,
];

fn half_close_and_the_rest() {
    let (mut client, mut server) = pair();
    client.write_all(b"question").expect("write");
    client.shutdown(std::net::Shutdown::Write).expect("shutdown");
    settle();
    assert_eq!(events(&server), IN | OUT | RDHUP);
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes, b"question");
    server.write_all(b"answer").expect("write");
    assert_eq!(client.read(&mut [0; 9]).expect("read"), 6);
    assert_eq!(error_of(send(client.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL)), Errno::EPIPE);
    assert_eq!(events(&client), OUT);
}

fn both_halves_closed() {
    let (mut client, server) = pair();
    client.shutdown(std::net::Shutdown::Write).expect("shutdown");
    server.shutdown(std::net::Shutdown::Write).expect("shutdown");
    settle();
    for end in [&client, &server] {
        assert_eq!(events(end), IN | OUT | RDHUP | HUP);
        assert_eq!(failure(end.peer_addr()), Errno::ENOTCONN);
        assert_eq!(error_of(shutdown(end.as_raw_fd(), nix::sys::socket::Shutdown::Both)), Errno::ENOTCONN);
    }
    assert_eq!(client.read(&mut [0; 4]).expect("read"), 0);
    // A shutdown of reading is this end's alone.
    let (mut client, mut server) = pair();
    client.shutdown(std::net::Shutdown::Read).expect("shutdown");
    assert_eq!(client.read(&mut [0; 4]).expect("read"), 0);
    server.write_all(b"late").expect("write");
    settle();
    assert_eq!(client.read(&mut [0; 4]).expect("read"), 4);
}

fn close_with_unread_bytes_resets() {
    let (mut client, mut server) = pair();
    server.write_all(b"kept").expect("write");
    client.write_all(b"lost").expect("write");
    settle();
    drop(server);
    settle();
    assert_eq!(events(&client), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(client.read(&mut [0; 8]).expect("what came before"), 4);
    assert_eq!(failure(client.read(&mut [0; 4])), Errno::ECONNRESET);
}

fn linger_of_nothing_resets() {
    let (mut client, server) = pair();
    setsockopt(&server, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).expect("SO_LINGER");
    drop(server);
    settle();
    assert_eq!(failure(client.read(&mut [0; 4])), Errno::ECONNRESET);
}

fn write_to_closed_peer_is_reset_then_broken() {
    let (mut client, server) = pair();
    drop(server);
    settle();
    assert_eq!(events(&client), IN | OUT | RDHUP);
    assert_eq!(client.write(b"x").expect("the first goes out"), 1);
    settle();
    assert_eq!(events(&client), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(client.read(&mut [0; 4]).expect("the end came before the reset"), 0);
    assert_eq!(failure(client.write(b"x")), Errno::EPIPE);
    let status = in_child(|| {
        // SAFETY: this process has one thread, and the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        assert_eq!(send(client.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL), Err(Errno::EPIPE));
        let _ = send(client.as_raw_fd(), b"x", MsgFlags::empty());
        0
    });
    assert_eq!(status, 128 + libc::SIGPIPE);
}

fn unconnected_socket_is_not_written() {
    let fd = tcp(AddressFamily::Inet);
    assert_eq!(error_of(send(fd.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL)), Errno::EPIPE);
    assert_eq!(error_of(recv(fd.as_raw_fd(), &mut [0; 4], MsgFlags::empty())), Errno::ENOTCONN);
    assert_eq!(error_of(shutdown(fd.as_raw_fd(), nix::sys::socket::Shutdown::Both)), Errno::ENOTCONN);
    let name: nix::Result<SockaddrStorage> = nix::sys::socket::getpeername(fd.as_raw_fd());
    assert_eq!(error_of(name), Errno::ENOTCONN);
    let name: SockaddrStorage = nix::sys::socket::getsockname(fd.as_raw_fd()).expect("name");
    assert_eq!(name, storage("0.0.0.0:0".parse().expect("address")));
}

fn poll_of_fresh_and_listening_sockets() {
    let fd = tcp(AddressFamily::Inet);
    assert_eq!(events(&fd), OUT | HUP);
    let (listener, address) = listener();
    assert_eq!(events(&listener), PollFlags::empty());
    let _client = TcpStream::connect(address).expect("connect");
    assert_eq!(events(&listener), IN);
    let (client, _server) = pair();
    assert_eq!(events(&client), OUT);
}

fn fill(fd: RawFd) -> usize {
    let mut total = 0;
    loop {
        match send(fd, &[7; 10_000], MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => total += sent,
            Err(Errno::EAGAIN) => return total,
            Err(error) => panic!("{error}"),
        }
        assert!(total < 64 << 20, "no end");
    }
}

fn full_connection_blocks_and_goes_on() {
    let (client, mut server) = pair();
    let mut total = fill(client.as_raw_fd());
    // The host moves bytes on to the receiver for a while.
    for _ in 0..20 {
        settle();
        total += fill(client.as_raw_fd());
    }
    assert!(total > 100_000, "{total}");
    assert_eq!(events(&client), PollFlags::empty());
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    epoll.add(&client, EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLET, 7)).expect("add");
    let reader = thread::spawn(move || {
        let mut bytes = vec![0; total];
        server.read_exact(&mut bytes).expect("read");
        assert!(bytes.iter().all(|&byte| byte == 7));
        server
    });
    let mut found = [EpollEvent::empty()];
    assert_eq!(epoll.wait(&mut found, 5000u16).expect("wait"), 1);
    let mut server = reader.join().expect("join");
    assert_eq!(events(&client), OUT);
    let mut client = client;
    let writer = thread::spawn(move || client.write_all(&vec![5; 12 << 20]).expect("write"));
    thread::sleep(Duration::from_millis(50));
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes.len(), 12 << 20);
    writer.join().expect("join");
}

fn megabytes_through_a_connection() {
    let (mut client, mut server) = pair();
    let data: Vec<u8> = (0..9_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let sent = data.clone();
    let child = guest::fork_child(move || {
        drop(client.write_all(&sent));
        0
    });
    let mut got = Vec::new();
    let mut piece = vec![0; 70_000];
    while got.len() < data.len() {
        let count = server.read(&mut piece).expect("read");
        assert!(count > 0);
        got.extend_from_slice(&piece[..count]);
    }
    assert!(got == data);
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn peek_waitall_and_trunc() {
    let (mut client, server) = pair();
    client.write_all(b"abcdef").expect("write");
    settle();
    let fd = server.as_raw_fd();
    let mut bytes = [0; 16];
    for _ in 0..2 {
        assert_eq!(recv(fd, &mut bytes[..4], MsgFlags::MSG_PEEK), Ok(4));
        assert_eq!(&bytes[..4], b"abcd");
    }
    assert_eq!(recv(fd, &mut bytes[..2], MsgFlags::MSG_TRUNC), Ok(2), "thrown away");
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        client.write_all(b"ghij").expect("write");
        client
    });
    assert_eq!(recv(fd, &mut bytes[..8], MsgFlags::MSG_WAITALL), Ok(8));
    assert_eq!(&bytes[..8], b"cdefghij");
    drop(late.join().expect("join"));
    assert_eq!(recv(fd, &mut bytes[..8], MsgFlags::MSG_WAITALL), Ok(0));
}

fn urgent_byte() {
    let (client, server) = pair();
    let (from, to) = (client.as_raw_fd(), server.as_raw_fd());
    send(from, b"ab", MsgFlags::empty()).expect("send");
    send(from, b"c!", MsgFlags::MSG_OOB).expect("send");
    send(from, b"de", MsgFlags::empty()).expect("send");
    settle();
    assert!(events(&server).contains(PollFlags::POLLPRI | IN));
    let mut bytes = [0; 16];
    assert_eq!(recv(to, &mut bytes, MsgFlags::empty()), Ok(3), "up to the mark");
    assert_eq!(ioctl_int(to, SIOCATMARK), 1);
    assert_eq!(recv(to, &mut bytes[..1], MsgFlags::MSG_OOB), Ok(1));
    assert_eq!(bytes[0], b'!');
    assert_eq!(error_of(recv(to, &mut bytes[..1], MsgFlags::MSG_OOB)), Errno::EINVAL);
    assert_eq!(recv(to, &mut bytes, MsgFlags::empty()), Ok(2));
    assert_eq!(&bytes[..2], b"de");
    assert_eq!(ioctl_int(to, SIOCATMARK), 0);
    set_int(&server, libc::SOL_SOCKET, libc::SO_OOBINLINE, 1).expect("SO_OOBINLINE");
    send(from, b"x!", MsgFlags::MSG_OOB).expect("send");
    settle();
    assert_eq!(recv(to, &mut bytes, MsgFlags::empty()), Ok(1));
    assert_eq!(recv(to, &mut bytes, MsgFlags::empty()), Ok(1));
    assert_eq!(bytes[0], b'!');
}

fn receive_timeout() {
    let (mut client, _server) = pair();
    client.set_read_timeout(Some(Duration::from_millis(60))).expect("SO_RCVTIMEO");
    let begin = Instant::now();
    assert_eq!(failure(client.read(&mut [0; 4])), Errno::EAGAIN);
    assert!(begin.elapsed() >= Duration::from_millis(50));
}

fn edge_triggered_epoll() {
    let (mut client, server) = pair();
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let asked = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    epoll.add(&server, EpollEvent::new(asked, 7)).expect("add");
    let mut found = [EpollEvent::empty()];
    assert_eq!(epoll.wait(&mut found, 0u16), Ok(0));
    for _ in 0..2 {
        client.write_all(b"x").expect("write");
        assert_eq!(epoll.wait(&mut found, 2000u16), Ok(1));
        assert_eq!(found[0].events(), EpollFlags::EPOLLIN);
        assert_eq!(epoll.wait(&mut found, 0u16), Ok(0));
    }
    drop(client);
    assert_eq!(epoll.wait(&mut found, 2000u16), Ok(1));
    assert_eq!(found[0].events(), EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP);
}

const SIOCATMARK: libc::Ioctl = 0x8905;

const SIOCOUTQ: libc::Ioctl = 0x5411;

fn ioctls_count_bytes() {
    let (mut client, server) = pair();
    client.write_all(b"12345").expect("write");
    settle();
    assert_eq!(ioctl_int(server.as_raw_fd(), libc::FIONREAD), 5);
    assert_eq!(ioctl_int(client.as_raw_fd(), SIOCOUTQ), 0);
    assert_eq!(ioctl_int(server.as_raw_fd(), SIOCATMARK), 0);
}
