//! What one process holds against another: record locks and their deadlocks, programs that run, sealed memory.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, fd, in_child};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{ftruncate, pipe};

/// include/uapi/linux/fcntl.h; libc has no name for it.
const F_CREATED_QUERY: i32 = 1028;

fn main() -> ExitCode {
    guest::main(checks![
        touching_locks_join,
        query_tells_the_first_lock_in_the_way,
        circle_of_waiting_locks_gets_edeadlk,
        running_program_is_not_opened_for_writing,
        file_open_for_writing_is_not_executed,
        program_may_be_written_once_it_was_waited_for,
        program_may_be_written_after_a_refused_exec,
        sealing_a_mapped_memfd_gets_ebusy,
        write_sealed_memfd_still_allocates_within_its_size,
        created_query_tells_who_made_the_file,
    ])
}

fn region(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: 0, l_start: start, l_len: len, l_pid: 0 }
}

fn lockable(scratch: &Scratch) -> File {
    let path = scratch.file("locked", [0; 100]);
    OpenOptions::new().read(true).write(true).open(path).expect("open")
}

fn set(file: &File, kind: i32, start: i64, len: i64) -> nix::Result<i32> {
    fcntl(file, FcntlArg::F_SETLK(&region(kind, start, len)))
}

/// What another process is told of the first lock in the way of one on everything from `start`.
fn in_the_way(file: &File, start: i64) -> (i32, i64, i64) {
    let (mut reader, writer) = {
        let (reader, writer) = pipe().expect("pipe");
        (File::from(reader), File::from(writer))
    };
    let asked = in_child(|| {
        let mut lock = region(libc::F_WRLCK, start, 0);
        fcntl(file, FcntlArg::F_GETLK(&mut lock)).expect("getlk");
        let words = [i64::from(lock.l_type), lock.l_start, lock.l_len];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        (&writer).write_all(&bytes).expect("write");
        0
    });
    assert_eq!(asked, 0);
    let mut bytes = [0; 24];
    reader.read_exact(&mut bytes).expect("read");
    let (words, _) = bytes.as_chunks::<8>();
    (i64::from_ne_bytes(words[0]) as i32, i64::from_ne_bytes(words[1]), i64::from_ne_bytes(words[2]))
}

fn touching_locks_join() {
    let scratch = Scratch::new();
    let file = lockable(&scratch);
    set(&file, libc::F_WRLCK, 10, 5).expect("lock");
    set(&file, libc::F_WRLCK, 15, 5).expect("lock behind it");
    set(&file, libc::F_WRLCK, 5, 5).expect("lock before it");
    assert_eq!(in_the_way(&file, 0), (libc::F_WRLCK, 5, 15));
    set(&file, libc::F_RDLCK, 8, 2).expect("another kind");
    assert_eq!(in_the_way(&file, 0), (libc::F_WRLCK, 5, 3));
    assert_eq!(in_the_way(&file, 8), (libc::F_RDLCK, 8, 2));
    assert_eq!(in_the_way(&file, 10), (libc::F_WRLCK, 10, 10));
}

fn query_tells_the_first_lock_in_the_way() {
    let scratch = Scratch::new();
    let file = lockable(&scratch);
    set(&file, libc::F_WRLCK, 50, 5).expect("lock");
    set(&file, libc::F_RDLCK, 1, 5).expect("lock before it");
    assert_eq!(in_the_way(&file, 0), (libc::F_RDLCK, 1, 5));
    assert_eq!(in_the_way(&file, 55), (libc::F_UNLCK, 55, 0));
}

fn circle_of_waiting_locks_gets_edeadlk() {
    let scratch = Scratch::new();
    let file = lockable(&scratch);
    set(&file, libc::F_WRLCK, 0, 1).expect("lock 0");
    let (reader, writer) = pipe().expect("pipe");
    let child = guest::fork_child(|| {
        set(&file, libc::F_WRLCK, 1, 1).expect("lock 1");
        nix::unistd::write(&writer, b"x").expect("write");
        i32::from(fcntl(&file, FcntlArg::F_SETLKW(&region(libc::F_WRLCK, 0, 1))).is_err())
    });
    nix::unistd::read(&reader, &mut [0]).expect("read");
    // Until the child waits there is no circle, and this would wait for it instead.
    while !fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.contains("->"))
        && !sleeps(child.as_raw())
    {
        thread::sleep(Duration::from_millis(5));
    }
    thread::sleep(Duration::from_millis(50));
    assert_eq!(fcntl(&file, FcntlArg::F_SETLKW(&region(libc::F_WRLCK, 1, 1))), Err(Errno::EDEADLK));
    set(&file, libc::F_UNLCK, 0, 1).expect("unlock");
    assert_eq!(guest::wait_raw(child.as_raw()), 0, "the child gets its lock");
}

fn sleeps(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// A program of the check's own.
fn program(scratch: &Scratch) -> PathBuf {
    let path = scratch.at("program");
    fs::copy("/bin/sleep", &path).expect("copy");
    fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("chmod");
    path
}

fn write_error(path: &Path) -> Option<Errno> {
    let opened = OpenOptions::new().write(true).open(path);
    opened.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw)
}

fn running_program_is_not_opened_for_writing() {
    let scratch = Scratch::new();
    let path = program(&scratch);
    assert_eq!(write_error(&path), None);
    let mut child = Command::new(&path).arg("60").stdin(Stdio::null()).spawn().expect("spawn");
    assert_eq!(write_error(&path), Some(Errno::ETXTBSY));
    assert_eq!(nix::unistd::truncate(&path, 3), Err(Errno::ETXTBSY));
    File::open(&path).expect("reading is allowed");
    fs::rename(&path, scratch.at("moved")).expect("so is renaming");
    assert_eq!(write_error(&scratch.at("moved")), Some(Errno::ETXTBSY));
    child.kill().expect("kill");
    child.wait().expect("wait");
    assert_eq!(write_error(&scratch.at("moved")), None);
}

fn file_open_for_writing_is_not_executed() {
    let scratch = Scratch::new();
    let path = program(&scratch);
    let writer = OpenOptions::new().append(true).open(&path).expect("open");
    let error = Command::new(&path).arg("0").spawn().expect_err("it is being written");
    assert_eq!(error.raw_os_error(), Some(libc::ETXTBSY));
    drop(writer);
    assert!(Command::new(&path).arg("0").status().expect("spawn").success());
}

fn program_may_be_written_once_it_was_waited_for() {
    let scratch = Scratch::new();
    let path = program(&scratch);
    for round in 0..20 {
        let mut command = Command::new(&path);
        command.arg(if round % 2 == 0 { "0" } else { "60" }).process_group(0);
        let mut child = command.spawn().expect("spawn");
        if round % 2 == 1 {
            child.kill().expect("kill");
        }
        child.wait().expect("wait");
        assert_eq!(write_error(&path), None, "round {round}");
    }
}

fn sealable(size: i64) -> OwnedFd {
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let memory =
        memfd_create(CString::new("sealed").expect("no NUL").as_c_str(), flags).expect("memfd_create");
    ftruncate(&memory, size).expect("ftruncate");
    memory
}

fn seal(memory: &OwnedFd, seals: SealFlag) -> nix::Result<()> {
    fcntl(memory, FcntlArg::F_ADD_SEALS(seals)).map(drop)
}

fn program_may_be_written_after_a_refused_exec() {
    let scratch = Scratch::new();
    let path = program(&scratch);
    let name = CString::new(path.as_os_str().as_encoded_bytes()).expect("no NUL");
    let refused = || {
        let too_long = CString::new([b'x'; 200_000]).expect("no NUL");
        assert_eq!(nix::unistd::execv(&name, &[&name, &too_long]).expect_err("too long"), Errno::E2BIG);
    };
    refused();
    assert_eq!(write_error(&path), None);
    let (reader, writer) = pipe().expect("pipe");
    let child = guest::fork_child(|| {
        refused();
        nix::unistd::write(&writer, b"x").expect("write");
        thread::sleep(Duration::from_secs(60));
        0
    });
    nix::unistd::read(&reader, &mut [0]).expect("read");
    while !sleeps(child.as_raw()) {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(write_error(&path), None);
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).expect("kill");
    guest::wait_raw(child.as_raw());
}

fn sealing_a_mapped_memfd_gets_ebusy() {
    let memory = sealable(4096);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of the check's own file, at an address that the kernel chooses.
    let mapped = unsafe {
        libc::mmap(std::ptr::null_mut(), 4096, protection, libc::MAP_SHARED, memory.as_raw_fd(), 0)
    };
    assert_ne!(mapped, libc::MAP_FAILED);
    assert_eq!(seal(&memory, SealFlag::F_SEAL_WRITE), Err(Errno::EBUSY));
    assert_eq!(seal(&memory, SealFlag::F_SEAL_GROW), Ok(()));
    // SAFETY: the mapping was made above and nothing refers to it.
    assert_eq!(unsafe { libc::munmap(mapped, 4096) }, 0);
    assert_eq!(seal(&memory, SealFlag::F_SEAL_WRITE), Ok(()));
    assert_eq!(fd::write(memory.as_raw_fd(), b"x"), Err(Errno::EPERM));
}

fn write_sealed_memfd_still_allocates_within_its_size() {
    let memory = sealable(8192);
    seal(&memory, SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_GROW).expect("seal");
    fallocate(&memory, FallocateFlags::empty(), 0, 8192).expect("within");
    assert_eq!(fallocate(&memory, FallocateFlags::empty(), 0, 8193), Err(Errno::EPERM));
    let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    assert_eq!(fallocate(&memory, punch, 0, 4096), Err(Errno::EPERM));
}

fn created_query_tells_who_made_the_file() {
    let scratch = Scratch::new();
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).mode(0o600).open(scratch.at("new")).expect("open")
    };
    let (first, second) = (open(), open());
    assert_eq!(fd::fcntl(first.as_raw_fd(), F_CREATED_QUERY, 0), Ok(1));
    assert_eq!(fd::fcntl(second.as_raw_fd(), F_CREATED_QUERY, 0), Ok(0));
}
