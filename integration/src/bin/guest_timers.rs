//! POSIX timers: timer_create(2), timer_settime(2), timer_getoverrun(2).

use std::mem::zeroed;
use std::process::ExitCode;
use std::ptr::{null, null_mut};
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, error_of, in_child};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    guest::main(checks![
        timer_signal_carries_value_and_code,
        timer_without_event_sends_sigalrm_with_its_id,
        interval_counts_overruns_while_blocked,
        timer_reaches_the_chosen_thread,
        absolute_time_in_the_past_expires_at_once,
        timer_without_signal_counts_down,
        timers_end_with_fork_and_delete,
        timer_interrupts_a_wait,
        timer_on_cpu_time_waits_for_work,
        timer_calls_check_their_arguments,
    ])
}

type Id = libc::timer_t;

fn signal_set(signal: i32) -> libc::sigset_t {
    // SAFETY: sigset_t is plain data, and the next call initialises it.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: the set is writable.
    unsafe { libc::sigemptyset(&mut set) };
    // SAFETY: the set is initialised.
    unsafe { libc::sigaddset(&mut set, signal) };
    set
}

fn block(signal: i32) -> libc::sigset_t {
    let set = signal_set(signal);
    // SAFETY: an initialised set.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, null_mut()) };
    set
}

/// Waits up to `ms` for a signal of the set: (signo, si_code, value).
fn wait(set: &libc::sigset_t, ms: i64) -> nix::Result<(i32, i32, usize)> {
    // SAFETY: siginfo_t is plain data.
    let mut info: libc::siginfo_t = unsafe { zeroed() };
    let limit = libc::timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    // SAFETY: all three are live.
    let signal = Errno::result(unsafe { libc::sigtimedwait(set, &mut info, &limit) })?;
    // SAFETY: a timer's signal carries a value.
    let value = unsafe { info.si_value() };
    Ok((signal, info.si_code, value.sival_ptr as usize))
}

fn event(notify: i32, signal: i32, value: usize) -> libc::sigevent {
    // SAFETY: sigevent is plain data.
    let mut event: libc::sigevent = unsafe { zeroed() };
    event.sigev_notify = notify;
    event.sigev_signo = signal;
    event.sigev_value = libc::sigval { sival_ptr: value as *mut libc::c_void };
    event
}

fn create(clock: i32, event: Option<libc::sigevent>) -> nix::Result<Id> {
    let mut event = event;
    let at = event.as_mut().map_or(null_mut(), |event| &raw mut *event);
    let mut id: i32 = -1;
    // SAFETY: both are live or null. glibc's own function hides what the kernel gives.
    Errno::result(unsafe { libc::syscall(libc::SYS_timer_create, clock, at, &mut id) })?;
    Ok(id as usize as Id)
}

const MS: i64 = 1_000_000;

fn spec(value_ns: i64, interval_ns: i64) -> libc::itimerspec {
    let time = |ns: i64| libc::timespec { tv_sec: ns / 1_000_000_000, tv_nsec: ns % 1_000_000_000 };
    libc::itimerspec { it_interval: time(interval_ns), it_value: time(value_ns) }
}

fn set(id: Id, flags: i32, value: libc::itimerspec) -> nix::Result<libc::itimerspec> {
    // SAFETY: itimerspec is plain data.
    let mut old: libc::itimerspec = unsafe { zeroed() };
    // SAFETY: both are live.
    Errno::result(unsafe { libc::syscall(libc::SYS_timer_settime, id, flags, &value, &mut old) })?;
    Ok(old)
}

fn get(id: Id) -> nix::Result<(i64, i64)> {
    // SAFETY: itimerspec is plain data.
    let mut now: libc::itimerspec = unsafe { zeroed() };
    // SAFETY: `now` is live.
    Errno::result(unsafe { libc::syscall(libc::SYS_timer_gettime, id, &mut now) })?;
    let ns = |time: libc::timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
    Ok((ns(now.it_value), ns(now.it_interval)))
}

fn overrun(id: Id) -> nix::Result<i64> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::syscall(libc::SYS_timer_getoverrun, id) })
}

fn delete(id: Id) -> nix::Result<()> {
    // SAFETY: the call takes no pointer.
    Errno::result(unsafe { libc::syscall(libc::SYS_timer_delete, id) }).map(drop)
}

fn timer_signal_carries_value_and_code() {
    let signals = block(libc::SIGRTMIN());
    for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME] {
        let id = create(clock, Some(event(libc::SIGEV_SIGNAL, libc::SIGRTMIN(), 0x1234_5678_9abc)));
        let id = id.expect("timer_create");
        let begun = Instant::now();
        set(id, 0, spec(20 * MS, 0)).expect("timer_settime");
        let (left, interval) = get(id).expect("timer_gettime");
        assert!(left > 0 && left <= 20 * MS && interval == 0);
        assert_eq!(wait(&signals, 2000), Ok((libc::SIGRTMIN(), libc::SI_TIMER, 0x1234_5678_9abc)));
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert_eq!((get(id), overrun(id)), (Ok((0, 0)), Ok(0)));
        delete(id).expect("timer_delete");
    }
}

fn timer_without_event_sends_sigalrm_with_its_id() {
    let signals = block(libc::SIGALRM);
    let first = create(libc::CLOCK_MONOTONIC, None).expect("timer_create");
    let second = create(libc::CLOCK_MONOTONIC, None).expect("timer_create");
    assert_ne!(first, second);
    set(second, 0, spec(1, 0)).expect("timer_settime");
    assert_eq!(wait(&signals, 2000), Ok((libc::SIGALRM, libc::SI_TIMER, second as usize)));
}

fn interval_counts_overruns_while_blocked() {
    let signals = block(libc::SIGUSR1);
    let id = create(libc::CLOCK_MONOTONIC, Some(event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0)));
    let id = id.expect("timer_create");
    set(id, 0, spec(20 * MS, 20 * MS)).expect("timer_settime");
    thread::sleep(Duration::from_millis(110));
    assert!(wait(&signals, 0).is_ok());
    let missed = overrun(id).expect("timer_getoverrun");
    assert!((3..=30).contains(&missed), "{missed}");
    assert!(wait(&signals, 2000).is_ok(), "it goes on");
    let (_, interval) = get(id).expect("timer_gettime");
    assert_eq!(interval, 20 * MS);
    set(id, 0, spec(0, 0)).expect("disarm");
    let _ = wait(&signals, 0);
    assert_eq!(wait(&signals, 50), Err(Errno::EAGAIN));
}

fn timer_reaches_the_chosen_thread() {
    let signals = block(libc::SIGUSR1);
    let (told, tid) = std::sync::mpsc::channel();
    let waiter = thread::spawn(move || {
        // SAFETY: gettid(2) takes no argument.
        told.send(unsafe { libc::gettid() }).expect("send");
        wait(&signals, 2000)
    });
    let mut event = event(libc::SIGEV_THREAD_ID, libc::SIGUSR1, 5);
    event.sigev_notify_thread_id = tid.recv().expect("recv");
    let id = create(libc::CLOCK_MONOTONIC, Some(event)).expect("timer_create");
    set(id, 0, spec(20 * MS, 0)).expect("timer_settime");
    assert_eq!(waiter.join().expect("join"), Ok((libc::SIGUSR1, libc::SI_TIMER, 5)));
    event.sigev_notify_thread_id = 1;
    assert_eq!(create(libc::CLOCK_MONOTONIC, Some(event)), Err(Errno::EINVAL), "another process's");
}

fn absolute_time_in_the_past_expires_at_once() {
    let signals = block(libc::SIGUSR1);
    for clock in [libc::CLOCK_REALTIME, libc::CLOCK_MONOTONIC] {
        let id = create(clock, Some(event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 9))).expect("timer_create");
        set(id, libc::TIMER_ABSTIME, spec(1, 0)).expect("timer_settime");
        assert_eq!(wait(&signals, 2000), Ok((libc::SIGUSR1, libc::SI_TIMER, 9)));
    }
}

fn timer_without_signal_counts_down() {
    let id = create(libc::CLOCK_MONOTONIC, Some(event(libc::SIGEV_NONE, 0, 0))).expect("timer_create");
    set(id, 0, spec(30 * MS, 0)).expect("timer_settime");
    let (left, _) = get(id).expect("timer_gettime");
    assert!(left > 0 && left <= 30 * MS);
    thread::sleep(Duration::from_millis(40));
    assert_eq!(get(id), Ok((0, 0)));
}

fn timers_end_with_fork_and_delete() {
    let id = create(libc::CLOCK_MONOTONIC, None).expect("timer_create");
    assert_eq!(in_child(|| i32::from(get(id) != Err(Errno::EINVAL))), 0);
    delete(id).expect("timer_delete");
    assert_eq!(delete(id), Err(Errno::EINVAL));
    assert_eq!(get(id), Err(Errno::EINVAL));
    assert_eq!(overrun(id), Err(Errno::EINVAL));
}

fn timer_interrupts_a_wait() {
    guest::signal::note(nix::sys::signal::Signal::SIGUSR1, nix::sys::signal::SaFlags::empty());
    let id = create(libc::CLOCK_MONOTONIC, Some(event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 0)));
    set(id.expect("timer_create"), 0, spec(30 * MS, 0)).expect("timer_settime");
    let (reader, _writer) = nix::unistd::pipe().expect("pipe");
    assert_eq!(nix::unistd::read(&reader, &mut [0]), Err(Errno::EINTR));
    assert_eq!(guest::signal::CODE.load(std::sync::atomic::Ordering::SeqCst), libc::SI_TIMER);
}

/// Works until the process has used `ms` more of CPU time.
fn work(ms: i64) {
    let used = || {
        let now = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("clock_gettime");
        now.tv_sec() * 1000 + now.tv_nsec() / 1_000_000
    };
    let end = used() + ms;
    while used() < end {
        std::hint::black_box((0..1000_u64).sum::<u64>());
    }
}

fn timer_on_cpu_time_waits_for_work() {
    let signals = block(libc::SIGUSR1);
    // Of the process and of the thread, by name and by number (~pid << 3 | CPUCLOCK_SCHED).
    let by_number = !std::process::id().cast_signed() << 3 | 2;
    for clock in [libc::CLOCK_PROCESS_CPUTIME_ID, libc::CLOCK_THREAD_CPUTIME_ID, by_number, -6, -2] {
        let event = event(libc::SIGEV_SIGNAL, libc::SIGUSR1, 5);
        let id = create(clock, Some(event)).expect("timer_create");
        assert_eq!(get(id), Ok((0, 0)));
        set(id, 0, spec(60_000_000, 0)).expect("timer_settime");
        // Sleeping is no work.
        assert_eq!(wait(&signals, 100), Err(Errno::EAGAIN));
        let (left, _) = get(id).expect("timer_gettime");
        assert!(left > 0 && left <= 60_000_000, "{left}");
        work(70);
        // Linux looks when a tick finds the thread at work, which on a busy machine may take some more.
        let told = (0..1000).find_map(|_| wait(&signals, 0).inspect_err(|_| work(10)).ok());
        assert_eq!(told, Some((libc::SIGUSR1, libc::SI_TIMER, 5)));
        // An absolute time that is over.
        set(id, libc::TIMER_ABSTIME, spec(1, 0)).expect("timer_settime");
        assert_eq!(wait(&signals, 10_000), Ok((libc::SIGUSR1, libc::SI_TIMER, 5)));
        delete(id).expect("timer_delete");
    }
    // Of nobody, and of no kind.
    for clock in [!0x0fff_0000 << 3 | 2, !0 << 3 | 7, !0x0fff_0000 << 3 | 6] {
        assert_eq!(error_of(create(clock, None)), Errno::EINVAL, "{clock}");
    }
    assert_eq!(error_of(create(!0 << 3 | 3, None)), Errno::EOPNOTSUPP);
}

fn timer_calls_check_their_arguments() {
    assert_eq!(create(99, None), Err(Errno::EINVAL));
    assert_eq!(create(libc::CLOCK_MONOTONIC_RAW, None), Err(Errno::EOPNOTSUPP));
    assert_eq!(create(libc::CLOCK_MONOTONIC, Some(event(libc::SIGEV_SIGNAL, 65, 0))), Err(Errno::EINVAL));
    assert_eq!(create(libc::CLOCK_MONOTONIC, Some(event(libc::SIGEV_SIGNAL, 0, 0))), Err(Errno::EINVAL));
    assert_eq!(create(libc::CLOCK_MONOTONIC, Some(event(7, 1, 0))), Err(Errno::EINVAL));
    let id = create(libc::CLOCK_MONOTONIC, None).expect("timer_create");
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    let value = libc::itimerspec { it_value: bad, ..spec(0, 0) };
    assert_eq!(set(id, 0, value).err(), Some(Errno::EINVAL));
    let nothing = null::<libc::itimerspec>();
    // SAFETY: the kernel answers EINVAL for a null value.
    let result = unsafe { libc::syscall(libc::SYS_timer_settime, id, 0, nothing, nothing) };
    assert_eq!(Errno::result(result), Err(Errno::EINVAL));
}
