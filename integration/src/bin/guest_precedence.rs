//! What a call with several faults says first, and what it has done by then. All of it was found by `palisade fuzz`, which
//! compares the sandbox with the host.

use std::ffi::CString;
use std::process::ExitCode;

use integration::guest::fd;
use integration::{checks, guest};
use nix::errno::Errno;

fn main() -> ExitCode {
    guest::main(checks![
        rename_finds_both_directories_before_names_are_too_long,
        rename_looks_at_the_old_directory_before_the_new_name,
        an_empty_path_is_missing_before_its_descriptor_is_bad,
        an_empty_path_is_a_descriptor_where_that_is_asked,
        handle_is_read_before_its_mount_is_looked_at,
        flags_of_open_are_judged_before_the_descriptor,
        access_mode_three_may_make_nameless_files_and_lock_nothing,
        times_are_judged_when_the_file_is_found,
        truncate_minds_the_limit_last,
        stat_takes_the_flags_of_statx_that_say_when,
        statx_tells_changes_only_where_asked,
        openat2_makes_large_files,
        only_regular_files_are_opened_past_the_cache,
        socketpair_tells_numbers_before_it_fails,
        eventfd_takes_eight_bytes_at_a_time,
        packets_are_the_writing_ends_affair,
        anonymous_inodes_have_no_attributes_to_set,
        timers_are_judged_before_the_descriptor,
        epoll_wait_looks_at_the_descriptor_first,
        semaphore_operations_are_read_before_the_id_is_judged,
        allocation_in_memory_knows_no_zeroed_ranges,
        sockets_that_never_were_connected_can_be_shut_down,
        watches_take_known_bits_only,
    ])
}

/// The call itself, with what it returns.
fn call(number: i64, arguments: &[usize]) -> Result<i64, Errno> {
    let mut all = [0; 6];
    all[..arguments.len()].copy_from_slice(arguments);
    let [a, b, c, d, e, f] = all;
    // SAFETY: pointers among the arguments lead to what outlives the call, or nowhere, which the kernel refuses.
    Errno::result(unsafe { libc::syscall(number, a, b, c, d, e, f) })
}

/// An address where nothing is.
const NOWHERE: usize = 8;
const CWD: usize = libc::AT_FDCWD as usize;
const NO_FD: usize = usize::MAX;

fn text(name: &str) -> CString {
    CString::new(name).expect("no NUL")
}

/// A directory in memory, where this process then works.
fn in_memory() {
    let dir = format!("/dev/shm/precedence-{}", std::process::id());
    let _ = std::fs::create_dir(&dir);
    std::env::set_current_dir(&dir).expect("chdir");
    // Gone with the process: the directory has no name any more, and takes no new names.
    std::fs::write("file", "content").expect("write");
}

fn leave_memory() {
    let here = std::env::current_dir().expect("cwd");
    std::env::set_current_dir("/").expect("chdir");
    std::fs::remove_dir_all(here).expect("remove");
}

fn rename_finds_both_directories_before_names_are_too_long() {
    let long = text(&"n".repeat(256));
    let missing = text("missing/name");
    let (old, new) = (long.as_ptr() as usize, missing.as_ptr() as usize);
    assert_eq!(call(libc::SYS_rename, &[old, new]), Err(Errno::ENOENT));
    assert_eq!(call(libc::SYS_rename, &[old, old]), Err(Errno::ENAMETOOLONG));
    assert_eq!(call(libc::SYS_access, &[old, 0]), Err(Errno::ENAMETOOLONG));
}

fn rename_looks_at_the_old_directory_before_the_new_name() {
    let (reader, _writer) = nix::unistd::pipe().expect("pipe");
    let name = text("a");
    let pipe = std::os::fd::AsRawFd::as_raw_fd(&reader) as usize;
    let old = name.as_ptr() as usize;
    assert_eq!(call(libc::SYS_renameat, &[pipe, old, CWD, 0]), Err(Errno::ENOTDIR));
    assert_eq!(call(libc::SYS_renameat, &[CWD, 0, pipe, old]), Err(Errno::EFAULT));
}

fn an_empty_path_is_missing_before_its_descriptor_is_bad() {
    let empty = text("");
    let path = empty.as_ptr() as usize;
    assert_eq!(call(libc::SYS_unlinkat, &[NO_FD, path, 0]), Err(Errno::ENOENT));
    assert_eq!(call(libc::SYS_mkdirat, &[NO_FD, path, 0]), Err(Errno::ENOENT));
    let stat = [0_u64; 18];
    let empty_path = libc::AT_EMPTY_PATH as usize;
    let into = stat.as_ptr() as usize;
    assert_eq!(call(libc::SYS_newfstatat, &[NO_FD, path, into, empty_path]), Err(Errno::EBADF));
    assert_eq!(call(libc::SYS_readlinkat, &[NO_FD, path, into, 8]), Err(Errno::EBADF));
}

fn an_empty_path_is_a_descriptor_where_that_is_asked() {
    in_memory();
    let (empty, name) = (text(""), text("file"));
    let path = empty.as_ptr() as usize;
    let fd = call(libc::SYS_openat, &[CWD, name.as_ptr() as usize, 0, 0]).expect("open") as usize;
    let flag = libc::AT_EMPTY_PATH as usize;
    const SYS_FCHMODAT2: i64 = 452;
    assert_eq!(call(SYS_FCHMODAT2, &[fd, path, 0o640, flag]), Ok(0));
    assert_eq!(call(libc::SYS_fchownat, &[fd, path, usize::MAX, usize::MAX, flag]), Ok(0));
    assert_eq!(call(libc::SYS_faccessat2, &[fd, path, 0, flag]), Ok(0));
    assert_eq!(call(libc::SYS_utimensat, &[fd, path, 0, flag]), Ok(0));
    assert_eq!(call(libc::SYS_fchownat, &[fd, path, usize::MAX, usize::MAX, 0]), Err(Errno::ENOENT));
    leave_memory();
}

fn handle_is_read_before_its_mount_is_looked_at() {
    let none = [0_u32; 4];
    let handle = none.as_ptr() as usize;
    assert_eq!(call(libc::SYS_open_by_handle_at, &[NO_FD, handle, 0]), Err(Errno::EINVAL));
    assert_eq!(call(libc::SYS_open_by_handle_at, &[NO_FD, NOWHERE, 0]), Err(Errno::EFAULT));
}

fn flags_of_open_are_judged_before_the_descriptor() {
    let name = text("a");
    let flags = (libc::O_CREAT | libc::O_DIRECTORY) as usize;
    assert_eq!(call(libc::SYS_openat, &[NO_FD, name.as_ptr() as usize, flags, 0]), Err(Errno::EINVAL));
    assert_eq!(call(libc::SYS_openat, &[NO_FD, name.as_ptr() as usize, 0, 0]), Err(Errno::EBADF));
    const RESOLVE_CACHED: u64 = 0x20;
    let how = [libc::O_CREAT as u64, 0, RESOLVE_CACHED];
    let args = [CWD, name.as_ptr() as usize, how.as_ptr() as usize, 24];
    assert_eq!(call(libc::SYS_openat2, &args), Err(Errno::EAGAIN));
}

fn access_mode_three_may_make_nameless_files_and_lock_nothing() {
    in_memory();
    let dir = text(".");
    let flags = (libc::O_TMPFILE | 3) as usize;
    let made = call(libc::SYS_openat, &[CWD, dir.as_ptr() as usize, flags, 0o600]);
    let fd = made.expect("O_TMPFILE") as usize;
    assert_eq!(call(libc::SYS_flock, &[fd, libc::LOCK_EX as usize]), Err(Errno::EBADF));
    assert_eq!(call(libc::SYS_flock, &[fd, libc::LOCK_UN as usize]), Ok(0));
    leave_memory();
}

fn times_are_judged_when_the_file_is_found() {
    let name = text("/missing-file");
    let times = [0_i64, 2_000_000_000, 0, 0];
    let args = [CWD, name.as_ptr() as usize, times.as_ptr() as usize, 0];
    assert_eq!(call(libc::SYS_utimensat, &args), Err(Errno::ENOENT));
    let root = text("/");
    let args = [CWD, root.as_ptr() as usize, times.as_ptr() as usize, 0];
    assert_eq!(call(libc::SYS_utimensat, &args), Err(Errno::EINVAL));
}

fn truncate_minds_the_limit_last() {
    // A signal would end the process, were the limit looked at.
    let limit = libc::rlimit { rlim_cur: 100, rlim_max: libc::RLIM_INFINITY };
    let mut before = limit;
    // SAFETY: both structures are live.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut before) };
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) };
    let missing = text("/missing-file");
    assert_eq!(call(libc::SYS_truncate, &[missing.as_ptr() as usize, 4096]), Err(Errno::ENOENT));
    let dir = text("/");
    assert_eq!(call(libc::SYS_truncate, &[dir.as_ptr() as usize, 4096]), Err(Errno::EISDIR));
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const before) };
}

fn stat_takes_the_flags_of_statx_that_say_when() {
    let (root, stat) = (text("/"), [0_u64; 18]);
    let flags = libc::AT_STATX_FORCE_SYNC as usize;
    let args = [CWD, root.as_ptr() as usize, stat.as_ptr() as usize, flags];
    assert_eq!(call(libc::SYS_newfstatat, &args), Ok(0));
}

fn statx_tells_changes_only_where_asked() {
    in_memory();
    let (name, mut statx) = (text("file"), [0_u32; 64]);
    let mut told = |mask: u32| {
        let args = [CWD, name.as_ptr() as usize, 0, mask as usize, statx.as_mut_ptr() as usize];
        assert_eq!(call(libc::SYS_statx, &args), Ok(0));
        statx[0]
    };
    assert_eq!(told(libc::STATX_SIZE) & libc::STATX_BTIME, 0);
    assert_ne!(told(libc::STATX_BTIME) & libc::STATX_BTIME, 0);
    let changes = libc::STATX_CTIME | libc::STATX_MTIME;
    assert_eq!(told(libc::STATX_MTIME) & changes, changes);
    leave_memory();
}

fn openat2_makes_large_files() {
    let (root, how) = (text("/"), [0_u64; 3]);
    let args = [CWD, root.as_ptr() as usize, how.as_ptr() as usize, 24];
    let fd = call(libc::SYS_openat2, &args).expect("openat2") as usize;
    // O_LARGEFILE, which libc says is 0.
    assert_eq!(call(libc::SYS_fcntl, &[fd, libc::F_GETFL as usize]), Ok(0o100_000));
    assert_eq!(call(libc::SYS_close, &[fd]), Ok(0));
}

fn only_regular_files_are_opened_past_the_cache() {
    let null = text("/dev/null");
    let args = [CWD, null.as_ptr() as usize, libc::O_DIRECT as usize, 0];
    assert_eq!(call(libc::SYS_openat, &args), Err(Errno::EINVAL));
}

fn socketpair_tells_numbers_before_it_fails() {
    let mut pair = [-1_i32; 2];
    let args = [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, pair.as_mut_ptr() as usize];
    assert_eq!(call(libc::SYS_socketpair, &args), Err(Errno::EOPNOTSUPP));
    assert!(pair[0] >= 0 && pair[1] > pair[0], "{pair:?}");
    let bad = [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, NOWHERE];
    assert_eq!(call(libc::SYS_socketpair, &bad), Err(Errno::EFAULT));
}

fn eventfd_takes_eight_bytes_at_a_time() {
    let fd = call(libc::SYS_eventfd2, &[0, libc::O_NONBLOCK as usize]).expect("eventfd");
    let bytes = [1_u8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let halves = [[bytes.as_ptr() as usize, 5], [bytes.as_ptr() as usize, 3]];
    let args = [fd as usize, halves.as_ptr() as usize, 2];
    assert_eq!(call(libc::SYS_writev, &args), Err(Errno::EINVAL));
    let wholes = [[bytes.as_ptr() as usize, 8], [bytes.as_ptr() as usize, 8]];
    assert_eq!(call(libc::SYS_writev, &[fd as usize, wholes.as_ptr() as usize, 2]), Ok(16));
    let mut count = [0_u8; 8];
    assert_eq!(fd::read(fd as i32, &mut count), Ok(8));
    assert_eq!(count[0], 2);
}

fn packets_are_the_writing_ends_affair() {
    let mut pair = [0_i32; 2];
    let args = [pair.as_mut_ptr() as usize, libc::O_DIRECT as usize];
    assert_eq!(call(libc::SYS_pipe2, &args), Ok(0));
    let status = |fd: i32| call(libc::SYS_fcntl, &[fd as usize, libc::F_GETFL as usize]);
    assert_eq!(status(pair[0]), Ok(0));
    assert_eq!(status(pair[1]), Ok(i64::from(libc::O_DIRECT | libc::O_WRONLY)));
}

fn anonymous_inodes_have_no_attributes_to_set() {
    let fd = call(libc::SYS_epoll_create1, &[0]).expect("epoll") as usize;
    assert_eq!(call(libc::SYS_fchmod, &[fd, 0o600]), Err(Errno::EOPNOTSUPP));
    assert_eq!(call(libc::SYS_fchown, &[fd, 0, 0]), Err(Errno::EOPNOTSUPP));
    assert_eq!(call(libc::SYS_ioctl, &[fd, 0, 0]), Err(Errno::EINVAL));
}

fn timers_are_judged_before_the_descriptor() {
    let bad = [0_i64, -1, 0, 0];
    let args = [NO_FD, 0, bad.as_ptr() as usize, 0];
    assert_eq!(call(libc::SYS_timerfd_settime, &args), Err(Errno::EINVAL));
    let good = [0_i64; 4];
    let args = [NO_FD, 0, good.as_ptr() as usize, 0];
    assert_eq!(call(libc::SYS_timerfd_settime, &args), Err(Errno::EBADF));
}

fn epoll_wait_looks_at_the_descriptor_first() {
    assert_eq!(call(libc::SYS_epoll_wait, &[NO_FD, NOWHERE, 0, 0]), Err(Errno::EBADF));
}

fn semaphore_operations_are_read_before_the_id_is_judged() {
    let none = NO_FD;
    assert_eq!(call(libc::SYS_semop, &[none, NOWHERE, 1]), Err(Errno::EFAULT));
    let operation = [0_u16; 3];
    assert_eq!(call(libc::SYS_semop, &[none, operation.as_ptr() as usize, 1]), Err(Errno::EINVAL));
}

fn allocation_in_memory_knows_no_zeroed_ranges() {
    let name = text("m");
    let fd = call(libc::SYS_memfd_create, &[name.as_ptr() as usize, 0]).expect("memfd") as usize;
    let zero = libc::FALLOC_FL_ZERO_RANGE as usize;
    assert_eq!(call(libc::SYS_fallocate, &[fd, zero, 0, 8]), Err(Errno::EOPNOTSUPP));
    assert_eq!(call(libc::SYS_fallocate, &[fd, 0, 0, 8]), Ok(0));
}

fn sockets_that_never_were_connected_can_be_shut_down() {
    let socket = |domain: i32, kind: i32| {
        let args = [domain as usize, (kind | libc::SOCK_NONBLOCK) as usize, 0];
        call(libc::SYS_socket, &args).expect("socket") as usize
    };
    let both = libc::SHUT_RDWR as usize;
    let stream = socket(libc::AF_INET, libc::SOCK_STREAM);
    let mut byte = [0_u8; 1];
    let receive =
        |fd: usize, byte: &mut [u8]| call(libc::SYS_recvfrom, &[fd, byte.as_mut_ptr() as usize, 1, 0, 0, 0]);
    assert_eq!(receive(stream, &mut byte), Err(Errno::ENOTCONN));
    assert_eq!(call(libc::SYS_shutdown, &[stream, both]), Err(Errno::ENOTCONN));
    assert_eq!(receive(stream, &mut byte), Ok(0));
    let quiet = libc::MSG_NOSIGNAL as usize;
    let unix = socket(libc::AF_UNIX, libc::SOCK_DGRAM);
    let send = |fd: usize| call(libc::SYS_sendto, &[fd, byte.as_ptr() as usize, 1, quiet, 0, 0]);
    assert_eq!(send(unix), Err(Errno::ENOTCONN));
    assert_eq!(call(libc::SYS_shutdown, &[unix, both]), Ok(0));
    assert_eq!(send(unix), Err(Errno::EPIPE));
}

fn watches_take_known_bits_only() {
    let fd = call(libc::SYS_inotify_init1, &[0]).expect("inotify") as usize;
    let missing = text("/missing-file");
    let mask = (libc::IN_OPEN | 0x1_0000) as usize;
    assert_eq!(call(libc::SYS_inotify_add_watch, &[fd, missing.as_ptr() as usize, mask]), Err(Errno::EINVAL));
}
