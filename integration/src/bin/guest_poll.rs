//! Waiting for descriptors: poll, select, epoll, eventfd, timerfd.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use integration::checks;
use integration::guest::{self, fd, signal};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::select::{FdSet, select};
use nix::sys::signal::{SaFlags, SigSet, Signal, raise};
use nix::sys::time::{TimeSpec, TimeVal, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::unistd::{pipe, pipe2, read, write};

fn main() -> ExitCode {
    guest::main(checks![
        poll_tells_readable_writable_and_hang_up,
        poll_tells_error_on_write_end_without_reader,
        poll_tells_nval_and_skips_negative,
        poll_waits_for_its_timeout,
        poll_wakes_on_write,
        poll_of_nothing_sleeps,
        poll_of_regular_file_is_always_ready,
        poll_is_interrupted_and_not_restarted,
        ppoll_lets_a_blocked_signal_in,
        select_marks_what_is_ready,
        select_of_closed_number_gets_ebadf,
        select_times_out_with_empty_sets,
        epoll_level_repeats_until_drained,
        epoll_edge_tells_once_per_write,
        epoll_exclusive_wakes_one_waiter,
        epoll_oneshot_is_silent_until_rearmed,
        epoll_add_twice_gets_eexist_and_missing_enoent,
        epoll_of_regular_file_gets_eperm,
        epoll_of_itself_gets_einval,
        epoll_keeps_data_and_order,
        epoll_forgets_a_closed_file,
        epoll_keeps_a_duplicated_file,
        epoll_in_epoll_is_readable,
        epoll_wakes_a_waiting_thread,
        epoll_wait_bounds_its_events,
        epoll_wait_gives_thousands_at_once,
        epoll_modify_changes_interest,
        epoll_hang_up_comes_unasked,
        eventfd_adds_and_resets,
        eventfd_semaphore_counts_down,
        eventfd_overflow_blocks,
        eventfd_wrong_sizes_get_einval,
        eventfd_wakes_another_process,
        timerfd_fires_once,
        timerfd_interval_counts,
        timerfd_absolute_in_the_past_fires_now,
        timerfd_disarm_and_gettime,
        timerfd_nonblocking_gets_eagain,
        timerfd_polls,
    ])
}

const READABLE: PollFlags = PollFlags::POLLIN;
const WRITABLE: PollFlags = PollFlags::POLLOUT;

fn poll_one(file: &impl AsFd, events: PollFlags, timeout_ms: u16) -> PollFlags {
    let mut fds = [PollFd::new(file.as_fd(), events)];
    let count = poll(&mut fds, PollTimeout::from(timeout_ms)).expect("poll");
    let got = fds[0].revents().expect("known flags");
    assert_eq!(count, i32::from(!got.is_empty()));
    got
}

fn after(delay_ms: u64, action: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(delay_ms));
        action();
    })
}

fn poll_tells_readable_writable_and_hang_up() {
    let (reader, writer) = pipe().expect("pipe");
    assert_eq!(poll_one(&reader, READABLE, 0), PollFlags::empty());
    assert_eq!(poll_one(&writer, WRITABLE | READABLE, 0), WRITABLE);
    write(&writer, b"x").expect("write");
    assert_eq!(poll_one(&reader, READABLE | PollFlags::POLLRDNORM, 0), READABLE | PollFlags::POLLRDNORM);
    assert_eq!(poll_one(&reader, PollFlags::empty(), 0), PollFlags::empty());
    drop(writer);
    assert_eq!(poll_one(&reader, READABLE, 0), READABLE | PollFlags::POLLHUP);
    read(&reader, &mut [0]).expect("read");
    assert_eq!(poll_one(&reader, READABLE, 0), PollFlags::POLLHUP);
}

fn poll_tells_error_on_write_end_without_reader() {
    let (reader, writer) = pipe().expect("pipe");
    drop(reader);
    assert_eq!(poll_one(&writer, WRITABLE, 0), WRITABLE | PollFlags::POLLERR);
    let (_reader, writer) = pipe2(nix::fcntl::OFlag::O_NONBLOCK).expect("pipe2");
    while write(&writer, &[0; 4096]).is_ok() {}
    assert_eq!(poll_one(&writer, WRITABLE, 0), PollFlags::empty());
}

fn raw_poll(numbers: &[i32], timeout_ms: i32) -> (nix::Result<i32>, Vec<i16>) {
    let mut fds: Vec<_> =
        numbers.iter().map(|fd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 77 }).collect();
    // SAFETY: the array is writable for its length.
    let result = Errno::result(unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as u64, timeout_ms) });
    (result, fds.iter().map(|fd| fd.revents).collect())
}

fn poll_tells_nval_and_skips_negative() {
    assert_eq!(raw_poll(&[900, -1, -900], 1000), (Ok(1), vec![libc::POLLNVAL, 0, 0]));
    assert_eq!(raw_poll(&[-1], 0), (Ok(0), vec![0]));
}

fn poll_waits_for_its_timeout() {
    let (reader, _writer) = pipe().expect("pipe");
    let start = Instant::now();
    assert_eq!(poll_one(&reader, READABLE, 150), PollFlags::empty());
    assert!(start.elapsed() >= Duration::from_millis(150));
}

fn poll_wakes_on_write() {
    let (reader, writer) = pipe().expect("pipe");
    let (other, _other_writer) = pipe().expect("pipe");
    let thread = after(50, move || assert_eq!(write(&writer, b"x"), Ok(1)));
    let mut fds = [PollFd::new(other.as_fd(), READABLE), PollFd::new(reader.as_fd(), READABLE)];
    assert_eq!(poll(&mut fds, PollTimeout::NONE), Ok(1));
    assert_eq!(fds[0].revents(), Some(PollFlags::empty()));
    assert!(fds[1].revents().expect("known").contains(READABLE));
    thread.join().expect("join");
}

fn poll_of_nothing_sleeps() {
    let start = Instant::now();
    assert_eq!(raw_poll(&[], 50).0, Ok(0));
    assert!(start.elapsed() >= Duration::from_millis(50));
}

fn poll_of_regular_file_is_always_ready() {
    let file = File::open("/etc/passwd").expect("open");
    assert_eq!(poll_one(&file, READABLE | WRITABLE, 0), READABLE | WRITABLE);
}

fn poll_is_interrupted_and_not_restarted() {
    signal::note(Signal::SIGALRM, SaFlags::SA_RESTART);
    let (reader, _writer) = pipe().expect("pipe");
    nix::unistd::alarm::set(1);
    assert_eq!(raw_poll(&[reader.as_raw_fd()], 20_000).0, Err(Errno::EINTR));
    assert_eq!(signal::count(), 1);
}

fn ppoll_lets_a_blocked_signal_in() {
    signal::note(Signal::SIGUSR1, SaFlags::empty());
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGUSR1);
    mask.thread_block().expect("block");
    raise(Signal::SIGUSR1).expect("raise");
    assert_eq!(ppoll(&mut [], Some(TimeSpec::milliseconds(10)), Some(mask)), Ok(0));
    assert_eq!(signal::count(), 0);
    assert_eq!(ppoll(&mut [], Some(TimeSpec::seconds(20)), Some(SigSet::empty())), Err(Errno::EINTR));
    assert_eq!(signal::count(), 1);
    assert!(SigSet::thread_get_mask().expect("mask").contains(Signal::SIGUSR1));
}

fn select_marks_what_is_ready() {
    let (a, a_writer) = pipe().expect("pipe");
    let (b, _b_writer) = pipe().expect("pipe");
    write(&a_writer, b"x").expect("write");
    let (mut reads, mut writes) = (FdSet::new(), FdSet::new());
    reads.insert(a.as_fd());
    reads.insert(b.as_fd());
    writes.insert(a_writer.as_fd());
    assert_eq!(select(None, &mut reads, &mut writes, None, &mut TimeVal::seconds(5)), Ok(2));
    assert!(reads.contains(a.as_fd()) && !reads.contains(b.as_fd()) && writes.contains(a_writer.as_fd()));
}

fn select_of_closed_number_gets_ebadf() {
    let (reader, _writer) = pipe().expect("pipe");
    let mut reads = FdSet::new();
    reads.insert(reader.as_fd());
    fd::close(fd::dup2(reader.as_raw_fd(), 200).expect("dup2")).expect("close");
    // SAFETY: the number is only put into a set.
    reads.insert(unsafe { std::os::fd::BorrowedFd::borrow_raw(200) });
    assert_eq!(select(None, &mut reads, None, None, &mut TimeVal::seconds(5)), Err(Errno::EBADF));
}

fn select_times_out_with_empty_sets() {
    let (reader, _writer) = pipe().expect("pipe");
    let mut reads = FdSet::new();
    reads.insert(reader.as_fd());
    let mut timeout = TimeVal::milliseconds(80);
    assert_eq!(select(None, &mut reads, None, None, &mut timeout), Ok(0));
    assert!(!reads.contains(reader.as_fd()));
    // Linux writes back the time that was left.
    assert_eq!(timeout, TimeVal::zero());
    // Unless it is asked to leave it alone.
    // SAFETY: takes a number; the check has its own process.
    unsafe { libc::personality(libc::STICKY_TIMEOUTS as libc::c_ulong) };
    timeout = TimeVal::milliseconds(5);
    assert_eq!(select(None, &mut reads, None, None, &mut timeout), Ok(0));
    assert_eq!(timeout, TimeVal::milliseconds(5));
}

fn epoll_with(file: &impl AsFd, flags: EpollFlags, data: u64) -> Epoll {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll_create1");
    epoll.add(file.as_fd(), EpollEvent::new(flags, data)).expect("add");
    epoll
}

fn wait(epoll: &Epoll, timeout_ms: u16) -> Vec<(u64, EpollFlags)> {
    let mut events = [EpollEvent::empty(); 16];
    let count = epoll.wait(&mut events, EpollTimeout::from(timeout_ms)).expect("epoll_wait");
    events[..count].iter().map(|event| (event.data(), event.events())).collect()
}

const IN: EpollFlags = EpollFlags::EPOLLIN;

fn epoll_level_repeats_until_drained() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN, 7);
    assert!(wait(&epoll, 0).is_empty());
    write(&writer, b"xy").expect("write");
    for _ in 0..3 {
        assert_eq!(wait(&epoll, 1000), [(7, IN)]);
    }
    read(&reader, &mut [0; 2]).expect("read");
    assert!(wait(&epoll, 0).is_empty());
}

fn epoll_exclusive_wakes_one_waiter() {
    const WAITERS: usize = 4;
    let (reader, writer) = pipe().expect("pipe");
    let flags = IN | EpollFlags::EPOLLET | EpollFlags::EPOLLEXCLUSIVE;
    let (told, woken) = std::sync::mpsc::channel();
    let waiters: Vec<_> = (0..WAITERS)
        .map(|_| {
            let (epoll, told) = (epoll_with(&reader, flags, 1), told.clone());
            thread::spawn(move || {
                assert_eq!(wait(&epoll, 10_000).len(), 1);
                told.send(()).expect("the check listens");
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(200));
    for _ in 0..WAITERS {
        write(&writer, b"x").expect("write");
        woken.recv_timeout(Duration::from_secs(5)).expect("one is woken");
        assert!(woken.recv_timeout(Duration::from_millis(100)).is_err(), "and no other");
        read(&reader, &mut [0]).expect("read");
    }
    waiters.into_iter().for_each(|waiter| waiter.join().expect("waiter"));
}

fn epoll_edge_tells_once_per_write() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN | EpollFlags::EPOLLET, 1);
    write(&writer, b"x").expect("write");
    assert_eq!(wait(&epoll, 1000), [(1, IN)]);
    assert!(wait(&epoll, 20).is_empty());
    write(&writer, b"y").expect("write");
    assert_eq!(wait(&epoll, 1000), [(1, IN)]);
    read(&reader, &mut [0]).expect("read");
    assert!(wait(&epoll, 20).is_empty());
    // What is ready when it is added is told once.
    let late = epoll_with(&reader, IN | EpollFlags::EPOLLET, 2);
    assert_eq!(wait(&late, 1000), [(2, IN)]);
    assert!(wait(&late, 0).is_empty());
}

fn epoll_oneshot_is_silent_until_rearmed() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN | EpollFlags::EPOLLONESHOT, 1);
    write(&writer, b"x").expect("write");
    assert_eq!(wait(&epoll, 1000), [(1, IN)]);
    write(&writer, b"y").expect("write");
    assert!(wait(&epoll, 20).is_empty());
    epoll.modify(&reader, &mut EpollEvent::new(IN | EpollFlags::EPOLLONESHOT, 2)).expect("modify");
    assert_eq!(wait(&epoll, 1000), [(2, IN)]);
}

fn epoll_add_twice_gets_eexist_and_missing_enoent() {
    let (reader, _writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN, 1);
    assert_eq!(epoll.add(&reader, EpollEvent::new(IN, 2)), Err(Errno::EEXIST));
    let duplicate = reader.try_clone().expect("dup");
    epoll.add(&duplicate, EpollEvent::new(IN, 3)).expect("another number is another entry");
    epoll.delete(&reader).expect("delete");
    assert_eq!(epoll.delete(&reader), Err(Errno::ENOENT));
    assert_eq!(epoll.modify(&reader, &mut EpollEvent::new(IN, 1)), Err(Errno::ENOENT));
}

fn epoll_of_regular_file_gets_eperm() {
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    assert_eq!(
        epoll.add(File::open("/etc/passwd").expect("open"), EpollEvent::new(IN, 1)),
        Err(Errno::EPERM)
    );
    assert_eq!(epoll.add(File::open("/tmp").expect("open"), EpollEvent::new(IN, 1)), Err(Errno::EPERM));
}

fn epoll_of_itself_gets_einval() {
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    // SAFETY: the number is the epoll's, which lives on.
    let same = unsafe { std::os::fd::BorrowedFd::borrow_raw(epoll.0.as_raw_fd()) };
    assert_eq!(epoll.add(same, EpollEvent::new(IN, 1)), Err(Errno::EINVAL));
    let inner = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    epoll.add(&inner.0, EpollEvent::new(IN, 1)).expect("add");
    assert_eq!(inner.add(&epoll.0, EpollEvent::new(IN, 1)), Err(Errno::ELOOP));
}

fn epoll_keeps_data_and_order() {
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll_create1");
    let pipes: Vec<_> = (0..5).map(|_| pipe().expect("pipe")).collect();
    for (n, (reader, _)) in (0_u64..).zip(&pipes) {
        epoll.add(reader, EpollEvent::new(IN, u64::MAX - n)).expect("add");
    }
    for (_, writer) in [&pipes[3], &pipes[1]] {
        write(writer, b"x").expect("write");
    }
    assert_eq!(wait(&epoll, 1000), [(u64::MAX - 3, IN), (u64::MAX - 1, IN)]);
}

fn epoll_forgets_a_closed_file() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN, 1);
    write(&writer, b"x").expect("write");
    drop(reader);
    assert!(wait(&epoll, 0).is_empty());
}

fn epoll_keeps_a_duplicated_file() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN, 1);
    let _duplicate = reader.try_clone().expect("dup");
    drop(reader);
    write(&writer, b"x").expect("write");
    // epoll(7): the entry lives as long as the open file description.
    assert_eq!(wait(&epoll, 1000), [(1, IN)]);
}

fn epoll_in_epoll_is_readable() {
    let (reader, writer) = pipe().expect("pipe");
    let inner = epoll_with(&reader, IN, 1);
    let outer = epoll_with(&inner.0, IN, 2);
    assert!(wait(&outer, 0).is_empty());
    write(&writer, b"x").expect("write");
    assert_eq!(wait(&outer, 1000), [(2, IN)]);
    assert_eq!(poll_one(&inner.0, READABLE, 0), READABLE);
}

fn epoll_wakes_a_waiting_thread() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN, 1);
    let thread = after(50, move || assert_eq!(write(&writer, b"x"), Ok(1)));
    let events = wait(&epoll, 20_000);
    assert!(events[0].1.contains(IN));
    thread.join().expect("join");
    let start = Instant::now();
    epoll.delete(&reader).expect("delete");
    assert!(wait(&epoll, 60).is_empty());
    assert!(start.elapsed() >= Duration::from_millis(60));
}

fn epoll_wait_bounds_its_events() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, IN, 1);
    let duplicate = reader.try_clone().expect("dup");
    epoll.add(&duplicate, EpollEvent::new(IN, 2)).expect("add");
    write(&writer, b"x").expect("write");
    let mut one = [EpollEvent::empty()];
    assert_eq!(epoll.wait(&mut one, EpollTimeout::ZERO), Ok(1));
    let first = one[0].data();
    // The ready list rotates, so the other one is not starved.
    assert_eq!(epoll.wait(&mut one, EpollTimeout::ZERO), Ok(1));
    assert_ne!(one[0].data(), first);
    for count in [0, -1, i32::MAX] {
        // SAFETY: these counts are refused before the array is touched.
        let result = unsafe { libc::epoll_wait(epoll.0.as_raw_fd(), one.as_mut_ptr().cast(), count, 0) };
        assert_eq!(Errno::result(result), Err(Errno::EINVAL));
    }
}

fn epoll_wait_gives_thousands_at_once() {
    const FILES: usize = 6000;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192), hard).expect("setrlimit");
    let ready = EventFd::from_value(1).expect("eventfd");
    let epoll = Epoll::new(EpollCreateFlags::empty()).expect("epoll");
    let watched = EpollEvent::new(EpollFlags::EPOLLIN, 0);
    let copies: Vec<_> = (0..FILES).map(|_| ready.as_fd().try_clone_to_owned().expect("dup")).collect();
    copies.iter().for_each(|copy| epoll.add(copy, watched).expect("add"));
    let mut events = vec![EpollEvent::empty(); FILES + 1];
    assert_eq!(epoll.wait(&mut events, 1000u16), Ok(FILES));
}

fn epoll_modify_changes_interest() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, EpollFlags::empty(), 1);
    write(&writer, b"x").expect("write");
    assert!(wait(&epoll, 0).is_empty());
    epoll.modify(&reader, &mut EpollEvent::new(IN, 9)).expect("modify");
    assert_eq!(wait(&epoll, 1000), [(9, IN)]);
}

fn epoll_hang_up_comes_unasked() {
    let (reader, writer) = pipe().expect("pipe");
    let epoll = epoll_with(&reader, EpollFlags::empty(), 1);
    drop(writer);
    assert_eq!(wait(&epoll, 1000), [(1, EpollFlags::EPOLLHUP)]);
}

fn eventfd_adds_and_resets() {
    let event = EventFd::from_value_and_flags(3, EfdFlags::EFD_NONBLOCK).expect("eventfd");
    event.write(4).expect("write");
    assert_eq!(poll_one(&event.as_fd(), READABLE | WRITABLE, 0), READABLE | WRITABLE);
    assert_eq!(event.read(), Ok(7));
    assert_eq!(event.read(), Err(Errno::EAGAIN));
    assert_eq!(poll_one(&event.as_fd(), READABLE | WRITABLE, 0), WRITABLE);
}

fn eventfd_semaphore_counts_down() {
    let event =
        EventFd::from_value_and_flags(2, EfdFlags::EFD_SEMAPHORE | EfdFlags::EFD_NONBLOCK).expect("eventfd");
    assert_eq!((event.read(), event.read(), event.read()), (Ok(1), Ok(1), Err(Errno::EAGAIN)));
}

fn eventfd_overflow_blocks() {
    let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("eventfd");
    assert_eq!(event.write(u64::MAX), Err(Errno::EINVAL));
    event.write(u64::MAX - 1).expect("write");
    assert_eq!(event.write(1), Err(Errno::EAGAIN));
    assert_eq!(poll_one(&event.as_fd(), READABLE | WRITABLE, 0), READABLE);
    assert_eq!(event.read(), Ok(u64::MAX - 1));
}

fn eventfd_wrong_sizes_get_einval() {
    let event = EventFd::from_value(1).expect("eventfd");
    let number = event.as_raw_fd();
    assert_eq!(fd::read(number, &mut [0; 7]), Err(Errno::EINVAL));
    assert_eq!(fd::write(number, &[0; 7]), Err(Errno::EINVAL));
    assert_eq!(fd::read(number, &mut [0; 16]), Ok(8));
}

fn eventfd_wakes_another_process() {
    let event = EventFd::new().expect("eventfd");
    let child = guest::fork_child(|| i32::from(event.read() != Ok(5)));
    thread::sleep(Duration::from_millis(50));
    event.write(5).expect("write");
    assert_eq!(guest::wait_raw(child.as_raw()), 0);
}

fn timer(flags: TimerFlags) -> TimerFd {
    TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).expect("timerfd_create")
}

fn ticks(timer: &TimerFd) -> nix::Result<u64> {
    let mut bytes = [0; 8];
    read(timer, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn timerfd_fires_once() {
    let timer = timer(TimerFlags::empty());
    let start = Instant::now();
    timer.set(Expiration::OneShot(TimeSpec::milliseconds(80)), TimerSetTimeFlags::empty()).expect("settime");
    assert_eq!(ticks(&timer), Ok(1));
    assert!(start.elapsed() >= Duration::from_millis(80));
    assert_eq!(poll_one(&timer.as_fd(), READABLE, 30), PollFlags::empty());
}

fn timerfd_interval_counts() {
    let timer = timer(TimerFlags::empty());
    let every = TimeSpec::milliseconds(20);
    timer.set(Expiration::IntervalDelayed(every, every), TimerSetTimeFlags::empty()).expect("settime");
    thread::sleep(Duration::from_millis(110));
    let count = ticks(&timer).expect("read");
    assert!((4..50).contains(&count), "{count}");
    assert!(ticks(&timer).expect("read") >= 1);
}

fn timerfd_absolute_in_the_past_fires_now() {
    let timer = timer(TimerFlags::empty());
    timer
        .set(Expiration::OneShot(TimeSpec::nanoseconds(1)), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
        .expect("settime");
    assert_eq!(ticks(&timer), Ok(1));
}

fn timerfd_disarm_and_gettime() {
    let timer = timer(TimerFlags::TFD_NONBLOCK);
    timer.set(Expiration::OneShot(TimeSpec::seconds(100)), TimerSetTimeFlags::empty()).expect("settime");
    let Some(Expiration::OneShot(left)) = timer.get().expect("gettime") else { panic!("armed once") };
    assert!(left.tv_sec() >= 98);
    timer.unset().expect("disarm");
    assert!(timer.get().expect("gettime").is_none());
    assert_eq!(ticks(&timer), Err(Errno::EAGAIN));
}

fn timerfd_nonblocking_gets_eagain() {
    assert_eq!(ticks(&timer(TimerFlags::TFD_NONBLOCK)), Err(Errno::EAGAIN));
    assert_eq!(
        fd::read(timer(TimerFlags::TFD_NONBLOCK).as_fd().as_raw_fd(), &mut [0; 4]),
        Err(Errno::EINVAL)
    );
}

fn timerfd_polls() {
    let timer = timer(TimerFlags::empty());
    timer.set(Expiration::OneShot(TimeSpec::milliseconds(50)), TimerSetTimeFlags::empty()).expect("settime");
    assert_eq!(poll_one(&timer.as_fd(), READABLE, 0), PollFlags::empty());
    let epoll = epoll_with(&timer.as_fd(), IN, 4);
    assert_eq!(wait(&epoll, 5000), [(4, IN)]);
    assert_eq!(poll_one(&timer.as_fd(), READABLE, 0), READABLE);
}
