use super::{StateError, Store};
use crate::record::{Record, Status};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

struct Root(Store);

impl Root {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("palisade-state-{name}-{}", std::process::id()));
        Self(Store::new(path))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.root());
    }
}

#[test]
fn id_is_taken_until_it_is_removed() {
    let root = Root::new("taken");
    let first = root.0.create("a").unwrap();
    assert!(matches!(root.0.create("a"), Err(StateError::Exists(_))));
    assert!(root.0.create("b").is_ok());
    assert_eq!(root.0.ids().unwrap(), ["a", "b"]);
    first.remove().unwrap();
    assert!(matches!(root.0.open("a"), Err(StateError::NotFound(_))));
    assert!(root.0.create("a").is_ok());
}

#[test]
fn one_of_many_wins_each_time() {
    let root = Root::new("race");
    let inside = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let Ok(held) = root.0.create("a") else { continue };
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                    held.remove().unwrap();
                }
            });
        }
    });
}

#[test]
fn record_is_replaced_as_a_whole() {
    let root = Root::new("record");
    let entry = root.0.create("a").unwrap();
    assert!(entry.read().unwrap().is_none());
    let mut record = Record::new("a", "/b".into());
    entry.write(&record).unwrap();
    record.status = Status::Running;
    entry.write(&record).unwrap();
    assert_eq!(entry.read().unwrap().unwrap().status, Status::Running);
    assert_eq!(std::fs::read_dir(entry.path()).unwrap().count(), 1);
}

#[test]
fn removed_directory_is_noticed_by_who_waited_for_its_lock() {
    let root = Root::new("stale");
    let held = root.0.create("a").unwrap();
    let waiting = root.0.open("a").unwrap();
    assert_eq!(waiting.try_lock().unwrap(), None);
    held.remove().unwrap();
    assert!(!waiting.lock().unwrap());
}

#[test]
fn ids_that_are_no_plain_names_are_refused() {
    let root = Root::new("ids");
    for id in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0", &"x".repeat(256)] {
        assert!(matches!(root.0.create(id), Err(StateError::BadId(_))), "{id:?}");
    }
}
