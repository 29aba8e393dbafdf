//! One function for each figure.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::floor;
use crate::sample::{Summary, measure, measure_samples};
use crate::{more, sys};

type Figure = fn() -> Summary;

/// All figures by name; the names are those of `palisade-bench`.
pub(crate) const FIGURES: &[(&str, Figure)] = &[
    ("floor", floor::null_call),
    ("null", null_call),
    ("pread-1", || pread(1)),
    ("pread-4k", || pread(4096)),
    ("pread-64k", || pread(65536)),
    ("pwrite-1", || more::pwrite(1)),
    ("pwrite-4k", || more::pwrite(4096)),
    ("pwrite-64k", || more::pwrite(65536)),
    ("stat", stat),
    ("open", || open_and_close(true)),
    ("close", || open_and_close(false)),
    ("getdents", more::getdents),
    ("pipe-write-read", pipe_write_read),
    ("epoll", more::epoll),
    ("clock", more::clock),
    ("signal", more::signal),
    ("thread", more::thread),
    ("fork-exit-wait", fork_exit_wait),
    ("vfork-exec-true", vfork_exec),
    ("posix-spawn-true", spawn),
    ("page-fault", page_fault),
    ("mmap-munmap", map_and_unmap),
    ("futex-ping-pong", futex_ping_pong),
    ("sigsegv", handled_fault),
    ("pipe-ping-pong", pipe_ping_pong),
    ("null-two-threads", null_two_threads),
    ("null-two-processes", null_two_processes),
];

fn getppid() {
    // SAFETY: the call takes no argument.
    std::hint::black_box(unsafe { sys::getppid() });
}

fn null_call() -> Summary {
    measure(16, getppid)
}

/// A cached file of 64 KiB, removed before the measurement starts.
pub(crate) fn data_file() -> File {
    let path = std::env::temp_dir().join(format!("probe-{}", std::process::id()));
    std::fs::write(&path, vec![7; 65536]).expect("the temporary directory is writable");
    let file = File::options().read(true).write(true).open(&path).expect("it was just written");
    std::fs::remove_file(&path).expect("it is ours");
    file
}

fn pread(size: usize) -> Summary {
    let (file, mut buffer) = (data_file(), vec![0_u8; size]);
    let fd = file.as_raw_fd();
    measure(8, || {
        // SAFETY: the buffer is writable for its length.
        let count = unsafe { sys::pread(fd, buffer.as_mut_ptr().cast(), size, 0) };
        assert_eq!(count.unsigned_abs(), size);
    })
}

const NAME: &CStr = c"/etc/passwd";

fn stat() -> Summary {
    // SAFETY: stat is plain data.
    let mut info: sys::stat = unsafe { std::mem::zeroed() };
    measure(8, || {
        // SAFETY: a C string and a writable structure.
        assert_eq!(unsafe { sys::stat_path(NAME.as_ptr(), &mut info) }, 0);
    })
}

fn open_and_close(wanted_is_open: bool) -> Summary {
    measure_samples(1, || {
        let start = Instant::now();
        // SAFETY: a C string.
        let fd = unsafe { sys::open(NAME.as_ptr(), sys::O_RDONLY | sys::O_CLOEXEC) };
        let opened = Instant::now();
        // SAFETY: the descriptor was just opened.
        unsafe { sys::close(fd) };
        let closed = Instant::now();
        assert!(fd >= 0);
        if wanted_is_open { opened - start } else { closed - opened }
    })
}

fn new_pipe() -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: the array takes two descriptors.
    assert_eq!(unsafe { sys::pipe(ends.as_mut_ptr()) }, 0);
    ends
}

fn put(fd: i32) {
    // SAFETY: one byte is readable.
    assert_eq!(unsafe { sys::write(fd, [1_u8].as_ptr().cast(), 1) }, 1);
}

/// One byte, or false at the end.
fn get(fd: i32) -> bool {
    let mut byte = [0_u8];
    // SAFETY: one byte is writable.
    unsafe { sys::read(fd, byte.as_mut_ptr().cast(), 1) == 1 }
}

fn pipe_write_read() -> Summary {
    let [reader, writer] = new_pipe();
    measure(8, || {
        put(writer);
        get(reader);
    })
}

/// Forks a child that runs `body` and ends with status 0.
fn fork(body: impl FnOnce()) -> i32 {
    // SAFETY: the callers have one thread.
    let child = unsafe { sys::fork() };
    assert!(child >= 0, "fork");
    if child == 0 {
        body();
        // SAFETY: _exit takes no pointer.
        unsafe { sys::_exit(0) }
    }
    child
}

fn wait(child: i32) {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    assert_eq!(unsafe { sys::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
}

fn fork_exit_wait() -> Summary {
    measure(1, || wait(fork(|| {})))
}

/// The arguments of a /bin/true without an environment, as execve takes them.
struct TrueArguments {
    argv: [*mut sys::c_char; 2],
    envp: [*mut sys::c_char; 1],
}

impl TrueArguments {
    const PATH: &CStr = c"/bin/true";

    fn new() -> Self {
        Self { argv: [c"true".as_ptr().cast_mut(), std::ptr::null_mut()], envp: [std::ptr::null_mut()] }
    }
}

/// What the child of a vfork does.
extern "C" fn become_true(arguments: *mut sys::c_void) -> sys::c_int {
    // SAFETY: `vfork_exec` passes its arguments, and waits until this is over.
    let TrueArguments { argv, envp } = unsafe { &*arguments.cast::<TrueArguments>() };
    // SAFETY: C strings, and arrays that end with null.
    unsafe { sys::execve(TrueArguments::PATH.as_ptr(), argv.as_ptr().cast(), envp.as_ptr().cast()) };
    127
}

/// vfork(2) and execve(2), and nothing else. The child has a stack of its own, because a function can't return twice.
fn vfork_exec() -> Summary {
    let mut arguments = TrueArguments::new();
    let mut stack = vec![0_u8; 64 << 10];
    let top: *mut u8 = stack.as_mut_ptr_range().end;
    let pointer: *mut TrueArguments = &mut arguments;
    measure(1, || {
        let flags = sys::CLONE_VM | sys::CLONE_VFORK | sys::SIGCHLD;
        // SAFETY: the stack and the arguments outlive the child's use of this memory, since the parent waits for that.
        let child = unsafe { sys::clone(become_true, top.cast(), flags, pointer.cast()) };
        assert!(child > 0, "vfork");
        wait(child);
    })
}

/// As most programs do it. In glibc that is vfork and exec, and two calls for the action of nearly every signal.
fn spawn() -> Summary {
    let arguments = TrueArguments::new();
    measure(1, || {
        let mut child = 0;
        // SAFETY: C strings, and arrays that end with null.
        let result = unsafe {
            sys::posix_spawn(
                &mut child,
                TrueArguments::PATH.as_ptr(),
                std::ptr::null(),
                std::ptr::null(),
                arguments.argv.as_ptr(),
                arguments.envp.as_ptr(),
            )
        };
        assert_eq!(result, 0);
        wait(child);
    })
}

const PAGE: usize = 4096;

fn map(length: usize, prot: i32, sharing: i32) -> *mut u8 {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start =
        unsafe { sys::mmap(std::ptr::null_mut(), length, prot, sharing | sys::MAP_ANONYMOUS, -1, 0) };
    assert_ne!(start, sys::MAP_FAILED);
    start.cast()
}

fn unmap(start: *mut u8, length: usize) {
    // SAFETY: the callers pass a mapping of their own that nothing refers to.
    assert_eq!(unsafe { sys::munmap(start.cast(), length) }, 0);
}

fn page_fault() -> Summary {
    const PAGES: u32 = 256;
    let length = PAGES as usize * PAGE;
    measure_samples(PAGES, || {
        let start = map(length, sys::PROT_READ | sys::PROT_WRITE, sys::MAP_PRIVATE);
        // SAFETY: the mapping is this function's own. Huge pages would make one fault of many.
        unsafe { sys::madvise(start.cast(), length, sys::MADV_NOHUGEPAGE) };
        let begin = Instant::now();
        for page in 0..PAGES as usize {
            // SAFETY: inside the mapping.
            unsafe { start.wrapping_add(page * PAGE).write_volatile(1) };
        }
        let took = begin.elapsed();
        unmap(start, length);
        took
    })
}

fn map_and_unmap() -> Summary {
    measure(8, || unmap(map(16 * PAGE, sys::PROT_READ | sys::PROT_WRITE, sys::MAP_PRIVATE), 16 * PAGE))
}

fn futex(word: &AtomicU32, operation: i32, value: u32) {
    // SAFETY: the word outlives the call; no timeout.
    unsafe {
        sys::syscall(sys::SYS_futex, word.as_ptr(), operation | sys::FUTEX_PRIVATE_FLAG, value, 0_usize)
    };
}

/// Sets the word and wakes whoever waits for it.
fn pass(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::SeqCst);
    futex(word, sys::FUTEX_WAKE, 1);
}

fn await_value(word: &AtomicU32, value: u32) -> bool {
    loop {
        match word.load(Ordering::SeqCst) {
            seen if seen == value => return true,
            STOP => return false,
            seen => futex(word, sys::FUTEX_WAIT, seen),
        }
    }
}

const STOP: u32 = 99;

fn futex_ping_pong() -> Summary {
    let (ping, pong) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while await_value(&ping, 1) {
                ping.store(0, Ordering::SeqCst);
                pass(&pong, 1);
            }
        });
        let summary = measure(4, || {
            pass(&ping, 1);
            await_value(&pong, 1);
            pong.store(0, Ordering::SeqCst);
        });
        pass(&ping, STOP);
        summary
    })
}

/// Skips the two bytes of the instruction that faulted.
extern "C" fn skip(_: i32, _: *mut sys::c_void, context: *mut sys::c_void) {
    // SAFETY: the kernel passes a valid ucontext to a SA_SIGINFO handler.
    let context = unsafe { &mut *context.cast::<sys::ucontext_t>() };
    context.rip += 2;
}

fn handled_fault() -> Summary {
    // SAFETY: sigaction is plain data.
    let mut action: sys::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = skip as *const () as usize;
    action.sa_flags = sys::SA_SIGINFO;
    // SAFETY: the handler only changes the saved context.
    assert_eq!(unsafe { sys::set_action(sys::SIGSEGV, &action, std::ptr::null_mut()) }, 0);
    let page = map(PAGE, sys::PROT_NONE, sys::MAP_PRIVATE);
    measure(4, || {
        // SAFETY: `mov al, [rdi]` is 8a 07, two bytes, which the handler skips.
        unsafe { std::arch::asm!("mov al, byte ptr [rdi]", in("rdi") page, out("al") _) };
    })
}

fn pipe_ping_pong() -> Summary {
    let ([ping_reader, ping_writer], [pong_reader, pong_writer]) = (new_pipe(), new_pipe());
    let child = fork(|| {
        // SAFETY: the child's copy of the end that the parent writes to; end of file must reach the child.
        unsafe { sys::close(ping_writer) };
        while get(ping_reader) {
            put(pong_writer);
        }
    });
    let summary = measure(4, || {
        put(ping_writer);
        get(pong_reader);
    });
    // SAFETY: the descriptor is this function's own.
    unsafe { sys::close(ping_writer) };
    wait(child);
    summary
}

const SPAN: Duration = Duration::from_millis(100);

/// Null calls until the time is over.
fn count_null_calls() -> u32 {
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < SPAN {
        (0..64).for_each(|_| getppid());
        count += 64;
    }
    count
}

/// The time for one call when `count` were made by all together.
fn aggregate(count: u32) -> Summary {
    let each = SPAN.as_nanos() as f64 / f64::from(count.max(1));
    Summary { p50_ns: each, p99_ns: each }
}

fn null_two_threads() -> Summary {
    let begin = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            while !begin.load(Ordering::SeqCst) {
                thread::yield_now();
            }
            count_null_calls()
        });
        begin.store(true, Ordering::SeqCst);
        aggregate(count_null_calls() + other.join().unwrap_or(0))
    })
}

fn null_two_processes() -> Summary {
    let shared = map(PAGE, sys::PROT_READ | sys::PROT_WRITE, sys::MAP_SHARED).cast::<AtomicU32>();
    // SAFETY: the page is zeroed, aligned and never unmapped.
    let total = unsafe { &*shared };
    let child = fork(|| {
        total.fetch_add(count_null_calls(), Ordering::SeqCst);
    });
    let own = count_null_calls();
    wait(child);
    aggregate(own + total.load(Ordering::SeqCst))
}
