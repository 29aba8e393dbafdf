//! The network modes: sockets of the host in the container's network namespace, published ports, and none at all.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use integration::bundle::Bundle;
use integration::process::{self, Finished};
use integration::runner::{Runner, Sandbox};
use integration::{paths, roots};
use serde_json::json;

const PEER: &str = env!("CARGO_BIN_EXE_peer");

fn directory() -> &'static Path {
    Path::new(PEER).parent().expect("a program is in a directory")
}

/// A sandbox that has the test's programs in /t.
fn sandbox(network: &str) -> Sandbox {
    Sandbox::default().with_volume(directory(), "/t").with_option(format!("--network={network}"))
}

fn run(command: &mut Command) -> Finished {
    let done = process::run(command, b"");
    println!("{done:?}");
    done
}

/// The checks of INET sockets once more, in a network namespace of the host that has lo alone.
fn passes_on_the_host(program: &str) {
    if !paths::palisade_is_wanted() {
        return;
    }
    let name = Path::new(program).file_name().expect("a program has a name").to_string_lossy();
    let inside = Runner::Palisade(sandbox("host")).command(&[format!("/t/{name}")]);
    let mut command = Command::new(directory().join("with_loopback"));
    command.arg(inside.get_program()).args(inside.get_args()).env_clear().current_dir("/");
    for (name, value) in integration::runner::ENVIRONMENT {
        command.env(name, value);
    }
    let native = Runner::Native.run(&[program]);
    let done = run(&mut command);
    assert_eq!((done.status, done.hung, &done.stdout), (native.status, false, &native.stdout));
}

#[test]
fn sockets_of_the_host_behave_as_natively() {
    passes_on_the_host(env!("CARGO_BIN_EXE_guest_inet"));
}

#[test]
fn splices_and_signals_of_host_sockets() {
    passes_on_the_host(env!("CARGO_BIN_EXE_guest_splice"));
    passes_on_the_host(env!("CARGO_BIN_EXE_guest_sigio"));
    passes_on_the_host(env!("CARGO_BIN_EXE_guest_poll"));
}

#[test]
fn without_a_network_nothing_of_the_host_is_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("name").port();
    let _udp = UdpSocket::bind(("127.0.0.1", port));
    let name = format!("palisade-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
    let _named = UnixListener::bind_addr(&abstract_name).expect("bind");
    if !paths::palisade_is_wanted() {
        return;
    }
    let args = ["/t/peer".to_owned(), "alone".to_owned(), port.to_string(), name];
    let done = run(&mut Runner::Palisade(sandbox("none")).command(&args));
    assert_eq!((done.status, done.stdout.as_str()), (0, "alone\n"));
}

/// A child that is killed with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a command and waits for what it writes first.
fn start(command: &mut Command, first: &str) -> Running {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line);
    let running = Running(child);
    assert!(read.is_ok() && line.trim_end() == first, "{line:?} {read:?}");
    running
}

fn ask(address: &str, text: &str, times: usize) -> Finished {
    run(Command::new(PEER).args(["ask", address, text, &times.to_string()]))
}

fn is_answered(done: &Finished, text: &str, times: usize) {
    let expected = format!("{} {}\n", text.len() * times, text.to_uppercase());
    assert_eq!((done.status, done.stdout.as_str()), (0, expected.as_str()), "{done:?}");
}

#[test]
fn published_ports_are_passed_on() {
    if !paths::palisade_is_wanted() {
        return;
    }
    // Somebody else might take it meanwhile: hardly.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    for network in ["none", "host"] {
        let sandbox = sandbox(network).with_option(format!("--publish=127.0.0.1:{port}:7777"));
        let mut serving = Runner::Palisade(sandbox).command(&["/t/peer", "serve", "127.0.0.1:7777"]);
        let mut running = start(&mut serving, "listening");
        let address = format!("127.0.0.1:{port}");
        is_answered(&ask(&address, "hello", 1), "hello", 1);
        is_answered(&ask(&address, "lots of it ", 200_000), "lots of it ", 200_000);
        run(Command::new(PEER).args(["tell", &address, "quit"]));
        assert!(running.0.wait().expect("it ends").success(), "{network}");
    }
}

/// Two network namespaces of the host, joined by a veth pair.
struct Joined {
    names: [String; 2],
}

fn ip(args: &[&str]) {
    let done = Command::new("ip").args(args).output().expect("iproute2 is installed");
    assert!(done.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

impl Joined {
    fn new() -> Self {
        let names = ["a", "b"].map(|side| format!("pal{}{side}", std::process::id()));
        let joined = Self { names };
        let [one, two] = &joined.names;
        ip(&["netns", "add", one]);
        ip(&["netns", "add", two]);
        ip(&["-n", one, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", two]);
        for (name, address) in joined.names.iter().zip(["10.77.0.1/24", "10.77.0.2/24"]) {
            ip(&["-n", name, "addr", "add", address, "dev", "eth0"]);
            ip(&["-n", name, "link", "set", "eth0", "up"]);
            ip(&["-n", name, "link", "set", "lo", "up"]);
        }
        joined
    }

    fn path(&self, side: usize) -> PathBuf {
        Path::new("/run/netns").join(&self.names[side])
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// A bundle in the network namespace at `network`, with the test's programs in /t.
fn bundle(network: &Path, args: &[&str]) -> Bundle {
    Bundle::new(&roots::debian(), args).with(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().expect("a list");
        let own =
            namespaces.iter_mut().find(|namespace| namespace["type"] == "network").expect("it is there");
        own["path"] = json!(network);
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.push(json!({
            "destination": "/tmp/t", "type": "bind", "source": directory(), "options": ["rbind", "ro"]
        }));
    })
}

fn oci_run(runtime: &Path, bundle: &Bundle, id: &str) -> Command {
    let mut command = Command::new(runtime);
    command.args(["run", "--bundle"]).arg(bundle.path()).arg(format!("{id}-{}", std::process::id()));
    command
}

#[test]
fn containers_in_joined_namespaces_talk() {
    let joined = Joined::new();
    let mut runtimes = vec![PathBuf::from("runc")];
    runtimes.extend(paths::palisade_is_wanted().then(paths::palisade));
    for runtime in runtimes {
        let serving = bundle(&joined.path(0), &["/tmp/t/peer", "serve", "10.77.0.1:80"]);
        let mut running = start(&mut oci_run(&runtime, &serving, "server"), "listening");
        for (text, times) in [("hello", 1), ("lots of it ", 200_000), ("quit", 1)] {
            let times_text = times.to_string();
            let args = ["/tmp/t/peer", "ask", "10.77.0.1:80", text, &times_text];
            let asking = bundle(&joined.path(1), &args);
            is_answered(&run(&mut oci_run(&runtime, &asking, "client")), text, times);
        }
        assert!(running.0.wait().expect("it ends").success());
        // The interfaces are those of the namespace.
        let script = "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '";
        let looking = bundle(&joined.path(1), &["bash", "-c", script]);
        let seen = run(&mut oci_run(&runtime, &looking, "looker"));
        assert_eq!((seen.status, seen.stdout.as_str()), (0, "eth0 lo "), "{seen:?}");
    }
}
