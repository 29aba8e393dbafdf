//! Unix sockets: streams, datagrams, packets; names; control messages; ends and errors.

use std::fs;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::guest::{self, error_of, in_child};
use integration::{checks, raw};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, Shutdown, SockFlag, SockType,
    UnixAddr, UnixCredentials, accept, bind, connect, getsockopt, listen, recv, recvmsg, send, sendmsg,
    setsockopt, shutdown, socket, socketpair, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::unistd::{Pid, pipe, read, write};

/// What is AF_UNIX's alone, and what all sockets have, by the internet's.
fn other_families_answer_as_themselves() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let client = std::net::TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    // Files are passed over.
    let files = [listener.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&files)];
    let sent = sendmsg::<()>(client.as_raw_fd(), &[IoSlice::new(b"x")], &control, MsgFlags::empty(), None);
    assert_eq!(sent, Ok(1));
    let mut byte = [0];
    assert_eq!(recv(server.as_raw_fd(), &mut byte, MsgFlags::empty()), Ok(1));
    // Nobody waits for errors.
    assert_eq!(recv(server.as_raw_fd(), &mut byte, MsgFlags::MSG_ERRQUEUE), Err(Errno::EAGAIN));
    let mut pair = [0; 2];
    for (kind, protocol, errno) in [
        (libc::SOCK_STREAM, 0, Errno::EOPNOTSUPP),
        (libc::SOCK_DGRAM, libc::IPPROTO_TCP, Errno::EPROTONOSUPPORT),
        (libc::SOCK_STREAM, libc::IPPROTO_ICMP, Errno::EPROTONOSUPPORT),
    ] {
        let made = raw!(SYS_socketpair, libc::AF_INET, kind, protocol, pair.as_mut_ptr());
        assert_eq!(made, Err(errno), "{kind} {protocol}");
    }
}

fn main() -> ExitCode {
    guest::main(checks![
        pair_carries_bytes_both_ways,
        stream_gives_the_rest_and_then_the_end,
        half_closed_stream_still_carries_the_other_way,
        write_after_peer_close_gets_epipe_and_sigpipe,
        unread_bytes_at_close_reset_the_peer,
        full_stream_gets_eagain_and_becomes_writable,
        blocked_writer_goes_on_when_read,
        megabytes_through_a_stream,
        path_names_and_their_errors,
        abstract_names_and_autobind,
        connect_needs_write_permission,
        backlog_refuses_and_blocks,
        listener_close_resets_waiting_connections,
        names_of_both_ends,
        datagrams_keep_their_borders,
        datagram_queue_is_bounded,
        connected_datagrams_refuse_others,
        datagram_peer_gone_is_refused,
        packets_keep_their_borders_and_end,
        peek_leaves_and_trunc_tells,
        waitall_waits_for_all,
        timeouts_end_waits,
        files_are_passed,
        files_that_do_not_fit_are_closed,
        cycles_of_files_are_collected,
        deep_chain_of_sockets_is_closed,
        credentials_are_passed,
        credentials_cannot_be_forged,
        peer_credentials,
        options_have_linuxs_defaults,
        poll_tells_hangups,
        many_messages_in_one_call,
        wrong_kinds_and_families,
        bad_control_data_is_refused,
        sendfile_into_a_socket,
        descriptors_of_the_socket,
        other_families_answer_as_themselves,
    ])
}

const RDHUP: PollFlags = PollFlags::from_bits_retain(libc::POLLRDHUP);

fn stream() -> (UnixStream, UnixStream) {
    UnixStream::pair().expect("socketpair")
}

fn pair(kind: SockType) -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::Unix, kind, None, SockFlag::empty()).expect("socketpair")
}

fn events(fd: &impl std::os::fd::AsFd) -> PollFlags {
    let mut asked = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events: libc::POLLIN | libc::POLLOUT | libc::POLLRDHUP,
        revents: 0,
    };
    // SAFETY: `asked` outlives the call. nix knows no POLLRDHUP.
    assert!(unsafe { libc::poll(&raw mut asked, 1, 0) } >= 0);
    PollFlags::from_bits_retain(asked.revents)
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("tempdir")
}

fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("{name}-{}", std::process::id())).expect("address")
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().expect("an errno"))
}

fn pair_carries_bytes_both_ways() {
    let (mut one, mut two) = stream();
    one.write_all(b"ping").expect("write");
    let mut bytes = [0; 16];
    assert_eq!(two.read(&mut bytes).expect("read"), 4);
    two.write_all(b"pong!").expect("write");
    assert_eq!(one.read(&mut bytes).expect("read"), 5);
    assert_eq!(&bytes[..5], b"pong!");
}

fn stream_gives_the_rest_and_then_the_end() {
    let (mut one, mut two) = stream();
    one.write_all(b"one").expect("write");
    one.write_all(b"two").expect("write");
    drop(one);
    let mut bytes = [0; 16];
    assert_eq!(two.read(&mut bytes[..4]).expect("read"), 4);
    assert_eq!(two.read(&mut bytes[4..]).expect("read"), 2);
    assert_eq!(&bytes[..6], b"onetwo");
    assert_eq!(two.read(&mut bytes).expect("read"), 0);
}

fn half_closed_stream_still_carries_the_other_way() {
    let (mut one, mut two) = stream();
    one.shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(two.read(&mut [0; 4]).expect("read"), 0);
    two.write_all(b"still").expect("write");
    assert_eq!(one.read(&mut [0; 8]).expect("read"), 5);
    assert_eq!(send(one.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL), Err(Errno::EPIPE));
    assert!(events(&two).contains(RDHUP | PollFlags::POLLIN | PollFlags::POLLOUT));
    assert!(!events(&two).contains(PollFlags::POLLHUP));
}

fn write_after_peer_close_gets_epipe_and_sigpipe() {
    let (mut one, two) = stream();
    drop(two);
    // Rust programs ignore SIGPIPE.
    assert_eq!(errno(&one.write(b"x").expect_err("no reader")), Errno::EPIPE);
    let status = in_child(|| {
        // SAFETY: this process has one thread, and the default action needs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        assert_eq!(send(one.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL), Err(Errno::EPIPE));
        let _ = send(one.as_raw_fd(), b"x", MsgFlags::empty());
        0
    });
    assert_eq!(status, 128 + libc::SIGPIPE);
}

fn unread_bytes_at_close_reset_the_peer() {
    let (mut one, two) = stream();
    one.write_all(b"lost").expect("write");
    drop(two);
    assert!(events(&one).contains(PollFlags::POLLERR | PollFlags::POLLHUP));
    assert_eq!(errno(&one.read(&mut [0; 4]).expect_err("reset")), Errno::ECONNRESET);
    assert_eq!(one.read(&mut [0; 4]).expect("then the end"), 0);
}

fn fill(fd: &impl AsRawFd, piece: &[u8]) -> usize {
    let mut total = 0;
    loop {
        match send(fd.as_raw_fd(), piece, MsgFlags::MSG_DONTWAIT) {
            Ok(sent) => total += sent,
            Err(Errno::EAGAIN) => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

fn full_stream_gets_eagain_and_becomes_writable() {
    let (one, mut two) = stream();
    setsockopt(&one, sockopt::SndBuf, &100_000).expect("SO_SNDBUF");
    let total = fill(&one, &[7; 1000]);
    assert!((50_000..200_000).contains(&total), "{total}");
    assert!(!events(&one).contains(PollFlags::POLLOUT));
    let mut bytes = vec![0; total];
    two.read_exact(&mut bytes).expect("read");
    assert!(events(&one).contains(PollFlags::POLLOUT));
    assert!(bytes.iter().all(|&byte| byte == 7));
}

fn blocked_writer_goes_on_when_read() {
    let (mut one, mut two) = stream();
    let writer = thread::spawn(move || one.write_all(&vec![5; 1 << 20]).expect("write"));
    thread::sleep(Duration::from_millis(50));
    let mut bytes = Vec::new();
    two.read_to_end(&mut bytes).expect("read");
    assert_eq!(bytes.len(), 1 << 20);
    writer.join().expect("join");
}

fn megabytes_through_a_stream() {
    let (mut one, mut two) = stream();
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let sent = data.clone();
    let child = guest::fork_child(move || {
        drop(two.write_all(&sent));
        0
    });
    let mut got = Vec::new();
    let mut piece = vec![0; 70_000];
    while got.len() < data.len() {
        let count = one.read(&mut piece).expect("read");
        got.extend_from_slice(&piece[..count]);
    }
    assert!(got == data);
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn path_names_and_their_errors() {
    let dir = scratch();
    let path = dir.path().join("socket");
    let missing = UnixStream::connect(&path).expect_err("nothing there");
    assert_eq!(errno(&missing), Errno::ENOENT);
    let listener = UnixListener::bind(&path).expect("bind");
    assert!(fs::symlink_metadata(&path).expect("stat").file_type().is_socket());
    assert_eq!(errno(&UnixListener::bind(&path).expect_err("taken")), Errno::EADDRINUSE);
    assert_eq!(errno(&fs::File::open(&path).expect_err("not to be opened")), Errno::ENXIO);
    let other = dir.path().join("other");
    fs::rename(&path, &other).expect("rename");
    fs::hard_link(&other, &path).expect("link");
    let mut client = UnixStream::connect(&path).expect("by another name");
    client.write_all(b"hello").expect("write");
    let (mut server, _) = listener.accept().expect("accept");
    assert_eq!(server.read(&mut [0; 9]).expect("read"), 5);
    assert_eq!(
        errno(&UnixDatagram::unbound().expect("socket").connect(&path).expect_err("type")),
        Errno::EPROTOTYPE
    );
    drop(listener);
    assert_eq!(errno(&UnixStream::connect(&path).expect_err("closed")), Errno::ECONNREFUSED);
    fs::write(dir.path().join("file"), b"").expect("write");
    assert_eq!(
        errno(&UnixStream::connect(dir.path().join("file")).expect_err("no socket")),
        Errno::ECONNREFUSED
    );
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).expect("socket");
    let long = UnixAddr::new(dir.path().join("no/such").as_path()).expect("address");
    assert_eq!(error_of(bind(fd.as_raw_fd(), &long)), Errno::ENOENT);
    assert_eq!(error_of(listen(&fd, Backlog::new(1).expect("backlog"))), Errno::EINVAL);
}

fn abstract_names_and_autobind() {
    let address = abstract_address("names");
    let listener = UnixListener::bind_addr(&address).expect("bind");
    assert_eq!(errno(&UnixListener::bind_addr(&address).expect_err("taken")), Errno::EADDRINUSE);
    let datagrams = UnixDatagram::bind_addr(&address).expect("another type may have the name, too");
    assert_eq!(datagrams.local_addr().expect("name").as_abstract_name(), address.as_abstract_name());
    let client = UnixStream::connect_addr(&address).expect("connect");
    assert_eq!(client.peer_addr().expect("name").as_abstract_name(), address.as_abstract_name());
    drop((listener, client));
    assert_eq!(errno(&UnixStream::connect_addr(&address).expect_err("closed")), Errno::ECONNREFUSED);
    UnixListener::bind_addr(&address).expect("free again");
    let fd = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::empty(), None).expect("socket");
    bind(fd.as_raw_fd(), &UnixAddr::new_unnamed()).expect("autobind");
    let name: UnixAddr = nix::sys::socket::getsockname(fd.as_raw_fd()).expect("name");
    assert_eq!(name.as_abstract().map(<[u8]>::len), Some(5));
}

fn connect_needs_write_permission() {
    let dir = scratch();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
    let path = dir.path().join("socket");
    let _listener = UnixListener::bind(&path).expect("bind");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let status = in_child(|| {
        nix::unistd::setgid(65534.into()).expect("setgid");
        nix::unistd::setuid(65534.into()).expect("setuid");
        i32::from(UnixStream::connect(&path).map_err(|error| errno(&error)).err() != Some(Errno::EACCES))
    });
    assert_eq!(status, 0);
}

fn backlog_refuses_and_blocks() {
    let address = abstract_address("backlog");
    let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).expect("socket");
    let name = UnixAddr::new_abstract(address.as_abstract_name().expect("abstract")).expect("address");
    bind(fd.as_raw_fd(), &name).expect("bind");
    assert_eq!(errno(&UnixStream::connect_addr(&address).expect_err("not yet")), Errno::ECONNREFUSED);
    listen(&fd, Backlog::new(0).expect("backlog")).expect("listen");
    let _first = UnixStream::connect_addr(&address).expect("connect");
    let second =
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_NONBLOCK, None).expect("socket");
    assert_eq!(error_of(connect(second.as_raw_fd(), &name)), Errno::EAGAIN);
    let waiting = thread::spawn(move || UnixStream::connect_addr(&address).expect("connect"));
    thread::sleep(Duration::from_millis(50));
    let accepted = accept(fd.as_raw_fd()).expect("accept");
    waiting.join().expect("join");
    // SAFETY: accept gave the number to nobody else.
    drop(unsafe { OwnedFd::from_raw_fd(accepted) });
    // SAFETY: as above.
    drop(unsafe { OwnedFd::from_raw_fd(accept(fd.as_raw_fd()).expect("accept")) });
    assert_eq!(error_of(connect(fd.as_raw_fd(), &name)), Errno::EINVAL, "a listener does not connect");
}

fn listener_close_resets_waiting_connections() {
    let address = abstract_address("reset");
    let listener = UnixListener::bind_addr(&address).expect("bind");
    let mut client = UnixStream::connect_addr(&address).expect("connect");
    client.write_all(b"early").expect("write");
    drop(listener);
    assert_eq!(errno(&client.read(&mut [0; 4]).expect_err("reset")), Errno::ECONNRESET);
    assert_eq!(errno(&client.write(b"x").expect_err("gone")), Errno::EPIPE);
}

fn names_of_both_ends() {
    let dir = scratch();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).expect("bind");
    let client = UnixStream::connect(&path).expect("connect");
    let (server, from) = listener.accept().expect("accept");
    assert!(from.is_unnamed() && client.local_addr().expect("name").is_unnamed());
    assert_eq!(server.local_addr().expect("name").as_pathname(), Some(path.as_path()));
    assert_eq!(client.peer_addr().expect("name").as_pathname(), Some(path.as_path()));
    drop(server);
    assert_eq!(client.peer_addr().expect("kept").as_pathname(), Some(path.as_path()));
    let lone = UnixDatagram::unbound().expect("socket");
    let unconnected: Result<UnixAddr, _> = nix::sys::socket::getpeername(lone.as_raw_fd());
    assert_eq!(error_of(unconnected), Errno::ENOTCONN);
}

fn datagrams_keep_their_borders() {
    let address = abstract_address("datagram");
    let server = UnixDatagram::bind_addr(&address).expect("bind");
    let client = UnixDatagram::bind_addr(&abstract_address("client")).expect("bind");
    client.send_to_addr(b"one", &address).expect("send");
    client.send_to_addr(b"", &address).expect("send");
    client.send_to_addr(b"three", &address).expect("send");
    let mut bytes = [0; 16];
    let (count, from) = server.recv_from(&mut bytes).expect("recv");
    assert_eq!((count, from.as_abstract_name().is_some()), (3, true));
    assert_eq!(server.recv(&mut bytes).expect("recv"), 0);
    assert_eq!(server.recv(&mut bytes[..2]).expect("cut"), 2);
    server.send_to_addr(b"back", &from).expect("send");
    assert_eq!(client.recv(&mut bytes).expect("recv"), 4);
    let (one, _two) = pair(SockType::Datagram);
    assert_eq!(write(&one, &vec![1; 100_000]), Ok(100_000), "not in pieces");
    assert_eq!(send(one.as_raw_fd(), &vec![1; 1 << 20], MsgFlags::empty()), Err(Errno::EMSGSIZE));
    assert_eq!(send(client.as_raw_fd(), b"x", MsgFlags::empty()), Err(Errno::ENOTCONN));
}

fn datagram_queue_is_bounded() {
    let address = abstract_address("bounded");
    let server = UnixDatagram::bind_addr(&address).expect("bind");
    let client = UnixDatagram::unbound().expect("socket");
    client.connect_addr(&address).expect("connect");
    // So that the queue is full before the sender's buffer.
    setsockopt(&client, sockopt::SndBuf, &212_992).expect("SO_SNDBUF");
    let depth: usize = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen")
        .map_or(10, |text| text.trim().parse().expect("number"));
    client.set_nonblocking(true).expect("nonblocking");
    let mut sent = 0;
    while client.send(b"x").is_ok() {
        sent += 1;
    }
    assert_eq!(sent, depth + 1);
    assert!(!events(&client).contains(PollFlags::POLLOUT));
    client.set_nonblocking(false).expect("blocking");
    let waiting = thread::spawn(move || client.send(b"last").expect("send"));
    thread::sleep(Duration::from_millis(50));
    for _ in 0..=depth {
        server.recv(&mut [0; 4]).expect("recv");
    }
    assert_eq!(waiting.join().expect("join"), 4);
    assert_eq!(server.recv(&mut [0; 4]).expect("recv"), 4);
}

fn connected_datagrams_refuse_others() {
    let (one, two) = (abstract_address("one"), abstract_address("two"));
    let (first, second) =
        (UnixDatagram::bind_addr(&one).expect("bind"), UnixDatagram::bind_addr(&two).expect("bind"));
    first.connect_addr(&two).expect("connect");
    let stranger = UnixDatagram::unbound().expect("socket");
    assert_eq!(errno(&stranger.send_to_addr(b"x", &one).expect_err("busy")), Errno::EPERM);
    second.send_to_addr(b"x", &one).expect("its peer may");
    stranger.send_to_addr(b"x", &two).expect("connected to by somebody is not connected");
}

fn datagram_peer_gone_is_refused() {
    let (one, two) = UnixDatagram::pair().expect("pair");
    drop(two);
    assert_eq!(errno(&one.send(b"x").expect_err("gone")), Errno::ECONNREFUSED);
    assert_eq!(errno(&one.send(b"x").expect_err("no longer connected")), Errno::ENOTCONN);
}

fn packets_keep_their_borders_and_end() {
    let (one, two) = pair(SockType::SeqPacket);
    assert_eq!(send(one.as_raw_fd(), b"first", MsgFlags::MSG_EOR), Ok(5));
    assert_eq!(send(one.as_raw_fd(), b"second", MsgFlags::empty()), Ok(6));
    let mut bytes = [0; 16];
    assert_eq!(recv(two.as_raw_fd(), &mut bytes[..3], MsgFlags::empty()), Ok(3));
    assert_eq!(read(&two, &mut bytes), Ok(6));
    drop(one);
    assert_eq!(recv(two.as_raw_fd(), &mut bytes, MsgFlags::empty()), Ok(0));
    assert_eq!(send(two.as_raw_fd(), b"x", MsgFlags::MSG_NOSIGNAL), Err(Errno::EPIPE));
    let lone = socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::empty(), None).expect("socket");
    assert_eq!(recv(lone.as_raw_fd(), &mut bytes, MsgFlags::empty()), Err(Errno::ENOTCONN));
    assert_eq!(send(lone.as_raw_fd(), b"x", MsgFlags::empty()), Err(Errno::ENOTCONN));
}

fn peek_leaves_and_trunc_tells() {
    let (one, two) = pair(SockType::Datagram);
    send(one.as_raw_fd(), b"message", MsgFlags::empty()).expect("send");
    let mut bytes = [0; 3];
    let both = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    assert_eq!(recv(two.as_raw_fd(), &mut bytes, both), Ok(7));
    let mut vector = [IoSliceMut::new(&mut bytes)];
    let got = recvmsg::<()>(two.as_raw_fd(), &mut vector, None, MsgFlags::empty()).expect("recvmsg");
    assert!(got.bytes == 3 && got.flags.contains(MsgFlags::MSG_TRUNC));
    assert_eq!(recv(two.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT), Err(Errno::EAGAIN));
    let (mut one, two) = stream();
    one.write_all(b"ab").expect("write");
    one.write_all(b"cd").expect("write");
    let mut bytes = [0; 8];
    assert_eq!(recv(two.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK), Ok(4));
    assert_eq!(recv(two.as_raw_fd(), &mut bytes, MsgFlags::empty()), Ok(4));
    assert_eq!(&bytes[..4], b"abcd");
}

fn waitall_waits_for_all() {
    let (mut one, two) = stream();
    let writer = thread::spawn(move || {
        for piece in [&b"abc"[..], b"defg", b"hij"] {
            one.write_all(piece).expect("write");
            thread::sleep(Duration::from_millis(20));
        }
        one
    });
    let mut bytes = [0; 10];
    assert_eq!(recv(two.as_raw_fd(), &mut bytes, MsgFlags::MSG_WAITALL), Ok(10));
    assert_eq!(&bytes, b"abcdefghij");
    drop(writer.join().expect("join"));
    assert_eq!(recv(two.as_raw_fd(), &mut bytes, MsgFlags::MSG_WAITALL), Ok(0));
}

fn timeouts_end_waits() {
    let (one, two) = stream();
    setsockopt(&two, sockopt::ReceiveTimeout, &TimeVal::milliseconds(100)).expect("SO_RCVTIMEO");
    assert_eq!(getsockopt(&two, sockopt::ReceiveTimeout), Ok(TimeVal::milliseconds(100)));
    let start = Instant::now();
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 4], MsgFlags::empty()), Err(Errno::EAGAIN));
    assert_eq!(read(&two, &mut [0; 4]), Err(Errno::EAGAIN));
    assert!((190..3000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    setsockopt(&one, sockopt::SendTimeout, &TimeVal::milliseconds(50)).expect("SO_SNDTIMEO");
    fill(&one, &[0; 4096]);
    assert_eq!(send(one.as_raw_fd(), b"x", MsgFlags::empty()), Err(Errno::EAGAIN));
}

fn send_files(socket: &impl AsRawFd, files: &[RawFd]) -> nix::Result<usize> {
    let control = [ControlMessage::ScmRights(files)];
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(b"f")], &control, MsgFlags::empty(), None)
}

fn receive_files(socket: &impl AsRawFd, flags: MsgFlags) -> Vec<OwnedFd> {
    let mut byte = [0; 8];
    let mut vector = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!([RawFd; 64]);
    let got = recvmsg::<()>(socket.as_raw_fd(), &mut vector, Some(&mut space), flags).expect("recvmsg");
    let mut files = Vec::new();
    for message in got.cmsgs().expect("whole") {
        if let ControlMessageOwned::ScmRights(numbers) = message {
            // SAFETY: the kernel has just put them into this process's table.
            files.extend(numbers.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    files
}

fn files_are_passed() {
    let (one, two) = stream();
    let (reader, writer) = pipe().expect("pipe");
    send_files(&one, &[reader.as_raw_fd(), writer.as_raw_fd()]).expect("sendmsg");
    drop((reader, writer));
    let peeked = receive_files(&two, MsgFlags::MSG_PEEK);
    assert_eq!(peeked.len(), 2, "peeking copies them");
    let files = receive_files(&two, MsgFlags::MSG_CMSG_CLOEXEC);
    assert_eq!(files.len(), 2);
    write(&files[1], b"through").expect("write");
    assert_eq!(read(&peeked[0], &mut [0; 16]), Ok(7));
    let flags = nix::fcntl::fcntl(&files[0], nix::fcntl::FcntlArg::F_GETFD).expect("F_GETFD");
    assert_eq!(flags, libc::FD_CLOEXEC);
    // A message with files ends a read.
    let (one, two) = stream();
    send(one.as_raw_fd(), b"a", MsgFlags::empty()).expect("send");
    send_files(&one, &[one.as_raw_fd()]).expect("sendmsg");
    send(one.as_raw_fd(), b"b", MsgFlags::empty()).expect("send");
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 8], MsgFlags::empty()), Ok(2));
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 8], MsgFlags::empty()), Ok(1));
}

fn files_that_do_not_fit_are_closed() {
    let (one, two) = stream();
    let (reader, writer) = pipe().expect("pipe");
    send_files(&one, &[reader.as_raw_fd(), writer.as_raw_fd()]).expect("sendmsg");
    drop(writer);
    let mut byte = [0; 8];
    let mut vector = [IoSliceMut::new(&mut byte)];
    let mut space = vec![0; 20];
    space.shrink_to_fit();
    let got =
        recvmsg::<()>(two.as_raw_fd(), &mut vector, Some(&mut space), MsgFlags::empty()).expect("recvmsg");
    assert!(got.flags.contains(MsgFlags::MSG_CTRUNC));
    // The writer's descriptor was closed, so the pipe has ended.
    assert_eq!(read(&reader, &mut [0; 4]), Ok(0));
    send_files(&one, &[reader.as_raw_fd()]).expect("sendmsg");
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 4], MsgFlags::empty()), Ok(1), "dropped without a buffer");
}

fn cycles_of_files_are_collected() {
    let (reader, writer) = pipe().expect("pipe");
    for _ in 0..50 {
        let (one, two) = stream();
        send_files(&one, &[two.as_raw_fd(), writer.as_raw_fd()]).expect("sendmsg");
        send_files(&two, &[one.as_raw_fd()]).expect("sendmsg");
    }
    // In a queue of a listener that holds itself.
    let address = abstract_address("cycle");
    let listener = UnixListener::bind_addr(&address).expect("bind");
    let client = UnixStream::connect_addr(&address).expect("connect");
    send_files(&client, &[listener.as_raw_fd(), client.as_raw_fd(), writer.as_raw_fd()]).expect("sendmsg");
    drop((listener, client, writer));
    // Whoever closes a socket collects; Linux does it in the background.
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        drop(stream());
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&reader), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(50u8)).expect("poll") == 1 {
            assert!(fds[0].revents().expect("known").contains(PollFlags::POLLHUP));
            return;
        }
        assert!(Instant::now() < end, "garbage keeps the pipe open");
    }
}

fn deep_chain_of_sockets_is_closed() {
    // Who may not exceed limits has no more files in flight than it could have open.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("setrlimit");
    let links = (hard / 2).min(20_000) - 10;
    let (reader, writer) = pipe().expect("pipe");
    let (mut outer, mut inner) = stream();
    send_files(&inner, &[writer.as_raw_fd()]).expect("sendmsg");
    drop(writer);
    for _ in 0..links {
        let (next_outer, next_inner) = stream();
        send_files(&next_inner, &[outer.as_raw_fd(), inner.as_raw_fd()]).expect("sendmsg");
        (outer, inner) = (next_outer, next_inner);
    }
    drop((outer, inner));
    let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&reader), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)), Ok(1));
}

fn credentials_are_passed() {
    let (one, two) = stream();
    setsockopt(&two, sockopt::PassCred, &true).expect("SO_PASSCRED");
    assert_eq!(getsockopt(&two, sockopt::PassCred), Ok(true));
    send(one.as_raw_fd(), b"x", MsgFlags::empty()).expect("send");
    let mut byte = [0; 8];
    let mut vector = [IoSliceMut::new(&mut byte)];
    let mut space = cmsg_space!(UnixCredentials);
    let got =
        recvmsg::<()>(two.as_raw_fd(), &mut vector, Some(&mut space), MsgFlags::empty()).expect("recvmsg");
    let Some(ControlMessageOwned::ScmCredentials(who)) = got.cmsgs().expect("whole").next() else {
        panic!("no credentials")
    };
    assert_eq!(who.pid(), std::process::id() as i32);
    assert_eq!(who.uid(), nix::unistd::getuid().as_raw());
    // Different writers are not glued.
    send(one.as_raw_fd(), b"parent", MsgFlags::empty()).expect("send");
    let sent = in_child(|| i32::from(send(one.as_raw_fd(), b"child", MsgFlags::empty()) != Ok(5)));
    assert_eq!(sent, 0);
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 32], MsgFlags::empty()), Ok(6));
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 32], MsgFlags::empty()), Ok(5));
}

fn credentials_cannot_be_forged() {
    let (one, two) = stream();
    let offer = |pid: i32, uid: u32| {
        let claimed = UnixCredentials::from(libc::ucred { pid, uid, gid: nix::unistd::getgid().as_raw() });
        let control = [ControlMessage::ScmCredentials(&claimed)];
        sendmsg::<()>(one.as_raw_fd(), &[IoSlice::new(b"c")], &control, MsgFlags::empty(), None)
    };
    assert_eq!(offer(std::process::id() as i32, nix::unistd::getuid().as_raw()), Ok(1));
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 4], MsgFlags::empty()), Ok(1));
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let status = in_child(|| {
        nix::unistd::setuid(65534.into()).expect("setuid");
        let pid = std::process::id() as i32;
        let refused = offer(pid, 0) == Err(Errno::EPERM) && offer(1, 65534) == Err(Errno::EPERM);
        i32::from(!refused)
    });
    assert_eq!(status, 0);
}

fn peer_credentials() {
    let address = abstract_address("peer");
    let listener = UnixListener::bind_addr(&address).expect("bind");
    let client = guest::fork_child(|| {
        let stream = UnixStream::connect_addr(&address).expect("connect");
        let server = getsockopt(&stream, sockopt::PeerCredentials).expect("SO_PEERCRED");
        i32::from(server.pid() != Pid::parent().as_raw())
    });
    let (server, _) = listener.accept().expect("accept");
    let who = getsockopt(&server, sockopt::PeerCredentials).expect("SO_PEERCRED");
    assert_eq!((who.pid(), who.uid()), (client.as_raw(), nix::unistd::geteuid().as_raw()));
    assert_eq!(guest::wait_raw(client.as_raw()), 0);
}

fn options_have_linuxs_defaults() {
    let (one, _two) = stream();
    assert_eq!(getsockopt(&one, sockopt::SockType), Ok(SockType::Stream));
    assert_eq!(getsockopt(&one, sockopt::SocketError), Ok(0));
    assert_eq!(getsockopt(&one, sockopt::AcceptConn), Ok(false));
    assert_eq!(getsockopt(&one, sockopt::SndBuf), Ok(212_992));
    setsockopt(&one, sockopt::SndBuf, &10_000).expect("SO_SNDBUF");
    assert_eq!(getsockopt(&one, sockopt::SndBuf), Ok(20_000));
    setsockopt(&one, sockopt::SndBuf, &1).expect("SO_SNDBUF");
    assert_eq!(getsockopt(&one, sockopt::SndBuf), Ok(4608));
    setsockopt(&one, sockopt::ReuseAddr, &true).expect("SO_REUSEADDR");
    assert_eq!(getsockopt(&one, sockopt::ReuseAddr), Ok(true));
    setsockopt(&one, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 3 }).expect("SO_LINGER");
    assert_eq!(getsockopt(&one, sockopt::Linger).map(|linger| linger.l_linger), Ok(3));
    assert!(setsockopt(&one, sockopt::TcpNoDelay, &true).is_err());
    let listener = UnixListener::bind_addr(&abstract_address("options")).expect("bind");
    assert_eq!(getsockopt(&listener, sockopt::AcceptConn), Ok(true));
}

fn poll_tells_hangups() {
    let lone = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None).expect("socket");
    assert_eq!(events(&lone), PollFlags::POLLHUP | PollFlags::POLLOUT);
    let (one, two) = stream();
    assert_eq!(events(&one), PollFlags::POLLOUT);
    drop(two);
    let all = PollFlags::POLLIN | PollFlags::POLLOUT | PollFlags::POLLHUP | RDHUP;
    assert_eq!(events(&one), all);
    let (one, _two) = stream();
    let waiting = one.try_clone().expect("dup");
    let thread = thread::spawn(move || {
        let mut fds = [PollFd::new(std::os::fd::AsFd::as_fd(&waiting), RDHUP)];
        poll(&mut fds, PollTimeout::from(5000u16)).expect("poll")
    });
    thread::sleep(Duration::from_millis(50));
    shutdown(one.as_raw_fd(), Shutdown::Read).expect("shutdown");
    assert_eq!(thread.join().expect("join"), 1);
}

fn many_messages_in_one_call() {
    let (one, two) = pair(SockType::Datagram);
    let texts = [&b"one"[..], b"two", b"three"];
    let mut vectors =
        texts.map(|text| libc::iovec { iov_base: text.as_ptr().cast_mut().cast(), iov_len: text.len() });
    let mut headers = vectors.each_mut().map(|vector| {
        // SAFETY: all zero is a valid header: no name, no control data.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (vector, 1);
        header
    });
    // SAFETY: the headers point to vectors that outlive the call.
    let sent = unsafe { libc::sendmmsg(one.as_raw_fd(), headers.as_mut_ptr(), 3, 0) };
    assert_eq!(sent, 3);
    assert_eq!(headers.map(|header| header.msg_len), [3, 3, 5]);
    let mut buffers = [[0u8; 8]; 5];
    let mut vectors =
        buffers.each_mut().map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: 8 });
    let mut headers = vectors.each_mut().map(|vector| {
        // SAFETY: as above.
        let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
        (header.msg_hdr.msg_iov, header.msg_hdr.msg_iovlen) = (vector, 1);
        header
    });
    // SAFETY: as above.
    let got = unsafe {
        libc::recvmmsg(two.as_raw_fd(), headers.as_mut_ptr(), 5, libc::MSG_WAITFORONE, std::ptr::null_mut())
    };
    assert_eq!(got, 3);
    assert_eq!(headers.map(|header| header.msg_len)[..3], [3, 3, 5]);
    assert_eq!(&buffers[2][..5], b"three");
}

fn raw_socket(domain: i32, kind: i32, protocol: i32) -> Errno {
    // SAFETY: socket(2) takes no pointer.
    let fd = unsafe { libc::socket(domain, kind, protocol) };
    assert_eq!(fd, -1);
    Errno::last()
}

fn wrong_kinds_and_families() {
    assert_eq!(raw_socket(libc::AF_UNIX, libc::SOCK_RDM, 0), Errno::ESOCKTNOSUPPORT);
    assert_eq!(raw_socket(libc::AF_UNIX, libc::SOCK_STREAM, 7), Errno::EPROTONOSUPPORT);
    assert_eq!(raw_socket(libc::AF_UNIX, 15, 0), Errno::EINVAL);
    assert_eq!(raw_socket(libc::AF_UNIX, libc::SOCK_STREAM | 0x100, 0), Errno::EINVAL);
    assert_eq!(raw_socket(99, libc::SOCK_STREAM, 0), Errno::EAFNOSUPPORT);
    let (reader, _writer) = pipe().expect("pipe");
    assert_eq!(send(reader.as_raw_fd(), b"x", MsgFlags::empty()), Err(Errno::ENOTSOCK));
    assert_eq!(send(9999, b"x", MsgFlags::empty()), Err(Errno::EBADF));
    let (one, _two) = pair(SockType::Datagram);
    assert_eq!(error_of(listen(&one, Backlog::new(1).expect("backlog"))), Errno::EOPNOTSUPP);
    assert_eq!(error_of(accept(one.as_raw_fd())), Errno::EOPNOTSUPP);
    let (one, _two) = pair(SockType::Stream);
    assert_eq!(error_of(accept(one.as_raw_fd())), Errno::EINVAL);
    // SAFETY: lseek(2) takes no pointer.
    assert_eq!(unsafe { libc::lseek(one.as_raw_fd(), 0, libc::SEEK_SET) }, -1);
    assert_eq!(Errno::last(), Errno::ESPIPE);
}

fn bad_control_data_is_refused() {
    let (one, two) = stream();
    let offer = |control: &[u8]| {
        let mut byte = *b"x";
        let mut vector = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        // SAFETY: all zero is a valid header.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        (header.msg_iov, header.msg_iovlen) = (&raw mut vector, 1);
        (header.msg_control, header.msg_controllen) = (control.as_ptr().cast_mut().cast(), control.len());
        // SAFETY: the header points to live memory of the lengths it says.
        let sent = unsafe { libc::sendmsg(one.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
        if sent < 0 { Err(Errno::last()) } else { Ok(sent) }
    };
    let message = |len: u64, level: i32, kind: i32, data: &[u8]| {
        [&len.to_ne_bytes()[..], &level.to_ne_bytes(), &kind.to_ne_bytes(), data].concat()
    };
    assert_eq!(offer(&message(8, 1, 1, &[])), Err(Errno::EINVAL));
    assert_eq!(offer(&message(100, 1, 1, &[0; 4])), Err(Errno::EINVAL));
    assert_eq!(offer(&message(20, 1, 1, &(-1i32).to_ne_bytes())), Err(Errno::EBADF));
    assert_eq!(offer(&message(20, 1, 99, &[0; 4])), Err(Errno::EINVAL));
    assert_eq!(offer(&message(20, 1, 2, &[0; 4])), Err(Errno::EINVAL));
    assert_eq!(offer(&message(16, 1, 1, &[])), Ok(1));
    assert_eq!(offer(&message(20, 99, 1, &[0; 4])), Ok(1), "not a level that is looked at");
    assert_eq!(offer(&[0; 8]), Ok(1));
    assert_eq!(recv(two.as_raw_fd(), &mut [0; 8], MsgFlags::empty()), Ok(3));
}

fn sendfile_into_a_socket() {
    let mut file = tempfile::tempfile().expect("file");
    file.write_all(&vec![3; 500_000]).expect("write");
    let (one, mut two) = stream();
    let sender = thread::spawn(move || {
        let mut offset = 0;
        let mut sent = 0;
        while sent < 500_000 {
            sent += nix::sys::sendfile::sendfile(&one, &file, Some(&mut offset), 500_000).expect("sendfile");
        }
    });
    let mut bytes = Vec::new();
    two.read_to_end(&mut bytes).expect("read");
    sender.join().expect("join");
    assert_eq!(bytes.len(), 500_000);
}

fn descriptors_of_the_socket() {
    let (one, two) = stream();
    let link = fs::read_link(format!("/proc/self/fd/{}", one.as_raw_fd())).expect("readlink");
    assert!(link.to_string_lossy().starts_with("socket:["), "{link:?}");
    let meta = nix::sys::stat::fstat(&one).expect("fstat");
    assert_eq!(meta.st_mode, libc::S_IFSOCK | 0o777);
    assert_eq!(format!("socket:[{}]", meta.st_ino), link.to_string_lossy());
    send(two.as_raw_fd(), b"abc", MsgFlags::empty()).expect("send");
    let mut waiting = 0;
    // SAFETY: `waiting` outlives the call.
    assert_eq!(unsafe { libc::ioctl(one.as_raw_fd(), libc::FIONREAD, &raw mut waiting) }, 0);
    assert_eq!(waiting, 3);
    // SAFETY: `waiting` outlives the call.
    assert_eq!(unsafe { libc::ioctl(two.as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) }, 0);
    assert!(waiting >= 3);
}
