//! What a supervisor that a guest has taken over can still do. Each payload runs in a process of its own, this test
//! program anew, after `confine`.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::process::Command;

use abi_linux::Errno;
use host_sys::{confine, memory, pidfd, ptrace};
use rustix::process::{Pid, Signal, kill_process};

use super::{HostRoot, Report, Sockets, confine as confine_all, leave, scope, settle};

const PAYLOAD: &str = "PALISADE_TEST_PAYLOAD";
const SIGSYS: i32 = 31;

/// What becomes of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The filter kills the process.
    Killed,
    /// The kernel says EPERM.
    Refused,
    /// The kernel says EPERM where it has Landlock.
    RefusedByLandlock,
    /// The kernel says this, where the supervisor could get a root of its own.
    Apart(Errno),
}

struct Payload {
    name: &'static str,
    end: End,
    run: fn(i32) -> Result<(), Errno>,
}

const fn payload(name: &'static str, end: End, run: fn(i32) -> Result<(), Errno>) -> Payload {
    Payload { name, end, run }
}

fn io(result: std::io::Result<impl Sized>) -> Result<(), Errno> {
    result.map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn write(path: &str) -> Result<(), Errno> {
    io(std::fs::File::options().write(true).open(path))
}

fn rustix<T>(result: rustix::io::Result<T>) -> Result<(), Errno> {
    result.map(drop).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
}

/// They get the id of a process of the host, their parent.
const PAYLOADS: &[Payload] = &[
    payload("execute_a_program", End::Killed, |_| io(Command::new("/bin/true").status())),
    payload("open_a_socket", End::Killed, |_| io(TcpListener::bind("127.0.0.1:0"))),
    payload("connect_to_a_daemon", End::Killed, |_| io(std::os::unix::net::UnixStream::connect("/run/x"))),
    payload("kill_by_number", End::Killed, |host| {
        rustix(kill_process(Pid::from_raw(host).ok_or(Errno::ESRCH)?, Signal::CONT))
    }),
    payload("gain_capabilities", End::Killed, |_| confine::keep_capabilities(u64::MAX)),
    payload("replace_the_filter", End::Killed, |_| confine::filter_all_threads(&[])),
    payload("leave_the_session", End::Killed, |_| rustix(rustix::process::setsid())),
    payload("change_root", End::Killed, |_| rustix(rustix::process::chroot("/tmp"))),
    payload("become_another_user", End::Killed, |_| {
        rustix(rustix::thread::set_thread_uid(rustix::fs::Uid::from_raw(1)))
    }),
    payload("take_a_terminal", End::Killed, |_| {
        rustix(rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpgrp()))
    }),
    payload("open_a_file_of_the_host", End::Apart(Errno::ENOENT), |_| io(std::fs::File::open("/etc/passwd"))),
    payload("walk_up_from_the_root", End::Apart(Errno::ENOENT), |_| {
        io(std::fs::File::open("/proc/../../etc/passwd"))
    }),
    payload("see_a_process_of_the_host", End::Apart(Errno::ENOENT), |host| {
        io(std::fs::metadata(format!("/proc/{host}")))
    }),
    payload("look_through_a_process_of_the_host", End::Apart(Errno::ENOENT), |host| {
        io(std::fs::File::open(format!("/proc/{host}/root/etc/passwd")))
    }),
    payload("name_a_program_for_core_dumps", End::Apart(Errno::EROFS), |_| {
        write("/proc/sys/kernel/core_pattern")
    }),
    payload("write_its_own_code", End::Apart(Errno::EROFS), |_| write("/proc/self/mem")),
    payload("mount_something", End::Killed, |_| rustix(rustix::mount::mount_bind("/proc", "/proc/sys"))),
    payload("make_namespaces", End::Killed, |_| host_sys::mounts::leave_namespaces()),
    payload("enter_a_namespace", End::Refused, |_| {
        let namespace = std::fs::File::open("/proc/self/ns/net").map_err(|_| Errno::ENOENT)?;
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix(rustix::thread::move_into_link_name_space(namespace.as_fd(), kind))
    }),
    payload("signal_by_handle", End::RefusedByLandlock, |host| {
        pidfd::send_signal(pidfd::open_process(host)?.as_fd(), 18)
    }),
    payload("trace_a_process", End::RefusedByLandlock, |host| ptrace::seize(host).map(drop)),
    payload("read_its_memory", End::RefusedByLandlock, |host| {
        memory::read(host, &[memory::piece(PAYLOADS.as_ptr().addr() as u64, 1)], &mut [0]).map(drop)
    }),
];

/// Not a test of its own: the taken supervisor, where the environment names a payload.
#[test]
fn run_payload() {
    let Ok(name) = std::env::var(PAYLOAD) else { return };
    let payload = PAYLOADS.iter().find(|payload| payload.name == name).expect("it is in the table");
    let host = parent_id().cast_signed();
    scope();
    let home = leave(HostRoot::Left).expect("root can, and others stay");
    settle(&home).expect("as above");
    confine_all(Sockets::None, Report::No).expect("this process may confine itself");
    let status = match (payload.run)(host) {
        Ok(()) => 0,
        Err(errno) => errno.raw(),
    };
    std::process::exit(status);
}

#[test]
fn taken_supervisor_cannot() {
    let has_landlock = std::thread::spawn(confine::scope_to_descendants).join().expect("no panic").is_ok();
    let is_root = rustix::process::geteuid().is_root();
    let own = std::env::current_exe().expect("a test knows its path");
    for payload in PAYLOADS {
        let name = "confinement::payload_test::run_payload";
        let mut command = Command::new(&own);
        command.args(["--exact", name, "--test-threads=1"]).env(PAYLOAD, payload.name);
        let ended = command.env_remove(super::REPORT_REFUSED).output().expect("it starts").status;
        match payload.end {
            End::Killed => assert_eq!(ended.signal(), Some(SIGSYS), "{}: {ended}", payload.name),
            End::Refused => assert_eq!(ended.code(), Some(1), "{}: {ended}", payload.name),
            End::RefusedByLandlock if has_landlock => {
                assert_eq!(ended.code(), Some(1), "{}: {ended}", payload.name);
            }
            End::Apart(errno) if is_root => {
                assert_eq!(ended.code(), Some(errno.raw()), "{}: {ended}", payload.name);
            }
            End::RefusedByLandlock | End::Apart(_) => {}
        }
    }
}
