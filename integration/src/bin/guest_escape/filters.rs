//! Filters that a guest stacks on the sandbox's own, and the private words by which the supervisor has calls made
//! natively, said by a guest: what they let through is what the guest may do to itself anyway.

use integration::guest::{Check, in_child};
use integration::{checks, raw};
use libc::{
    SECCOMP_RET_ALLOW, SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF, SECCOMP_SET_MODE_FILTER, sock_filter,
    sock_fprog,
};
use nix::errno::Errno;

pub(super) const INSIDE: &[Check] = checks![
    filters_with_a_listener_are_refused,
    filter_that_allows_all_does_not_widen,
    answers_that_ask_somebody_find_nobody,
    word_for_filters_makes_no_listener,
    word_for_shared_memory_maps_nothing,
    word_for_handlers_changes_the_caller_only,
];

/// The third argument by which the filter knows the supervisor's own seccomp(2) and rt_sigaction(2).
const WORD: u64 = 0x5041_4c49_5341_4445;
/// The offset by which it knows the mapping of a System V segment.
const SHARED: i64 = 0x5041_4c49_5348_4000;

fn no_new_privs() {
    assert_eq!(raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), Ok(0));
}

/// seccomp(2) of a program that answers `answer` to everything.
fn install(answer: u32, flags: u64, word: u64) -> Result<i64, Errno> {
    let mut code = [sock_filter { code: 6, jt: 0, jf: 0, k: answer }];
    let program = sock_fprog { len: 1, filter: code.as_mut_ptr() };
    raw!(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &raw const program, word, 0, 0)
}

const NEW_LISTENER: u64 = 8;
const WAIT_KILLABLE: u64 = 32;

fn filters_with_a_listener_are_refused() {
    no_new_privs();
    for flags in [NEW_LISTENER, NEW_LISTENER | WAIT_KILLABLE, NEW_LISTENER | 16 | 1] {
        assert_eq!(install(SECCOMP_RET_ALLOW, flags, 0), Err(Errno::EBUSY), "{flags:#x}");
    }
    for flags in [NEW_LISTENER | 1, WAIT_KILLABLE, 64, 1 << 31] {
        assert!(install(SECCOMP_RET_ALLOW, flags, 0).is_err(), "{flags:#x}");
    }
}

fn filter_that_allows_all_does_not_widen() {
    no_new_privs();
    install(SECCOMP_RET_ALLOW, 0, 0).expect("a filter");
    assert_eq!(raw!(SYS_io_uring_setup, 8, 0), Err(Errno::ENOSYS));
    assert_eq!(raw!(SYS_getuid), Ok(0), "the sandbox's own answer");
    assert!(raw!(SYS_ptrace, libc::PTRACE_TRACEME, 0, 0, 0).is_err());
    assert!(raw!(SYS_unshare, libc::CLONE_NEWNET).is_err());
    let status = in_child(|| {
        // SAFETY: refused, and fatal.
        unsafe { std::arch::asm!("int 0x80", inout("rax") 20u64 => _) };
        0
    });
    assert_eq!(status, 128 + libc::SIGSYS);
}

fn answers_that_ask_somebody_find_nobody() {
    for answer in [SECCOMP_RET_TRACE, SECCOMP_RET_USER_NOTIF] {
        let status = in_child(|| {
            no_new_privs();
            // The call that follows is the exit; a thread whose calls all fail ends by the fault after it.
            install(answer, 0, 0).map_or(1, |_| 0)
        });
        assert!(status == 0 || status > 128, "{answer:#x}: {status}");
    }
}

fn word_for_filters_makes_no_listener() {
    no_new_privs();
    for flags in [NEW_LISTENER, NEW_LISTENER | 16, NEW_LISTENER | WAIT_KILLABLE, WAIT_KILLABLE] {
        assert!(install(SECCOMP_RET_ALLOW, flags, WORD).is_err(), "{flags:#x}");
    }
    // Without these flags it is a filter of the host's, which only narrows.
    install(SECCOMP_RET_ALLOW, 0, WORD).expect("a filter");
    assert_eq!(raw!(SYS_io_uring_setup, 8, 0), Err(Errno::ENOSYS));
    assert_eq!(raw!(SYS_getuid), Ok(0));
}

/// The host's table of a guest has the files that it has mapped, each open as the guest may use it, and nothing else.
/// This offset is beyond the end of any of them.
fn word_for_shared_memory_maps_nothing() {
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    let mut named = 0;
    for fd in (-1..128).chain([1023, 1024, 65535, i32::MAX]) {
        for (prot, flags) in [(1, libc::MAP_SHARED), (3, libc::MAP_SHARED), (5, libc::MAP_PRIVATE)] {
            let mapped = raw!(SYS_mmap, 0, 4096, prot, flags, fd, SHARED);
            let Ok(at) = mapped else {
                assert!(matches!(mapped, Err(Errno::EBADF | Errno::EACCES)), "{fd} {prot}: {mapped:?}");
                continue;
            };
            named += 1;
            let read = raw!(SYS_write, std::os::fd::AsRawFd::as_raw_fd(&writer), at, 1);
            assert_eq!(read, Err(Errno::EFAULT), "{fd} {prot}");
        }
    }
    drop(reader);
    assert!(named < 8, "{named} mappings");
}

fn word_for_handlers_changes_the_caller_only() {
    let action = [libc::SIG_IGN as u64, 0x0400_0000, 0, 0];
    let old = [0u64; 4];
    assert_eq!(raw!(SYS_rt_sigaction, libc::SIGUSR2, &raw const action, &raw const old, 8, WORD, 0), Ok(0));
    assert_eq!(raw!(SYS_kill, std::process::id(), libc::SIGUSR2), Ok(0), "ignored, as was asked");
    for bad in [1u64 << 47, 0xffff_8880_0000_0000] {
        assert!(raw!(SYS_rt_sigaction, libc::SIGUSR2, bad, 0, 8, WORD, 0).is_err());
        assert!(raw!(SYS_rt_sigaction, libc::SIGUSR2, 0, bad, 8, WORD, 0).is_err());
    }
}
