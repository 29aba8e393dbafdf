//! One record lock, and the list of those on a file.
//!
//! The list has the order that Linux's has (fs/locks.c:posix_lock_inode, v6.18): the locks of one owner stand together and
//! rise, owners stand in the order in which they came. F_GETLK answers the first that is in the way.

/// Whether others may hold such a lock as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    Shared,
    Exclusive,
}

/// Who holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockOwner {
    /// An open file description, by its address: flock(2) and F_OFD_SETLK.
    Description(usize),
    /// A table of descriptors, by its id: F_SETLK.
    Files(u64),
}

/// A lock on bytes `start..=last` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    pub owner: LockOwner,
    pub kind: LockKind,
    pub start: u64,
    /// The last byte; `u64::MAX` for "to the end, however far that moves".
    pub last: u64,
    /// Who asked for it, for F_GETLK and /proc/locks; -1 for a description's.
    pub pid: i32,
}

impl Record {
    fn overlaps(&self, other: &Self) -> bool {
        self.start <= other.last && other.start <= self.last
    }

    pub(super) fn conflicts(&self, other: &Self) -> bool {
        let shared = self.kind == LockKind::Shared && other.kind == LockKind::Shared;
        self.owner != other.owner && !shared && self.overlaps(other)
    }

    /// What is left of it when `hole` is cut out.
    fn without(&self, hole: &Self) -> impl Iterator<Item = Self> {
        let before = (hole.start > self.start).then(|| Self { last: hole.start.wrapping_sub(1), ..*self });
        let after = (hole.last < self.last).then(|| Self { start: hole.last.wrapping_add(1), ..*self });
        before.into_iter().chain(after)
    }
}

/// Whether a change gave a lock back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freed {
    None,
    Some,
}

/// Takes the bytes of `hole` out of its owner's records.
pub(super) fn cut(records: &mut Vec<Record>, hole: &Record) -> Freed {
    let hit = |held: &Record| held.owner == hole.owner && held.overlaps(hole);
    if !records.iter().any(hit) {
        return Freed::None;
    }
    let old = std::mem::take(records);
    for held in old {
        if hit(&held) {
            records.extend(held.without(hole));
        } else {
            records.push(held);
        }
    }
    Freed::Some
}

/// Puts `new` among its owner's records, none of which overlaps it, and joins it with those of its kind that it touches.
pub(super) fn insert(records: &mut Vec<Record>, new: Record) {
    let own = records.iter().position(|held| held.owner == new.owner);
    let Some(first) = own else { return records.push(new) };
    let later = |held: &Record| held.owner != new.owner || held.start > new.start;
    let at = records.iter().skip(first).position(later).map_or(records.len(), |after| first + after);
    records.insert(at, new);
    join(records, at);
    if at > first {
        join(records, at - 1);
    }
}

/// Joins the records at `at` and after it when they touch and are alike.
fn join(records: &mut Vec<Record>, at: usize) {
    let (Some(&left), Some(&right)) = (records.get(at), records.get(at + 1)) else { return };
    let touches = left.last.checked_add(1) == Some(right.start);
    if left.owner == right.owner && left.kind == right.kind && touches {
        records.remove(at + 1);
        if let Some(joined) = records.get_mut(at) {
            joined.last = right.last;
        }
    }
}
