//! The host calls that a supervisor may make: the whole list. Everything else kills it.
//!
//! One rule for each call, with what its arguments must be and why it is needed. Rules that stand for many files or
//! processes (openat2, ptrace) are narrowed by what the other measures leave: capabilities, Landlock's scope.

use syscall_table::plan::{Condition, Op};

/// A rule.
#[derive(Clone, Copy, Debug)]
pub struct HostRule {
    /// Linux's name of the call.
    pub call: &'static str,
    /// Alternatives of conjunctions, as in the guests' plan; none: whatever the arguments.
    pub when: &'static [&'static [Condition]],
    /// The errno that the call gets instead of being made.
    pub instead: Option<u16>,
    /// What it is for.
    pub reason: &'static str,
}

/// The low word of an argument is this.
const fn is(arg: u8, value: u64) -> Condition {
    Condition { arg, op: Op::MaskedEq { mask: 0xffff_ffff, value } }
}

/// These bits of an argument are clear.
const fn lacks(arg: u8, mask: u64) -> Condition {
    Condition { arg, op: Op::MaskedEq { mask, value: 0 } }
}

const fn any(call: &'static str, reason: &'static str) -> HostRule {
    HostRule { call, when: &[], instead: None, reason }
}

const fn only(call: &'static str, when: &'static [&'static [Condition]], reason: &'static str) -> HostRule {
    HostRule { call, when, instead: None, reason }
}

const fn refused(call: &'static str, errno: u16, reason: &'static str) -> HostRule {
    HostRule { call, when: &[], instead: Some(errno), reason }
}

const PROT_EXEC: u64 = 4;
/// What pthread_create(3) of glibc and musl asks for: CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS,
/// PARENT_SETTID and CHILD_CLEARTID, no namespace and no process.
const NEW_THREAD: u64 = 0x003d_0f00;
const EPERM: u16 = 1;
const ENOSYS: u16 = 38;

/// All of them.
pub const RULES: &[HostRule] = &[
    // Calls of guests.
    only(
        "ioctl",
        &[
            &[is(1, 0xc050_2100)], // SECCOMP_IOCTL_NOTIF_RECV
            &[is(1, 0xc018_2101)], // SECCOMP_IOCTL_NOTIF_SEND
            &[is(1, 0x4018_2103)], // SECCOMP_IOCTL_NOTIF_ADDFD: files that guests map
            &[is(1, 0x4008_2102)], // SECCOMP_IOCTL_NOTIF_ID_VALID
            &[is(1, 0x4008_2104)], // SECCOMP_IOCTL_NOTIF_SET_FLAGS
            &[is(1, 0x8004_b708)], // NS_GET_PID_IN_PIDNS: a guest's own ids
            &[is(1, 0x8004_b709)], // NS_GET_TGID_IN_PIDNS
            &[is(1, 0xc040_ff0b)], // PIDFD_GET_INFO: whose thread it is
            &[is(1, 0x541b)],      // FIONREAD: what a standard stream holds
            &[is(1, 0x5421)],      // FIONBIO: the host's side of a terminal
            &[is(1, 0x5401)], // TCGETS, and the following: the user's terminal is made raw and given back
            &[is(1, 0x5402)], // TCSETS
            &[is(1, 0x5403)], // TCSETSW
            &[is(1, 0x5404)], // TCSETSF
            &[is(1, 0x802c_542a)], // TCGETS2
            &[is(1, 0x402c_542b)], // TCSETS2
            &[is(1, 0x402c_542c)], // TCSETSW2
            &[is(1, 0x402c_542d)], // TCSETSF2
            &[is(1, 0x540f)], // TIOCGPGRP: are we in the foreground
            &[is(1, 0x5413)], // TIOCGWINSZ
            &[is(1, 0x5414)], // TIOCSWINSZ
            &[is(1, 0x8004_5430)], // TIOCGPTN, TIOCSPTLCK, TIOCGPTPEER: a pty for whoever asked for a terminal
            &[is(1, 0x4004_5431)],
            &[is(1, 0x5441)],
        ],
        "listeners, ids of guests, terminals; never TIOCSTI, nor a device's own",
    ),
    any("process_vm_readv", "memory of guests"),
    any("process_vm_writev", "memory of guests"),
    only(
        "ptrace",
        &[
            &[is(0, 0x4206)], // SEIZE
            &[is(0, 0x4207)], // INTERRUPT
            &[is(0, 12)],     // GETREGS
            &[is(0, 13)],     // SETREGS
            &[is(0, 24)],     // SYSCALL
            &[is(0, 17)],     // DETACH
            &[is(0, 0x420a)], // GETSIGMASK
            &[is(0, 0x420b)], // SETSIGMASK
        ],
        "calls that a guest's thread is made to do in place of its own; never ATTACH, TRACEME, POKE",
    ),
    any("waitid", "stops of ptraced guests, ends of children"),
    any("pidfd_open", "guests' processes: their ends, their ids"),
    any("pidfd_send_signal", "signals to guests"),
    any("pidfd_getfd", "the listener of a new guest"),
    any("tgkill", "signals to a guest's thread; waking a worker"),
    any("rt_tgsigqueueinfo", "signals with a value to a guest's thread"),
    any("prlimit64", "limits of guests"),
    any("setpriority", "setpriority(2) of guests"),
    any("sched_setaffinity", "process.execCPUAffinity"),
    any("sched_setattr", "process.scheduler"),
    any("ioprio_set", "process.ioPriority"),
    // Files of the container, below its root and volumes.
    any("openat2", "files of the container: below a directory, following nothing"),
    any("open", "a path of the operator's, as rustix opens it"),
    any("openat", "/proc of guests, roots and volumes, the container's record"),
    any("close", "everything that is opened"),
    any("read", "/proc of guests, streams, signalfds, timers"),
    any("write", "streams, eventfds, records, log"),
    any("pread64", "files of the container"),
    any("pwrite64", "files of the container"),
    any("lseek", "SEEK_DATA and SEEK_HOLE; size of a file that is read whole"),
    any("statx", "attributes"),
    any("newfstatat", "attributes, as libc asks for them"),
    any("fstat", "attributes, as libc asks for them"),
    any("fstatfs", "statfs(2)"),
    any("getdents64", "listings"),
    any("readlinkat", "symbolic links"),
    any("mkdirat", "mkdir(2)"),
    any("mknodat", "fifos, sockets and whiteouts; devices would need CAP_MKNOD"),
    any("symlinkat", "symlink(2)"),
    any("linkat", "link(2)"),
    any("unlinkat", "unlink(2), rmdir(2)"),
    any("renameat2", "rename(2); the container's record, written anew"),
    any("fchownat", "chown(2)"),
    any("fchmodat2", "chmod(2)"),
    any("utimensat", "utimes(2)"),
    any("ftruncate", "truncate(2)"),
    any("fallocate", "fallocate(2)"),
    any("fsync", "fsync(2)"),
    any("fdatasync", "fdatasync(2)"),
    any("fgetxattr", "extended attributes"),
    any("fsetxattr", "extended attributes"),
    any("flistxattr", "extended attributes"),
    any("fremovexattr", "extended attributes"),
    only(
        "fcntl",
        &[
            &[is(1, 1030)], // F_DUPFD_CLOEXEC
            &[is(1, 3)],    // F_GETFL: how a standard stream is open
            &[is(1, 4)],    // F_SETFL
            &[is(1, 1033)], // F_ADD_SEALS: memfds of guests
            &[is(1, 1032)], // F_GETPIPE_SZ: what a pipe to us holds
            &[is(1, 1)],    // F_GETFD, F_SETFD: what came with a message
            &[is(1, 2)],
        ],
        "descriptors are duplicated and looked at; never F_SETOWN, F_NOTIFY or a lock",
    ),
    any("memfd_create", "files in memory that guests map"),
    // Waiting.
    any("epoll_create1", "a container's reactor"),
    any("epoll_ctl", "what the reactor waits for"),
    any("epoll_pwait", "the reactor"),
    any("timerfd_create", "the reactor's timer"),
    any("timerfd_settime", "the reactor's timer"),
    any("signalfd4", "signals to the supervisor"),
    any("eventfd2", "bells of relays"),
    any("poll", "relays of terminals, listeners"),
    any("ppoll", "relays of terminals, listeners"),
    any("pipe2", "relays of streams"),
    any("futex", "locks and condition variables"),
    any("clock_nanosleep", "pauses where there is nothing to wait for"),
    any("sched_yield", "locks"),
    // The control socket; sockets are accepted and made in pairs, never named.
    any("accept4", "clients of the control socket"),
    any("recvmsg", "requests, with descriptors"),
    any("recvfrom", "requests; the report of a new guest"),
    any("sendmsg", "answers, with descriptors"),
    any("sendto", "answers; the word to a new guest"),
    only("getsockopt", &[&[is(1, 1), is(2, 17)]], "SO_PEERCRED: who the client is"),
    only("socketpair", &[&[is(0, 1)]], "to speak with a new guest, before it has its filter"),
    any("shutdown", "the end of a connection"),
    // The process itself.
    only("mmap", &[&[lacks(2, PROT_EXEC)]], "own memory, never executable"),
    only("mprotect", &[&[lacks(2, PROT_EXEC)]], "own memory, never executable"),
    any("munmap", "own memory"),
    any("mremap", "own memory"),
    any("madvise", "own memory"),
    any("brk", "own memory"),
    only("clone", &[&[is(0, NEW_THREAD)]], "threads; never a process, never a namespace"),
    refused("clone3", ENOSYS, "its flags lie in memory, where no filter sees them: libc falls back to clone"),
    refused(
        "setns",
        EPERM,
        "asked for a container that comes with a network later; there is no capability for it",
    ),
    any("set_robust_list", "start of a thread"),
    any("rseq", "start of a thread"),
    any("sigaltstack", "start and end of a thread"),
    any("sched_getaffinity", "start of a thread: where its stack is"),
    only(
        "prctl",
        &[&[is(0, 15)], &[is(0, 0x4155_5856)]],
        "PR_SET_NAME of a thread; PR_GET_AUXV: size of a page",
    ),
    any("gettid", "own ids"),
    any("getpid", "own ids"),
    any("geteuid", "own ids"),
    any("getpgrp", "is the own group in the foreground"),
    any("getrandom", "getrandom(2), seeds of hash tables"),
    any("rt_sigprocmask", "signals are taken by one thread; start of threads"),
    only(
        "rt_sigaction",
        &[&[is(0, 23)], &[is(0, 33)]],
        "SIGURG wakes a worker, SIGSETXID is libc's at the start of threads; no other handler changes",
    ),
    any("rt_sigreturn", "the end of a handler"),
    any("pause", "a thread that ends the process while another does, in std"),
    any("restart_syscall", "a pause or wait that a stop cut in two"),
    any("clock_gettime", "clocks that the vDSO does not know"),
    only("kill", &[&[is(0, 0), is(1, 21)]], "SIGTTIN to the own group: a read from the background"),
    any("exit", "the end of a thread"),
    any("exit_group", "the end"),
];

/// What these are in the place of, or besides, for a sandbox with the host's network: sockets of the network namespace
/// that a thread has entered.
pub const SOCKETS: &[HostRule] = &[
    only(
        "socket",
        &[&[is(0, 2)], &[is(0, 10)], &[is(0, 16), is(2, 0)]],
        "AF_INET, AF_INET6; AF_NETLINK of NETLINK_ROUTE: addresses and routes",
    ),
    any("bind", "bind(2) of guests"),
    any("connect", "connect(2) of guests"),
    any("listen", "listen(2) of guests"),
    any("getsockname", "getsockname(2) of guests"),
    any("getpeername", "getpeername(2) of guests"),
    any("setsockopt", "options by white-list"),
    any("getsockopt", "options by white-list; SO_PEERCRED: who the client is"),
    only(
        "ioctl",
        &[
            &[Condition { arg: 1, op: Op::MaskedEq { mask: 0xffff_ff00, value: 0x8900 } }], // SIOC*
            &[is(1, 0x5411)],                                                               // SIOCOUTQ
        ],
        "interfaces and queues of sockets",
    ),
    only(
        "setns",
        &[&[is(1, 0x4000_0000)]],
        "CLONE_NEWNET: the container's network namespace, before a socket is made",
    ),
];
