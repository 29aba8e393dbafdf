//! The floor: a bare seccomp notification round trip. One process makes a null call, another one answers it and
//! does nothing else. No supervisor can be faster than this.
//!
//! `linux/seccomp.h` has the structures and numbers; SYNC_WAKE_UP (Linux 6.6) keeps both switches on one CPU.

use std::mem::size_of;

use crate::sample::{self, Summary};
use crate::sys;

const SECCOMP_IOCTL_NOTIF_RECV: u64 = 0xc050_2100;
const SECCOMP_IOCTL_NOTIF_SEND: u64 = 0xc018_2101;
const SECCOMP_IOCTL_NOTIF_SET_FLAGS: u64 = 0x4008_2104;
const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: u64 = 1;
const SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: u64 = 1 << 5;

/// Measures in a child, whose null calls this process answers, and brings the result home through a pipe.
pub(crate) fn null_call() -> Summary {
    let mut ends = [0; 2];
    // SAFETY: the array takes two descriptors.
    assert_eq!(unsafe { sys::pipe(ends.as_mut_ptr()) }, 0, "pipe");
    // SAFETY: this process has one thread.
    let client = unsafe { sys::fork() };
    assert!(client >= 0, "fork");
    if client == 0 {
        measure_as_client(ends[1]);
    }
    let listener = take_listener(client, read_word(ends[0]));
    // SAFETY: this process has one thread.
    let server = unsafe { sys::fork() };
    if server == 0 {
        serve(listener);
    }
    let (p50, p99) = (read_word(ends[0]), read_word(ends[0]));
    let mut status = 0;
    // SAFETY: kill takes no pointer.
    unsafe { sys::kill(server, sys::SIGKILL) };
    for child in [client, server] {
        // SAFETY: `status` outlives the call.
        unsafe { sys::waitpid(child, &mut status, 0) };
    }
    for fd in [listener, ends[0], ends[1]] {
        // SAFETY: descriptors of this function's own.
        unsafe { sys::close(fd) };
    }
    Summary { p50_ns: f64::from_bits(p50), p99_ns: f64::from_bits(p99) }
}

fn write_word(fd: i32, word: u64) {
    let bytes = word.to_ne_bytes();
    // SAFETY: the bytes are readable for their length.
    assert_eq!(unsafe { sys::write(fd, bytes.as_ptr().cast(), bytes.len()) }, 8, "write");
}

fn read_word(fd: i32) -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: the bytes are writable for their length.
    assert_eq!(unsafe { sys::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) }, 8, "read");
    u64::from_ne_bytes(bytes)
}

fn measure_as_client(out: i32) -> ! {
    let listener = install_filter();
    write_word(out, u64::from(listener.unsigned_abs()));
    // The first answer comes when the server has the listener.
    let summary = sample::measure(16, || {
        // SAFETY: getppid takes no argument.
        std::hint::black_box(unsafe { sys::getppid() });
    });
    write_word(out, summary.p50_ns.to_bits());
    write_word(out, summary.p99_ns.to_bits());
    // SAFETY: _exit takes no pointer.
    unsafe { sys::_exit(0) }
}

/// Makes getppid a notification, and everything else free.
fn install_filter() -> i32 {
    let getppid = u32::try_from(sys::SYS_getppid).unwrap_or(0);
    let instruction = |code, jt, jf, k| sys::sock_filter { code, jt, jf, k };
    let mut program = [
        // BPF_LD | BPF_W | BPF_ABS of seccomp_data.nr, BPF_JMP | BPF_JEQ | BPF_K, BPF_RET | BPF_K
        instruction(0x20, 0, 0, 0),
        instruction(0x15, 0, 1, getppid),
        instruction(0x06, 0, 0, sys::SECCOMP_RET_USER_NOTIF),
        instruction(0x06, 0, 0, sys::SECCOMP_RET_ALLOW),
    ];
    let filter = sys::sock_fprog { len: 4, filter: program.as_mut_ptr() };
    // SAFETY: prctl takes no pointer here.
    assert_eq!(unsafe { sys::prctl(sys::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0, "prctl");
    let flags = sys::SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: the program outlives the call.
    let listener =
        unsafe { sys::syscall(sys::SYS_seccomp, sys::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    assert!(listener >= 0, "seccomp: {}", std::io::Error::last_os_error());
    i32::try_from(listener).unwrap_or(-1)
}

fn take_listener(client: i32, number: u64) -> i32 {
    // SAFETY: the calls take no pointer.
    let pidfd = unsafe { sys::syscall(sys::SYS_pidfd_open, client, 0) };
    // SAFETY: as above.
    let listener = unsafe { sys::syscall(sys::SYS_pidfd_getfd, pidfd, number, 0) };
    assert!(listener >= 0, "pidfd_getfd: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is this function's own.
    unsafe { sys::close(i32::try_from(pidfd).unwrap_or(-1)) };
    i32::try_from(listener).unwrap_or(-1)
}

fn serve(listener: i32) -> ! {
    // SAFETY: the argument is a value, not a pointer.
    let flagged =
        unsafe { sys::ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) };
    assert_eq!(flagged, 0, "SYNC_WAKE_UP: {}", std::io::Error::last_os_error());
    assert_eq!((size_of::<sys::seccomp_notif>(), size_of::<sys::seccomp_notif_resp>()), (80, 24));
    loop {
        // SAFETY: plain data, which the kernel wants zeroed.
        let mut request: sys::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the request is writable and of the size that the number says.
        if unsafe { sys::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &raw mut request) } != 0 {
            continue;
        }
        let answer = sys::seccomp_notif_resp { id: request.id, val: 1, error: 0, flags: 0 };
        // SAFETY: the answer is readable and of the size that the number says.
        unsafe { sys::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &raw const answer) };
    }
}
