//! Descriptors in use: copies between them, locks, what /proc and the device files say of them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, fd, in_child};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, SpliceFFlags, copy_file_range, fallocate, splice};
use nix::sys::sendfile::sendfile;
use nix::unistd::{ftruncate, pipe};

fn main() -> ExitCode {
    guest::main(checks![
        read_at_end_gives_zero,
        read_of_directory_gets_eisdir,
        close_range_closes_and_marks,
        sendfile_copies_to_pipe_and_moves_offset,
        sendfile_to_offset_that_cannot_be_written_gets_efault,
        null_zero_and_full_stay_at_their_start,
        copy_file_range_copies,
        splice_moves_between_pipe_and_file,
        fallocate_extends,
        ftruncate_of_read_only_gets_einval,
        flock_excludes_other_description_not_duplicate,
        record_lock_conflicts_between_processes,
        record_locks_go_with_any_close,
        proc_self_fd_names_open_files,
        cloexec_numbers_close_on_exec,
        device_files_behave,
        dev_stdin_and_dev_fd_reopen,
        fionread_counts,
    ])
}

fn text(scratch: &Scratch) -> File {
    let path = scratch.file("text", "0123456789");
    OpenOptions::new().read(true).write(true).open(path).expect("open")
}

fn read_at_end_gives_zero() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let mut bytes = [0; 64];
    assert_eq!(file.read(&mut bytes).expect("read"), 10);
    assert_eq!(file.read(&mut bytes).expect("read"), 0);
    assert_eq!(file.read_at(&mut bytes, 1 << 40).expect("pread"), 0);
}

fn read_of_directory_gets_eisdir() {
    let dir = File::open("/tmp").expect("open");
    assert_eq!(fd::read(dir.as_raw_fd(), &mut [0]), Err(Errno::EISDIR));
}

fn close_range(first: u32, last: u32, flags: u32) -> nix::Result<()> {
    // SAFETY: the call takes no pointer; the callers' numbers are their own.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

fn close_range_closes_and_marks() {
    for number in 40..50 {
        fd::dup2(0, number).expect("dup2");
    }
    close_range(42, 44, 0).expect("close_range");
    assert_eq!(fd::fcntl(42, libc::F_GETFD, 0), Err(Errno::EBADF));
    assert_eq!(fd::fcntl(44, libc::F_GETFD, 0), Err(Errno::EBADF));
    assert_eq!(fd::fcntl(45, libc::F_GETFD, 0), Ok(0));
    close_range(45, u32::MAX, libc::CLOSE_RANGE_CLOEXEC).expect("close_range");
    assert_eq!(fd::fcntl(41, libc::F_GETFD, 0), Ok(0));
    assert_eq!(fd::fcntl(49, libc::F_GETFD, 0), Ok(libc::FD_CLOEXEC));
    assert_eq!(close_range(5, 4, 0), Err(Errno::EINVAL));
}

fn sendfile_copies_to_pipe_and_moves_offset() {
    let scratch = Scratch::new();
    let mut file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(sendfile(&writer, &file, None, 4), Ok(4));
    assert_eq!(file.stream_position().expect("tell"), 4);
    let mut offset = 8;
    assert_eq!(sendfile(&writer, &file, Some(&mut offset), 100), Ok(2));
    assert_eq!((offset, file.stream_position().expect("tell")), (10, 4));
    drop(writer);
    let mut all = String::new();
    File::from(reader).read_to_string(&mut all).expect("read");
    assert_eq!(all, "012389");
}

fn sendfile_to_offset_that_cannot_be_written_gets_efault() {
    let scratch = Scratch::new();
    let (source, target) = (File::open(scratch.file("empty", "")).expect("open"), text(&scratch));
    static OFFSET: i64 = 0;
    // SAFETY: the kernel checks the address, and may only read it.
    let sent = unsafe {
        let offset = (&raw const OFFSET).cast_mut();
        libc::sendfile(target.as_raw_fd(), source.as_raw_fd(), offset, 1)
    };
    assert_eq!(Errno::result(sent), Err(Errno::EFAULT));
}

fn null_zero_and_full_stay_at_their_start() {
    for name in ["/dev/null", "/dev/zero", "/dev/full"] {
        let device = File::open(name).expect("open");
        for (offset, whence) in [(-5, libc::SEEK_SET), (7, libc::SEEK_CUR), (9, libc::SEEK_END)] {
            assert_eq!(fd::lseek(device.as_raw_fd(), offset, whence), Ok(0), "{name}");
        }
    }
}

fn copy_file_range_copies() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let to = OpenOptions::new().read(true).write(true).create_new(true).open(scratch.at("to")).expect("open");
    let mut from_offset = 2;
    assert_eq!(copy_file_range(&file, Some(&mut from_offset), &to, None, 5), Ok(5));
    assert_eq!(fs::read(scratch.at("to")).expect("read"), b"23456");
    assert_eq!(from_offset, 7);
}

fn splice_moves_between_pipe_and_file() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let (reader, writer) = pipe().expect("pipe");
    let mut offset = 3;
    assert_eq!(splice(&file, Some(&mut offset), &writer, None, 4, SpliceFFlags::empty()), Ok(4));
    let mut bytes = [0; 10];
    assert_eq!(nix::unistd::read(&reader, &mut bytes), Ok(4));
    assert_eq!(&bytes[..4], b"3456");
    assert_eq!(error_of(splice(&file, None, &file, None, 1, SpliceFFlags::empty())), Errno::EINVAL);
}

fn fallocate_extends() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    fallocate(&file, FallocateFlags::empty(), 0, 5000).expect("fallocate");
    assert_eq!(file.metadata().expect("stat").len(), 5000);
    assert_eq!(fallocate(&file, FallocateFlags::empty(), 0, 0), Err(Errno::EINVAL));
}

fn ftruncate_of_read_only_gets_einval() {
    let scratch = Scratch::new();
    let file = File::open(scratch.file("f", "abc")).expect("open");
    assert_eq!(ftruncate(&file, 0), Err(Errno::EINVAL));
    assert_eq!(ftruncate(text(&scratch), -1), Err(Errno::EINVAL));
}

fn flock(number: i32, operation: i32) -> nix::Result<()> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::flock(number, operation) }).map(drop)
}

fn flock_excludes_other_description_not_duplicate() {
    let scratch = Scratch::new();
    let (a, b) = (text(&scratch), File::open(scratch.at("text")).expect("open"));
    let duplicate = a.try_clone().expect("dup");
    flock(a.as_raw_fd(), libc::LOCK_EX).expect("flock");
    flock(duplicate.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB).expect("the same description");
    assert_eq!(flock(b.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB), Err(Errno::EAGAIN));
    drop(a);
    assert_eq!(flock(b.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB), Err(Errno::EAGAIN));
    drop(duplicate);
    flock(b.as_raw_fd(), libc::LOCK_SH | libc::LOCK_NB).expect("the lock went with its last descriptor");
}

fn lock_region(kind: i32, start: i64, length: i64) -> libc::flock {
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: start,
        l_len: length,
        l_pid: 0,
    }
}

fn record_lock_conflicts_between_processes() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = Scratch::new();
    let file = text(&scratch);
    fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 2, 4))).expect("lock");
    let parent = std::process::id();
    let status = in_child(|| {
        assert_eq!(fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_RDLCK, 5, 1))), Err(Errno::EAGAIN));
        fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 6, 0))).expect("behind it is free");
        let mut found = lock_region(libc::F_WRLCK, 0, 0);
        fcntl(&file, FcntlArg::F_GETLK(&mut found)).expect("getlk");
        assert_eq!((found.l_start, found.l_len, i32::from(found.l_type)), (2, 4, libc::F_WRLCK));
        assert_eq!(found.l_pid.cast_unsigned(), parent);
        0
    });
    assert_eq!(status, 0);
    fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_UNLCK, 3, 1))).expect("unlock the middle");
    assert_eq!(
        in_child(|| i32::from(fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 3, 1))).is_err())),
        0
    );
}

fn record_locks_go_with_any_close() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scratch = Scratch::new();
    let file = text(&scratch);
    fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 0, 0))).expect("lock");
    drop(File::open(scratch.at("text")).expect("open"));
    assert_eq!(
        in_child(|| i32::from(fcntl(&file, FcntlArg::F_SETLK(&lock_region(libc::F_WRLCK, 0, 0))).is_err())),
        0
    );
}

fn proc_self_fd_names_open_files() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    assert_eq!(fs::read_link(&link).expect("readlink"), scratch.at("text"));
    let (reader, _writer) = pipe().expect("pipe");
    let target = fs::read_link(format!("/proc/self/fd/{}", reader.as_raw_fd())).expect("readlink");
    assert!(target.to_string_lossy().starts_with("pipe:["), "{target:?}");
    let again = File::open(&link).expect("a new description");
    assert_eq!(fd::lseek(again.as_raw_fd(), 0, libc::SEEK_CUR), Ok(0));
    fs::remove_file(scratch.at("text")).expect("unlink");
    assert!(fs::read_link(&link).expect("readlink").to_string_lossy().ends_with("text (deleted)"));
    assert_eq!(fs::read_to_string(&link).expect("a deleted file can be opened here"), "0123456789");
}

fn cloexec_numbers_close_on_exec() {
    fd::dup2(0, 60).expect("dup2");
    fd::dup3(0, 61, libc::O_CLOEXEC).expect("dup3");
    let script = "for n in 60 61; do test -e /proc/self/fd/$n && echo $n; done; true";
    let output = std::process::Command::new("/bin/sh").args(["-c", script]).output().expect("sh");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "60\n");
}

fn device_files_behave() {
    let mut bytes = [1; 8];
    let open = |path: &str| OpenOptions::new().read(true).write(true).open(path).expect("open");
    assert_eq!(open("/dev/null").read(&mut bytes).expect("read"), 0);
    assert_eq!(open("/dev/null").write(&bytes).expect("write"), 8);
    assert_eq!(open("/dev/zero").read(&mut bytes).expect("read"), 8);
    assert_eq!(bytes, [0; 8]);
    assert_eq!(open("/dev/full").read(&mut bytes).expect("read"), 8);
    assert_eq!(open("/dev/full").write(&bytes).expect_err("full").raw_os_error(), Some(libc::ENOSPC));
    let mut random = [0; 64];
    File::open("/dev/urandom").expect("open").read_exact(&mut random).expect("read");
    assert_ne!(random, [0; 64]);
    let null = fs::metadata("/dev/null").expect("stat");
    assert_eq!(std::os::unix::fs::MetadataExt::rdev(&null), libc::makedev(1, 3));
}

fn dev_stdin_and_dev_fd_reopen() {
    let scratch = Scratch::new();
    let file = text(&scratch);
    fd::dup2(file.as_raw_fd(), 0).expect("dup2");
    assert_eq!(fs::read_to_string("/dev/stdin").expect("read"), "0123456789");
    let number = file.as_raw_fd();
    assert_eq!(fs::read_to_string(format!("/dev/fd/{number}")).expect("read"), "0123456789");
}

nix::ioctl_read_bad!(fionread, libc::FIONREAD, libc::c_int);

fn fionread_counts() {
    let (reader, writer) = pipe().expect("pipe");
    nix::unistd::write(&writer, b"four").expect("write");
    let mut count = 0;
    // SAFETY: `count` outlives the call.
    unsafe { fionread(reader.as_raw_fd(), &mut count) }.expect("ioctl");
    assert_eq!(count, 4);
    // SAFETY: as above; the file answers ENOTTY.
    let result = unsafe { fionread(File::open("/dev/null").expect("open").as_raw_fd(), &mut count) };
    assert_eq!(result, Err(Errno::ENOTTY));
}
