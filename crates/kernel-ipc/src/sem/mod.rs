//! Semaphores (semget(2), semop(2), semctl(2); ipc/sem.c, Linux v6.18).
//!
//! A [`SemSet`] keeps who waits in the order of arrival. Whoever changes a value performs the operations
//! that have become possible on behalf of those who wait ([`wait`]), so nobody can come in between. Should
//! a signal take a waiter away after that, its operations are undone.

mod operate;
#[cfg(test)]
mod tests;
mod undo;
mod wait;

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::tunable::Tunable;
use rustc_hash::FxHashMap;

use crate::ids::{Created, Ids, Key, Object};
use crate::perm::{Actor, Perm, READ, WRITE};

pub use operate::{Operation, SemFlags};
pub use undo::UndoList;
use wait::{Pending, Wakes};

/// SEMVMX: largest value.
pub const VALUE_MAX: i32 = 32767;
/// SEMAEM: largest adjustment at exit.
const ADJUST_MAX: i32 = 32767;

#[derive(Clone, Copy, Debug, Default)]
struct Semaphore {
    value: i32,
    /// Who operated on it last.
    pid: i32,
}

#[derive(Debug)]
struct State {
    perm: Perm,
    otime: i64,
    ctime: i64,
    sems: Vec<Semaphore>,
    /// Adjustments at exit, by the key of an [`UndoList`].
    undo: FxHashMap<u64, Vec<i16>>,
    pending: Pending,
    /// Removed: waiters get EIDRM.
    is_dead: bool,
}

/// A set of semaphores.
#[derive(Debug)]
pub struct SemSet {
    id: i32,
    state: Mutex<State>,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub id: i32,
    pub perm: Perm,
    pub otime: i64,
    pub ctime: i64,
    pub nsems: usize,
}

/// What semctl(2) can ask of one semaphore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    Value,
    Pid,
    /// How many wait for it to grow.
    WaitingForMore,
    /// How many wait for it to be zero.
    WaitingForZero,
}

impl Object for SemSet {
    type Status = Status;

    fn perm(&self) -> Perm {
        self.state.lock().perm
    }

    fn status(&self) -> Status {
        let state = self.state.lock();
        let (perm, otime, ctime) = (state.perm, state.otime, state.ctime);
        Status { id: self.id, perm, otime, ctime, nsems: state.sems.len() }
    }
}

impl State {
    fn check_alive(&self) -> SysResult<()> {
        if self.is_dead { Err(Errno::EIDRM) } else { Ok(()) }
    }
}

impl SemSet {
    fn new(created: Created, nsems: usize, who: &Actor<'_>) -> Self {
        let state = State {
            perm: created.perm,
            otime: 0,
            ctime: who.now_s,
            sems: vec![Semaphore::default(); nsems],
            undo: FxHashMap::default(),
            pending: Pending::default(),
            is_dead: false,
        };
        Self { id: created.id, state: Mutex::new(state) }
    }

    /// How many semaphores it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state.lock().sems.len()
    }

    /// Never: a set has a semaphore at least.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// GETVAL, GETPID, GETNCNT, GETZCNT.
    pub fn ask(&self, number: usize, question: Question, who: &Actor<'_>) -> SysResult<i32> {
        let state = self.state.lock();
        state.perm.check(who, READ)?;
        let sem = state.sems.get(number).ok_or(Errno::EINVAL)?;
        Ok(match question {
            Question::Value => sem.value,
            Question::Pid => sem.pid,
            Question::WaitingForMore => state.pending.count(number, Ordering::Less),
            Question::WaitingForZero => state.pending.count(number, Ordering::Equal),
        })
    }

    /// GETALL.
    pub fn values(&self, who: &Actor<'_>) -> SysResult<Vec<u16>> {
        let state = self.state.lock();
        state.perm.check(who, READ)?;
        Ok(state.sems.iter().map(|sem| sem.value as u16).collect())
    }

    /// SETVAL.
    pub fn set_value(&self, number: usize, value: i32, who: &Actor<'_>) -> SysResult<()> {
        if !(0..=VALUE_MAX).contains(&value) {
            return Err(Errno::ERANGE);
        }
        let mut state = self.state.lock();
        if number >= state.sems.len() {
            return Err(Errno::EINVAL);
        }
        state.perm.check(who, WRITE)?;
        for adjustments in state.undo.values_mut() {
            adjustments.iter_mut().skip(number).take(1).for_each(|adjustment| *adjustment = 0);
        }
        if let Some(sem) = state.sems.get_mut(number) {
            *sem = Semaphore { value, pid: who.pid };
        }
        state.ctime = who.now_s;
        let wakes = state.settle(who.now_s);
        drop(state);
        wakes.wake();
        Ok(())
    }

    /// EACCES unless SETALL is allowed: looked at before the values are read.
    pub fn check_alter(&self, who: &Actor<'_>) -> SysResult<()> {
        self.state.lock().perm.check(who, WRITE)
    }

    /// SETALL.
    pub fn set_values(&self, values: &[u16], who: &Actor<'_>) -> SysResult<()> {
        if values.iter().any(|&value| i32::from(value) > VALUE_MAX) {
            return Err(Errno::ERANGE);
        }
        let mut state = self.state.lock();
        state.check_alive()?;
        for (sem, &value) in state.sems.iter_mut().zip(values) {
            *sem = Semaphore { value: i32::from(value), pid: who.pid };
        }
        state.undo.values_mut().for_each(|adjustments| adjustments.fill(0));
        state.ctime = who.now_s;
        let wakes = state.settle(who.now_s);
        drop(state);
        wakes.wake();
        Ok(())
    }
}

use std::cmp::Ordering;

/// All sets of a namespace.
pub struct SemSets {
    pub ids: Ids<SemSet>,
    /// kernel.sem: semaphores of a set, of all, operations of a call, sets.
    pub semmsl: Tunable,
    pub semmns: Tunable,
    pub semopm: Tunable,
    pub semmni: Tunable,
    used: Arc<Mutex<u64>>,
}

impl Default for SemSets {
    fn default() -> Self {
        const INT_MAX: u64 = i32::MAX as u64;
        Self {
            ids: Ids::default(),
            semmsl: Tunable::new(32000, 0, 65536),
            semmns: Tunable::new(1_024_000_000, 0, INT_MAX),
            semopm: Tunable::new(500, 0, 4096),
            semmni: Tunable::new(32000, 0, crate::ids::IPCMNI),
            used: Arc::default(),
        }
    }
}

/// Semaphores of a namespace that are really kept: beyond, ENOSPC comes before kernel.sem says so.
const TOTAL_MAX: u64 = 1 << 22;

impl SemSets {
    /// semget(2).
    pub fn get(&self, key: Key, nsems: i32, flags: u32, who: &Actor<'_>) -> SysResult<i32> {
        let nsems = usize::try_from(nsems).map_err(|_| Errno::EINVAL)?;
        if nsems as u64 > self.semmsl.get() {
            return Err(Errno::EINVAL);
        }
        let admits = |set: &SemSet| if nsems > set.len() { Err(Errno::EINVAL) } else { Ok(()) };
        self.ids.get(key, flags, who, self.semmni.get(), admits, |created| {
            if nsems == 0 {
                return Err(Errno::EINVAL);
            }
            let mut used = self.used.lock();
            if *used + nsems as u64 > self.semmns.get().min(TOTAL_MAX) {
                return Err(Errno::ENOSPC);
            }
            *used += nsems as u64;
            Ok(SemSet::new(created, nsems, who))
        })
    }

    /// IPC_SET.
    pub fn set(&self, id: i32, (uid, gid, mode): (u32, u32, u32), who: &Actor<'_>) -> SysResult<()> {
        let set = self.ids.find(id)?;
        let mut state = set.state.lock();
        state.perm.check_owner(who)?;
        state.perm.set(uid, gid, mode)?;
        state.ctime = who.now_s;
        Ok(())
    }

    /// IPC_RMID: who waits gets EIDRM.
    pub fn remove(&self, id: i32, who: &Actor<'_>) -> SysResult<()> {
        let set = self.ids.find(id)?;
        let mut state = set.state.lock();
        state.perm.check_owner(who)?;
        drop(state);
        if !self.ids.remove(id) {
            return Err(Errno::EIDRM);
        }
        state = set.state.lock();
        state.is_dead = true;
        state.undo.clear();
        let nsems = state.sems.len() as u64;
        let wakes = state.pending.end_all(Errno::EIDRM);
        drop(state);
        let mut used = self.used.lock();
        *used = used.saturating_sub(nsems);
        drop(used);
        wakes.wake();
        Ok(())
    }

    /// How many sets and semaphores there are, and the highest index.
    #[must_use]
    pub fn totals(&self) -> (usize, u64, i32) {
        let (sets, highest) = self.ids.count_and_highest();
        (sets, *self.used.lock(), highest)
    }
}

impl Wakes {
    /// Wakes them, with no lock held.
    fn wake(self) {
        self.0.into_iter().for_each(std::task::Waker::wake);
    }
}
