//! Ids that a guest has no right to: of the host's processes, of the supervisor, with garbage in the upper half; and
//! kernel addresses as arguments.

use integration::guest::{Check, fork_child, wait_raw};
use integration::{checks, raw};
use libc::c_long;
use nix::errno::Errno;

pub(super) const PORTABLE: &[Check] = checks![
    upper_halves_of_ids_are_not_looked_at,
    kernel_addresses_are_refused_everywhere,
    threads_are_named_with_their_process,
    dead_processes_are_not_named,
];
pub(super) const INSIDE: &[Check] = checks![
    processes_of_the_host_do_not_exist,
    nothing_is_traced_read_or_taken,
    init_and_supervisor_are_out_of_reach,
];

const KERNEL: [u64; 4] = [0xffff_8880_0000_0000, 0xffff_ffff_8100_0000, 1 << 47, u64::MAX - 4095];

fn host_pids() -> Vec<i32> {
    let told = super::setting("ESCAPE_HOST_PID", 4_000_000) as i32;
    let around = (told - 20)..(told + 20);
    around.filter(|pid| *pid > 1000).chain([4_194_303, i32::MAX]).collect()
}

fn upper_halves_of_ids_are_not_looked_at() {
    let me = i64::from(std::process::id());
    let garbage = me | 0x7ead_beef << 32;
    assert_eq!(raw!(SYS_kill, garbage, 0), Ok(0));
    assert_eq!(raw!(SYS_getpgid, garbage), raw!(SYS_getpgid, me));
    assert_eq!(raw!(SYS_tgkill, garbage, garbage, 0), Ok(0));
    assert_eq!(raw!(SYS_getpriority, 0x5555_0000_0000_i64, garbage), raw!(SYS_getpriority, 0, me));
    assert_eq!(raw!(SYS_sched_getscheduler, garbage), Ok(0));
}

/// Native calls and gated ones, each with every pointer of its in the kernel's memory.
fn kernel_addresses_are_refused_everywhere() {
    for bad in KERNEL {
        let results = [
            raw!(SYS_waitid, 0, 0, bad, libc::WEXITED | libc::WNOHANG, 0),
            raw!(SYS_waitid, 0, 0, 0, libc::WEXITED | libc::WNOHANG, bad),
            raw!(SYS_rt_sigaction, 10, bad, 0, 8),
            raw!(SYS_rt_sigaction, 10, 0, bad, 8),
            raw!(SYS_rt_sigprocmask, 0, bad, 0, 8),
            raw!(SYS_rt_sigprocmask, 0, 0, bad, 8),
            raw!(SYS_rt_sigpending, bad, 8),
            raw!(SYS_rt_sigtimedwait, bad, 0, 0, 8),
            raw!(SYS_sigaltstack, bad, 0),
            raw!(SYS_sigaltstack, 0, bad),
            raw!(SYS_nanosleep, bad, 0),
            raw!(SYS_clock_gettime, 0, bad),
            raw!(SYS_clock_nanosleep, 0, 0, bad, 0),
            raw!(SYS_gettimeofday, bad, 0),
            raw!(SYS_time, bad),
            raw!(SYS_futex, bad, libc::FUTEX_WAKE, 1, 0, 0, 0),
            raw!(SYS_futex, bad, libc::FUTEX_WAIT, 0, 0, 0, 0),
            raw!(SYS_getcpu, bad, 0, 0),
            raw!(SYS_mincore, bad & !4095, 4096, 0x1000),
            raw!(SYS_munmap, bad & !4095, 4096),
            raw!(SYS_mprotect, bad & !4095, 4096, 1),
            raw!(SYS_madvise, bad & !4095, 4096, libc::MADV_DONTNEED),
            raw!(SYS_mremap, bad & !4095, 4096, 8192, 1, 0),
            raw!(SYS_arch_prctl, 0x1003, bad),
            raw!(SYS_getrusage, 0, bad),
            raw!(SYS_times, bad),
            raw!(SYS_wait4, -1, 0, libc::WNOHANG, bad),
            raw!(SYS_sched_getaffinity, 0, 128, bad),
            raw!(SYS_sched_setaffinity, 0, 128, bad),
            raw!(SYS_get_robust_list, 0, bad, bad),
            raw!(SYS_read, 0, bad, 1),
            raw!(SYS_write, 1, bad, 1),
            raw!(SYS_openat, libc::AT_FDCWD, bad, 0, 0),
            raw!(SYS_getcwd, bad, 4096),
            raw!(SYS_uname, bad),
        ];
        for (at, result) in results.into_iter().enumerate() {
            assert!(result.is_err(), "call {at} of the list with {bad:#x}");
        }
    }
    // A child that is there to be waited for does not change the answer.
    let child = fork_child(|| 0);
    let result = raw!(SYS_waitid, 0, 0, KERNEL[0], libc::WEXITED | libc::WNOWAIT, 0);
    assert_eq!(result, Err(Errno::EFAULT));
    wait_raw(child.as_raw());
}

fn threads_are_named_with_their_process() {
    let child = fork_child(|| {
        nix::unistd::pause();
        0
    });
    let me = std::process::id().cast_signed();
    assert_eq!(raw!(SYS_tgkill, me, child.as_raw(), libc::SIGKILL), Err(Errno::ESRCH));
    assert_eq!(raw!(SYS_tgkill, child.as_raw(), me, libc::SIGKILL), Err(Errno::ESRCH));
    for bad in [0, -1, i32::MIN] {
        assert_eq!(raw!(SYS_tgkill, bad, me, libc::SIGKILL), Err(Errno::EINVAL));
        assert_eq!(raw!(SYS_tkill, bad, libc::SIGKILL), Err(Errno::EINVAL));
    }
    assert_eq!(raw!(SYS_kill, child.as_raw(), libc::SIGKILL), Ok(0));
    wait_raw(child.as_raw());
}

fn dead_processes_are_not_named() {
    let child = fork_child(|| 0).as_raw();
    wait_raw(child);
    assert_eq!(raw!(SYS_kill, child, 0), Err(Errno::ESRCH));
    assert_eq!(raw!(SYS_pidfd_open, child, 0), Err(Errno::ESRCH));
    assert_eq!(raw!(SYS_setpgid, child, 0), Err(Errno::ESRCH));
}

/// Every call that names a process.
fn calls_on(pid: i32) -> Vec<(&'static str, Result<c_long, Errno>)> {
    let mut word = [0u64; 16];
    let info = [0u64, 0xffff_ffff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let memory = word.as_mut_ptr();
    let (local, remote) = ([memory as u64, 8], [memory as u64, 8]);
    vec![
        ("kill", raw!(SYS_kill, pid, libc::SIGKILL)),
        ("kill group", raw!(SYS_kill, -pid, libc::SIGKILL)),
        ("tkill", raw!(SYS_tkill, pid, libc::SIGKILL)),
        ("tgkill", raw!(SYS_tgkill, pid, pid, libc::SIGKILL)),
        ("rt_sigqueueinfo", raw!(SYS_rt_sigqueueinfo, pid, libc::SIGKILL, info.as_ptr())),
        ("rt_tgsigqueueinfo", raw!(SYS_rt_tgsigqueueinfo, pid, pid, libc::SIGKILL, info.as_ptr())),
        ("setpgid", raw!(SYS_setpgid, pid, 0)),
        ("setpgid into", raw!(SYS_setpgid, 0, pid)),
        ("getpgid", raw!(SYS_getpgid, pid)),
        ("getsid", raw!(SYS_getsid, pid)),
        ("setpriority", raw!(SYS_setpriority, 0, pid, 19)),
        ("getpriority", raw!(SYS_getpriority, 0, pid)),
        ("sched_setaffinity", raw!(SYS_sched_setaffinity, pid, 8, &raw const info)),
        ("sched_getaffinity", raw!(SYS_sched_getaffinity, pid, 128, memory)),
        ("sched_setscheduler", raw!(SYS_sched_setscheduler, pid, 3, memory)),
        ("sched_getscheduler", raw!(SYS_sched_getscheduler, pid)),
        ("ioprio_set", raw!(SYS_ioprio_set, 1, pid, 0x6007)),
        ("ioprio_get", raw!(SYS_ioprio_get, 1, pid)),
        ("prlimit64", raw!(SYS_prlimit64, pid, 7, 0, memory)),
        ("process_vm_readv", raw!(SYS_process_vm_readv, pid, local.as_ptr(), 1, remote.as_ptr(), 1, 0)),
        ("process_vm_writev", raw!(SYS_process_vm_writev, pid, local.as_ptr(), 1, remote.as_ptr(), 1, 0)),
        ("ptrace attach", raw!(SYS_ptrace, libc::PTRACE_ATTACH, pid, 0, 0)),
        ("ptrace seize", raw!(SYS_ptrace, libc::PTRACE_SEIZE, pid, 0, 0)),
        ("pidfd_open", raw!(SYS_pidfd_open, pid, 0)),
        ("kcmp", raw!(SYS_kcmp, pid, std::process::id(), 0, 0, 0)),
        ("migrate_pages", raw!(SYS_migrate_pages, pid, 8, memory, memory)),
        ("get_robust_list", raw!(SYS_get_robust_list, pid, memory, memory)),
        ("wait4", raw!(SYS_wait4, pid, 0, libc::WNOHANG, 0)),
    ]
}

fn processes_of_the_host_do_not_exist() {
    for pid in host_pids() {
        for (call, result) in calls_on(pid) {
            assert!(result.is_err(), "{call} on {pid}: {result:?}");
        }
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "{pid}");
    }
}

fn nothing_is_traced_read_or_taken() {
    let child = fork_child(|| {
        nix::unistd::pause();
        0
    });
    for request in 0..40 {
        assert!(raw!(SYS_ptrace, request, child.as_raw(), 0, 0).is_err(), "{request}");
    }
    for request in 0x4200..0x4220 {
        assert!(raw!(SYS_ptrace, request, child.as_raw(), 0, 0).is_err(), "{request:#x}");
    }
    assert_eq!(raw!(SYS_kill, child.as_raw(), libc::SIGKILL), Ok(0));
    wait_raw(child.as_raw());
}

fn init_and_supervisor_are_out_of_reach() {
    let mut word = [0u64; 2];
    let at = [word.as_mut_ptr() as u64, 8];
    for (call, result) in [
        ("ptrace", raw!(SYS_ptrace, libc::PTRACE_ATTACH, 1, 0, 0)),
        ("process_vm_writev", raw!(SYS_process_vm_writev, 1, at.as_ptr(), 1, at.as_ptr(), 1, 0)),
        ("pidfd of 0", raw!(SYS_pidfd_open, 0, 0)),
        ("parent of init", raw!(SYS_getpgid, -1)),
    ] {
        assert!(result.is_err(), "{call}: {result:?}");
    }
    // SIGKILL to process 1 of one's own namespace is not delivered.
    let _ = raw!(SYS_kill, 1, libc::SIGKILL);
    assert_eq!(raw!(SYS_kill, 1, 0), Ok(0));
    if let Ok(pidfd) = raw!(SYS_pidfd_open, 1, 0) {
        // 0, 1 and 2 are the container's own streams, with `do`.
        for fd in 3..64 {
            assert!(raw!(SYS_pidfd_getfd, pidfd, fd, 0).is_err(), "descriptor {fd} of process 1");
        }
    }
}
