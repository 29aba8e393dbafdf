//! TCP and UDP over loopback, v4 and v6: connections and their ends, ports, options, datagrams. On the host the checks
//! run in a network namespace of their own that has lo alone.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::guest::{self, error_of, in_child};
use integration::{checks, network};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, SockFlag, SockType, SockaddrStorage, accept4, bind, connect,
    getsockopt, listen, recv, send, setsockopt, shutdown, socket, sockopt,
};

fn main() -> ExitCode {
    // Where there can be none, the sandbox has just that.
    let _ = network::enter_loopback();
    guest::main(checks![
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
        options_are_remembered,
        options_have_limits,
        ioctls_count_bytes,
        accepted_inherits,
        reconnect_after_disconnect,
        datagrams_keep_their_borders,
        connected_datagrams_hear_one,
        datagram_to_nobody_is_refused,
        datagram_sizes,
        datagrams_are_dropped_when_full,
        datagram_needs_a_destination,
        datagram_control_messages,
        datagrams_over_v6,
        shutdown_of_datagrams,
        kinds_and_protocols,
        interfaces_by_ioctl,
        interfaces_by_netlink,
        netlink_answers_and_refuses,
        proc_lists_sockets,
        addresses_that_lie,
        many_connections,
        processes_share_the_network,
    ])
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

const SIOCATMARK: libc::Ioctl = 0x8905;
const SIOCOUTQ: libc::Ioctl = 0x5411;

fn ioctl_int(fd: RawFd, request: libc::Ioctl) -> i32 {
    let mut value = -1;
    // SAFETY: the value outlives the call.
    assert_eq!(unsafe { libc::ioctl(fd, request, &raw mut value) }, 0, "{}", Errno::last());
    value
}

fn ioctls_count_bytes() {
    let (mut client, server) = pair();
    client.write_all(b"12345").expect("write");
    settle();
    assert_eq!(ioctl_int(server.as_raw_fd(), libc::FIONREAD), 5);
    assert_eq!(ioctl_int(client.as_raw_fd(), SIOCOUTQ), 0);
    assert_eq!(ioctl_int(server.as_raw_fd(), SIOCATMARK), 0);
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
