//! Waiting for a set of semaphores.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use abi_linux::{Errno, SysResult};

use super::operate::{Attempt, Operation, Performer, SemFlags};
use super::undo::UndoList;
use super::{SemSet, State};
use crate::perm::{Actor, READ, WRITE};

/// Most calls that wait for one set.
const MAX_PENDING: usize = 1 << 16;

/// Who is to be woken once the lock is given back.
#[must_use]
#[derive(Default)]
pub(super) struct Wakes(pub(super) Vec<Waker>);

/// A call that waits, or whose operations have been performed.
#[derive(Debug)]
struct Waiter {
    ticket: u64,
    ops: Arc<[Operation]>,
    by: Performer,
    /// Which operation it waits for.
    blocked_on: usize,
    waker: Option<Waker>,
    result: Option<SysResult<()>>,
}

/// Calls in the order of their arrival.
#[derive(Debug, Default)]
pub(super) struct Pending {
    next_ticket: u64,
    waiters: VecDeque<Waiter>,
}

impl Pending {
    /// How many wait for semaphore `number` in that way: for more of it, or for zero.
    pub(super) fn count(&self, number: usize, what: Ordering) -> i32 {
        let waits = |waiter: &&Waiter| {
            let op = waiter.ops.get(waiter.blocked_on).filter(|_| waiter.result.is_none());
            op.is_some_and(|op| usize::from(op.number) == number && op.change.cmp(&0) == what)
        };
        i32::try_from(self.waiters.iter().filter(waits).count()).unwrap_or(i32::MAX)
    }

    /// Ends all waits.
    pub(super) fn end_all(&mut self, errno: Errno) -> Wakes {
        let mut wakes = Wakes::default();
        for waiter in &mut self.waiters {
            waiter.result.get_or_insert(Err(errno));
            wakes.0.extend(waiter.waker.take());
        }
        wakes
    }
}

impl State {
    /// Performs the operations of those who wait, as far as they have become possible, first come first
    /// served; after each that changes a value all are looked at again.
    pub(super) fn settle(&mut self, now_s: i64) -> Wakes {
        let mut wakes = Wakes::default();
        let mut at = 0;
        while let Some(waiter) = self.pending.waiters.get(at) {
            if waiter.result.is_some() {
                at += 1;
                continue;
            }
            let (ops, by) = (Arc::clone(&waiter.ops), waiter.by);
            let attempt = self.attempt(&ops, by, now_s);
            let Some(waiter) = self.pending.waiters.get_mut(at) else { break };
            match attempt {
                Ok(Attempt::Blocked(op)) => {
                    waiter.blocked_on = op;
                    at += 1;
                }
                done => {
                    waiter.result = Some(done.map(drop));
                    wakes.0.extend(waiter.waker.take());
                    let altered = done.is_ok() && ops.iter().any(Operation::alters);
                    at = if altered { 0 } else { at + 1 };
                }
            }
        }
        wakes
    }
}

/// A place in the queue, given up when dropped.
struct Place<'a> {
    set: &'a SemSet,
    ticket: u64,
    now_s: i64,
}

impl Place<'_> {
    /// The result if there is one; else keeps the waker.
    fn poll(&self, waker: &Waker) -> Poll<SysResult<()>> {
        let mut state = self.set.state.lock();
        let waiters = &mut state.pending.waiters;
        let Some(at) = waiters.iter().position(|waiter| waiter.ticket == self.ticket) else {
            return Poll::Ready(Err(Errno::EIDRM));
        };
        let Some(waiter) = waiters.get_mut(at) else { return Poll::Ready(Err(Errno::EIDRM)) };
        match waiter.result {
            Some(result) => {
                waiters.remove(at);
                Poll::Ready(result)
            }
            None => {
                waiter.waker = Some(waker.clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.set.state.lock();
        let waiters = &mut state.pending.waiters;
        let found = waiters.iter().position(|waiter| waiter.ticket == self.ticket);
        let Some(waiter) = found.and_then(|at| waiters.remove(at)) else { return };
        let mut wakes = Wakes::default();
        if waiter.result == Some(Ok(())) {
            // A signal was faster than the news: nothing has happened.
            state.take_back(&waiter.ops, waiter.by);
            wakes = state.settle(self.now_s);
        }
        drop(state);
        wakes.wake();
    }
}

impl SemSet {
    /// semop(2), semtimedop(2) without the limit. `undo` is the caller's list.
    pub async fn operate(
        self: &Arc<Self>,
        ops: &[Operation],
        who: &Actor<'_>,
        undo: &UndoList,
    ) -> SysResult<()> {
        match self.begin(ops, who, undo)? {
            None => Ok(()),
            Some(place) => poll_fn(|cx| place.poll(cx.waker())).await,
        }
    }

    /// Performs the operations at once, or queues them.
    fn begin(
        self: &Arc<Self>,
        ops: &[Operation],
        who: &Actor<'_>,
        undo: &UndoList,
    ) -> SysResult<Option<Place<'_>>> {
        let mut state = self.state.lock();
        if ops.iter().any(|op| usize::from(op.number) >= state.sems.len()) {
            return Err(Errno::EFBIG);
        }
        let alters = ops.iter().any(Operation::alters);
        state.perm.check(who, if alters { WRITE } else { READ })?;
        state.check_alive()?;
        if ops.iter().any(|op| op.flags.contains(SemFlags::SEM_UNDO)) {
            let nsems = state.sems.len();
            state.undo.entry(undo.key()).or_insert_with(|| vec![0; nsems]);
            undo.note(self);
        }
        let by = Performer { pid: who.pid, undo: undo.key() };
        match state.attempt(ops, by, who.now_s)? {
            Attempt::Done => {
                let wakes = if alters { state.settle(who.now_s) } else { Wakes::default() };
                drop(state);
                wakes.wake();
                Ok(None)
            }
            Attempt::Blocked(at) => {
                if state.pending.waiters.len() >= MAX_PENDING {
                    return Err(Errno::ENOMEM);
                }
                let ticket = state.pending.next_ticket;
                state.pending.next_ticket += 1;
                let ops = Arc::from(ops);
                let waiter = Waiter { ticket, ops, by, blocked_on: at, waker: None, result: None };
                state.pending.waiters.push_back(waiter);
                Ok(Some(Place { set: self, ticket, now_s: who.now_s }))
            }
        }
    }
}
