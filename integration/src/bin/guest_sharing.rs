//! Processes that have descriptors, directories or signal actions in common: clone(2) with CLONE_FILES, CLONE_FS and
//! CLONE_SIGHAND but without CLONE_THREAD, and what ends it: unshare(2), close_range(2), execve(2), death.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;

use integration::checks;
use integration::guest::{self, fd, fork_child, scratch::Scratch, text, wait_raw};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, getcwd, getpid};

fn main() -> ExitCode {
    guest::main(checks![
        descriptors_opened_and_closed_by_one_are_the_others,
        descriptors_are_copied_by_fork_of_a_sharer,
        unshare_ends_the_sharing_of_descriptors,
        close_range_closes_for_its_caller_alone,
        exec_closes_descriptors_for_its_process_alone,
        files_mapped_by_both_are_the_right_ones,
        record_locks_belong_to_the_table,
        vfork_with_descriptors_waits_for_its_child,
        directories_and_mask_are_common,
        unshare_ends_the_sharing_of_directories,
        signal_actions_are_common,
        kcmp_tells_what_is_common,
        flags_are_checked,
    ])
}

/// As fork(2), with something in common.
fn clone_raw(flags: i32) -> Result<i32, Errno> {
    // SAFETY: no stack, no pointers, no shared memory: the child has a copy of everything, as after fork(2).
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    Errno::result(pid).map(|pid| i32::try_from(pid).expect("a process id"))
}

/// A child that has something in common with this process.
fn start(flags: i32, body: impl FnOnce()) -> i32 {
    let pid = clone_raw(flags).expect("clone");
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(done.is_err())) };
    }
    pid
}

fn child(flags: i32, body: impl FnOnce()) {
    let pid = start(flags, body);
    assert_eq!(wait_raw(pid), 0);
}

/// A child in this memory that this process waits for.
fn borrower(flags: i32, body: extern "C" fn(*mut libc::c_void) -> i32) -> i32 {
    let mut stack = vec![0_u8; 256 * 1024];
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end.map_addr(|at| at & !15);
    // SAFETY: the child has its own stack, and this thread waits until it has ended.
    let pid = unsafe { libc::clone(body, top.cast(), flags, std::ptr::null_mut()) };
    assert!(pid > 0, "{}", Errno::last());
    pid
}

fn is_open(number: RawFd) -> bool {
    fd::fcntl(number, libc::F_GETFD, 0).is_ok()
}

/// A number that nothing has.
const FREE: RawFd = 77;

fn descriptors_opened_and_closed_by_one_are_the_others() {
    let file = File::open("/dev/null").expect("open");
    let own = file.as_raw_fd();
    child(libc::CLONE_FILES, || {
        fd::dup2(own, FREE).expect("dup2");
        fd::fcntl(own, libc::F_SETFD, 0).expect("fcntl");
    });
    assert!(is_open(FREE));
    assert_eq!(fd::fcntl(own, libc::F_GETFD, 0), Ok(0));
    child(libc::CLONE_FILES, || fd::close(FREE).expect("close"));
    assert!(!is_open(FREE));
    // The death of the others closes nothing.
    assert!(is_open(own));
}

fn descriptors_are_copied_by_fork_of_a_sharer() {
    let file = File::open("/dev/null").expect("open");
    let own = file.as_raw_fd();
    child(libc::CLONE_FILES, || {
        let pid = fork_child(|| i32::from(fd::close(own).is_err())).as_raw();
        assert_eq!(wait_raw(pid), 0);
        assert!(is_open(own));
    });
    assert!(is_open(own));
}

fn unshare_ends_the_sharing_of_descriptors() {
    let file = File::open("/dev/null").expect("open");
    let own = file.as_raw_fd();
    child(libc::CLONE_FILES, || {
        unshare(CloneFlags::CLONE_FILES).expect("unshare");
        fd::close(own).expect("close");
        fd::dup2(2, FREE).expect("dup2");
    });
    assert!(is_open(own) && !is_open(FREE));
}

fn close_range_closes_for_its_caller_alone() {
    const CLOSE_RANGE_UNSHARE: u32 = 2;
    let file = File::open("/dev/null").expect("open");
    let own = file.as_raw_fd();
    let close_own = |flags: u32| {
        // SAFETY: takes numbers; nobody uses the descriptor later.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, own, own, flags) };
        assert_eq!(closed, 0);
        assert!(!is_open(own));
    };
    child(libc::CLONE_FILES, || close_own(CLOSE_RANGE_UNSHARE));
    assert!(is_open(own));
    child(libc::CLONE_FILES, || close_own(0));
    assert!(!is_open(own));
    fd::dup2(2, own).expect("dup2");
}

fn exec_closes_descriptors_for_its_process_alone() {
    let file = File::open("/dev/null").expect("open");
    let own = fd::dup3(file.as_raw_fd(), FREE, libc::O_CLOEXEC).expect("dup3");
    let listed = Scratch::new();
    let list = listed.at("list");
    let script = format!("ls /proc/self/fd >{}", list.display());
    child(libc::CLONE_FILES, || {
        let words = [c"sh".into(), c"-c".into(), std::ffi::CString::new(script).expect("no NUL")];
        let never = nix::unistd::execv(c"/bin/sh", &words);
        panic!("{never:?}");
    });
    let names = text::read(list.to_str().expect("a name"));
    assert!(!names.lines().any(|name| name == own.to_string()), "{names}");
    assert!(is_open(own));
    fd::close(own).expect("close");
}

/// The first byte of a file, by a mapping.
fn mapped_byte(number: RawFd) -> u8 {
    // SAFETY: a new mapping of a page that the file has.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, number, 0) };
    assert_ne!(at, libc::MAP_FAILED, "{}", Errno::last());
    // SAFETY: mapped for reading.
    let byte = unsafe { at.cast::<u8>().read_volatile() };
    // SAFETY: nobody uses it any more.
    assert_eq!(unsafe { libc::munmap(at, 4096) }, 0);
    byte
}

fn files_mapped_by_both_are_the_right_ones() {
    let scratch = Scratch::new();
    let open = |name: &str| File::open(scratch.file(name, name.repeat(4096))).expect("open");
    let (first, second) = (open("a"), open("b"));
    let memory = memfd_create(c"m", MFdFlags::empty()).expect("memfd_create");
    fd::write(memory.as_raw_fd(), &[b'm'; 4096]).expect("write");
    let replace = |by: RawFd| {
        fd::dup2(by, FREE).expect("dup2");
        mapped_byte(FREE)
    };
    assert_eq!(replace(first.as_raw_fd()), b'a');
    child(libc::CLONE_FILES, || {
        assert_eq!(mapped_byte(FREE), b'a');
        assert_eq!(replace(second.as_raw_fd()), b'b');
    });
    assert_eq!(mapped_byte(FREE), b'b');
    child(libc::CLONE_FILES, || {
        fd::close(FREE).expect("close");
        assert_eq!(replace(memory.as_raw_fd()), b'm');
    });
    assert_eq!(mapped_byte(FREE), b'm');
    fd::close(FREE).expect("close");
}

/// Whether another process, with other descriptors, finds a lock.
fn is_locked(path: &std::path::Path) -> bool {
    let status = guest::in_child(|| {
        let file = OpenOptions::new().write(true).open(path).expect("open");
        i32::from(lock(file.as_raw_fd(), libc::F_WRLCK).is_err())
    });
    status != 0
}

fn lock(number: RawFd, kind: i32) -> Result<i32, Errno> {
    // SAFETY: all zeroes is a valid value.
    let mut flock: libc::flock = unsafe { std::mem::zeroed() };
    flock.l_type = i16::try_from(kind).expect("a small number");
    // SAFETY: the argument is a struct flock.
    Errno::result(unsafe { libc::fcntl(number, libc::F_SETLK, &raw const flock) })
}

fn record_locks_belong_to_the_table() {
    let scratch = Scratch::new();
    let path = scratch.file("f", "x");
    let file = OpenOptions::new().read(true).write(true).open(&path).expect("open");
    let own = file.as_raw_fd();
    child(libc::CLONE_FILES, || assert!(lock(own, libc::F_WRLCK).is_ok()));
    // Who asked for it is dead, but its descriptors are not closed.
    assert!(is_locked(&path));
    child(libc::CLONE_FILES, || assert!(lock(own, libc::F_UNLCK).is_ok()));
    assert!(!is_locked(&path));
    assert!(lock(own, libc::F_WRLCK).is_ok());
    child(libc::CLONE_FILES, || {
        assert!(lock(own, libc::F_RDLCK).is_ok());
        // A table of one's own has no locks of the other.
        unshare(CloneFlags::CLONE_FILES).expect("unshare");
        assert_eq!(lock(own, libc::F_WRLCK), Err(Errno::EAGAIN));
    });
    assert!(is_locked(&path));
    drop(file);
    assert!(!is_locked(&path));
}

extern "C" fn opens(_: *mut libc::c_void) -> i32 {
    i32::from(fd::dup2(2, FREE).is_err())
}

fn vfork_with_descriptors_waits_for_its_child() {
    let pid = borrower(libc::CLONE_FILES | libc::CLONE_FS | libc::CLONE_SIGHAND, opens);
    assert_eq!(wait_raw(pid), 0);
    assert!(is_open(FREE));
    fd::close(FREE).expect("close");
}

fn directories_and_mask_are_common() {
    let scratch = Scratch::new();
    let dir = fs::canonicalize(scratch.dir()).expect("a path");
    child(libc::CLONE_FS, || {
        chdir(&dir).expect("chdir");
        umask(Mode::from_bits_truncate(0o71));
    });
    assert_eq!(getcwd().expect("getcwd"), dir);
    assert_eq!(umask(Mode::from_bits_truncate(0o22)).bits(), 0o71);
    // An ordinary child has a copy, of the state as it is now.
    child(0, || {
        assert_eq!(getcwd().expect("getcwd"), dir);
        chdir("/").expect("chdir");
    });
    assert_eq!(getcwd().expect("getcwd"), dir);
    // A helper that shuts its parent in, as browsers' sandboxes do.
    child(0, || {
        child(libc::CLONE_FS, || nix::unistd::chroot(&dir).expect("chroot"));
        assert!(fs::metadata("/bin/sh").is_err());
    });
}

fn unshare_ends_the_sharing_of_directories() {
    chdir("/").expect("chdir");
    child(libc::CLONE_FS, || {
        unshare(CloneFlags::CLONE_FS).expect("unshare");
        chdir("/tmp").expect("chdir");
    });
    assert_eq!(getcwd().expect("getcwd").as_os_str(), "/");
    child(libc::CLONE_FS, || {
        unshare(CloneFlags::CLONE_NEWNS).expect("unshare");
        chdir("/tmp").expect("chdir");
    });
    assert_eq!(getcwd().expect("getcwd").as_os_str(), "/");
}

extern "C" fn noted(_: i32) {}

extern "C" fn installs(_: *mut libc::c_void) -> i32 {
    // SAFETY: all zeroes is a valid value: no flags, so the handler interrupts calls.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = noted as *const () as usize;
    // SAFETY: the handler does nothing.
    unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }
}

fn action_of(signal: i32) -> usize {
    // SAFETY: all zeroes is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only asks.
    assert_eq!(unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) }, 0);
    action.sa_sigaction
}

fn signal_actions_are_common() {
    let pid = borrower(0, installs);
    assert_eq!(wait_raw(pid), 0);
    assert_eq!(action_of(libc::SIGUSR1), libc::SIG_DFL);
    let pid = borrower(libc::CLONE_SIGHAND, installs);
    assert_eq!(wait_raw(pid), 0);
    assert_eq!(action_of(libc::SIGUSR1), noted as *const () as usize);
    // The handler has no SA_RESTART: a call that waits ends.
    let own = getpid().as_raw();
    let (reader, _writer) = nix::unistd::pipe().expect("pipe");
    let killer = start(0, || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        // SAFETY: raises a signal that has a handler.
        unsafe { libc::kill(own, libc::SIGUSR1) };
    });
    assert_eq!(fd::read(reader.as_raw_fd(), &mut [0]), Err(Errno::EINTR));
    assert_eq!(wait_raw(killer), 0);
}

fn kcmp(other: i32, kind: i32) -> i64 {
    // SAFETY: takes numbers.
    unsafe { libc::syscall(libc::SYS_kcmp, getpid().as_raw(), other, kind, 0, 0) }
}

fn kcmp_tells_what_is_common() {
    const KINDS: [i32; 2] = [2, 3];
    for flags in [0, libc::CLONE_FILES, libc::CLONE_FS, libc::CLONE_FILES | libc::CLONE_FS] {
        let parent = getpid().as_raw();
        child(flags, || {
            let same = KINDS.map(|kind| kcmp(parent, kind) == 0);
            assert_eq!(same, [flags & libc::CLONE_FILES != 0, flags & libc::CLONE_FS != 0]);
        });
    }
}

fn flags_are_checked() {
    for flags in
        [libc::CLONE_SIGHAND, libc::CLONE_FS | libc::CLONE_NEWNS, libc::CLONE_FS | libc::CLONE_NEWUSER]
    {
        assert_eq!(clone_raw(flags), Err(Errno::EINVAL), "{flags:#x}");
    }
}
