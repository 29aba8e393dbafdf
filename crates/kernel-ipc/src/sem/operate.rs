//! The operations of one semop(2), all or none (ipc/sem.c perform_atomic_semop).

use abi_linux::{Errno, SysResult};

use super::{ADJUST_MAX, State, VALUE_MAX};

bitflags::bitflags! {
    /// `sem_flg`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SemFlags: u16 {
        const IPC_NOWAIT = 0o4000;
        const SEM_UNDO = 0x1000;
        const _ = !0;
    }
}

/// `struct sembuf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    pub number: u16,
    pub change: i16,
    pub flags: SemFlags,
}

impl Operation {
    /// Whether it changes the value.
    #[must_use]
    pub const fn alters(&self) -> bool {
        self.change != 0
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Done,
    /// The operation at this place has to wait.
    Blocked(usize),
}

/// Who performs operations: the process, and the key of its undo list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Performer {
    pub(super) pid: i32,
    pub(super) undo: u64,
}

impl State {
    /// Performs all operations, or none.
    pub(super) fn attempt(&mut self, ops: &[Operation], by: Performer, now_s: i64) -> SysResult<Attempt> {
        for (at, op) in ops.iter().enumerate() {
            let done = self.perform(op, by);
            if done != Ok(true) {
                for undone in ops.iter().take(at).rev() {
                    self.revert(undone, by);
                }
                return match done {
                    Ok(_) if op.flags.contains(SemFlags::IPC_NOWAIT) => Err(Errno::EAGAIN),
                    Ok(_) => Ok(Attempt::Blocked(at)),
                    Err(errno) => Err(errno),
                };
            }
        }
        for op in ops {
            if let Some(sem) = self.sems.get_mut(usize::from(op.number)) {
                sem.pid = by.pid;
            }
        }
        self.otime = now_s;
        Ok(Attempt::Done)
    }

    /// One operation: false when it has to wait.
    fn perform(&mut self, op: &Operation, by: Performer) -> SysResult<bool> {
        let number = usize::from(op.number);
        let sem = self.sems.get_mut(number).ok_or(Errno::EFBIG)?;
        if op.change == 0 {
            return Ok(sem.value == 0);
        }
        let result = sem.value + i32::from(op.change);
        if result < 0 {
            return Ok(false);
        }
        if result > VALUE_MAX {
            return Err(Errno::ERANGE);
        }
        if op.flags.contains(SemFlags::SEM_UNDO) {
            let adjustment = self.undo.get_mut(&by.undo).and_then(|all| all.get_mut(number));
            let adjustment = adjustment.ok_or(Errno::EIDRM)?;
            let undo = i32::from(*adjustment) - i32::from(op.change);
            if !(-ADJUST_MAX - 1..=ADJUST_MAX).contains(&undo) {
                return Err(Errno::ERANGE);
            }
            *adjustment = undo as i16;
        }
        sem.value = result;
        Ok(true)
    }

    /// Takes back an operation that was performed.
    fn revert(&mut self, op: &Operation, by: Performer) {
        let number = usize::from(op.number);
        let Some(sem) = self.sems.get_mut(number).filter(|_| op.alters()) else { return };
        sem.value -= i32::from(op.change);
        if op.flags.contains(SemFlags::SEM_UNDO)
            && let Some(adjustment) = self.undo.get_mut(&by.undo).and_then(|all| all.get_mut(number))
        {
            *adjustment = adjustment.saturating_add(op.change);
        }
    }

    /// Takes back operations that were performed for somebody who will not hear of it, where every value
    /// allows that.
    pub(super) fn take_back(&mut self, ops: &[Operation], by: Performer) {
        let before = (self.sems.clone(), self.undo.get(&by.undo).cloned());
        for op in ops.iter().rev() {
            self.revert(op, by);
        }
        if self.sems.iter().any(|sem| !(0..=VALUE_MAX).contains(&sem.value)) {
            self.sems = before.0;
            if let (Some(adjustments), Some(old)) = (self.undo.get_mut(&by.undo), before.1) {
                *adjustments = old;
            }
        }
    }
}
