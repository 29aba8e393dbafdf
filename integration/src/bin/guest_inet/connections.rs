//! Addresses, ports, and how connections come about.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use crate::{
    ERR, HUP, IN, OUT, RDHUP, events, failure, get_int, listener, nonblocking, set_int, settle, storage, tcp,
};
use integration::guest::{Check, error_of};
use integration::{checks, guest};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockaddrStorage, accept4, bind, connect, getsockopt, listen,
    recv, send, shutdown, sockopt,
};

pub(crate) const CHECKS: &[Check] = checks![
    bytes_go_both_ways,
    bytes_go_both_ways_over_v6,
    dual_stack_listener_hears_v4,
    v6_only_listener_does_not,
    nobody_listens,
    other_networks_are_unreachable,
    addresses_of_others_are_not_bound,
    ports_are_taken_and_shared,
    ephemeral_ports,
    connect_in_progress_and_its_steps,
    connect_refused_in_progress,
    backlog_holds_connections_back,
    listener_close_resets_its_connections,
    accept_needs_a_listener,
    accepted_inherits,
    reconnect_after_disconnect,
    addresses_that_lie,
    many_connections,
    processes_share_the_network,
];

fn round_trip(address: SocketAddr) {
    let listener = TcpListener::bind(address).expect("bind");
    let address = listener.local_addr().expect("name");
    let mut client = TcpStream::connect(address).expect("connect");
    let (mut server, from) = listener.accept().expect("accept");
    assert_eq!(from, client.local_addr().expect("name"));
    assert_eq!(client.peer_addr().expect("name"), address);
    assert_eq!(server.local_addr().expect("name"), address);
    let mut bytes = [0; 16];
    client.write_all(b"ping").expect("write");
    assert_eq!(server.read(&mut bytes).expect("read"), 4);
    server.write_all(b"pong!").expect("write");
    assert_eq!(client.read(&mut bytes).expect("read"), 5);
    drop(server);
    assert_eq!(client.read(&mut bytes).expect("read"), 0);
}

fn bytes_go_both_ways() {
    round_trip("127.0.0.1:0".parse().expect("address"));
    round_trip("127.3.2.1:0".parse().expect("address"));
}

fn bytes_go_both_ways_over_v6() {
    round_trip("[::1]:0".parse().expect("address"));
}

fn dual_stack_listener_hears_v4() {
    let listener = TcpListener::bind("[::]:0").expect("bind");
    let port = listener.local_addr().expect("name").port();
    let client = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    let (server, from) = listener.accept().expect("accept");
    assert_eq!(from.ip(), IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()));
    assert_eq!(from.port(), client.local_addr().expect("name").port());
    assert_eq!(server.local_addr().expect("name").ip(), IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped()));
    let (_, from) = {
        let _client = TcpStream::connect(("::1", port)).expect("connect");
        listener.accept().expect("accept")
    };
    assert_eq!(from.ip(), IpAddr::V6(Ipv6Addr::LOCALHOST));
    // A v6 socket reaches v4 by a mapped address.
    let mapped = SocketAddr::from((Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port));
    let client = TcpStream::connect(mapped).expect("connect");
    assert_eq!(client.peer_addr().expect("name"), mapped);
    assert_eq!(failure(TcpListener::bind(("0.0.0.0", port))), Errno::EADDRINUSE);
}

fn v6_only_listener_does_not() {
    let fd = tcp(AddressFamily::Inet6);
    set_int(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1).expect("IPV6_V6ONLY");
    bind(fd.as_raw_fd(), &storage("[::]:0".parse().expect("address"))).expect("bind");
    listen(&fd, Backlog::new(5).expect("backlog")).expect("listen");
    assert_eq!(error_of(set_int(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 0)), Errno::EINVAL);
    let listener = TcpListener::from(fd);
    let port = listener.local_addr().expect("name").port();
    assert_eq!(failure(TcpStream::connect(("127.0.0.1", port))), Errno::ECONNREFUSED);
    let _v4 = TcpListener::bind(("0.0.0.0", port)).expect("the other family's port is free");
    TcpStream::connect(("::1", port)).expect("connect");
}

fn nobody_listens() {
    assert_eq!(failure(TcpStream::connect("127.0.0.1:9")), Errno::ECONNREFUSED);
    assert_eq!(failure(TcpStream::connect("[::1]:9")), Errno::ECONNREFUSED);
    // The socket can be used again.
    let (_listener, address) = listener();
    let fd = tcp(AddressFamily::Inet);
    let nobody = storage("127.0.0.1:9".parse().expect("address"));
    assert_eq!(error_of(connect(fd.as_raw_fd(), &nobody)), Errno::ECONNREFUSED);
    connect(fd.as_raw_fd(), &storage(address)).expect("connect");
}

fn other_networks_are_unreachable() {
    for address in ["10.1.2.3:80", "224.0.0.1:80", "169.254.169.254:80", "[2001:db8::1]:80"] {
        assert_eq!(failure(TcpStream::connect(address)), Errno::ENETUNREACH, "{address}");
    }
    let socket = UdpSocket::bind("0.0.0.0:0").expect("bind");
    assert_eq!(failure(socket.send_to(b"x", "8.8.8.8:53")), Errno::ENETUNREACH);
    assert_eq!(failure(socket.connect("8.8.8.8:53")), Errno::ENETUNREACH);
}

fn addresses_of_others_are_not_bound() {
    assert_eq!(failure(TcpListener::bind("10.1.2.3:0")), Errno::EADDRNOTAVAIL);
    assert_eq!(failure(TcpListener::bind("[2001:db8::1]:0")), Errno::EADDRNOTAVAIL);
    assert_eq!(failure(UdpSocket::bind("10.1.2.3:0")), Errno::EADDRNOTAVAIL);
    let fd = tcp(AddressFamily::Inet);
    bind(fd.as_raw_fd(), &storage("127.0.0.1:0".parse().expect("address"))).expect("bind");
    let again = bind(fd.as_raw_fd(), &storage("127.0.0.1:0".parse().expect("address")));
    assert_eq!(error_of(again), Errno::EINVAL);
}

fn bound(port: u16, options: &[i32]) -> nix::Result<OwnedFd> {
    let fd = tcp(AddressFamily::Inet);
    for option in options {
        set_int(&fd, libc::SOL_SOCKET, *option, 1).expect("setsockopt");
    }
    bind(fd.as_raw_fd(), &storage(SocketAddr::from((Ipv4Addr::LOCALHOST, port))))?;
    Ok(fd)
}

fn port_of(fd: &OwnedFd) -> u16 {
    let name: SockaddrStorage = nix::sys::socket::getsockname(fd.as_raw_fd()).expect("name");
    name.as_sockaddr_in().expect("v4").port()
}

fn ports_are_taken_and_shared() {
    let one = bound(0, &[]).expect("bind");
    assert_eq!(error_of(bound(port_of(&one), &[])), Errno::EADDRINUSE);
    assert_eq!(error_of(bound(port_of(&one), &[libc::SO_REUSEADDR])), Errno::EADDRINUSE);
    let one = bound(0, &[libc::SO_REUSEADDR]).expect("bind");
    let two = bound(port_of(&one), &[libc::SO_REUSEADDR]).expect("neither listens");
    listen(&one, Backlog::new(5).expect("backlog")).expect("listen");
    assert_eq!(error_of(listen(&two, Backlog::new(5).expect("backlog"))), Errno::EADDRINUSE);
    assert_eq!(error_of(bound(port_of(&one), &[libc::SO_REUSEADDR])), Errno::EADDRINUSE);
    let one = bound(0, &[libc::SO_REUSEPORT]).expect("bind");
    let two = bound(port_of(&one), &[libc::SO_REUSEPORT]).expect("bind");
    for fd in [&one, &two] {
        listen(fd, Backlog::new(5).expect("backlog")).expect("listen");
    }
    assert_eq!(error_of(bound(port_of(&one), &[])), Errno::EADDRINUSE);
    // A connection keeps the port from who does not share it.
    let (listener, address) = listener();
    let client = TcpStream::connect(address).expect("connect");
    let accepted = listener.accept().expect("accept");
    drop(listener);
    assert_eq!(error_of(bound(address.port(), &[])), Errno::EADDRINUSE);
    bound(address.port(), &[libc::SO_REUSEADDR]).expect("shared");
    drop((client, accepted));
}

fn ephemeral_ports() {
    let range = 32_768..=60_999;
    let listeners: Vec<_> = (0..50).map(|_| listener()).collect();
    assert!(listeners.iter().all(|(_, address)| range.contains(&address.port())));
    let mut ports: Vec<u16> = listeners.iter().map(|(_, address)| address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 50);
    let fd = tcp(AddressFamily::Inet);
    listen(&fd, Backlog::new(5).expect("backlog")).expect("a listener without a name gets one");
    TcpStream::connect(("127.0.0.1", port_of(&fd))).expect("connect");
}

fn connect_in_progress_and_its_steps() {
    let (_listener, address) = listener();
    let fd = nonblocking();
    let to = storage(address);
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::EINPROGRESS);
    settle();
    assert_eq!(events(&fd), OUT);
    assert_eq!(getsockopt(&fd, sockopt::SocketError), Ok(0));
    connect(fd.as_raw_fd(), &to).expect("the second tells");
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::EISCONN);
}

fn connect_refused_in_progress() {
    let fd = nonblocking();
    let to = storage("127.0.0.1:9".parse().expect("address"));
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::EINPROGRESS);
    settle();
    assert_eq!(events(&fd), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(getsockopt(&fd, sockopt::SocketError), Ok(libc::ECONNREFUSED));
    assert_eq!(getsockopt(&fd, sockopt::SocketError), Ok(0));
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::ECONNABORTED);
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::EINPROGRESS);
    settle();
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::ECONNREFUSED);
}

fn backlog_holds_connections_back() {
    let fd = bound(0, &[]).expect("bind");
    listen(&fd, Backlog::new(1).expect("backlog")).expect("listen");
    let to = storage(SocketAddr::from((Ipv4Addr::LOCALHOST, port_of(&fd))));
    let waiting: Vec<OwnedFd> = (0..3)
        .map(|_| {
            let fd = nonblocking();
            assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::EINPROGRESS);
            fd
        })
        .collect();
    settle();
    assert_eq!(events(&waiting[0]), OUT);
    assert_eq!(events(&waiting[1]), OUT);
    assert_eq!(events(&waiting[2]), PollFlags::empty());
    assert_eq!(error_of(connect(waiting[2].as_raw_fd(), &to)), Errno::EALREADY);
    assert_eq!(error_of(send(waiting[2].as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL)), Errno::EAGAIN);
    let _accepted = guest::fd::own(accept4(fd.as_raw_fd(), SockFlag::empty()).expect("accept"));
    let begin = Instant::now();
    while events(&waiting[2]) != OUT {
        assert!(begin.elapsed() < Duration::from_secs(10), "the host tries again after a second, and three");
        settle();
    }
}

fn listener_close_resets_its_connections() {
    let (listener, address) = listener();
    let mut client = TcpStream::connect(address).expect("connect");
    drop(listener);
    settle();
    assert_eq!(events(&client), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(failure(client.read(&mut [0; 4])), Errno::ECONNRESET);
    assert_eq!(client.read(&mut [0; 4]).expect("then the end"), 0);
    assert_eq!(failure(client.write(b"x")), Errno::EPIPE);
}

fn accept_needs_a_listener() {
    let fd = bound(0, &[]).expect("bind");
    assert_eq!(error_of(accept4(fd.as_raw_fd(), SockFlag::empty())), Errno::EINVAL);
    listen(&fd, Backlog::new(1).expect("backlog")).expect("listen");
    assert_eq!(error_of(recv(fd.as_raw_fd(), &mut [0; 4], MsgFlags::empty())), Errno::ENOTCONN);
    let to = storage(SocketAddr::from((Ipv4Addr::LOCALHOST, port_of(&fd))));
    assert_eq!(error_of(connect(fd.as_raw_fd(), &to)), Errno::EISCONN);
    let waiting = thread::spawn({
        let fd = fd.try_clone().expect("dup");
        move || accept4(fd.as_raw_fd(), SockFlag::empty())
    });
    thread::sleep(Duration::from_millis(50));
    shutdown(fd.as_raw_fd(), nix::sys::socket::Shutdown::Read).expect("shutdown");
    assert_eq!(error_of(waiting.join().expect("join")), Errno::EINVAL);
    assert_eq!(failure(TcpStream::connect(("127.0.0.1", port_of(&fd)))), Errno::ECONNREFUSED);
}

fn accepted_inherits() {
    let (listener, address) = listener();
    set_int(&listener, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1).expect("TCP_NODELAY");
    set_int(&listener, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1).expect("SO_KEEPALIVE");
    let _client = TcpStream::connect(address).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    assert_eq!(get_int(&server, libc::IPPROTO_TCP, libc::TCP_NODELAY), Ok(1));
    assert_eq!(get_int(&server, libc::SOL_SOCKET, libc::SO_KEEPALIVE), Ok(1));
    assert_eq!(get_int(&listener, libc::SOL_SOCKET, libc::SO_ACCEPTCONN), Ok(1));
}

fn reconnect_after_disconnect() {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).expect("connect");
    let (mut server, _) = listener.accept().expect("accept");
    let unspecified = libc::sockaddr { sa_family: libc::AF_UNSPEC as u16, sa_data: [0; 14] };
    // SAFETY: the address outlives the call.
    let done = unsafe { libc::connect(client.as_raw_fd(), &raw const unspecified, 16) };
    assert_eq!(done, 0);
    settle();
    assert_eq!(failure(server.read(&mut [0; 4])), Errno::ECONNRESET);
    assert_eq!(failure(client.peer_addr()), Errno::ENOTCONN);
    connect(client.as_raw_fd(), &storage(address)).expect("connect");
    listener.accept().expect("accept");
}

fn addresses_that_lie() {
    let fd = tcp(AddressFamily::Inet);
    let raw = |family: u16, len: u32| {
        let mut bytes = [0u8; 200];
        bytes[..2].copy_from_slice(&family.to_ne_bytes());
        bytes[4..8].copy_from_slice(&[127, 0, 0, 1]);
        // SAFETY: the bytes are readable for any length that the call accepts.
        let bound = Errno::result(unsafe { libc::bind(fd.as_raw_fd(), bytes.as_ptr().cast(), len) });
        // SAFETY: as above.
        let connected = Errno::result(unsafe { libc::connect(fd.as_raw_fd(), bytes.as_ptr().cast(), len) });
        (error_of(bound), error_of(connected))
    };
    let inet = libc::AF_INET as u16;
    assert_eq!(raw(inet, 15), (Errno::EINVAL, Errno::EINVAL));
    assert_eq!(raw(inet, 0), (Errno::EINVAL, Errno::EINVAL));
    assert_eq!(raw(inet, 129), (Errno::EINVAL, Errno::EINVAL));
    assert_eq!(raw(libc::AF_INET6 as u16, 28), (Errno::EAFNOSUPPORT, Errno::EAFNOSUPPORT));
    assert_eq!(raw(99, 16), (Errno::EAFNOSUPPORT, Errno::EAFNOSUPPORT));
}

fn many_connections() {
    let (listener, address) = listener();
    let mut open = Vec::new();
    for round in 0..300u32 {
        let mut client = TcpStream::connect(address).expect("connect");
        let (mut server, _) = listener.accept().expect("accept");
        client.write_all(&round.to_ne_bytes()).expect("write");
        let mut bytes = [0; 4];
        server.read_exact(&mut bytes).expect("read");
        assert_eq!(u32::from_ne_bytes(bytes), round);
        open.push((client, server));
    }
}

fn processes_share_the_network() {
    let (listener, address) = listener();
    let child = guest::fork_child(move || {
        let mut stream = TcpStream::connect(address).expect("connect");
        stream.write_all(b"child").expect("write");
        0
    });
    let (mut server, _) = listener.accept().expect("accept");
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes, b"child");
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}
