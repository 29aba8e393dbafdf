//! Signals of open files: O_ASYNC, F_SETOWN, F_SETSIG (fcntl(2)).

use std::fs::File;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::ptr::null_mut;

use integration::checks;
use integration::guest::{self, in_child};
use nix::errno::Errno;

fn main() -> ExitCode {
    guest::main(checks![
        owners_are_set_and_told,
        signals_are_checked,
        pipe_raises_sigio,
        chosen_signal_names_the_descriptor,
        writer_is_told_of_room,
        socket_tells_its_group,
        terminal_tells_its_owner,
        thread_is_told,
        nobody_is_told_after_the_flag_is_cleared,
        regular_files_have_no_signals,
    ])
}

const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;

fn fcntl(fd: i32, op: i32, arg: i32) -> nix::Result<i32> {
    // SAFETY: the commands that are used take an int.
    Errno::result(unsafe { libc::fcntl(fd, op, arg) })
}

fn owner_ex(fd: i32, op: i32, owner: &mut [i32; 2]) -> nix::Result<()> {
    // SAFETY: the structure is two ints.
    Errno::result(unsafe { libc::fcntl(fd, op, owner.as_mut_ptr()) }).map(drop)
}

fn pid() -> i32 {
    // SAFETY: the call takes no pointer.
    unsafe { libc::getpid() }
}

fn pipe() -> [i32; 2] {
    let mut fds = [0; 2];
    // SAFETY: room for two.
    assert_eq!(unsafe { libc::pipe(fds.as_mut_ptr()) }, 0);
    fds
}

fn write(fd: i32) {
    // SAFETY: one byte.
    assert_eq!(unsafe { libc::write(fd, c"x".as_ptr().cast(), 1) }, 1);
}

fn read(fd: i32, len: usize) {
    let mut bytes = vec![0u8; len];
    // SAFETY: as many bytes as said.
    assert!(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), len) } > 0);
}

/// Blocks a signal, so that it can be waited for.
fn block(signal: i32) -> libc::sigset_t {
    // SAFETY: plain data.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: the set is writable.
    unsafe { libc::sigaddset(&mut set, signal) };
    // SAFETY: the set is readable.
    assert_eq!(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, null_mut()) }, 0);
    set
}

/// Waits for a signal of the set.
fn next(set: &libc::sigset_t, ms: i64) -> Option<libc::siginfo_t> {
    // SAFETY: plain data.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let limit = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    // SAFETY: all structures are valid.
    let signal = unsafe { libc::sigtimedwait(set, &mut info, &limit) };
    (signal > 0).then_some(info)
}

fn child(f: impl FnOnce()) {
    let status = in_child(|| {
        f();
        0
    });
    assert_eq!(status, 0);
}

fn own(fd: i32, owner: i32) {
    fcntl(fd, libc::F_SETOWN, owner).expect("F_SETOWN");
    let flags = fcntl(fd, libc::F_GETFL, 0).expect("F_GETFL");
    fcntl(fd, libc::F_SETFL, flags | libc::O_ASYNC).expect("O_ASYNC");
    assert!(fcntl(fd, libc::F_GETFL, 0).expect("F_GETFL") & libc::O_ASYNC != 0);
}

fn owners_are_set_and_told() {
    let [reader, _] = pipe();
    assert_eq!(fcntl(reader, libc::F_GETOWN, 0), Ok(0));
    assert_eq!(fcntl(reader, libc::F_SETOWN, pid()), Ok(0));
    assert_eq!(fcntl(reader, libc::F_GETOWN, 0), Ok(pid()));
    let mut owner = [9, 9];
    assert_eq!((owner_ex(reader, F_GETOWN_EX, &mut owner), owner), (Ok(()), [F_OWNER_PID, pid()]));
    assert_eq!(fcntl(reader, libc::F_SETOWN, 0x7fff_fff0), Err(Errno::ESRCH));
    assert_eq!(fcntl(reader, libc::F_SETOWN, i32::MIN), Err(Errno::EINVAL));
    // SAFETY: the call takes no pointer.
    let pgid = unsafe { libc::getpgrp() };
    assert_eq!(owner_ex(reader, F_SETOWN_EX, &mut [F_OWNER_PGRP, pgid]), Ok(()));
    assert_eq!((owner_ex(reader, F_GETOWN_EX, &mut owner), owner), (Ok(()), [F_OWNER_PGRP, pgid]));
    assert_eq!(owner_ex(reader, F_SETOWN_EX, &mut [7, pid()]), Err(Errno::EINVAL));
    assert_eq!(owner_ex(reader, F_SETOWN_EX, &mut [F_OWNER_TID, 0x7fff_fff0]), Err(Errno::ESRCH));
    assert_eq!(fcntl(reader, libc::F_SETOWN, 0), Ok(0));
    assert_eq!(fcntl(reader, libc::F_GETOWN, 0), Ok(0));
}

fn signals_are_checked() {
    let [reader, _] = pipe();
    assert_eq!(fcntl(reader, F_GETSIG, 0), Ok(0));
    assert_eq!(fcntl(reader, F_SETSIG, 65), Err(Errno::EINVAL));
    assert_eq!(fcntl(reader, F_SETSIG, libc::SIGUSR2), Ok(0));
    assert_eq!(fcntl(reader, F_GETSIG, 0), Ok(libc::SIGUSR2));
}

fn pipe_raises_sigio() {
    child(|| {
        let set = block(libc::SIGIO);
        let [reader, writer] = pipe();
        own(reader, pid());
        write(writer);
        let info = next(&set, 5000).expect("a signal");
        assert_eq!(info.si_signo, libc::SIGIO);
        read(reader, 1);
        assert!(next(&set, 20).is_none(), "the reader is not told that it has read");
        write(writer);
        assert!(next(&set, 5000).is_some());
    });
}

fn chosen_signal_names_the_descriptor() {
    child(|| {
        let set = block(libc::SIGUSR1);
        let [reader, writer] = pipe();
        fcntl(reader, F_SETSIG, libc::SIGUSR1).expect("F_SETSIG");
        own(reader, pid());
        write(writer);
        let info = next(&set, 5000).expect("a signal");
        // si_fd comes after si_band, a long.
        let words: [i32; 32] =
            // SAFETY: a siginfo_t is 128 bytes of plain data.
            unsafe { std::mem::transmute_copy(&info) };
        assert_eq!((info.si_signo, words[6]), (libc::SIGUSR1, reader));
        assert!(words[4] & i32::from(libc::POLLIN) != 0);
    });
}

fn writer_is_told_of_room() {
    child(|| {
        let set = block(libc::SIGIO);
        let [reader, writer] = pipe();
        let full = vec![0u8; 65536];
        // SAFETY: as many bytes as said.
        assert_eq!(unsafe { libc::write(writer, full.as_ptr().cast(), full.len()) }, 65536);
        own(writer, pid());
        read(reader, 65536);
        assert!(next(&set, 5000).is_some());
    });
}

fn socket_tells_its_group() {
    child(|| {
        // SAFETY: the call takes no pointer.
        assert_eq!(unsafe { libc::setpgid(0, 0) }, 0);
        let set = block(libc::SIGIO);
        let mut pair = [0; 2];
        // SAFETY: room for two.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) };
        assert_eq!(made, 0);
        own(pair[0], -pid());
        assert_eq!(fcntl(pair[0], libc::F_GETOWN, 0), Ok(-pid()));
        write(pair[1]);
        assert!(next(&set, 5000).is_some());
    });
}

fn terminal_tells_its_owner() {
    child(|| {
        let set = block(libc::SIGIO);
        // SAFETY: the call takes no pointer.
        let master = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) };
        assert!(master >= 0);
        // SAFETY: the descriptor is a master.
        assert_eq!(unsafe { libc::grantpt(master) }, 0);
        // SAFETY: the descriptor is a master.
        assert_eq!(unsafe { libc::unlockpt(master) }, 0);
        // SAFETY: the name is valid until the next call.
        let name = unsafe { libc::ptsname(master) };
        // SAFETY: the name is copied at once.
        let name = unsafe { std::ffi::CStr::from_ptr(name) }.to_owned();
        // SAFETY: the name is readable.
        let slave = unsafe { libc::open(name.as_ptr(), libc::O_RDWR | libc::O_NOCTTY) };
        assert!(slave >= 0);
        own(slave, pid());
        // SAFETY: one line.
        assert_eq!(unsafe { libc::write(master, c"line\n".as_ptr().cast(), 5) }, 5);
        assert!(next(&set, 5000).is_some());
    });
}

fn thread_is_told() {
    child(|| {
        let set = block(libc::SIGIO);
        let [reader, writer] = pipe();
        // SAFETY: the call takes no pointer.
        let tid = unsafe { libc::gettid() };
        owner_ex(reader, F_SETOWN_EX, &mut [F_OWNER_TID, tid]).expect("F_SETOWN_EX");
        fcntl(reader, libc::F_SETFL, libc::O_ASYNC).expect("O_ASYNC");
        write(writer);
        assert!(next(&set, 5000).is_some());
    });
}

fn nobody_is_told_after_the_flag_is_cleared() {
    child(|| {
        let set = block(libc::SIGIO);
        let [reader, writer] = pipe();
        own(reader, pid());
        fcntl(reader, libc::F_SETFL, 0).expect("F_SETFL");
        write(writer);
        assert!(next(&set, 20).is_none());
        let on = 1;
        // SAFETY: the int is readable.
        assert_eq!(unsafe { libc::ioctl(reader, libc::FIOASYNC, &on) }, 0);
        read(reader, 1);
        write(writer);
        assert!(next(&set, 5000).is_some());
    });
}

fn regular_files_have_no_signals() {
    let file = File::open("/proc/self/exe").expect("open");
    let fd = file.as_raw_fd();
    assert_eq!(fcntl(fd, libc::F_SETFL, libc::O_ASYNC), Ok(0));
    assert_eq!(fcntl(fd, libc::F_GETFL, 0).map(|flags| flags & libc::O_ASYNC), Ok(0));
    let on = 1;
    // SAFETY: the int is readable.
    let refused = Errno::result(unsafe { libc::ioctl(fd, libc::FIOASYNC, &on) });
    assert_eq!(refused, Err(Errno::ENOTTY));
}
