//! What a guest is left with, and that it dies with its supervisor.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::common::{container, container_with};
use abi_linux::Errno;
use abi_linux::signal::Signal;
use host_seccomp::SockFilter;
use host_sys::{pidfd, ptrace};
use platform_api::{Platform, SignalInfo, SignalTarget};
use platform_notify::{Instruction, NotifyPlatform};

/// The guest waits in its first call, the execveat, set up but for the program.
fn status(init: i32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{init}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name}")).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What our own caller had ignored: a guest keeps that, but for SIGPIPE and the signals of libc's threads.
fn ignored_by_the_caller() -> u64 {
    let own = i32::try_from(std::process::id()).unwrap();
    let bit = |signal: u64| 1 << (signal - 1);
    u64::from_str_radix(&status(own, "SigIgn"), 16).unwrap() & !(bit(13) | bit(32) | bit(33))
}

#[test]
fn guest_has_no_rights_no_files_and_an_empty_root() {
    let container = container("reply");
    let init = container.init();
    // The listener exists before the call does.
    let started = Instant::now();
    while !std::fs::read_to_string(format!("/proc/{init}/syscall")).unwrap().starts_with("322 ") {
        assert!(started.elapsed() < Duration::from_secs(10));
    }
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(init, set), 16), Ok(0), "{set}");
    }
    assert_eq!(status(init, "NoNewPrivs"), "1");
    assert_eq!(status(init, "Seccomp"), "2");
    // Without privilege setgroups is denied in the namespace; then there are the supervisor's own.
    if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
        assert_eq!(status(init, "Groups"), "");
    }
    assert_eq!(u64::from_str_radix(&status(init, "SigIgn"), 16), Ok(ignored_by_the_caller()));
    assert_eq!(status(init, "SigBlk"), "0000000000000000");
    assert_eq!(status(init, "NSpid").split(' ').next_back(), Some("1"));
    let root: Vec<_> = std::fs::read_dir(format!("/proc/{init}/root")).unwrap().collect();
    assert!(root.is_empty());
    let mounts = std::fs::read_to_string(format!("/proc/{init}/mounts")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" ro,nosuid,nodev,noexec"), "{mounts}");
    let mut fds: Vec<_> = std::fs::read_dir(format!("/proc/{init}/fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    fds.sort();
    assert_eq!(fds, ["0", "1", "2"], "the listener, the socket and the loader, all closed by the exec");
    for fd in fds {
        let info = std::fs::read_to_string(format!("/proc/{init}/fdinfo/{fd}")).unwrap();
        let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap().trim();
        let flags = u32::from_str_radix(flags, 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "{fd} is close-on-exec");
    }
    for name in ["user", "pid", "mnt", "ipc", "uts", "net", "cgroup"] {
        let link = |who: String| std::fs::read_link(format!("/proc/{who}/ns/{name}")).unwrap();
        assert_ne!(link(init.to_string()), link("self".to_owned()), "{name}");
    }
}

/// The real plan, installed, read back and disassembled.
#[test]
fn installed_filter_reads_back_as_it_was_built() {
    let rules = syscall_table::seccomp::plan(false);
    let program = host_seccomp::compile(&rules).unwrap();
    let filter: Vec<Instruction> =
        program.iter().map(|i| Instruction { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
    let container = container_with("reply", &filter);
    let seized = ptrace::seize(container.init()).unwrap();
    // The call has not been received, so its wait is interruptible: it stops and will be made again.
    seized.interrupt().unwrap();
    let ptrace::Next::Stopped(stopped) = seized.wait(true).unwrap() else { panic!("the guest died") };
    match stopped.seccomp_filter(0) {
        Ok(installed) => {
            let installed: Vec<SockFilter> =
                installed.iter().map(|i| SockFilter { code: i.code, jt: i.jt, jf: i.jf, k: i.k }).collect();
            assert_eq!(
                host_seccomp::disassemble(&installed, &rules),
                host_seccomp::disassemble(&program, &rules)
            );
        }
        // Reading a filter takes CAP_SYS_ADMIN in the first user namespace.
        Err(error) => assert_eq!(error, abi_linux::Errno::EACCES),
    }
    stopped.detach().unwrap();
}

#[test]
fn guests_die_with_the_thread_that_made_them() {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let container = Box::leak(Box::new(container("reply")));
        let pidfd = pidfd::open_process(container.init()).unwrap();
        sender.send(pidfd).unwrap();
    });
    let pidfd = receiver.recv().unwrap();
    thread.join().unwrap();
    assert_eq!(pidfd::reap(pidfd.as_fd()), Ok(pidfd::Ending::Killed(9)));
}

#[test]
fn dropped_container_leaves_no_process() {
    let container = container("reply");
    let init = container.init();
    drop(container);
    assert!(!std::path::Path::new(&format!("/proc/{init}")).exists());
}

/// The books may know a process that is gone, and whose id another process of the host has by now.
#[test]
fn no_signal_or_limit_reaches_a_process_outside() {
    let platform = NotifyPlatform::new(container("reply")).expect("the container becomes a platform");
    let mut outsider = Command::new("sleep").arg("1000").spawn().unwrap();
    let tid = outsider.id().cast_signed();
    let info = SignalInfo::Queue { code: -1, errno: 0, value: 0 };
    for target in [SignalTarget::Process(tid), SignalTarget::Thread { tgid: tid, tid }] {
        assert_eq!(platform.send_signal(target, Signal::SIGTERM), Err(Errno::ESRCH));
        assert_eq!(platform.queue_signal(target, Signal::SIGTERM, info), Err(Errno::ESRCH));
    }
    assert_eq!(platform.set_limit(tid, 7, 1, 1), Err(Errno::ESRCH));
    assert_eq!(platform.set_nice(tid, 10), Err(Errno::ESRCH));
    assert_eq!(outsider.try_wait().unwrap(), None);
    outsider.kill().unwrap();
    outsider.wait().unwrap();
    platform.kill().unwrap();
}
