//! Threads: contended futexes, thread-local storage, exits, exec and fork from a thread, shared state.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, in_child};
use nix::errno::Errno;
use nix::unistd::{getpid, gettid, pipe, read, write};

fn main() -> ExitCode {
    guest::main(checks![
        two_hundred_threads_contend_for_a_mutex,
        two_hundred_threads_pass_a_turn_by_condvar,
        two_hundred_threads_meet_at_barriers,
        readers_and_writers_never_overlap,
        channels_carry_everything_once,
        thread_locals_are_each_threads_own,
        thread_ids_differ_and_the_process_is_one,
        threads_share_descriptors_and_cwd,
        close_in_one_thread_is_seen_by_all,
        thread_exit_leaves_the_others,
        exit_ends_blocked_threads,
        main_thread_exit_keeps_the_process,
        exec_from_a_thread_ends_the_others_and_keeps_the_pid,
        fork_from_a_thread_copies_one,
        killed_process_takes_all_threads,
        futex_wait_times_out,
        futex_wait_of_changed_value_gets_eagain,
        futex_between_processes,
        robust_mutex_tells_of_a_dead_owner,
        blocked_thread_does_not_block_others,
        thousand_threads_one_after_another,
        proc_self_task_lists_threads,
        names_of_threads,
        affinity_and_yield,
        affinity_of_others,
    ])
}

fn on_threads(count: usize, body: impl Fn(usize) + Send + Sync) {
    thread::scope(|scope| {
        for n in 0..count {
            let body = &body;
            thread::Builder::new().stack_size(65536).spawn_scoped(scope, move || body(n)).expect("spawn");
        }
    });
}

fn two_hundred_threads_contend_for_a_mutex() {
    let total = Mutex::new(0_u64);
    on_threads(200, |_| (0..500).for_each(|_| *total.lock().expect("lock") += 1));
    assert_eq!(*total.lock().expect("lock"), 100_000);
}

fn two_hundred_threads_pass_a_turn_by_condvar() {
    let (turn, changed) = (Mutex::new(0), Condvar::new());
    on_threads(200, |n| {
        let mut turn = changed.wait_while(turn.lock().expect("lock"), |turn| *turn != 199 - n).expect("wait");
        *turn += 1;
        changed.notify_all();
    });
    assert_eq!(*turn.lock().expect("lock"), 200);
}

fn two_hundred_threads_meet_at_barriers() {
    let (barrier, count) = (Barrier::new(200), AtomicU32::new(0));
    on_threads(200, |_| {
        for round in 1..=5 {
            count.fetch_add(1, Ordering::SeqCst);
            barrier.wait();
            assert_eq!(count.load(Ordering::SeqCst), round * 200);
            barrier.wait();
        }
    });
}

fn readers_and_writers_never_overlap() {
    let pair = RwLock::new((0_u64, 0_u64));
    on_threads(16, |n| {
        for _ in 0..500 {
            if n % 4 == 0 {
                let mut pair = pair.write().expect("write");
                pair.0 += 1;
                pair.1 += 1;
            } else {
                let pair = pair.read().expect("read");
                assert_eq!(pair.0, pair.1);
            }
        }
    });
    assert_eq!(pair.read().expect("read").0, 2000);
}

fn channels_carry_everything_once() {
    let (sender, receiver) = mpsc::sync_channel(4);
    thread::scope(|scope| {
        for n in 0..10_u64 {
            let sender = sender.clone();
            scope.spawn(move || (0..100).for_each(|i| sender.send(n * 100 + i).expect("send")));
        }
        drop(sender);
        let mut all: Vec<_> = receiver.iter().collect();
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
    });
}

fn thread_locals_are_each_threads_own() {
    thread_local!(static MINE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) });
    on_threads(50, |n| {
        MINE.set(n);
        thread::yield_now();
        assert_eq!(MINE.get(), n);
    });
    assert_eq!(MINE.get(), 0);
}

fn thread_ids_differ_and_the_process_is_one() {
    assert_eq!(getpid(), gettid());
    let (ids, barrier) = (Mutex::new(Vec::new()), Barrier::new(20));
    let pid = getpid();
    on_threads(20, |_| {
        assert_eq!(getpid(), pid);
        ids.lock().expect("lock").push(gettid().as_raw());
        barrier.wait();
    });
    let mut ids = ids.into_inner().expect("lock");
    ids.sort_unstable();
    ids.dedup();
    assert!(ids.len() == 20 && !ids.contains(&pid.as_raw()));
}

fn threads_share_descriptors_and_cwd() {
    let (reader, writer) = thread::spawn(|| {
        nix::unistd::chdir("/usr").expect("chdir");
        pipe().expect("pipe")
    })
    .join()
    .expect("join");
    write(&writer, b"x").expect("write");
    assert_eq!(read(&reader, &mut [0]), Ok(1));
    assert_eq!(std::env::current_dir().expect("getcwd"), std::path::Path::new("/usr"));
}

fn close_in_one_thread_is_seen_by_all() {
    use std::os::fd::{AsRawFd, IntoRawFd};
    let (reader, writer) = pipe().expect("pipe");
    let number = reader.as_raw_fd();
    let other = writer.into_raw_fd();
    thread::spawn(move || integration::guest::fd::close(other).expect("close")).join().expect("join");
    assert_eq!(integration::guest::fd::fcntl(other, libc::F_GETFD, 0), Err(Errno::EBADF));
    assert_eq!(integration::guest::fd::read(number, &mut [0]), Ok(0));
}

fn thread_exit_leaves_the_others() {
    let waiting = thread::spawn(|| {
        thread::sleep(Duration::from_millis(50));
        6
    });
    let short = thread::spawn(|| gettid().as_raw());
    let gone = short.join().expect("join");
    assert!(!std::fs::exists(format!("/proc/self/task/{gone}")).expect("stat"));
    assert_eq!(waiting.join().expect("join"), 6);
}

fn exit_ends_blocked_threads() {
    let (reader, writer) = pipe().expect("pipe");
    let status = in_child(|| {
        let reader = reader.try_clone().expect("dup");
        thread::spawn(move || read(&reader, &mut [0]));
        thread::spawn(|| thread::sleep(Duration::from_secs(1000)));
        let lock = Arc::new(Mutex::new(()));
        let held = Arc::clone(&lock);
        let _guard = lock.lock();
        thread::spawn(move || drop(held.lock()));
        thread::sleep(Duration::from_millis(30));
        9
    });
    assert_eq!(status, 9);
    drop(writer);
}

fn main_thread_exit_keeps_the_process() {
    let status = in_child(|| {
        thread::spawn(|| {
            thread::sleep(Duration::from_millis(60));
            std::process::exit(11)
        });
        // SAFETY: exit(2) ends only this thread; the other one touches nothing of its stack.
        unsafe { libc::syscall(libc::SYS_exit, 3) };
        0
    });
    assert_eq!(status, 11);
}

fn exec_from_a_thread_ends_the_others_and_keeps_the_pid() {
    let (reader, writer) = pipe().expect("pipe");
    let child = guest::fork_child(move || {
        for _ in 0..5 {
            thread::spawn(|| thread::sleep(Duration::from_secs(1000)));
        }
        thread::spawn(move || {
            use std::os::unix::process::CommandExt;
            let error = Command::new("/bin/sh")
                .args(["-c", "echo $$; ls /proc/$$/task | wc -l"])
                .stdout(writer)
                .exec();
            panic!("{error}");
        });
        thread::sleep(Duration::from_secs(1000));
        0
    });
    // The closure took the only other write end with it, so end of file comes.
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(reader), &mut text).expect("read");
    assert_eq!(text, format!("{child}\n1\n"));
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn fork_from_a_thread_copies_one() {
    let other = thread::spawn(|| thread::sleep(Duration::from_millis(200)));
    let status = thread::spawn(|| {
        in_child(|| {
            let tasks = std::fs::read_dir("/proc/self/task").expect("task").count();
            i32::from(tasks != 1 || getpid() != gettid())
        })
    })
    .join()
    .expect("join");
    assert_eq!(status, 0);
    other.join().expect("join");
}

fn killed_process_takes_all_threads() {
    let (reader, writer) = pipe().expect("pipe");
    let child = guest::fork_child(|| {
        for _ in 0..10 {
            thread::spawn(|| {
                loop {
                    std::hint::spin_loop()
                }
            });
        }
        write(&writer, b"x").expect("write");
        thread::sleep(Duration::from_secs(1000));
        0
    });
    drop(writer);
    read(&reader, &mut [0]).expect("read");
    nix::sys::signal::kill(child, nix::sys::signal::Signal::SIGKILL).expect("kill");
    assert_eq!(guest::wait_raw(child.as_raw()), libc::SIGKILL);
    assert_eq!(read(&reader, &mut [0]), Ok(0));
}

fn futex(word: &AtomicU32, operation: i32, value: u32, timeout: Option<Duration>) -> nix::Result<i64> {
    let time = timeout
        .map(|time| libc::timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the word and the time outlive the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, time) })
}

fn futex_wait_times_out() {
    let start = Instant::now();
    let result = futex(
        &AtomicU32::new(0),
        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        0,
        Some(Duration::from_millis(60)),
    );
    assert_eq!(result, Err(Errno::ETIMEDOUT));
    assert!(start.elapsed() >= Duration::from_millis(60));
}

fn futex_wait_of_changed_value_gets_eagain() {
    assert_eq!(futex(&AtomicU32::new(1), libc::FUTEX_WAIT, 0, None), Err(Errno::EAGAIN));
    assert_eq!(futex(&AtomicU32::new(1), libc::FUTEX_WAKE, 1, None), Ok(0));
}

/// A page that a fork shares, as counters.
fn shared_page() -> &'static [AtomicU32; 16] {
    let size = std::num::NonZeroUsize::new(4096).expect("not zero");
    let prot = nix::sys::mman::ProtFlags::PROT_READ | nix::sys::mman::ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let page =
        unsafe { nix::sys::mman::mmap_anonymous(None, size, prot, nix::sys::mman::MapFlags::MAP_SHARED) };
    // SAFETY: the page is zeroed, large enough, aligned, and never unmapped.
    unsafe { page.expect("mmap").cast().as_ref() }
}

fn futex_between_processes() {
    let page = shared_page();
    let child = guest::fork_child(|| {
        while page[0].load(Ordering::SeqCst) == 0 {
            let _ = futex(&page[0], libc::FUTEX_WAIT, 0, Some(Duration::from_secs(10)));
        }
        page[1].store(5, Ordering::SeqCst);
        0
    });
    thread::sleep(Duration::from_millis(50));
    page[0].store(1, Ordering::SeqCst);
    futex(&page[0], libc::FUTEX_WAKE, 1, None).expect("wake");
    assert_eq!((guest::wait_raw(child.as_raw()), page[1].load(Ordering::SeqCst)), (0, 5));
}

fn robust_mutex_tells_of_a_dead_owner() {
    let mutex = shared_page().as_ptr().cast_mut().cast::<libc::pthread_mutex_t>();
    // SAFETY: attributes are plain data, initialised by the next call.
    let mut attributes: libc::pthread_mutexattr_t = unsafe { std::mem::zeroed() };
    // SAFETY: initialises the attributes.
    unsafe { libc::pthread_mutexattr_init(&mut attributes) };
    // SAFETY: they are initialised.
    unsafe { libc::pthread_mutexattr_setrobust(&mut attributes, libc::PTHREAD_MUTEX_ROBUST) };
    // SAFETY: they are initialised.
    unsafe { libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED) };
    // SAFETY: the page is shared, zeroed and larger than a mutex.
    assert_eq!(unsafe { libc::pthread_mutex_init(mutex, &attributes) }, 0);
    // SAFETY: the mutex is initialised.
    assert_eq!(in_child(|| unsafe { libc::pthread_mutex_lock(mutex) }), 0);
    // SAFETY: the mutex is initialised.
    assert_eq!(unsafe { libc::pthread_mutex_lock(mutex) }, libc::EOWNERDEAD);
}

fn blocked_thread_does_not_block_others() {
    let (reader, writer) = pipe().expect("pipe");
    let blocked = thread::spawn(move || read(&reader, &mut [0]));
    thread::sleep(Duration::from_millis(20));
    let start = Instant::now();
    for _ in 0..1000 {
        std::fs::metadata("/etc/passwd").expect("stat");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    write(&writer, b"x").expect("write");
    assert_eq!(blocked.join().expect("join"), Ok(1));
}

fn thousand_threads_one_after_another() {
    let count = AtomicU64::new(0);
    for _ in 0..100 {
        on_threads(10, |_| drop(std::hint::black_box(count.fetch_add(1, Ordering::Relaxed).to_string())));
    }
    assert_eq!(count.load(Ordering::Relaxed), 1000);
}

fn proc_self_task_lists_threads() {
    let count = || std::fs::read_dir("/proc/self/task").expect("task").count();
    assert_eq!(count(), 1);
    let barrier = Barrier::new(6);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        assert_eq!(count(), 6);
        let status = std::fs::read_to_string("/proc/self/status").expect("status");
        assert!(status.contains("Threads:\t6\n"));
        barrier.wait();
    });
}

fn names_of_threads() {
    let name = thread::Builder::new()
        .name("worker".to_owned())
        .spawn(|| std::fs::read_to_string(format!("/proc/self/task/{}/comm", gettid())).expect("comm"));
    assert_eq!(name.expect("spawn").join().expect("join"), "worker\n");
    nix::sys::prctl::set_name(c"main-name").expect("prctl");
    assert_eq!(std::fs::read_to_string("/proc/self/comm").expect("comm"), "main-name\n");
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes 16 bytes.
    assert_eq!(unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) }, 0);
    assert_eq!(&name, b"main-name\0\0\0\0\0\0\0");
}

fn affinity_of_others() {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    let all = sched_getaffinity(gettid()).expect("getaffinity of the caller by its id");
    let first = (0..CpuSet::count()).find(|&cpu| all.is_set(cpu) == Ok(true)).expect("a CPU");
    let mut one = CpuSet::new();
    one.set(first).expect("a CPU");
    let (tell, told) = mpsc::channel();
    let (leave, left) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        tell.send(gettid()).expect("send");
        left.recv().expect_err("the sender is dropped");
    });
    let tid = told.recv().expect("receive");
    sched_setaffinity(tid, &one).expect("setaffinity of a thread");
    assert_eq!(sched_getaffinity(tid).expect("getaffinity"), one);
    assert_eq!(sched_getaffinity(gettid()).expect("getaffinity"), all);
    drop(leave);
    thread.join().expect("join");
    // A child that has made no call.
    let (reader, writer) = pipe().expect("pipe");
    // SAFETY: the child waits for the end of the pipe and ends.
    match unsafe { nix::unistd::fork() }.expect("fork") {
        nix::unistd::ForkResult::Child => {
            drop(writer);
            let _ = read(&reader, &mut [0]);
            std::process::exit(0)
        }
        nix::unistd::ForkResult::Parent { child } => {
            sched_setaffinity(child, &one).expect("setaffinity of a child");
            assert_eq!(sched_getaffinity(child).expect("getaffinity"), one);
            drop(writer);
            nix::sys::wait::waitpid(child, None).expect("waitpid");
            assert_eq!(sched_getaffinity(child), Err(Errno::ESRCH));
            assert_eq!(sched_setaffinity(child, &one), Err(Errno::ESRCH));
        }
    }
    let minus = nix::unistd::Pid::from_raw(-1);
    assert_eq!(sched_getaffinity(minus), Err(Errno::ESRCH));
    assert_eq!(sched_setaffinity(minus, &one), Err(Errno::ESRCH));
}

fn affinity_and_yield() {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).expect("getaffinity");
    assert!((0..nix::sched::CpuSet::count()).any(|cpu| set.is_set(cpu).unwrap_or(false)));
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).expect("setaffinity");
    nix::sched::sched_yield().expect("yield");
    assert!(thread::available_parallelism().expect("count").get() >= 1);
}
