//! poll, select, epoll, and their timeouts and masks.

use super::rig::{Ended, HOST, Rig};
use abi_linux::Errno;
use abi_linux::raw::general as nr;
use abi_linux::signal::Signal;
use platform_api::SignalState;
use platform_api::fake::BASE;

const SET: u64 = BASE + 4096;

/// A pipe (0, 1) and an eventfd (2).
fn files() -> Rig {
    let mut rig = Rig::new();
    rig.value(nr::__NR_pipe, &[BASE]);
    rig.value(nr::__NR_eventfd2, &[0, 0]);
    rig
}

fn entry(fd: i32, events: u16) -> [u8; 8] {
    let mut entry = [0; 8];
    entry[..4].copy_from_slice(&fd.to_ne_bytes());
    entry[4..6].copy_from_slice(&events.to_ne_bytes());
    entry
}

fn signal(rig: &mut Rig) {
    let task = rig.task();
    let file = task.process.files.get(kernel_base::reg::Fd(2)).unwrap();
    file.ops.write(file.io(&*task, 0), &1u64.to_ne_bytes()).unwrap();
    rig.drain();
}

#[test]
fn poll_tells_each_entry() {
    let mut rig = files();
    let entries = [entry(0, 1), entry(1, 4), entry(-5, 1), entry(77, 1)].concat();
    rig.host.poke(SET, &entries);
    assert_eq!(rig.value(nr::__NR_poll, &[SET, 4, u64::MAX]), 2);
    let revents: Vec<u8> = rig.host.peek(SET, 32).chunks(8).map(|entry| entry[6]).collect();
    assert_eq!(revents, [0, 4, 0, 0x20]);
    assert_eq!(rig.error(nr::__NR_poll, &[SET, 5000, 0]), Errno::EINVAL);
}

#[test]
fn poll_waits_for_a_file() {
    let mut rig = files();
    rig.host.poke(SET, &[entry(0, 1), entry(2, 1)].concat());
    let call = rig.start(nr::__NR_poll, &[SET, 2, u64::MAX]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    signal(&mut rig);
    assert_eq!(rig.ended(call), Ended::Value(1));
    assert_eq!(rig.host.peek(SET + 14, 1), [1]);
}

#[test]
fn poll_without_files_is_a_sleep() {
    let mut rig = files();
    assert_eq!(rig.value(nr::__NR_poll, &[0, 0, 0]), 0);
    let call = rig.start(nr::__NR_poll, &[0, 0, 5]);
    rig.pass_until(4_999_999);
    assert_eq!(rig.ended(call), Ended::Waiting);
    rig.pass_until(5_000_000);
    assert_eq!(rig.ended(call), Ended::Value(0));
}

#[test]
fn select_clears_bits_and_writes_the_rest_of_the_time() {
    let mut rig = files();
    rig.host.poke(SET, &7u64.to_ne_bytes());
    rig.host.poke(SET + 8, &2u64.to_ne_bytes());
    let time: Vec<u8> = [3u64, 500_000].iter().flat_map(|word| word.to_ne_bytes()).collect();
    rig.host.poke(SET + 16, &time);
    assert_eq!(rig.value(nr::__NR_select, &[3, SET, SET + 8, 0, SET + 16]), 1);
    assert_eq!((rig.peek_i32(SET), rig.peek_i32(SET + 8)), (0, 2));
    assert_eq!((rig.peek_i32(SET + 16), rig.peek_i32(SET + 24)), (3, 500_000));
    rig.host.poke(SET, &8u64.to_ne_bytes());
    assert_eq!(rig.error(nr::__NR_select, &[4, SET, 0, 0, 0]), Errno::EBADF);
    assert_eq!(rig.error(nr::__NR_select, &[-1i64 as u64, 0, 0, 0, 0]), Errno::EINVAL);
}

#[test]
fn mask_of_a_wait_lets_its_signals_through() {
    let mut rig = files();
    let usr1 = Signal::SIGUSR1.bit();
    let books = SignalState { blocked: usr1, caught: usr1, ..SignalState::default() };
    rig.host.set_signal_state(HOST, books);
    rig.host.poke(SET, &0u64.to_ne_bytes());
    let call = rig.start(nr::__NR_ppoll, &[0, 0, 0, SET, 8]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    rig.host.set_signal_state(HOST, SignalState { pending: usr1, ..books });
    let task = rig.task();
    rig.kernel.check_signals(&task.process);
    assert_eq!(rig.ended(call), Ended::Substituted(130, [SET, 8, 0, 0, 0, 0]));
}

#[test]
fn mask_of_a_wait_holds_its_signals_back() {
    let mut rig = files();
    let usr1 = Signal::SIGUSR1.bit();
    rig.host.set_signal_state(HOST, SignalState { pending: usr1, caught: usr1, ..SignalState::default() });
    rig.host.poke(SET, &usr1.0.to_ne_bytes());
    let call = rig.start(nr::__NR_ppoll, &[0, 0, 0, SET, 8]);
    let task = rig.task();
    rig.kernel.check_signals(&task.process);
    assert_eq!(rig.ended(call), Ended::Waiting);
    assert_eq!(task.wait_mask().map(|mask| mask.set), Some(usr1));
}

#[test]
fn epoll_waits_and_reports() {
    let mut rig = files();
    let epoll = rig.value(nr::__NR_epoll_create1, &[0]);
    let mut event = [0; 12];
    event[0] = 1;
    event[4..].copy_from_slice(&0x1122u64.to_ne_bytes());
    rig.host.poke(SET, &event);
    assert_eq!(rig.value(nr::__NR_epoll_ctl, &[epoll, 1, 2, SET]), 0);
    assert_eq!(rig.error(nr::__NR_epoll_ctl, &[epoll, 1, 2, SET]), Errno::EEXIST);
    assert_eq!(rig.error(nr::__NR_epoll_ctl, &[epoll, 9, 2, SET]), Errno::EINVAL);
    assert_eq!(rig.value(nr::__NR_epoll_wait, &[epoll, SET + 64, 4, 0]), 0);
    let call = rig.start(nr::__NR_epoll_wait, &[epoll, SET + 64, 4, u64::MAX]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    signal(&mut rig);
    assert_eq!(rig.ended(call), Ended::Value(1));
    assert_eq!(rig.peek_i32(SET + 68), 0x1122);
    assert_eq!(rig.error(nr::__NR_epoll_wait, &[epoll, SET, 0, 0]), Errno::EINVAL);
    assert_eq!(rig.error(nr::__NR_epoll_wait, &[2, SET, 1, 0]), Errno::EINVAL);
}

#[test]
fn timerfd_runs_out() {
    let mut rig = files();
    let timer = rig.value(nr::__NR_timerfd_create, &[1, 0]);
    let spec: Vec<u8> = [0u64, 0, 0, 1000].iter().flat_map(|word| word.to_ne_bytes()).collect();
    rig.host.poke(SET, &spec);
    assert_eq!(rig.value(nr::__NR_timerfd_settime, &[timer, 0, SET, 0]), 0);
    let call = rig.start(nr::__NR_read, &[timer, SET, 8]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    rig.pass_until(1000);
    assert_eq!(rig.ended(call), Ended::Value(8));
    assert_eq!(rig.peek_i32(SET), 1);
}
