//! What the probe needs of the C library and of the kernel's headers, in their names. The probe is compiled without cargo
//! (`build.rs` says why), so it has no dependencies.
#![expect(non_camel_case_types, non_upper_case_globals, reason = "the names are C's")]

pub(crate) use std::ffi::{c_char, c_int, c_long, c_uint, c_ulong, c_void};

pub(crate) const CLONE_VM: c_int = 0x100;
pub(crate) const CLONE_VFORK: c_int = 0x4000;
pub(crate) const EFD_NONBLOCK: c_int = 0o4000;
pub(crate) const EPOLLIN: u32 = 1;
pub(crate) const EPOLL_CTL_ADD: c_int = 1;
pub(crate) const FUTEX_WAIT: c_int = 0;
pub(crate) const FUTEX_WAKE: c_int = 1;
pub(crate) const FUTEX_PRIVATE_FLAG: c_int = 128;
pub(crate) const MADV_NOHUGEPAGE: c_int = 15;
pub(crate) const MAP_SHARED: c_int = 1;
pub(crate) const MAP_PRIVATE: c_int = 2;
pub(crate) const MAP_ANONYMOUS: c_int = 0x20;
pub(crate) const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;
pub(crate) const O_RDONLY: c_int = 0;
pub(crate) const O_DIRECTORY: c_int = 0o200_000;
pub(crate) const O_CLOEXEC: c_int = 0o2_000_000;
pub(crate) const PROT_NONE: c_int = 0;
pub(crate) const PROT_READ: c_int = 1;
pub(crate) const PROT_WRITE: c_int = 2;
pub(crate) const PR_SET_NO_NEW_PRIVS: c_int = 38;
pub(crate) const SA_SIGINFO: c_int = 4;
pub(crate) const SECCOMP_SET_MODE_FILTER: c_uint = 1;
pub(crate) const SECCOMP_FILTER_FLAG_NEW_LISTENER: u64 = 8;
pub(crate) const SECCOMP_RET_USER_NOTIF: u32 = 0x7fc0_0000;
pub(crate) const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
pub(crate) const SEEK_SET: c_int = 0;
pub(crate) const SIGKILL: c_int = 9;
pub(crate) const SIGUSR1: c_int = 10;
pub(crate) const SIGSEGV: c_int = 11;
pub(crate) const SIGCHLD: c_int = 17;
pub(crate) const SYS_getppid: c_long = 110;
pub(crate) const SYS_futex: c_long = 202;
pub(crate) const SYS_getdents64: c_long = 217;
pub(crate) const SYS_seccomp: c_long = 317;
pub(crate) const SYS_pidfd_open: c_long = 434;
pub(crate) const SYS_pidfd_getfd: c_long = 438;

/// `struct stat`, of which nothing is read.
#[repr(C, align(8))]
pub(crate) struct stat([u8; 144]);

#[repr(C)]
pub(crate) struct sigaction {
    pub(crate) sa_sigaction: usize,
    pub(crate) sa_mask: [u64; 16],
    pub(crate) sa_flags: c_int,
    pub(crate) sa_restorer: usize,
}

/// `ucontext_t` up to the instruction pointer: flags, link, stack, and the registers before it.
#[repr(C)]
pub(crate) struct ucontext_t {
    before: [u64; 5 + 16],
    pub(crate) rip: u64,
}

#[repr(C)]
pub(crate) struct sock_filter {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

#[repr(C)]
pub(crate) struct sock_fprog {
    pub(crate) len: u16,
    pub(crate) filter: *mut sock_filter,
}

#[repr(C)]
pub(crate) struct seccomp_notif {
    pub(crate) id: u64,
    rest: [u64; 9],
}

#[repr(C)]
pub(crate) struct seccomp_notif_resp {
    pub(crate) id: u64,
    pub(crate) val: i64,
    pub(crate) error: i32,
    pub(crate) flags: u32,
}

#[repr(C, packed)]
#[derive(Clone, Copy)]
pub(crate) struct epoll_event {
    pub(crate) events: u32,
    pub(crate) data: u64,
}

unsafe extern "C" {
    pub(crate) fn _exit(status: c_int) -> !;
    pub(crate) fn clone(body: extern "C" fn(*mut c_void) -> c_int, stack: *mut c_void, flags: c_int, arg: *mut c_void, ...) -> c_int;
    pub(crate) fn close(fd: c_int) -> c_int;
    pub(crate) fn epoll_create1(flags: c_int) -> c_int;
    pub(crate) fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut epoll_event) -> c_int;
    pub(crate) fn epoll_wait(epoll: c_int, events: *mut epoll_event, most: c_int, timeout: c_int) -> c_int;
    pub(crate) fn eventfd(value: c_uint, flags: c_int) -> c_int;
    pub(crate) fn execve(path: *const c_char, argv: *const *const c_char, envp: *const *const c_char) -> c_int;
    pub(crate) fn fork() -> c_int;
    pub(crate) fn getpid() -> c_int;
    pub(crate) fn getppid() -> c_int;
    pub(crate) fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    pub(crate) fn kill(pid: c_int, signal: c_int) -> c_int;
    pub(crate) fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
    pub(crate) fn madvise(start: *mut c_void, length: usize, advice: c_int) -> c_int;
    pub(crate) fn mmap(start: *mut c_void, length: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    pub(crate) fn munmap(start: *mut c_void, length: usize) -> c_int;
    pub(crate) fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    pub(crate) fn pipe(ends: *mut c_int) -> c_int;
    pub(crate) fn posix_spawn(
        pid: *mut c_int,
        path: *const c_char,
        actions: *const c_void,
        attributes: *const c_void,
        argv: *const *mut c_char,
        envp: *const *mut c_char,
    ) -> c_int;
    pub(crate) fn prctl(option: c_int, ...) -> c_int;
    pub(crate) fn pread(fd: c_int, buffer: *mut c_void, count: usize, offset: i64) -> isize;
    pub(crate) fn pwrite(fd: c_int, buffer: *const c_void, count: usize, offset: i64) -> isize;
    pub(crate) fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize;
    #[link_name = "sigaction"]
    pub(crate) fn set_action(signal: c_int, new: *const sigaction, old: *mut sigaction) -> c_int;
    #[link_name = "stat"]
    pub(crate) fn stat_path(path: *const c_char, info: *mut stat) -> c_int;
    pub(crate) fn syscall(number: c_long, ...) -> c_long;
    pub(crate) fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    pub(crate) fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize;
}
