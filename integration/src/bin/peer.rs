//! The other end of a connection, inside or outside of a sandbox: `peer serve ADDR:PORT` answers every connection with what
//! it was sent, in capitals, until it is sent `quit`; `peer ask ADDR:PORT TEXT [TIMES]` sends the text so many times and
//! prints how many bytes came back, and the first of them; `peer tell ADDR:PORT TEXT` does not care; `peer alone PORT NAME` tries whatever could reach the host.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::guest;
use nix::errno::Errno;

/// How long somebody who is to listen may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", address] => serve(address),
        ["ask", address, text] => ask(address, text, 1),
        ["ask", address, text, times] => ask(address, text, times.parse().expect("a number")),
        ["tell", address, text] => tell(address, text),
        ["alone", port, name] => return alone(port.parse().expect("a port"), name),
        _ => panic!("serve, ask, tell or alone, not {args:?}"),
    }
    ExitCode::SUCCESS
}

fn serve(address: &str) {
    let listener = TcpListener::bind(address).expect("bind");
    println!("listening");
    loop {
        let (mut stream, _) = listener.accept().expect("accept");
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).expect("read");
        stream.write_all(&heard.to_ascii_uppercase()).expect("write");
        if heard == b"quit" {
            return;
        }
    }
}

/// Connects, as soon as somebody listens.
fn connect(address: &str) -> TcpStream {
    let until = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < until, "{address}: {error}"),
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn ask(address: &str, text: &str, times: usize) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut stream = connect(address);
        let mut sender = stream.try_clone().expect("dup");
        let sent = text.repeat(times);
        let sending = thread::spawn(move || {
            let _ = sender.write_all(sent.as_bytes());
            let _ = sender.shutdown(Shutdown::Write);
        });
        let mut answer = String::new();
        let result = stream.read_to_string(&mut answer);
        sending.join().expect("no panic");
        // A forwarder takes a connection before anybody inside listens.
        if result.is_ok() && !answer.is_empty() {
            println!("{} {}", answer.len(), answer.get(..text.len()).unwrap_or(&answer));
            return;
        }
        assert!(Instant::now() < until, "{address}: {result:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Says something, whatever the answer.
fn tell(address: &str, text: &str) {
    let mut stream = connect(address);
    stream.write_all(text.as_bytes()).expect("write");
    stream.shutdown(Shutdown::Write).expect("shutdown");
    let _ = stream.read_to_end(&mut Vec::new());
}

/// A sandbox without a network: its own loopback, and nothing else.
fn alone(port: u16, name: &str) -> ExitCode {
    let tcp = format!("127.0.0.1:{port}");
    let refused = TcpStream::connect(&tcp).expect_err("the host's socket");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
    udp.connect(&tcp).expect("connect");
    let refused = udp.send(b"x").and_then(|_| udp.recv(&mut [0; 9])).expect_err("the host's socket");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let abstract_name = SocketAddr::from_abstract_name(name).expect("a name");
    let refused = UnixStream::connect_addr(&abstract_name).expect_err("the host's abstract name");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let away = TcpStream::connect_timeout(&"192.0.2.1:80".parse().expect("address"), Duration::from_secs(5));
    assert_eq!(away.expect_err("another network").raw_os_error(), Some(libc::ENETUNREACH));
    families();
    netlink();
    let devices = std::fs::read_to_string("/proc/net/dev").expect("/proc");
    assert_eq!(devices.lines().count(), 3, "{devices}");
    println!("alone");
    ExitCode::SUCCESS
}

fn open(family: i32, kind: i32, protocol: i32) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::socket(family, kind, protocol) }).map(|fd| drop(guest::fd::own(fd)))
}

/// Every family, type and some protocols: what there is, is the sandbox's own. (Raw INET sockets are its loopback's.)
fn families() {
    const OWN: [i32; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    for family in 0..64 {
        for kind in 0..12 {
            for protocol in [0, 1, 3, 6, 17, 58, 132, 136, 255, 256, 262, 0x300] {
                let opened = open(family, kind, protocol);
                assert!(opened.is_err() || OWN.contains(&family), "family {family}, type {kind}, {protocol}");
            }
        }
    }
}

/// Families of netlink that speak of the host: all but route, its events of devices, and lists of sockets of ours.
fn netlink() {
    const OWN: [i32; 4] =
        [libc::NETLINK_ROUTE, libc::NETLINK_SOCK_DIAG, libc::NETLINK_AUDIT, libc::NETLINK_KOBJECT_UEVENT];
    for protocol in (0..40).filter(|protocol| !OWN.contains(protocol)) {
        assert!(open(libc::AF_NETLINK, libc::SOCK_RAW, protocol).is_err(), "netlink {protocol}");
    }
}
