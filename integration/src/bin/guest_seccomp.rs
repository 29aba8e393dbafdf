//! seccomp(2) inside the sandbox: filters and strict mode.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use integration::guest::{self, in_child};
use integration::{checks, raw};
use libc::{sock_filter, sock_fprog};
use nix::errno::Errno;

fn main() -> ExitCode {
    guest::main(checks![
        errno_for_a_call_of_files,
        errno_for_a_call_of_memory,
        filter_sees_arguments,
        errno_zero_skips_the_call,
        prctl_installs_as_well,
        needs_no_new_privs_or_a_capability,
        kill_process_ends_with_sigsys,
        kill_thread_leaves_the_others,
        trap_raises_sigsys_that_says_which,
        trace_and_notify_without_anybody_get_enosys,
        log_lets_the_call_pass,
        most_restrictive_of_several_counts,
        filter_survives_fork_and_exec,
        exec_needs_no_other_call_than_its_own,
        filter_can_forbid_what_installed_it,
        other_threads_have_none,
        new_thread_has_its_makers,
        tsync_gives_it_to_all,
        tsync_names_a_thread_that_differs,
        strict_mode_knows_four_calls,
        strict_mode_kills_at_others,
        status_shows_mode_and_count,
        actions_and_sizes,
        bad_programs_are_refused,
        bad_flags_are_refused,
        default_kill_sandbox,
        programs_start_where_nothing_becomes_executable,
    ])
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const ERRNO: u32 = libc::SECCOMP_RET_ERRNO;
const FILTER: u32 = libc::SECCOMP_SET_MODE_FILTER;
const LD_ABS: u16 = 0x20;
const JEQ: u16 = 0x15;
const RET: u16 = 0x06;

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// `answer` for these calls, `otherwise` for others.
fn program(calls: &[i64], answer: u32, otherwise: u32) -> Vec<sock_filter> {
    let mut code = vec![insn(LD_ABS, 0, 0, 0)];
    for &call in calls {
        code.push(insn(JEQ, 0, 1, call as u32));
        code.push(insn(RET, 0, 0, answer));
    }
    code.push(insn(RET, 0, 0, otherwise));
    code
}

fn install_with(flags: u32, code: &[sock_filter]) -> nix::Result<i64> {
    let header = sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    raw!(SYS_seccomp, FILTER, flags, &raw const header)
}

fn install(code: &[sock_filter]) {
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    assert_eq!(install_with(0, code), Ok(0));
}

fn answer(calls: &[i64], answer: u32) {
    install(&program(calls, answer, ALLOW));
}

fn mkdir() -> nix::Result<i64> {
    raw!(SYS_mkdir, c"/".as_ptr(), 0o700)
}

fn errno_for_a_call_of_files() {
    assert_eq!(mkdir(), Err(Errno::EEXIST));
    answer(&[libc::SYS_mkdir], ERRNO | 42);
    assert_eq!(mkdir(), Err(Errno::ENOMSG));
    // Larger numbers than MAX_ERRNO are cut.
    answer(&[libc::SYS_rmdir], ERRNO | 0xffff);
    assert_eq!(raw!(SYS_rmdir, c"/".as_ptr()), Err(Errno::from_raw(4095)));
    std::fs::metadata("/").expect("others pass");
}

fn errno_for_a_call_of_memory() {
    answer(&[libc::SYS_sched_yield, libc::SYS_mincore], ERRNO | libc::EDOM as u32);
    assert_eq!(raw!(SYS_sched_yield), Err(Errno::EDOM));
    assert_eq!(raw!(SYS_mincore, 0, 0, 0), Err(Errno::EDOM));
    assert_eq!(raw!(SYS_munmap, 4096, 4096), Ok(0));
}

fn filter_sees_arguments() {
    // setpriority's third argument; madvise's, whose call the host may perform.
    let code = [
        insn(LD_ABS, 0, 0, 0),
        insn(JEQ, 1, 0, libc::SYS_setpriority as u32),
        insn(JEQ, 0, 3, libc::SYS_madvise as u32),
        insn(LD_ABS, 0, 0, 16 + 2 * 8),
        insn(JEQ, 0, 1, 7),
        insn(RET, 0, 0, ERRNO | 33),
        insn(RET, 0, 0, ALLOW),
    ];
    install(&code);
    assert_eq!(raw!(SYS_setpriority, 0, 0, 7), Err(Errno::EDOM));
    assert_eq!(raw!(SYS_setpriority, 0, 0, 3), Ok(0));
    assert_eq!(raw!(SYS_madvise, 0, 0, 7), Err(Errno::EDOM));
    assert_eq!(raw!(SYS_madvise, 0, 0, 4), Ok(0));
}

fn errno_zero_skips_the_call() {
    answer(&[libc::SYS_chdir, libc::SYS_munlockall], ERRNO);
    assert_eq!(raw!(SYS_chdir, c"/no/such".as_ptr()), Ok(0));
    assert_eq!(raw!(SYS_munlockall), Ok(0));
}

fn prctl_installs_as_well() {
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    let code = program(&[libc::SYS_mkdir], ERRNO | 42, ALLOW);
    let header = sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    assert_eq!(raw!(SYS_prctl, libc::PR_GET_SECCOMP, 0, 0, 0, 0), Ok(0));
    raw!(SYS_prctl, libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const header).expect("prctl");
    assert_eq!(raw!(SYS_prctl, libc::PR_GET_SECCOMP, 0, 0, 0, 0), Ok(2));
    assert_eq!(mkdir(), Err(Errno::ENOMSG));
    assert_eq!(raw!(SYS_prctl, libc::PR_SET_SECCOMP, 7, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_prctl, libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT, 0), Err(Errno::EINVAL));
}

fn needs_no_new_privs_or_a_capability() {
    raw!(SYS_setresuid, 77, 77, 77).expect("setresuid");
    let code = program(&[], ALLOW, ALLOW);
    assert_eq!(install_with(0, &code), Err(Errno::EACCES));
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    assert_eq!(install_with(0, &code), Ok(0));
}

fn kill_process_ends_with_sigsys() {
    for call in [libc::SYS_mkdir, libc::SYS_sched_yield] {
        let status = in_child(|| {
            answer(&[call], libc::SECCOMP_RET_KILL_PROCESS);
            // SAFETY: neither call follows a pointer before the filter ends it.
            unsafe { libc::syscall(call, 0, 0) };
            0
        });
        assert_eq!(status, 128 + libc::SIGSYS);
    }
}

fn kill_thread_leaves_the_others() {
    let (say, hear) = mpsc::channel::<()>();
    // Not joined: nobody would tell that it is gone but for the channel, which it does not drop.
    thread::spawn(move || {
        answer(&[libc::SYS_mkdir], libc::SECCOMP_RET_KILL_THREAD);
        say.send(()).expect("send");
        let _ = mkdir();
        say.send(()).expect("send");
    });
    hear.recv().expect("recv");
    assert!(hear.recv_timeout(std::time::Duration::from_millis(200)).is_err());
    assert_eq!(mkdir(), Err(Errno::EEXIST));
}

static TRAPPED: [AtomicI64; 4] = [const { AtomicI64::new(0) }; 4];
static CALL_ADDRESS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_sigsys(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a whole siginfo_t: 128 bytes.
    let words = unsafe { &*info.cast::<[i32; 8]>() };
    // SAFETY: as above; si_call_addr is the third word of 64 bits.
    let address = unsafe { &*info.cast::<[u64; 4]>() }[2];
    TRAPPED[0].store(i64::from(words[2]), Ordering::SeqCst);
    TRAPPED[1].store(i64::from(words[1]), Ordering::SeqCst);
    TRAPPED[2].store(i64::from(words[6]), Ordering::SeqCst);
    TRAPPED[3].store(i64::from(words[7].cast_unsigned()), Ordering::SeqCst);
    // SAFETY: the third argument of such a handler is the interrupted thread's context.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    CALL_ADDRESS.store(address ^ registers[libc::REG_RIP as usize].cast_unsigned(), Ordering::SeqCst);
    registers[libc::REG_RAX as usize] = 4711;
}

fn trap_raises_sigsys_that_says_which() {
    for flags in [libc::SA_SIGINFO, libc::SA_SIGINFO | libc::SA_RESTART] {
        // SAFETY: sigaction is plain data.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_sigsys as *const () as usize;
        action.sa_flags = flags;
        // SAFETY: the handler touches atomics and its own frame only.
        assert_eq!(unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) }, 0);
        for call in [libc::SYS_mkdir, libc::SYS_sched_yield] {
            let status = in_child(|| {
                answer(&[call], libc::SECCOMP_RET_TRAP | 99);
                // SAFETY: the filter keeps the call from being made.
                assert_eq!(unsafe { libc::syscall(call, 0, 0) }, 4711);
                let seen: Vec<_> = TRAPPED.iter().map(|word| word.load(Ordering::SeqCst)).collect();
                // SYS_SECCOMP, the filter's data, the call, AUDIT_ARCH_X86_64.
                assert_eq!(seen, [1, 99, call, 0xc000_003e]);
                assert_eq!(CALL_ADDRESS.load(Ordering::SeqCst), 0);
                0
            });
            assert_eq!(status, 0);
        }
    }
}

fn trace_and_notify_without_anybody_get_enosys() {
    answer(&[libc::SYS_mkdir, libc::SYS_sched_yield], libc::SECCOMP_RET_TRACE | 5);
    assert_eq!((mkdir(), raw!(SYS_sched_yield)), (Err(Errno::ENOSYS), Err(Errno::ENOSYS)));
    answer(&[libc::SYS_rmdir, libc::SYS_munlockall], libc::SECCOMP_RET_USER_NOTIF);
    assert_eq!(raw!(SYS_rmdir, c"/".as_ptr()), Err(Errno::ENOSYS));
    assert_eq!(raw!(SYS_munlockall), Err(Errno::ENOSYS));
}

fn log_lets_the_call_pass() {
    answer(&[libc::SYS_mkdir, libc::SYS_sched_yield], libc::SECCOMP_RET_LOG);
    assert_eq!((mkdir(), raw!(SYS_sched_yield)), (Err(Errno::EEXIST), Ok(0)));
}

fn most_restrictive_of_several_counts() {
    answer(&[libc::SYS_mkdir], ERRNO | 1);
    answer(&[libc::SYS_mkdir], ERRNO | 2);
    assert_eq!(mkdir(), Err(Errno::ENOENT));
    answer(&[libc::SYS_mkdir], ALLOW);
    assert_eq!(mkdir(), Err(Errno::ENOENT));
    assert_eq!(
        in_child(|| {
            answer(&[libc::SYS_mkdir], libc::SECCOMP_RET_KILL_PROCESS);
            answer(&[libc::SYS_mkdir], ERRNO | 3);
            let _ = mkdir();
            0
        }),
        128 + libc::SIGSYS
    );
}

fn filter_survives_fork_and_exec() {
    answer(&[libc::SYS_mkdir, libc::SYS_mkdirat], ERRNO | libc::EXDEV as u32);
    assert_eq!(in_child(|| i32::from(mkdir() != Err(Errno::EXDEV))), 0);
    let output = Command::new("mkdir").arg("/tmp/never-made").output().expect("mkdir runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("cross-device link"), "{text}");
    let output = Command::new("grep").args(["Seccomp", "/proc/self/status"]).output().expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Seccomp:\t2\nSeccomp_filters:\t1\n");
}

fn exec_needs_no_other_call_than_its_own() {
    let calls: Vec<i64> = [libc::SYS_execveat].into_iter().chain(1000..1060).collect();
    answer(&calls, libc::SECCOMP_RET_KILL_PROCESS);
    let output = Command::new("echo").arg("here").output().expect("echo runs");
    assert_eq!(output.stdout, b"here\n");
    let by_hand = in_child(|| {
        let _ = raw!(SYS_execveat, 63, c"".as_ptr(), 0, 0, libc::AT_EMPTY_PATH);
        0
    });
    assert!(by_hand > 128);
}

fn filter_can_forbid_what_installed_it() {
    let status = in_child(|| {
        answer(&[libc::SYS_munmap], libc::SECCOMP_RET_KILL_PROCESS);
        answer(&[libc::SYS_seccomp], ERRNO | 5);
        assert_eq!(install_with(0, &program(&[], ALLOW, ALLOW)), Err(Errno::EIO));
        assert_eq!(raw!(SYS_sched_yield), Ok(0));
        0
    });
    assert_eq!(status, 0);
}

fn other_threads_have_none() {
    let (tell, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        wait.recv().expect("recv");
        (mkdir(), raw!(SYS_sched_yield), raw!(SYS_prctl, libc::PR_GET_SECCOMP, 0, 0, 0, 0))
    });
    answer(&[libc::SYS_mkdir, libc::SYS_sched_yield], ERRNO | 42);
    tell.send(()).expect("send");
    assert_eq!(other.join().expect("join"), (Err(Errno::EEXIST), Ok(0), Ok(0)));
    assert_eq!((mkdir(), raw!(SYS_sched_yield)), (Err(Errno::ENOMSG), Err(Errno::ENOMSG)));
}

fn new_thread_has_its_makers() {
    answer(&[libc::SYS_mkdir, libc::SYS_sched_yield], ERRNO | 42);
    let new =
        thread::spawn(|| (mkdir(), raw!(SYS_sched_yield), raw!(SYS_prctl, libc::PR_GET_SECCOMP, 0, 0, 0, 0)));
    assert_eq!(new.join().expect("join"), (Err(Errno::ENOMSG), Err(Errno::ENOMSG), Ok(2)));
}

fn tsync_gives_it_to_all() {
    let (tell, wait) = mpsc::channel::<()>();
    let other = thread::spawn(move || {
        wait.recv().expect("recv");
        let nnp = raw!(SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0_u64, 0_u64, 0_u64, 0_u64);
        (mkdir(), raw!(SYS_sched_yield), nnp)
    });
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    let code = program(&[libc::SYS_mkdir, libc::SYS_sched_yield], ERRNO | 42, ALLOW);
    assert_eq!(install_with(libc::SECCOMP_FILTER_FLAG_TSYNC as u32, &code), Ok(0));
    tell.send(()).expect("send");
    assert_eq!(other.join().expect("join"), (Err(Errno::ENOMSG), Err(Errno::ENOMSG), Ok(1)));
}

fn tsync_names_a_thread_that_differs() {
    static OTHER: AtomicI32 = AtomicI32::new(0);
    let (say, hear) = mpsc::channel::<()>();
    let (_tell, wait) = mpsc::channel::<()>();
    thread::spawn(move || {
        answer(&[], ALLOW);
        OTHER.store(raw!(SYS_gettid).expect("gettid") as i32, Ordering::SeqCst);
        say.send(()).expect("send");
        let _ = wait.recv();
    });
    hear.recv().expect("recv");
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    let code = program(&[libc::SYS_mkdir], ERRNO | 42, ALLOW);
    let tsync = libc::SECCOMP_FILTER_FLAG_TSYNC as u32;
    assert_eq!(install_with(tsync, &code), Ok(i64::from(OTHER.load(Ordering::SeqCst))));
    assert_eq!(install_with(tsync | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH as u32, &code), Err(Errno::ESRCH));
    assert_eq!(mkdir(), Err(Errno::EEXIST));
}

fn strict_mode_knows_four_calls() {
    let pipe = nix::unistd::pipe().expect("pipe");
    let status = in_child(|| {
        let (reader, writer) =
            (std::os::fd::AsRawFd::as_raw_fd(&pipe.0), std::os::fd::AsRawFd::as_raw_fd(&pipe.1));
        let mut byte = [0_u8];
        raw!(SYS_seccomp, libc::SECCOMP_SET_MODE_STRICT, 0, 0).expect("seccomp");
        let written = raw!(SYS_write, writer, c"x".as_ptr(), 1);
        let read = raw!(SYS_read, reader, byte.as_mut_ptr(), 1);
        let code = if (written, read, byte) == (Ok(1), Ok(1), [b'x']) { 23 } else { 24 };
        let _ = raw!(SYS_exit, code);
        0
    });
    assert_eq!(status, 23);
}

fn strict_mode_kills_at_others() {
    let status = in_child(|| {
        raw!(SYS_prctl, libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT, 0).expect("prctl");
        let _ = mkdir();
        0
    });
    assert_eq!(status, 128 + libc::SIGKILL);
    // (By which signal differs for some.)
    let status = in_child(|| {
        raw!(SYS_prctl, libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT, 0).expect("prctl");
        let _ = raw!(SYS_sched_yield);
        0
    });
    assert!(status > 128);
    assert_eq!(raw!(SYS_seccomp, libc::SECCOMP_SET_MODE_STRICT, 1, 0), Err(Errno::EINVAL));
}

fn status(name: &str) -> String {
    let text = std::fs::read_to_string("/proc/thread-self/status").expect("status");
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).expect("a line").to_owned()
}

fn status_shows_mode_and_count() {
    assert_eq!((status("Seccomp"), status("Seccomp_filters")), ("0".to_owned(), "0".to_owned()));
    answer(&[], ALLOW);
    answer(&[], ALLOW);
    assert_eq!((status("Seccomp"), status("Seccomp_filters")), ("2".to_owned(), "2".to_owned()));
    assert_eq!(status("NoNewPrivs"), "1");
}

fn actions_and_sizes() {
    let available = |action: u32| raw!(SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action);
    for action in [
        libc::SECCOMP_RET_KILL_PROCESS,
        libc::SECCOMP_RET_KILL_THREAD,
        libc::SECCOMP_RET_TRAP,
        ERRNO,
        libc::SECCOMP_RET_USER_NOTIF,
        libc::SECCOMP_RET_TRACE,
        libc::SECCOMP_RET_LOG,
        ALLOW,
    ] {
        assert_eq!(available(action), Ok(0), "{action:#x}");
    }
    assert_eq!(available(0x1234_0000), Err(Errno::EOPNOTSUPP));
    assert_eq!(raw!(SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 1, 0), Err(Errno::EINVAL));
    assert_eq!(raw!(SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, 0), Err(Errno::EFAULT));
    let mut sizes = [0_u16; 3];
    assert_eq!(raw!(SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0, sizes.as_mut_ptr()), Ok(0));
    assert_eq!(sizes, [80, 24, 64]);
    assert_eq!(raw!(SYS_seccomp, 99, 0, 0), Err(Errno::EINVAL));
}

fn bad_programs_are_refused() {
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    let ret = insn(RET, 0, 0, ALLOW);
    for code in [
        vec![insn(LD_ABS, 0, 0, 0)],
        vec![insn(LD_ABS, 0, 0, 2), ret],
        vec![insn(LD_ABS, 0, 0, 64), ret],
        vec![insn(0x28, 0, 0, 0), ret],
        vec![insn(JEQ, 1, 0, 0), ret],
        vec![insn(0x60, 0, 0, 0), ret],
        vec![insn(0x34, 0, 0, 0), ret],
        vec![insn(0x94, 0, 0, 1), ret],
        vec![],
        vec![ret; 4097],
    ] {
        assert_eq!(install_with(0, &code), Err(Errno::EINVAL), "{}", code.len());
    }
    assert_eq!(raw!(SYS_seccomp, FILTER, 0, 0), Err(Errno::EFAULT));
    for (at, error) in
        [(std::ptr::null_mut(), Errno::EINVAL), (std::ptr::without_provenance_mut(8), Errno::EFAULT)]
    {
        let header = sock_fprog { len: 3, filter: at };
        assert_eq!(raw!(SYS_seccomp, FILTER, 0, &raw const header), Err(error));
    }
    assert_eq!(status("Seccomp"), "0");
}

fn bad_flags_are_refused() {
    let code = program(&[], ALLOW, ALLOW);
    raw!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1_u64, 0_u64, 0_u64, 0_u64).expect("no_new_privs");
    for flags in [1 << 10, 32, 8 | 1] {
        assert_eq!(install_with(flags, &code), Err(Errno::EINVAL), "{flags}");
    }
    // LOG and SPEC_ALLOW.
    assert_eq!(install_with(6, &code), Ok(0));
}

/// As sshd's child before authentication: a list, and the end for anything else.
fn default_kill_sandbox() {
    let calls = [
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_getpid,
        libc::SYS_gettimeofday,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_poll,
        libc::SYS_read,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_write,
    ];
    let works = in_child(|| {
        install(&program(&calls, ALLOW, libc::SECCOMP_RET_KILL_PROCESS));
        let memory = vec![7_u8; 4 << 20];
        raw!(SYS_getpid).expect("getpid");
        i32::from(memory[1 << 20]) + 10
    });
    assert_eq!(works, 17);
    let ends = in_child(|| {
        install(&program(&calls, ALLOW, libc::SECCOMP_RET_KILL_PROCESS));
        let _ = raw!(SYS_openat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), 0, 0);
        0
    });
    assert_eq!(ends, 128 + libc::SIGSYS);
}

/// As systemd's MemoryDenyWriteExecute= does it where there is no PR_SET_MDWE.
fn programs_start_where_nothing_becomes_executable() {
    let code = [
        insn(LD_ABS, 0, 0, 0),
        insn(JEQ, 0, 3, libc::SYS_mprotect as u32),
        insn(LD_ABS, 0, 0, 16 + 2 * 8),
        insn(0x45, 0, 1, libc::PROT_EXEC as u32),
        insn(RET, 0, 0, ERRNO | libc::EPERM as u32),
        insn(RET, 0, 0, ALLOW),
    ];
    install(&code);
    let output = Command::new("sh")
        .args(["-c", "trap 'echo caught' TERM; kill $$; echo here"])
        .output()
        .expect("sh runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "caught\nhere\n");
}
