//! The loader's private calls, said by a guest; and its code, jumped into.

use std::arch::asm;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use integration::guest::{Check, in_child, text};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::unistd::alarm;

pub(super) const INSIDE: &[Check] = checks![
    private_calls_by_hand_are_unknown,
    private_calls_beside_an_exec_are_unknown,
    jumps_into_the_loaders_code_harm_nobody,
    spoiled_signal_page_harms_nobody,
];

static PLAN: [AtomicU32; 32768] = [const { AtomicU32::new(0) }; 32768];

/// The three private calls with all that a loader could say; how many were answered.
fn say_everything() -> u32 {
    let mut answered = 0;
    let plan = PLAN.as_ptr();
    for role in [0u64, 1, 2, u64::MAX] {
        for page in [0u64, plan as u64, 0xffff_8880_0000_0000] {
            answered += count(unsafe_call(1024, [plan as u64, 65536, role, page, 0, 0]));
        }
    }
    for outcome in (0..8).chain([u64::MAX]) {
        answered += count(unsafe_call(1025, [outcome, plan as u64, 0, 0, plan as u64, plan as u64]));
    }
    for event in 0..6 {
        for pid in [0, 1, 2, u64::from(std::process::id())] {
            answered += count(unsafe_call(1026, [event, pid, 0x0900, 0, 0, 0]));
        }
    }
    answered
}

fn unsafe_call(number: i64, args: [u64; 6]) -> Result<i64, Errno> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: pointers are to `PLAN`, which is large enough for a plan, or must be refused.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

fn count(result: Result<i64, Errno>) -> u32 {
    match result {
        Err(Errno::ENOSYS) => 0,
        other => panic!("a private call was answered: {other:?}"),
    }
}

fn private_calls_by_hand_are_unknown() {
    assert_eq!(say_everything(), 0);
    assert_eq!(in_child(|| say_everything() as i32), 0, "in a child that has not called exec");
}

/// While one thread's execve(2) is under way, others ask for its plan.
fn private_calls_beside_an_exec_are_unknown() {
    for _ in 0..super::rounds().min(60) {
        let status = in_child(|| {
            static GOES: AtomicBool = AtomicBool::new(false);
            for _ in 0..3 {
                thread::spawn(|| {
                    GOES.store(true, Ordering::SeqCst);
                    loop {
                        // Any answer but ENOSYS ends the process with another status than the program's.
                        if unsafe_call(1024, [PLAN.as_ptr() as u64, 65536, 0, 0, 0, 0]) != Err(Errno::ENOSYS)
                        {
                            // SAFETY: ends the process.
                            unsafe { libc::_exit(77) };
                        }
                        let _ = raw!(SYS_mmap, 0, 4096, 1, libc::MAP_PRIVATE, 63, 0);
                    }
                });
            }
            while !GOES.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            let error = Command::new("/bin/sh").args(["-c", "exit 5"]).exec();
            eprintln!("{error}");
            1
        });
        assert_eq!(status, 5);
    }
}

/// Executable mappings without a file, but for the kernel's own.
fn anonymous_code() -> Vec<(usize, usize)> {
    let maps = text::read("/proc/self/maps");
    let code =
        maps.lines().filter(|line| line.contains("r-xp") && line.split_whitespace().nth(4) == Some("0"));
    let range = |line: &str| {
        let (start, end) = line.split_whitespace().next()?.split_once('-')?;
        let number = |text| usize::from_str_radix(text, 16).ok();
        Some((number(start)?, number(end)?))
    };
    code.filter(|line| !line.contains("[v")).filter_map(range).collect()
}

fn jumps_into_the_loaders_code_harm_nobody() {
    let pages = anonymous_code();
    for (start, end) in pages {
        for at in (start..end.min(start + 4096)).step_by(16) {
            let status = in_child(|| {
                alarm::set(1);
                // SAFETY: anything may happen to this child, which is there for that.
                unsafe {
                    asm!("mov rdi, rsp", "mov rsi, rsp", "mov rdx, rsp", "jmp {}", in(reg) at, options(noreturn))
                }
            });
            assert!(status >= 0, "{at:#x}");
        }
    }
    // Whatever became of them, this process and its supervisor go on.
    assert_eq!(in_child(|| 0), 0);
    assert_eq!(Command::new("/bin/sh").args(["-c", "exit 3"]).status().expect("sh").code(), Some(3));
}

fn spoiled_signal_page_harms_nobody() {
    let status = in_child(|| {
        for (start, end) in anonymous_code() {
            // The page behind it is the table of handlers.
            let len = end - start + 4096;
            let _ = raw!(SYS_mprotect, start, len, 3);
            // SAFETY: the child's own memory, as far as it may be written.
            let _ = raw!(SYS_getrandom, start, len, 0);
        }
        for signal in [libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM] {
            let handler: extern "C" fn(i32) = nothing;
            let action = [handler as usize as u64, 0x0400_0000, 0, 0];
            let _ = raw!(SYS_rt_sigaction, signal, &raw const action, 0, 8);
            let _ = raw!(SYS_kill, std::process::id(), signal);
        }
        0
    });
    assert!(status >= 0);
    assert_eq!(in_child(|| 0), 0);
}

extern "C" fn nothing(_: i32) {}
