//! Answers, memory, descriptors, substitution, signals and identities on real guests. Needs user namespaces.

use std::os::fd::AsFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::run;
use abi_linux::Errno;
use abi_linux::signal::Signal;
use host_sys::memfd;
use platform_api::{CallId, Identity, Platform, Range, Reply, Restart, SignalTarget, Syscall};
use platform_notify::NotifyPlatform;

const READ: i32 = 0;
const WRITE: i32 = 1;
const CLOSE: i32 = 3;
const MMAP: i32 = 9;
const GETPID: i32 = 39;
const EXECVE: i32 = 59;
const GETTID: i32 = 186;
const GETUID: i32 = 102;
const GETPPID: i32 = 110;

fn basic(platform: &NotifyPlatform, call: Syscall) {
    let reply = match call.nr {
        GETPPID => Reply::Value(4242),
        GETUID => Reply::Errno(Errno::EDOM),
        GETPID | MMAP | CLOSE => Reply::Continue,
        _ => Reply::Errno(Errno::ENOSYS),
    };
    platform.reply(call.id, reply);
}

#[test]
fn value_errno_and_continue_reach_the_guest() {
    run("reply", 1, basic, |_| ());
    run("reply", 2, basic, |_| ());
}

#[test]
fn memory_is_copied_up_to_the_first_missing_page() {
    run(
        "memory",
        1,
        |platform, call| {
            let [_, addr, len, ..] = call.args;
            let ranges = [Range { addr, len: len as usize }];
            let mut text = [0; 20];
            let result = match call.nr {
                WRITE => platform.read_memory(call.tid, &ranges, &mut text),
                READ => platform.write_memory(call.tid, &ranges, &[b'z'; 20]),
                _ => return basic(platform, call),
            };
            if call.nr == WRITE && result.is_ok() {
                assert_eq!(&text[..10], b"kjihgfedcb");
            }
            let reply = result.map_or_else(Reply::Errno, |count| Reply::Value(count as i64));
            platform.reply(call.id, reply);
        },
        |_| (),
    );
}

#[test]
fn installed_descriptor_is_mapped_at_the_guests_own_number() {
    let file = memfd::sealed("file", b"Palisade").unwrap();
    run(
        "map",
        1,
        move |platform, call| {
            if call.nr == MMAP && call.args[4] == 77 {
                assert_eq!(platform.install_fd(call.id, 77, file.as_fd()), Ok(()));
            }
            basic(platform, call);
        },
        |_| (),
    );
}

#[test]
fn substituted_call_runs_natively_and_gives_the_argument_registers_back() {
    run(
        "substitute",
        1,
        |platform, call| match call.nr {
            1500 => {
                assert_eq!(call.args, [1, 2, 3, 4, 5, 6]);
                assert_eq!(platform.substitute(&call, GETTID, [10, 20, 30, 40, 50, 60]), Ok(()));
            }
            _ => basic(platform, call),
        },
        |_| (),
    );
}

#[test]
fn execve_becomes_an_exec_of_the_loader_with_the_guests_arguments() {
    run(
        "exec",
        1,
        |platform, call| match call.nr {
            EXECVE => {
                let [path, argv, envp, ..] = call.args;
                let mut text = [0; 5];
                assert_eq!(platform.read_memory(call.tid, &[Range { addr: path, len: 5 }], &mut text), Ok(5));
                assert_eq!(&text, b"/any\0");
                let args = [63, path + 4, argv, envp, 0x1000, 0];
                assert_eq!(platform.substitute(&call, 322, args), Ok(()));
            }
            _ => basic(platform, call),
        },
        |_| (),
    );
}

/// Parks the first read, has `then` deal with it from another thread, and answers later reads with 7.
fn park(scenario: &'static str, reads: usize, then: fn(&NotifyPlatform, Syscall)) {
    let seen = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&seen);
    run(
        scenario,
        2,
        move |platform, call| {
            if call.nr != READ {
                return basic(platform, call);
            }
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                std::thread::scope(|scope| {
                    scope.spawn(|| then(platform, call));
                });
            } else {
                platform.reply(call.id, Reply::Value(7));
            }
        },
        |_| (),
    );
    assert_eq!(seen.load(Ordering::SeqCst), reads, "{scenario}");
}

fn raise(platform: &NotifyPlatform, call: &Syscall) {
    let target = SignalTarget::Thread { tgid: call.tid, tid: call.tid };
    assert_eq!(platform.send_signal(target, Signal::SIGUSR1), Ok(()));
    let state = platform.signal_state(call.tid).unwrap();
    assert!(state.pending.contains(Signal::SIGUSR1), "the wait must be killable only");
    assert!(state.deliverable(state.pending).contains(Signal::SIGUSR1));
}

#[test]
fn parked_call_is_restarted_after_a_handler_with_sa_restart() {
    for certain in [true, false] {
        let then = if certain {
            |platform: &NotifyPlatform, call: Syscall| {
                raise(platform, &call);
                assert_eq!(platform.interrupt(&call, Restart::Sys, true), Ok(()));
            }
        } else {
            |platform: &NotifyPlatform, call: Syscall| {
                raise(platform, &call);
                assert_eq!(platform.interrupt(&call, Restart::Sys, false), Ok(()));
            }
        };
        park("restarted", 2, then);
    }
}

#[test]
fn parked_call_gets_eintr_from_a_handler_without_sa_restart() {
    park("interrupted", 1, |platform, call| {
        raise(platform, &call);
        assert_eq!(platform.interrupt(&call, Restart::Sys, true), Ok(()));
    });
    park("interrupted", 1, |platform, call| {
        raise(platform, &call);
        assert_eq!(platform.interrupt(&call, Restart::Sys, false), Ok(()));
    });
}

#[test]
fn call_restarted_without_handlers_only_gets_eintr_from_any_handler() {
    park("no_handler", 1, |platform, call| {
        raise(platform, &call);
        assert_eq!(platform.interrupt(&call, Restart::NoHandler, true), Ok(()));
    });
    park("no_handler", 1, |platform, call| {
        raise(platform, &call);
        assert_eq!(platform.interrupt(&call, Restart::Never, false), Ok(()));
    });
}

#[test]
fn interruption_without_a_signal_leaks_no_restart_code() {
    park("spurious", 2, |platform, call| {
        assert_eq!(platform.interrupt(&call, Restart::Sys, false), Ok(()));
    });
    park("spurious", 2, |platform, call| {
        assert_eq!(platform.interrupt(&call, Restart::NoHandler, false), Ok(()));
    });
}

#[test]
fn threads_and_children_are_identified() {
    let seen: Mutex<Vec<(u64, Identity, i32)>> = Mutex::default();
    run(
        "identify",
        1,
        move |platform, call| match call.nr {
            1600 => {
                let identity = platform.identify(call.tid).unwrap();
                seen.lock().unwrap().push((call.args[0], identity, call.tid));
                platform.reply(call.id, Reply::Value(0));
            }
            1601 if seen.lock().unwrap().len() < 2 => platform.reply(call.id, Reply::Errno(Errno::EAGAIN)),
            1601 => {
                let init = platform.init();
                let me = platform.identify(init).unwrap();
                assert_eq!((me.tgid, me.guest_tid, me.guest_tgid), (init, 1, 1));
                assert_eq!(me.parent, i32::try_from(std::process::id()).unwrap());
                let mut seen = seen.lock().unwrap().clone();
                seen.sort_by_key(|entry| entry.0);
                let [(2, thread, thread_tid), (3, child, child_tid)] = seen[..] else { panic!("{seen:?}") };
                assert_eq!((thread.tgid, thread.guest_tid, thread.guest_tgid), (init, 2, 1));
                assert_ne!(thread_tid, init);
                assert_eq!((child.tgid, child.guest_tid, child.guest_tgid), (child_tid, 3, 3));
                assert_eq!(child.parent, init);
                platform.reply(call.id, Reply::Value(0));
            }
            _ => basic(platform, call),
        },
        |_| (),
    );
}

#[test]
fn death_of_a_watched_child_is_told() {
    let dead = std::sync::Arc::new(AtomicI32::new(0));
    let (victim, told) = (AtomicI32::new(0), std::sync::Arc::clone(&dead));
    run(
        "exits",
        1,
        move |platform, call| match call.nr {
            READ => {
                victim.store(call.tid, Ordering::SeqCst);
                assert_eq!(platform.children(platform.init(), platform.init()), Ok(vec![call.tid]));
                assert_eq!(platform.watch_exit(call.tid), Ok(()));
                assert!(platform.is_waiting(call.id));
                let target = SignalTarget::Process(call.tid);
                assert_eq!(platform.send_signal(target, Signal::SIGKILL), Ok(()));
            }
            1601 => {
                let started = Instant::now();
                while dead.load(Ordering::SeqCst) == 0 {
                    assert!(started.elapsed() < Duration::from_secs(10));
                    std::thread::sleep(Duration::from_millis(1));
                }
                let victim = victim.load(Ordering::SeqCst);
                assert_eq!(dead.load(Ordering::SeqCst), victim);
                assert_eq!(platform.identify(victim), Err(Errno::ESRCH));
                // Its call was never answered: nothing of another process is taken for it.
                let mut byte = [0];
                let range = [Range { addr: 4096, len: 1 }];
                assert_eq!(platform.read_memory(victim, &range, &mut byte), Err(Errno::ESRCH));
                assert!(!platform.is_waiting(CallId(12345)));
                platform.reply(call.id, Reply::Value(0));
            }
            _ => basic(platform, call),
        },
        move |tgid| {
            let _ = told.compare_exchange(0, tgid, Ordering::SeqCst, Ordering::SeqCst);
        },
    );
}

#[test]
fn stuck_call_does_not_hold_up_another_process() {
    run(
        "stuck",
        3,
        |platform, call| match call.nr {
            1800 => {
                std::thread::sleep(Duration::from_millis(300));
                platform.reply(call.id, Reply::Value(0));
            }
            1801 => platform.reply(call.id, Reply::Value(0)),
            _ => basic(platform, call),
        },
        |_| (),
    );
}
