//! Resources used up from inside. Each function takes as much as it is given, and says what the limit answered; what it
//! took stays taken until the test has looked at the supervisor.

use std::any::Any;
use std::ffi::CString;
use std::fs;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::Mutex;

use integration::guest::scratch::Scratch;
use integration::raw;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// A name, and what uses it up and returns the errno at the end.
type Bomb = (&'static str, fn() -> Errno);

const BOMBS: &[Bomb] = &[
    ("descriptors", descriptors),
    ("pipes", pipes),
    ("sockets", sockets),
    ("timers", timers),
    ("watches", watches),
    ("epolls", epolls),
    ("directories", directories),
    ("names", names),
    ("iovecs", iovecs),
    ("mappings", mappings),
    ("memory_files", memory_files),
    ("locks", locks),
    ("segments", segments),
    ("arguments", arguments),
    ("threads", threads),
    ("processes", processes),
];

/// Uses up the named thing.
pub(super) fn run(words: &[String]) -> ExitCode {
    let Some((name, bomb)) = BOMBS.iter().find(|(name, _)| words.first().is_some_and(|word| word == name))
    else {
        let names: Vec<_> = BOMBS.iter().map(|(name, _)| *name).collect();
        eprintln!("guest_escape: exhaust what? {}", names.join(" "));
        return ExitCode::FAILURE;
    };
    let errno = bomb();
    println!("full {name} {errno:?}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    // What was taken goes with the process: it must not be given back before the test has looked.
    ExitCode::SUCCESS
}

/// Takes hold of something until the process ends.
fn keep(thing: impl Send + 'static) {
    static KEPT: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(Vec::new());
    KEPT.lock().expect("nobody panics with it").push(Box::new(thing));
}

/// Repeats a call until it fails, `most` times at most: how often it was done, and the failure.
fn until_it_fails(most: usize, mut call: impl FnMut() -> Result<i64, Errno>) -> (usize, Errno) {
    for done in 0..most {
        if let Err(errno) = call() {
            return (done, errno);
        }
    }
    panic!("{most} times without a limit");
}

/// Descriptors as of most containers; more for those who only count them.
fn allow_descriptors(wanted: u64) {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, wanted.min(hard), hard).expect("setrlimit");
}

fn descriptors() -> Errno {
    allow_descriptors(1 << 20);
    let (done, errno) = until_it_fails(1 << 20, || raw!(SYS_dup, 0));
    println!("{done} descriptors");
    errno
}

/// Writes until the other side is full.
fn fill(fd: i64) {
    let block = vec![1u8; 1 << 16];
    while raw!(SYS_write, fd, block.as_ptr(), block.len()).is_ok() {}
}

fn pipes() -> Errno {
    allow_descriptors(1024);
    until_it_fails(1 << 20, || {
        let mut ends = [0i32; 2];
        raw!(SYS_pipe2, ends.as_mut_ptr(), libc::O_NONBLOCK)?;
        let _ = raw!(SYS_fcntl, ends[1], libc::F_SETPIPE_SZ, 1 << 20);
        fill(ends[1].into());
        Ok(0)
    })
    .1
}

fn sockets() -> Errno {
    // More than may be full: the others find that all of the sandbox's buffers are.
    allow_descriptors(8192);
    until_it_fails(1 << 20, || {
        let mut ends = [0i32; 2];
        let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK;
        raw!(SYS_socketpair, libc::AF_UNIX, kind, 0, ends.as_mut_ptr())?;
        ends.iter().for_each(|end| fill((*end).into()));
        Ok(0)
    })
    .1
}

fn timers() -> Errno {
    let mut count = 0;
    let (done, errno) = until_it_fails(1_000_000, || {
        let mut timer = 0i32;
        let result = raw!(SYS_timer_create, libc::CLOCK_MONOTONIC, 0, &raw mut timer);
        let soon = [0i64, 1 + count, 1000, 0];
        count += 1;
        let _ = raw!(SYS_timer_settime, timer, 0, soon.as_ptr(), 0);
        result
    });
    println!("{done} timers");
    errno
}

fn watches() -> Errno {
    let dir = Scratch::new();
    let inotify = raw!(SYS_inotify_init1, libc::IN_NONBLOCK).expect("inotify");
    let mut number = 0;
    let (done, errno) = until_it_fails(1_100_000, || {
        let file = dir.file(&format!("f{number}"), "");
        number += 1;
        let path = CString::new(file.into_os_string().into_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
        raw!(SYS_inotify_add_watch, inotify, path.as_ptr(), libc::IN_ALL_EVENTS)
    });
    println!("{done} watches");
    keep(dir);
    errno
}

fn epolls() -> Errno {
    let make = || raw!(SYS_epoll_create1, 0).expect("epoll");
    let mut inner = make();
    until_it_fails(1000, || {
        let outer = make();
        let event = [1u32, 0, 0];
        let result = raw!(SYS_epoll_ctl, outer, libc::EPOLL_CTL_ADD, inner, event.as_ptr());
        inner = outer;
        result
    })
    .1
}

/// Deeper than any stack could follow by recursion; then all of it is let go of at once.
fn directories() -> Errno {
    const DEEP: usize = 60_000;
    let dir = Scratch::new();
    nix::unistd::chdir(dir.dir()).expect("chdir");
    for _ in 0..DEEP {
        if raw!(SYS_mkdir, c"d".as_ptr(), 0o700).is_err() || raw!(SYS_chdir, c"d".as_ptr()).is_err() {
            break;
        }
    }
    let mut buffer = [0u8; 4096];
    let errno = raw!(SYS_getcwd, buffer.as_mut_ptr(), buffer.len()).expect_err("it is too long");
    nix::unistd::chdir("/").expect("chdir");
    keep(dir);
    errno
}

fn names() -> Errno {
    let long = |length: usize| CString::new("a/".repeat(length / 2)).expect("no NUL");
    for length in [4096, 8192, 1 << 20, 16 << 20] {
        let path = long(length);
        assert_eq!(raw!(SYS_access, path.as_ptr(), 0), Err(Errno::ENAMETOOLONG), "{length}");
    }
    let part = CString::new("a".repeat(256)).expect("no NUL");
    assert_eq!(raw!(SYS_access, part.as_ptr(), 0), Err(Errno::ENAMETOOLONG));
    let dir = Scratch::new();
    std::os::unix::fs::symlink(dir.at("loop"), dir.at("loop")).expect("a link");
    Errno::from_raw(fs::metadata(dir.at("loop")).expect_err("it has no end").raw_os_error().unwrap_or(0))
}

fn iovecs() -> Errno {
    // Nothing lies behind it.
    let at = raw!(SYS_mmap, 0, 1 << 20, 0, 0x22, -1, 0).expect("mmap").cast_unsigned();
    assert_eq!(raw!(SYS_mprotect, at, 1 << 16, 3), Ok(0));
    let zero = fs::File::open("/dev/zero").expect("/dev/zero");
    let fd = zero.as_raw_fd();
    // All of them the same memory, and much more than it is.
    let many: Vec<[u64; 2]> = vec![[at, 1 << 16]; 1025];
    assert_eq!(raw!(SYS_readv, fd, many.as_ptr(), 1025), Err(Errno::EINVAL));
    assert!(raw!(SYS_readv, fd, many.as_ptr(), 1024).is_ok());
    let huge: Vec<[u64; 2]> = vec![[at, 1 << 30]; 1024];
    let _ = raw!(SYS_readv, fd, huge.as_ptr(), 1024);
    let _ = raw!(SYS_read, fd, at, 0x7fff_f000);
    let _ = raw!(SYS_getrandom, at, 0x7fff_f000, 0);
    let negative = [[at, 1], [at, u64::MAX]];
    raw!(SYS_readv, fd, negative.as_ptr(), 2).expect_err("a length below zero")
}

fn mappings() -> Errno {
    let mut at = 0;
    let (done, errno) = until_it_fails(1 << 20, || {
        at += 1;
        let prot = 1 + (at & 1) * 2;
        raw!(SYS_mmap, 0x10_0000_0000_i64 + at * 4096, 4096, prot, 0x100022, -1, 0)
    });
    println!("{done} mappings");
    // Who has so many can still call, and be looked at.
    assert!(raw!(SYS_getppid).is_ok());
    let lines = fs::read_to_string("/proc/self/maps").map_or(0, |text| text.lines().count());
    println!("{lines} lines of maps");
    errno
}

fn memory_files() -> Errno {
    let dir = Scratch::new();
    let path = CString::new(dir.dir().as_os_str().as_encoded_bytes()).expect("no NUL");
    let mounted = raw!(
        SYS_mount,
        c"t".as_ptr(),
        path.as_ptr(),
        c"tmpfs".as_ptr(),
        0,
        c"size=64m,nr_inodes=5000".as_ptr()
    );
    assert_eq!(mounted, Ok(0));
    let block = vec![1u8; 1 << 20];
    let file = fs::File::create(dir.at("file")).expect("create");
    let (done, errno) =
        until_it_fails(100, || raw!(SYS_write, file.as_raw_fd(), block.as_ptr(), block.len()));
    assert!((63..=64).contains(&done), "{done} MB");
    let files = (0..10_000).find_map(|number| fs::File::create(dir.at(&format!("f{number}"))).err());
    assert_eq!(files.and_then(|error| error.raw_os_error()), Some(Errno::ENOSPC as i32));
    keep(dir);
    errno
}

fn locks() -> Errno {
    let dir = Scratch::new();
    let file = fs::File::create(dir.at("file")).expect("create");
    let mut at = 0;
    let (done, errno) = until_it_fails(1 << 20, || {
        // Every second byte: none can be joined with its neighbour.
        // SAFETY: a structure of numbers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        (lock.l_type, lock.l_start, lock.l_len) = (libc::F_WRLCK as i16, at, 1);
        at += 2;
        raw!(SYS_fcntl, file.as_raw_fd(), libc::F_SETLK, &raw const lock)
    });
    println!("{done} locks");
    keep((dir, file));
    errno
}

fn segments() -> Errno {
    let (done, errno) = until_it_fails(1 << 20, || raw!(SYS_shmget, libc::IPC_PRIVATE, 4096, 0o1600));
    println!("{done} segments");
    let (queues, _) = until_it_fails(1 << 20, || raw!(SYS_msgget, libc::IPC_PRIVATE, 0o1600));
    let (sets, _) = until_it_fails(1 << 20, || raw!(SYS_semget, libc::IPC_PRIVATE, 10, 0o1600));
    println!("{queues} queues, {sets} sets");
    errno
}

fn arguments() -> Errno {
    let long = CString::new("a".repeat(100_000)).expect("no NUL");
    let mut argv: Vec<_> = vec![long.as_ptr(); 1000];
    argv.push(std::ptr::null());
    raw!(SYS_execve, c"/bin/true".as_ptr(), argv.as_ptr(), 0).expect_err("100 MB of arguments")
}

fn threads() -> Errno {
    let (done, errno) = until_it_fails(100_000, || {
        let builder = std::thread::Builder::new().stack_size(16 << 10);
        let made = builder.spawn(|| {
            loop {
                std::thread::park();
            }
        });
        made.map(|_| 0).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
    });
    println!("{done} threads");
    errno
}

fn processes() -> Errno {
    let (done, errno) = until_it_fails(100_000, || {
        let child = raw!(SYS_fork)?;
        if child == 0 {
            loop {
                nix::unistd::pause();
            }
        }
        Ok(child)
    });
    println!("{done} processes");
    errno
}
