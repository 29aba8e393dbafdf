//! Asynchronous I/O as libaio makes it (io_setup(2)), and the newer calls on extended attributes, caches and handles.

use std::fs::{self, File, OpenOptions};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, RawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, in_child};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{pipe, write};

fn main() -> ExitCode {
    guest::main(checks![
        context_is_made_and_ended,
        requests_read_and_write,
        vectors_and_syncs_are_requests,
        errors_of_files_are_results,
        bad_requests_are_refused,
        full_context_refuses_more,
        events_are_waited_for,
        submission_waits_for_a_pipe,
        waiting_is_interrupted,
        eventfd_is_told,
        contexts_are_not_inherited,
        xattrat_calls_are_the_old_ones,
        cachestat_counts_pages,
        handles_of_shared_memory_tell_files_apart,
        ustat_finds_a_mount,
        anonymous_files_seek_nowhere,
        sizes_and_clones_are_answered,
        hints_of_lifetimes_are_taken,
    ])
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Iocb {
    data: u64,
    key: u32,
    rw_flags: u32,
    opcode: u16,
    reqprio: i16,
    fd: i32,
    buf: u64,
    nbytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    resfd: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Event {
    data: u64,
    obj: u64,
    res: i64,
    res2: i64,
}

const PREAD: u16 = 0;
const PWRITE: u16 = 1;
const FSYNC: u16 = 2;
const PREADV: u16 = 7;

fn call(nr: i64, args: [usize; 7]) -> nix::Result<i64> {
    let [a, b, c, d, e, f, g] = args;
    // SAFETY: callers pass what the call takes.
    Errno::result(unsafe { libc::syscall(nr, a, b, c, d, e, f, g) })
}

fn address<T>(value: &T) -> usize {
    std::ptr::from_ref(value) as usize
}

fn address_mut<T>(value: &mut T) -> usize {
    std::ptr::from_mut(value) as usize
}

/// A context, ended with the value.
struct Context(usize);

impl Context {
    fn new(count: usize) -> Self {
        let mut id = 0usize;
        call(libc::SYS_io_setup, [count, address_mut(&mut id), 0, 0, 0, 0, 0]).expect("io_setup");
        assert!(id != 0);
        Self(id)
    }

    fn submit(&self, requests: &[&Iocb]) -> nix::Result<i64> {
        let list: Vec<usize> = requests.iter().map(|request| address(*request)).collect();
        call(libc::SYS_io_submit, [self.0, list.len(), list.as_ptr() as usize, 0, 0, 0, 0])
    }

    fn events(&self, least: usize, most: usize, limit: Option<Duration>) -> nix::Result<Vec<Event>> {
        let mut events = vec![Event::default(); most.min(64)];
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: i64::try_from(limit.as_secs()).expect("short"),
            tv_nsec: i64::from(limit.subsec_nanos()),
        });
        let at = limit.as_ref().map_or(0, address);
        let args = [self.0, least, most, events.as_mut_ptr() as usize, at, 0, 0];
        let count = call(libc::SYS_io_getevents, args)?;
        events.truncate(usize::try_from(count).expect("a count"));
        Ok(events)
    }

    fn destroy(&self) -> nix::Result<i64> {
        call(libc::SYS_io_destroy, [self.0, 0, 0, 0, 0, 0, 0])
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _ = self.destroy();
    }
}

fn request(opcode: u16, fd: RawFd, bytes: &mut [u8], offset: i64) -> Iocb {
    let (buf, nbytes) = (bytes.as_mut_ptr() as u64, bytes.len() as u64);
    Iocb { opcode, fd, buf, nbytes, offset, data: u64::from(opcode) + 100, ..Iocb::default() }
}

fn file(scratch: &Scratch, content: &str) -> File {
    let path = scratch.file("f", content);
    OpenOptions::new().read(true).write(true).open(path).expect("open")
}

fn context_is_made_and_ended() {
    let context = Context::new(8);
    assert_eq!(context.destroy(), Ok(0));
    assert_eq!(context.destroy(), Err(Errno::EINVAL));
    assert_eq!(context.submit(&[]), Err(Errno::EINVAL));
    let mut id = 0usize;
    assert_eq!(call(libc::SYS_io_setup, [0, address_mut(&mut id), 0, 0, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(call(libc::SYS_io_setup, [1, 8, 0, 0, 0, 0, 0]), Err(Errno::EFAULT));
    id = 1;
    assert_eq!(call(libc::SYS_io_setup, [1, address_mut(&mut id), 0, 0, 0, 0, 0]), Err(Errno::EINVAL));
    id = 0;
    let mut refused = |count| call(libc::SYS_io_setup, [count, address_mut(&mut id), 0, 0, 0, 0, 0]);
    assert_eq!(refused(0x20_0000), Err(Errno::EAGAIN));
    assert_eq!(refused(0x0fff_ffff), Err(Errno::EINVAL));
}

fn requests_read_and_write() {
    let scratch = Scratch::new();
    let file = file(&scratch, "0123456789");
    let context = Context::new(8);
    let mut written = *b"ABC";
    let write = request(PWRITE, file.as_raw_fd(), &mut written, 2);
    assert_eq!(context.submit(&[&write]), Ok(1));
    let done = context.events(1, 8, None).expect("events");
    assert_eq!(done, [Event { data: 101, obj: address(&write) as u64, res: 3, res2: 0 }]);
    let mut read = [0u8; 16];
    let read_it = request(PREAD, file.as_raw_fd(), &mut read, 0);
    assert_eq!(context.submit(&[&read_it]), Ok(1));
    assert_eq!(context.events(1, 1, None).expect("events")[0].res, 10);
    assert_eq!(&read[..10], b"01ABC56789");
}

fn vectors_and_syncs_are_requests() {
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let context = Context::new(8);
    let (mut one, mut two) = ([0u8; 2], [0u8; 9]);
    let mut parts = [&mut one[..], &mut two[..]]
        .map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
    let fd = file.as_raw_fd();
    let vector = Iocb {
        opcode: PREADV,
        fd,
        buf: parts.as_mut_ptr() as u64,
        nbytes: parts.len() as u64,
        offset: 1,
        ..Iocb::default()
    };
    let sync = Iocb { opcode: FSYNC, fd, ..Iocb::default() };
    assert_eq!(context.submit(&[&vector, &sync]), Ok(2));
    let mut results: Vec<_> = (0..2).map(|_| context.events(1, 1, None).expect("events")[0].res).collect();
    results.sort_unstable();
    assert_eq!(results, [0, 5]);
    assert_eq!((&one[..], &two[..3]), (&b"bc"[..], &b"def"[..]));
}

fn errors_of_files_are_results() {
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let context = Context::new(8);
    let bad = Iocb { opcode: PREAD, fd: file.as_raw_fd(), buf: 8, nbytes: 4, ..Iocb::default() };
    assert_eq!(context.submit(&[&bad]), Ok(1));
    let fault = -i64::from(Errno::EFAULT as i32);
    assert_eq!(context.events(1, 1, None).expect("events")[0].res, fault);
}

fn bad_requests_are_refused() {
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let context = Context::new(8);
    let mut bytes = [0u8; 4];
    let good = request(PREAD, file.as_raw_fd(), &mut bytes, 0);
    assert_eq!(context.submit(&[&Iocb { fd: -1, ..good }]), Err(Errno::EBADF));
    assert_eq!(context.submit(&[&Iocb { opcode: 99, ..good }]), Err(Errno::EINVAL));
    assert_eq!(context.submit(&[&Iocb { reserved: 1, ..good }]), Err(Errno::EINVAL));
    assert_eq!(context.submit(&[&Iocb { nbytes: u64::MAX, ..good }]), Err(Errno::EINVAL));
    assert_eq!(context.submit(&[&good, &Iocb { fd: -1, ..good }]), Ok(1), "those before it count");
    let null = call(libc::SYS_io_submit, [context.0, 1, 8, 0, 0, 0, 0]);
    assert_eq!(null, Err(Errno::EFAULT));
    let negative = call(libc::SYS_io_submit, [context.0, usize::MAX, 8, 0, 0, 0, 0]);
    assert_eq!(negative, Err(Errno::EINVAL));
    let read_only = File::open(scratch.at("f")).expect("open");
    let write = request(PWRITE, read_only.as_raw_fd(), &mut bytes, 0);
    assert_eq!(context.submit(&[&write]), Err(Errno::EBADF));
    assert_eq!(context.events(2, 1, None), Err(Errno::EINVAL));
}

fn full_context_refuses_more() {
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let context = Context::new(1);
    let mut bytes = [0u8; 4];
    let one = request(PREAD, file.as_raw_fd(), &mut bytes, 0);
    let mut taken = 0;
    let refused = loop {
        match context.submit(&[&one]) {
            Ok(1) if taken < 100_000 => taken += 1,
            other => break other,
        }
    };
    assert_eq!(refused, Err(Errno::EAGAIN));
    assert!(taken >= 1);
    context.events(1, 1, None).expect("events");
}

fn events_are_waited_for() {
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let context = Context::new(4);
    assert_eq!(context.events(0, 4, None), Ok(Vec::new()));
    let begin = Instant::now();
    assert_eq!(context.events(1, 4, Some(Duration::from_millis(40))), Ok(Vec::new()));
    assert!(begin.elapsed() >= Duration::from_millis(35));
    thread::scope(|scope| {
        let waiter = scope.spawn(|| context.events(1, 4, None));
        thread::sleep(Duration::from_millis(30));
        let mut bytes = [0u8; 4];
        let one = request(PREAD, file.as_raw_fd(), &mut bytes, 0);
        context.submit(&[&one]).expect("submit");
        assert_eq!(waiter.join().expect("thread").expect("events").len(), 1);
    });
}

fn submission_waits_for_a_pipe() {
    let result = |context: &Context| context.events(1, 1, None).expect("events")[0].res;
    let context = Context::new(4);
    let (reader, writer) = pipe().expect("pipe");
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        assert_eq!(write(&writer, b"late"), Ok(4));
        writer
    });
    let mut bytes = [0; 8];
    let one = request(PREAD, reader.as_raw_fd(), &mut bytes, 0);
    assert_eq!(context.submit(&[&one]), Ok(1));
    assert_eq!(result(&context), 4);
    assert_eq!(&bytes, b"late\0\0\0\0");
    let _writer = late.join().expect("join");
    // Not without its blocking.
    let flags = OFlag::O_NONBLOCK | OFlag::O_RDONLY;
    fcntl(&reader, FcntlArg::F_SETFL(flags)).expect("fcntl");
    assert_eq!(context.submit(&[&one]), Ok(1));
    assert_eq!(result(&context), -i64::from(libc::EAGAIN));
}

extern "C" fn ignore(_signal: i32) {}

fn waiting_is_interrupted() {
    let status = in_child(|| {
        // SAFETY: plain data.
        let mut action: libc::sigaction = unsafe { zeroed() };
        action.sa_sigaction = ignore as extern "C" fn(i32) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler does nothing.
        assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) }, 0);
        // SAFETY: plain data.
        let mut timer: libc::itimerval = unsafe { zeroed() };
        timer.it_value.tv_usec = 30_000;
        // SAFETY: the structure is readable.
        let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
        assert_eq!(set, 0);
        assert_eq!(Context::new(1).events(1, 1, None), Err(Errno::EINTR));
        0
    });
    assert_eq!(status, 0);
}

fn eventfd_is_told() {
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let context = Context::new(4);
    // SAFETY: the call takes no pointer.
    let told = unsafe { libc::eventfd(0, 0) };
    let mut bytes = [0u8; 4];
    let one = request(PREAD, file.as_raw_fd(), &mut bytes, 0);
    let one = Iocb { flags: 1, resfd: told, ..one };
    assert_eq!(context.submit(&[&one, &one]), Ok(2));
    assert_eq!(context.events(2, 2, None).map(|events| events.len()), Ok(2));
    let mut count = 0u64;
    // SAFETY: eight bytes.
    assert_eq!(unsafe { libc::read(told, std::ptr::from_mut(&mut count).cast(), 8) }, 8);
    assert_eq!(count, 2);
    assert_eq!(context.submit(&[&Iocb { resfd: file.as_raw_fd(), ..one }]), Err(Errno::EINVAL));
}

fn contexts_are_not_inherited() {
    let context = Context::new(4);
    let status = in_child(|| {
        assert_eq!(context.events(0, 1, None), Err(Errno::EINVAL));
        0
    });
    assert_eq!(status, 0);
}

const SETXATTRAT: i64 = 463;
const GETXATTRAT: i64 = 464;
const LISTXATTRAT: i64 = 465;
const REMOVEXATTRAT: i64 = 466;
const AT_EMPTY_PATH: usize = 0x1000;
const AT_FDCWD: usize = -100isize as usize;

fn xattrat_calls_are_the_old_ones() {
    #[repr(C)]
    struct Args {
        value: u64,
        size: u32,
        flags: u32,
    }
    let scratch = Scratch::new();
    let file = file(&scratch, "");
    let fd = usize::try_from(file.as_raw_fd()).expect("a descriptor");
    let (name, empty) = (c"user.guest".as_ptr() as usize, c"".as_ptr() as usize);
    let args = Args { value: c"value".as_ptr() as u64, size: 5, flags: 0 };
    let at = [fd, empty, AT_EMPTY_PATH, name];
    let of = |[a, b, c, d]: [usize; 4], e, f| [a, b, c, d, e, f, 0];
    let set = call(SETXATTRAT, of(at, address(&args), 16));
    if set == Err(Errno::EOPNOTSUPP) || set == Err(Errno::ENOSYS) {
        return;
    }
    assert_eq!(set, Ok(0));
    let mut value = [0u8; 16];
    let mut out = Args { value: address_mut(&mut value) as u64, size: 16, flags: 0 };
    assert_eq!(call(GETXATTRAT, of(at, address(&out), 16)), Ok(5));
    assert_eq!(&value[..5], b"value");
    out.flags = 1;
    assert_eq!(call(GETXATTRAT, of(at, address(&out), 16)), Err(Errno::EINVAL));
    assert_eq!(call(GETXATTRAT, of(at, address(&args), 15)), Err(Errno::EINVAL));
    assert_eq!(call(GETXATTRAT, of(at, address(&args), 5000)), Err(Errno::E2BIG));
    let mut list = [0u8; 64];
    let listed = call(LISTXATTRAT, [fd, empty, AT_EMPTY_PATH, address_mut(&mut list), 64, 0, 0]);
    assert!(listed.is_ok_and(|len| len >= 11));
    assert_eq!(call(REMOVEXATTRAT, of([fd, empty, 0x2000, name], 0, 0)), Err(Errno::EINVAL));
    assert_eq!(call(REMOVEXATTRAT, of(at, 0, 0)), Ok(0));
    assert_eq!(call(REMOVEXATTRAT, of(at, 0, 0)), Err(Errno::ENODATA));
    let path = [AT_FDCWD, c"/nowhere/at/all".as_ptr() as usize, 0, name];
    assert_eq!(call(REMOVEXATTRAT, of(path, 0, 0)), Err(Errno::ENOENT));
}

const CACHESTAT: i64 = 451;

fn cachestat_counts_pages() {
    let scratch = Scratch::new();
    let path = scratch.file("pages", vec![1u8; 10_000]);
    let file = OpenOptions::new().read(true).write(true).open(path).expect("open");
    let fd = usize::try_from(file.as_raw_fd()).expect("a descriptor");
    let (range, mut stat) = ([0u64, 0], [9u64; 5]);
    let stat_at = address_mut(&mut stat);
    assert_eq!(call(CACHESTAT, [fd, address(&range), stat_at, 1, 0, 0, 0]), Err(Errno::EINVAL));
    assert_eq!(call(CACHESTAT, [fd, 8, stat_at, 0, 0, 0, 0]), Err(Errno::EFAULT));
    assert_eq!(call(CACHESTAT, [usize::MAX, address(&range), stat_at, 0, 0, 0, 0]), Err(Errno::EBADF));
    assert_eq!(call(CACHESTAT, [fd, address(&range), stat_at, 0, 0, 0, 0]), Ok(0));
    // SAFETY: the call wrote it.
    assert_eq!(unsafe { std::ptr::read_volatile(&stat[0]) }, 3);
}

fn handles_of_shared_memory_tell_files_apart() {
    let path = |n| format!("/dev/shm/guest-handle-{}-{n}\0", std::process::id());
    let handle = |n: u32, room: u32| {
        let (mut handle, mut mount) = ([0u32; 8], 0i32);
        handle[0] = room;
        let (path, flags) = (path(n), 0);
        let args =
            [AT_FDCWD, path.as_ptr() as usize, address_mut(&mut handle), address_mut(&mut mount), flags];
        let [a, b, c, d, e] = args;
        call(libc::SYS_name_to_handle_at, [a, b, c, d, e, 0, 0]).map(|_| (handle, mount))
    };
    for n in 0..2 {
        fs::write(path(n).trim_end_matches('\0'), "").expect("write");
    }
    let (one, two) = (handle(0, 20), handle(1, 20));
    let (small, large) = (handle(0, 0), handle(0, 129));
    for n in 0..2 {
        fs::remove_file(path(n).trim_end_matches('\0')).expect("remove");
    }
    let (one, two) = (one.expect("a handle"), two.expect("a handle"));
    assert!(one.0 != two.0 && one.1 == two.1 && one.0[0] == 12);
    assert_eq!(small.err(), Some(Errno::EOVERFLOW));
    assert_eq!(large.err(), Some(Errno::EINVAL));
    assert_eq!(handle(7, 20).err(), Some(Errno::ENOENT));
}

fn ustat_finds_a_mount() {
    // SAFETY: plain data.
    let mut stat: libc::stat = unsafe { zeroed() };
    // SAFETY: name and structure are valid.
    assert_eq!(unsafe { libc::stat(c"/dev/shm".as_ptr(), &mut stat) }, 0);
    let mut out = [0u64; 4];
    let dev = usize::try_from(stat.st_dev).expect("small");
    assert_eq!(call(libc::SYS_ustat, [dev, address_mut(&mut out), 0, 0, 0, 0, 0]), Ok(0));
    let nowhere = call(libc::SYS_ustat, [0x00ff_ff00, address_mut(&mut out), 0, 0, 0, 0, 0]);
    assert_eq!(nowhere, Err(Errno::EINVAL));
}

fn anonymous_files_seek_nowhere() {
    // SAFETY: the call takes no pointer.
    let eventfd = unsafe { libc::eventfd(0, 0) };
    // SAFETY: the call takes no pointer.
    let epoll = unsafe { libc::epoll_create1(0) };
    let fds = [eventfd, epoll];
    let urandom = File::open("/dev/urandom").expect("open");
    for fd in fds.into_iter().chain([urandom.as_raw_fd()]) {
        for whence in [libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END] {
            assert_eq!(guest::fd::lseek(fd, 10, whence), Ok(0), "{fd} {whence}");
        }
        assert_eq!(guest::fd::lseek(fd, 0, 9).err(), Some(Errno::EINVAL));
    }
    for fd in fds {
        let fd = usize::try_from(fd).expect("a descriptor");
        assert_eq!(call(libc::SYS_ftruncate, [fd, 1, 0, 0, 0, 0, 0]), Err(Errno::EINVAL));
        assert_eq!(call(libc::SYS_sync_file_range, [fd, 0, 0, 0, 0, 0, 0]), Err(Errno::ESPIPE));
        assert_eq!(call(libc::SYS_readahead, [fd, 0, 10, 0, 0, 0, 0]), Err(Errno::EINVAL));
    }
}

fn sizes_and_clones_are_answered() {
    const FIGETBSZ: usize = 2;
    const FICLONE: usize = 0x4004_9409;
    let scratch = Scratch::new();
    let file = file(&scratch, "abcdef");
    let number = |fd: RawFd| usize::try_from(fd).expect("a descriptor");
    let ioctl = |fd, request, arg| call(libc::SYS_ioctl, [number(fd), request, arg, 0, 0, 0, 0]);
    let (mut block, mut null) = (0i32, File::open("/dev/null").expect("open"));
    assert_eq!(ioctl(file.as_raw_fd(), FIGETBSZ, address_mut(&mut block)), Ok(0));
    // SAFETY: the call wrote it.
    assert!(unsafe { std::ptr::read_volatile(&block) } >= 512);
    assert_eq!(ioctl(file.as_raw_fd(), FICLONE, usize::MAX), Err(Errno::EBADF));
    assert_eq!(ioctl(file.as_raw_fd(), FICLONE, number(null.as_raw_fd())), Err(Errno::EXDEV));
    null = File::open(scratch.dir()).expect("open");
    assert_eq!(ioctl(file.as_raw_fd(), FICLONE, number(null.as_raw_fd())), Err(Errno::EISDIR));
}

fn hints_of_lifetimes_are_taken() {
    let scratch = Scratch::new();
    let file = file(&scratch, "");
    let fd = usize::try_from(file.as_raw_fd()).expect("a descriptor");
    let mut hint = 9u64;
    let fcntl = |op, hint: &mut u64| call(libc::SYS_fcntl, [fd, op, address_mut(hint), 0, 0, 0, 0]);
    assert_eq!((fcntl(1035, &mut hint), hint), (Ok(0), 0));
    hint = 6;
    assert_eq!(fcntl(1036, &mut hint), Err(Errno::EINVAL));
}
