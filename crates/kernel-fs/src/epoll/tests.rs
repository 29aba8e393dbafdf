//! What epoll(7) says, one sentence a test.

use super::{Control, Epoll};
use crate::eventfd::{Counting, EventFd};
use crate::io_test::{FakeCaller, file};
use crate::pipe;
use abi_linux::Errno;
use abi_linux::fs::{EpollEvent, Events, OpenFlags};
use kernel_vfs::file::{File, FileOps};
use std::sync::Arc;

fn event(events: Events, data: u64) -> EpollEvent {
    EpollEvent { events: events.bits(), data }
}

fn counter() -> (Arc<EventFd>, Arc<File>) {
    let ops = EventFd::new(0, Counting::Whole);
    let opened = file(Arc::<EventFd>::clone(&ops));
    (ops, opened)
}

fn nested() -> (Arc<Epoll>, Arc<File>) {
    let epoll = Epoll::new();
    let opened = file(Arc::<Epoll>::clone(&epoll));
    (epoll, opened)
}

fn datas(epoll: &Epoll, max: usize) -> Vec<u64> {
    epoll.try_wait(max).iter().map(|event| event.data).collect()
}

#[test]
fn level_triggered_reports_until_it_is_read() {
    let who = FakeCaller::new();
    let epoll = Epoll::new();
    let (ops, opened) = counter();
    epoll.control(&opened, 3, Control::Add(event(Events::IN, 42))).unwrap();
    assert!(epoll.try_wait(8).is_empty());
    ops.signal();
    assert_eq!(epoll.try_wait(8)[..], [event(Events::IN, 42)]);
    assert_eq!(epoll.try_wait(8)[..], [event(Events::IN, 42)]);
    ops.read(who.io(), &mut [0; 8]).unwrap();
    assert!(epoll.try_wait(8).is_empty());
    assert_eq!(epoll.poll(), Events::empty());
}

#[test]
fn edge_triggered_reports_each_change_once() {
    let epoll = Epoll::new();
    let (ops, opened) = counter();
    ops.signal();
    epoll.control(&opened, 3, Control::Add(event(Events::IN | Events::ET, 1))).unwrap();
    assert_eq!(datas(&epoll, 8), [1], "what is ready when added counts");
    assert!(epoll.try_wait(8).is_empty());
    ops.signal();
    assert_eq!(datas(&epoll, 8), [1]);
    assert!(epoll.try_wait(8).is_empty());
}

#[test]
fn one_shot_is_silent_until_modified() {
    let epoll = Epoll::new();
    let (ops, opened) = counter();
    epoll.control(&opened, 3, Control::Add(event(Events::IN | Events::ONESHOT, 1))).unwrap();
    ops.signal();
    assert_eq!(datas(&epoll, 8), [1]);
    ops.signal();
    assert!(epoll.try_wait(8).is_empty());
    epoll.control(&opened, 3, Control::Modify(event(Events::IN | Events::ONESHOT, 2))).unwrap();
    assert_eq!(datas(&epoll, 8), [2]);
}

#[test]
fn files_come_in_the_order_in_which_they_became_ready_and_take_turns() {
    let epoll = Epoll::new();
    let files: Vec<_> = (0..4).map(|_| counter()).collect();
    for (fd, (_, opened)) in files.iter().enumerate() {
        epoll.control(opened, fd as i32, Control::Add(event(Events::IN, fd as u64))).unwrap();
    }
    for at in [2, 0, 3] {
        files[at].0.signal();
    }
    assert_eq!(datas(&epoll, 2), [2, 0]);
    assert_eq!(datas(&epoll, 2), [3, 2]);
    assert_eq!(datas(&epoll, 8), [0, 3, 2]);
}

#[test]
fn control_answers_linuxs_errors() {
    let (epoll, own_file) = nested();
    let (_ops, opened) = counter();
    let watched = event(Events::IN, 0);
    assert_eq!(epoll.control(&opened, 3, Control::Delete), Err(Errno::ENOENT));
    assert_eq!(epoll.control(&opened, 3, Control::Modify(watched)), Err(Errno::ENOENT));
    assert_eq!(epoll.control(&opened, 3, Control::Add(watched)), Ok(()));
    assert_eq!(epoll.control(&opened, 3, Control::Add(watched)), Err(Errno::EEXIST));
    assert_eq!(epoll.control(&opened, 4, Control::Add(watched)), Ok(()), "another fd is another item");
    assert_eq!(epoll.control(&own_file, 5, Control::Add(watched)), Err(Errno::EINVAL));
    let exclusive = event(Events::IN | Events::EXCLUSIVE, 0);
    assert_eq!(epoll.control(&opened, 3, Control::Modify(exclusive)), Err(Errno::EINVAL));
    let wrong = event(Events::IN | Events::EXCLUSIVE | Events::ONESHOT, 0);
    assert_eq!(epoll.control(&opened, 9, Control::Add(wrong)), Err(Errno::EINVAL));
    assert_eq!(epoll.control(&opened, 9, Control::Add(exclusive)), Ok(()));
    assert_eq!(epoll.control(&opened, 9, Control::Modify(watched)), Err(Errno::EINVAL));
    assert_eq!(epoll.control(&opened, 9, Control::Delete), Ok(()));
}

#[test]
fn last_close_takes_the_items_away() {
    let who = FakeCaller::new();
    let epoll = Epoll::new();
    let (reader, writer) = pipe::open(&who, OpenFlags::empty()).unwrap();
    epoll.control(&reader, 3, Control::Add(event(Events::IN, 3))).unwrap();
    epoll.control(&reader, 9, Control::Add(event(Events::IN, 9))).unwrap();
    writer.ops.write(who.io(), b"x").unwrap();
    assert_eq!(datas(&epoll, 8), [3, 9]);
    drop(reader);
    assert!(epoll.try_wait(8).is_empty());
    assert!(epoll.fdinfo().is_empty());
}

#[test]
fn hang_up_is_reported_without_being_asked_for() {
    let who = FakeCaller::new();
    let epoll = Epoll::new();
    let (reader, writer) = pipe::open(&who, OpenFlags::empty()).unwrap();
    epoll.control(&reader, 3, Control::Add(event(Events::empty(), 3))).unwrap();
    drop(writer);
    assert_eq!(epoll.try_wait(8)[..], [event(Events::HUP, 3)]);
}

#[test]
fn nested_epoll_is_readable_when_an_inner_file_is() {
    let who = FakeCaller::new();
    let (inner, inner_file) = nested();
    let outer = Epoll::new();
    let (ops, opened) = counter();
    outer.control(&inner_file, 4, Control::Add(event(Events::IN, 77))).unwrap();
    inner.control(&opened, 3, Control::Add(event(Events::IN, 1))).unwrap();
    assert!(outer.try_wait(8).is_empty());
    ops.signal();
    assert_eq!(datas(&outer, 8), [77]);
    ops.read(who.io(), &mut [0; 8]).unwrap();
    assert!(outer.try_wait(8).is_empty());
}

#[test]
fn cycles_and_deep_chains_are_refused() {
    let watched = event(Events::IN, 0);
    let chain: Vec<_> = (0..7).map(|_| nested()).collect();
    let link = |outer: usize, inner: usize| chain[outer].0.control(&chain[inner].1, 3, Control::Add(watched));
    assert_eq!(link(0, 1), Ok(()));
    assert_eq!(link(1, 2), Ok(()));
    assert_eq!(link(2, 0), Err(Errno::ELOOP));
    assert_eq!(link(2, 3), Ok(()));
    assert_eq!(link(3, 4), Ok(()));
    assert_eq!(link(4, 5), Err(Errno::ELOOP), "more than EP_MAX_NESTS below the first");
    assert_eq!(link(5, 0), Err(Errno::ELOOP));
}

#[test]
fn dropped_epoll_leaves_nothing_behind() {
    let (ops, opened) = counter();
    for _ in 0..3 {
        let epoll = Epoll::new();
        epoll.control(&opened, 3, Control::Add(event(Events::IN, 0))).unwrap();
    }
    ops.signal();
    assert_eq!(opened.ops.poll(), Events::IN | Events::OUT);
}
