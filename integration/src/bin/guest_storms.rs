//! Sudden deaths and crowds: processes and threads that end, exec or are killed in the middle of calls, many at
//! once. What is asserted is exact statuses, and that everything still works afterwards.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, in_child};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execv, fork, pipe, read, write};

fn main() -> ExitCode {
    // A program that other checks start: `guest_storms status N [LEFT]`.
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == "status") {
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u8>().ok()).unwrap_or(0);
        let (status, left) = (number(2), number(3));
        if left > 0 {
            let error = again(status, left - 1).exec();
            panic!("exec: {error}");
        }
        return ExitCode::from(status);
    }
    guest::main(checks![
        processes_killed_in_the_middle_of_calls_leave_the_rest_alone,
        threads_killed_in_the_middle_of_calls_go_with_their_process,
        calls_keep_their_registers_while_the_process_is_stopped_and_continued,
        thousand_children_die_at_once,
        orphans_of_dying_children_are_reaped_elsewhere,
        threads_exec_while_others_are_in_calls,
        fifty_processes_exec_over_and_over,
        everything_closed_is_closed,
        forty_symbolic_links_are_followed_and_no_more,
        arguments_may_be_large_but_not_too_large,
        environment_counts_like_arguments,
        deep_directories_need_no_deep_stack,
    ])
}

fn again(status: u8, left: u8) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["status", &status.to_string(), &left.to_string()]);
    command
}

/// Forks a child that runs `body` until it is killed.
fn spawn_endless(body: impl Fn(u32)) -> Pid {
    // SAFETY: a check's process has one thread.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            let mut round = 0;
            loop {
                body(round);
                round = round.wrapping_add(1);
            }
        }
        ForkResult::Parent { child } => child,
    }
}

/// A bit of everything that takes more than a moment inside the kernel.
fn busy(round: u32) {
    let scratch = std::env::temp_dir().join(format!("storm-{}", std::process::id()));
    match round % 6 {
        0 => {
            let (reader, writer) = pipe().expect("pipe");
            write(&writer, &[1; 5000]).expect("write");
            read(&reader, &mut [0; 5000]).expect("read");
        }
        1 => drop(fs::read("/proc/self/status").expect("status")),
        2 => {
            fs::write(&scratch, [round as u8; 3000]).expect("write");
            fs::remove_file(&scratch).expect("remove");
        }
        3 => drop(fs::read_dir("/usr").expect("read_dir").count()),
        4 => thread::sleep(Duration::from_micros(200)),
        _ => drop(thread::spawn(|| thread::sleep(Duration::from_micros(50))).join()),
    }
}

fn kill_and_wait(child: Pid) {
    kill(child, Signal::SIGKILL).expect("kill");
    assert_eq!(waitpid(child, None).expect("waitpid"), WaitStatus::Signaled(child, Signal::SIGKILL, false));
}

fn processes_killed_in_the_middle_of_calls_leave_the_rest_alone() {
    let mut children: Vec<Pid> = (0..8).map(|_| spawn_endless(busy)).collect();
    let start = Instant::now();
    let mut turn: usize = 0;
    while start.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_micros(700 + (turn as u64 * 97) % 3000));
        let at = turn % children.len();
        kill_and_wait(children[at]);
        children[at] = spawn_endless(busy);
        turn += 1;
    }
    children.into_iter().for_each(kill_and_wait);
    // A killed one could not remove its file.
    for entry in fs::read_dir(std::env::temp_dir()).expect("read_dir").flatten() {
        if entry.file_name().as_bytes().starts_with(b"storm-") {
            fs::remove_file(entry.path()).expect("remove");
        }
    }
}

fn threads_killed_in_the_middle_of_calls_go_with_their_process() {
    for turn in 0..60_u64 {
        let child = spawn_endless(|_| {
            thread::scope(|scope| {
                for n in 0..4 {
                    scope.spawn(move || {
                        let mut round = n;
                        loop {
                            match round % 4 {
                                0 => drop(File::open("/etc/passwd").expect("open")),
                                1 => drop(fs::metadata("/usr/bin").expect("stat")),
                                2 => thread::sleep(Duration::from_micros(100)),
                                _ => drop(pipe().expect("pipe")),
                            }
                            round += 1;
                        }
                    });
                }
            });
        });
        thread::sleep(Duration::from_micros(turn * 331 % 12_000));
        kill_and_wait(child);
    }
}

/// rt_sigaction(SIGTERM) as an instruction; its argument registers afterwards.
fn action_and_registers(action: &[u64; 4]) -> (i64, [u64; 4]) {
    let (mut result, mut registers) = (libc::SYS_rt_sigaction, [libc::SIGTERM as u64, 0, 0, 8]);
    registers[1] = action.as_ptr() as u64;
    // SAFETY: the kernel reads one struct kernel_sigaction, which is 32 bytes.
    unsafe {
        std::arch::asm!("syscall", inlateout("rax") result, inlateout("rdi") registers[0],
            inlateout("rsi") registers[1], inlateout("rdx") registers[2], inlateout("r10") registers[3],
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    (result, registers)
}

fn calls_keep_their_registers_while_the_process_is_stopped_and_continued() {
    // A handler without SA_RESTART, which is never called, and another.
    const SA_RESTORER: u64 = 0x0400_0000;
    let child = spawn_endless(|round| {
        let action = [0x1000 + u64::from(round % 2), SA_RESTORER, 0x1000, 0];
        let expected = [libc::SIGTERM as u64, action.as_ptr() as u64, 0, 8];
        assert_eq!(action_and_registers(&action), (0, expected), "in round {round}");
    });
    for _ in 0..500 {
        kill(child, Signal::SIGSTOP).expect("stop");
        let stopped = waitpid(child, Some(WaitPidFlag::WUNTRACED)).expect("wait");
        assert_eq!(stopped, WaitStatus::Stopped(child, Signal::SIGSTOP));
        kill(child, Signal::SIGCONT).expect("continue");
        let continued = waitpid(child, Some(WaitPidFlag::WCONTINUED)).expect("wait");
        assert_eq!(continued, WaitStatus::Continued(child));
    }
    kill_and_wait(child);
}

fn thousand_children_die_at_once() {
    for batch in 0..10 {
        let children: Vec<(Pid, i32)> = (0..100)
            .map(|n| {
                let status = (batch * 100 + n) % 256;
                // SAFETY: a check's process has one thread, and the child only exits.
                match unsafe { fork() }.expect("fork") {
                    // SAFETY: _exit never returns and runs nothing.
                    ForkResult::Child => unsafe { libc::_exit(status) },
                    ForkResult::Parent { child } => (child, status),
                }
            })
            .collect();
        for (child, status) in children {
            assert_eq!(waitpid(child, None).expect("waitpid"), WaitStatus::Exited(child, status));
        }
    }
}

fn orphans_of_dying_children_are_reaped_elsewhere() {
    for _ in 0..100 {
        let status = in_child(|| {
            for _ in 0..3 {
                // SAFETY: one thread.
                if let ForkResult::Child = unsafe { fork() }.expect("fork") {
                    thread::sleep(Duration::from_millis(1));
                    // SAFETY: _exit never returns and runs nothing.
                    unsafe { libc::_exit(1) };
                }
            }
            0
        });
        assert_eq!(status, 0);
    }
    assert_eq!(waitpid(None, None), Err(Errno::ECHILD));
}

fn threads_exec_while_others_are_in_calls() {
    for turn in 0..40_u8 {
        let status = in_child(|| {
            let (reader, _writer) = pipe().expect("pipe");
            thread::scope(|scope| {
                let reader = &reader;
                for n in 0..6 {
                    scope.spawn(move || match n {
                        0 | 1 => drop(read(reader, &mut [0; 1])),
                        2 => thread::sleep(Duration::from_secs(100)),
                        _ => loop {
                            drop(File::open("/etc/passwd"));
                        },
                    });
                }
                scope.spawn(|| {
                    thread::sleep(Duration::from_micros(u64::from(turn) * 50));
                    let words = ["x", "status", "7"].map(|word| CString::new(word).expect("no NUL"));
                    execv(c"/proc/self/exe", &words).expect("execv")
                });
            });
            0
        });
        assert_eq!(status, 7);
    }
}

fn fifty_processes_exec_over_and_over() {
    let mut children: Vec<_> =
        (0..50).map(|n| (n, again(n, 5).stdin(Stdio::null()).spawn().expect("spawn"))).collect();
    for (n, child) in &mut children {
        assert_eq!(child.wait().expect("wait").code(), Some(i32::from(*n)));
    }
}

fn everything_closed_is_closed() {
    let status = in_child(|| {
        // SAFETY: numbers only; this child uses no descriptor afterwards but those it looks at.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0) };
        // SAFETY: takes numbers only.
        let gone = |fd: i32| unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1;
        let all_gone = gone(0) && gone(1) && gone(2);
        // SAFETY: the name is a C string.
        let first = unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_RDONLY) };
        let status = if closed == 0 && all_gone && first == 0 { 9 } else { 1 };
        // SAFETY: never returns, and runs nothing of this process's.
        unsafe { libc::_exit(status) }
    });
    assert_eq!(status, 9);
}

fn forty_symbolic_links_are_followed_and_no_more() {
    let scratch = Scratch::new();
    let link = |n: u32| scratch.dir().join(format!("l{n}"));
    fs::write(link(0), "end").expect("write");
    for n in 1..=41 {
        std::os::unix::fs::symlink(format!("l{}", n - 1), link(n)).expect("symlink");
    }
    assert_eq!(fs::read_to_string(link(40)).expect("40 links"), "end");
    let error = fs::read_to_string(link(41)).expect_err("41 links");
    assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
}

fn outcome(command: &mut Command) -> Result<Option<i32>, Option<i32>> {
    command.stdin(Stdio::null()).status().map(|status| status.code()).map_err(|error| error.raw_os_error())
}

/// MAX_ARG_STRLEN is 32 pages, NUL included; all together may be a quarter of the stack's limit (execve(2)).
fn arguments_may_be_large_but_not_too_large() {
    let long = |length: usize| "x".repeat(length);
    assert_eq!(outcome(again(3, 0).arg(long(32 * 4096 - 1))), Ok(Some(3)));
    assert_eq!(outcome(again(3, 0).arg(long(32 * 4096))), Err(Some(libc::E2BIG)));
    assert_eq!(outcome(again(4, 0).args(vec![long(1000); 1000])), Ok(Some(4)));
    assert_eq!(outcome(again(4, 0).args(vec![long(100_000); 100])), Err(Some(libc::E2BIG)));
    // After a refusal all is as before.
    assert_eq!(outcome(&mut again(5, 0)), Ok(Some(5)));
}

fn environment_counts_like_arguments() {
    assert_eq!(outcome(again(3, 0).env("A", "x".repeat(100_000))), Ok(Some(3)));
    assert_eq!(outcome(again(3, 0).env("A", "x".repeat(200_000))), Err(Some(libc::E2BIG)));
    let mut many = again(6, 0);
    many.envs((0..5000).map(|n| (format!("V{n}"), "value")));
    assert_eq!(outcome(&mut many), Ok(Some(6)));
}

fn deep_directories_need_no_deep_stack() {
    let scratch = Scratch::new();
    let status = in_child(|| {
        std::env::set_current_dir(scratch.dir()).expect("chdir");
        for _ in 0..300 {
            fs::create_dir("d").expect("mkdir");
            std::env::set_current_dir("d").expect("chdir");
        }
        let path = std::env::current_dir().expect("getcwd");
        assert!(path.as_os_str().as_bytes().ends_with(&b"/d".repeat(300)));
        std::env::set_current_dir("../".repeat(300)).expect("chdir");
        assert_eq!(std::env::current_dir().expect("getcwd"), scratch.dir().canonicalize().expect("path"));
        0
    });
    assert_eq!(status, 0);
    fs::remove_dir_all(scratch.dir().join("d")).expect("remove");
}
