use std::any::Any;
use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::fs::OpenFlags;

use super::{LockKind, LockOwner, Record, table};
use crate::anon::{AnonAttributes, AnonInode, AnonKind, anon_file};
use crate::file::{File, FileOps};
use crate::inode::{FileKind, Inode};

struct Nothing;

impl FileOps for Nothing {
    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn inode() -> Arc<dyn Inode> {
    let attributes = AnonAttributes { mode: 0o600, uid: 0, gid: 0, now_ns: 0 };
    Arc::new(AnonInode::new(AnonKind::AnonInode, FileKind::Regular, attributes))
}

fn open(inode: &Arc<dyn Inode>) -> Arc<File> {
    anon_file(AnonKind::AnonInode, b"test", Arc::clone(inode), Arc::new(Nothing), OpenFlags::RDWR)
}

fn record(pid: i32, kind: LockKind, start: u64, last: u64) -> Record {
    Record { owner: LockOwner::Files(pid as u64), kind, start, last, pid }
}

#[test]
fn flock_excludes_and_ends_with_the_file() {
    let inode = inode();
    let (a, b) = (open(&inode), open(&inode));
    table().flock(&a, Some(LockKind::Shared)).unwrap();
    table().flock(&b, Some(LockKind::Shared)).unwrap();
    assert_eq!(table().flock(&a, Some(LockKind::Exclusive)), Err(Errno::EAGAIN));
    table().flock(&b, Some(LockKind::Exclusive)).unwrap();
    assert_eq!(table().flock(&a, Some(LockKind::Shared)), Err(Errno::EAGAIN));
    drop(b);
    table().flock(&a, Some(LockKind::Exclusive)).unwrap();
    table().flock(&a, None).unwrap();
}

#[test]
fn records_split_and_conflict() {
    let inode = inode();
    let file = open(&inode);
    let set = |record| table().set_record(&file, record);
    set(record(1, LockKind::Exclusive, 0, 99)).unwrap();
    assert_eq!(set(record(2, LockKind::Shared, 50, u64::MAX)), Err(Errno::EAGAIN));
    table().clear_record(&file, record(1, LockKind::Shared, 40, 59)).unwrap();
    set(record(2, LockKind::Exclusive, 40, 59)).unwrap();
    assert_eq!(set(record(2, LockKind::Shared, 39, 39)), Err(Errno::EAGAIN));
    let found = table().test_record(&file, &record(2, LockKind::Exclusive, 60, 60)).unwrap();
    assert_eq!(found, Some(record(1, LockKind::Exclusive, 60, 99)));
    table().descriptor_closed(&file, 1);
    set(record(2, LockKind::Exclusive, 0, u64::MAX)).unwrap();
    table().descriptor_closed(&file, 2);
    assert_eq!(table().test_record(&file, &record(1, LockKind::Exclusive, 0, u64::MAX)), Ok(None));
}

#[test]
fn touching_records_join_and_the_first_in_the_way_is_told() {
    let inode = inode();
    let file = open(&inode);
    let set = |record| table().set_record(&file, record).unwrap();
    let in_the_way = |start| {
        let wanted = record(9, LockKind::Exclusive, start, u64::MAX);
        let found = table().test_record(&file, &wanted).unwrap();
        found.map(|held| (held.kind, held.start, held.last))
    };
    set(record(1, LockKind::Exclusive, 10, 14));
    set(record(1, LockKind::Shared, 1, 5));
    assert_eq!(in_the_way(0), Some((LockKind::Shared, 1, 5)));
    set(record(1, LockKind::Exclusive, 5, 9));
    assert_eq!(in_the_way(0), Some((LockKind::Shared, 1, 4)));
    assert_eq!(in_the_way(5), Some((LockKind::Exclusive, 5, 14)));
    set(record(1, LockKind::Shared, 5, u64::MAX));
    assert_eq!(in_the_way(7), Some((LockKind::Shared, 1, u64::MAX)));
    table().descriptor_closed(&file, 1);
    assert_eq!(in_the_way(0), None);
}

#[test]
fn a_circle_of_waiters_is_a_deadlock() {
    let inode = inode();
    let file = open(&inode);
    for pid in 1..=3_i32 {
        let byte = u64::from(pid.unsigned_abs());
        table().set_record(&file, record(pid, LockKind::Exclusive, byte, byte)).unwrap();
    }
    let wait_for = |pid, byte| table().wait_for_record(&file, record(pid, LockKind::Exclusive, byte, byte));
    let mut first = wait_for(1, 2);
    assert_eq!(first.attempt(), None);
    let mut second = wait_for(2, 3);
    assert_eq!(second.attempt(), None);
    assert_eq!(wait_for(3, 1).attempt(), Some(Err(Errno::EDEADLK)));
    drop(first);
    assert_eq!(wait_for(3, 1).attempt(), None);
    (1..=3).for_each(|pid| table().descriptor_closed(&file, pid));
}
