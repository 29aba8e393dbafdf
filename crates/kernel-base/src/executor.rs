//! Calls that wait. A handler is a future that a worker polls once, inline; nearly always it is ready.
//! Otherwise it is parked here, and whoever makes it ready puts it on the ready queue, which that same
//! thread drains when it has finished its own event. No thread is held by a waiting call.
//!
//! Containers that share objects (a pod's) have an [`Executor`] each and one [`ReadyQueue`]: a thread that serves one of
//! them finishes what it made ready in another.
//!
//! The fast path allocates nothing: a worker keeps one [`Slot`] whose box is used again for every call
//! that does not wait.
//!
//! Lock order: `Parked.state` before `Executor.parked` before `ReadyQueue`; a future is polled and
//! dropped with none of them held.

use std::collections::VecDeque;
use std::collections::hash_map::{Entry as MapEntry, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use platform_api::{HostTid, Syscall};

use crate::sync::Mutex;

enum State<F> {
    /// No call, or finished.
    Empty,
    /// Waits for a wake-up.
    Waiting(Pin<Box<F>>),
    /// On the ready queue.
    Queued(Pin<Box<F>>),
    /// A thread polls it now; `woken` asks for another round.
    Polling { woken: bool },
}

struct Parked<F> {
    executor: Weak<Executor<F>>,
    /// Whose call it is; 0 while it was never parked.
    tid: AtomicI32,
    state: Mutex<State<F>>,
}

impl<F: Future<Output = ()> + Send + 'static> Wake for Parked<F> {
    fn wake(self: Arc<Self>) {
        let mut state = self.state.lock();
        match std::mem::replace(&mut *state, State::Empty) {
            State::Waiting(future) => {
                *state = State::Queued(future);
                drop(state);
                if let Some(executor) = self.executor.upgrade() {
                    executor.ready.0.lock().push_back(self);
                }
            }
            State::Polling { .. } => *state = State::Polling { woken: true },
            other => *state = other,
        }
    }
}

/// A parked call that has become ready.
trait Ready: Send + Sync {
    fn poll(self: Arc<Self>);
}

impl<F: Future<Output = ()> + Send + 'static> Ready for Parked<F> {
    fn poll(self: Arc<Self>) {
        let mut state = self.state.lock();
        let State::Queued(mut future) = std::mem::replace(&mut *state, State::Empty) else { return };
        // Without an executor its container is gone.
        let Some(executor) = self.executor.upgrade() else {
            drop(state);
            return drop(future);
        };
        *state = State::Polling { woken: false };
        drop(state);
        let waker = Waker::from(Arc::clone(&self));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(()) => {
                *self.state.lock() = State::Empty;
                executor.forget(&self);
            }
            Poll::Pending => executor.settle(&self, future),
        }
    }
}

/// The calls that have become ready, of one container or of all in a pod.
#[derive(Default)]
pub struct ReadyQueue(Mutex<VecDeque<Arc<dyn Ready>>>);

impl ReadyQueue {
    /// Polls every call that has become ready, until none is left.
    pub fn drain(&self) {
        loop {
            let Some(parked) = self.0.lock().pop_front() else { return };
            parked.poll();
        }
    }
}

struct Entry<F> {
    call: Syscall,
    /// Monotonic time of its parking.
    since_ns: u64,
    parked: Arc<Parked<F>>,
}

/// All parked calls of a container, at most one for each thread.
pub struct Executor<F> {
    parked: Mutex<HashMap<HostTid, Entry<F>>>,
    ready: Arc<ReadyQueue>,
}

/// A worker's place for the call that it polls.
pub struct Slot<F> {
    parked: Arc<Parked<F>>,
    waker: Waker,
    spare: Option<Pin<Box<F>>>,
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> {
    /// An executor with nothing parked.
    #[must_use]
    pub fn new(ready: &Arc<ReadyQueue>) -> Arc<Self> {
        Arc::new(Self { parked: Mutex::default(), ready: Arc::clone(ready) })
    }

    /// A slot for one worker.
    #[must_use]
    pub fn slot(self: &Arc<Self>) -> Slot<F> {
        let parked = Arc::new(Parked {
            executor: Arc::downgrade(self),
            tid: AtomicI32::new(0),
            state: Mutex::new(State::Empty),
        });
        let waker = Waker::from(Arc::clone(&parked));
        Slot { parked, waker, spare: None }
    }

    /// Polls a call's future once. Keeps it when it has to wait, with the time, after which `before_waiting` runs: a
    /// signal may have come while the call was still running.
    pub fn start(
        self: &Arc<Self>,
        slot: &mut Slot<F>,
        call: Syscall,
        future: F,
        now_ns: impl FnOnce() -> u64,
        before_waiting: impl FnOnce(),
    ) {
        let mut boxed = match slot.spare.take() {
            Some(mut boxed) => {
                boxed.set(future);
                boxed
            }
            None => Box::pin(future),
        };
        *slot.parked.state.lock() = State::Polling { woken: false };
        match boxed.as_mut().poll(&mut Context::from_waker(&slot.waker)) {
            Poll::Ready(()) => {
                *slot.parked.state.lock() = State::Empty;
                slot.spare = Some(boxed);
            }
            Poll::Pending => {
                let full = std::mem::replace(slot, self.slot());
                full.parked.tid.store(call.tid, Ordering::Relaxed);
                let entry = Entry { call, since_ns: now_ns(), parked: Arc::clone(&full.parked) };
                self.parked.lock().insert(call.tid, entry);
                self.settle(&full.parked, boxed);
                before_waiting();
            }
        }
    }

    /// Stores a pending future, or queues it again when it was woken during the poll.
    fn settle(&self, parked: &Arc<Parked<F>>, future: Pin<Box<F>>) {
        let mut state = parked.state.lock();
        match *state {
            State::Polling { woken: true } => {
                *state = State::Queued(future);
                drop(state);
                let again: Arc<dyn Ready> = Arc::<Parked<F>>::clone(parked);
                self.ready.0.lock().push_back(again);
            }
            _ => *state = State::Waiting(future),
        }
    }

    /// [`ReadyQueue::drain`].
    pub fn drain(&self) {
        self.ready.drain();
    }

    /// Takes a finished call out of the map, unless its thread has parked another one meanwhile.
    fn forget(&self, parked: &Arc<Parked<F>>) {
        let mut map = self.parked.lock();
        if let MapEntry::Occupied(entry) = map.entry(parked.tid.load(Ordering::Relaxed))
            && Arc::ptr_eq(&entry.get().parked, parked)
        {
            entry.remove();
        }
    }

    /// Whether any call is parked.
    #[must_use]
    pub fn is_any_parked(&self) -> bool {
        !self.parked.lock().is_empty()
    }

    /// The parked call of a thread, if it has one.
    #[must_use]
    pub fn parked_call(&self, tid: HostTid) -> Option<Syscall> {
        self.parked.lock().get(&tid).map(|entry| entry.call)
    }

    /// All parked calls, with the times of their parking.
    #[must_use]
    pub fn all(&self) -> Vec<(Syscall, u64)> {
        self.parked.lock().values().map(|entry| (entry.call, entry.since_ns)).collect()
    }

    /// Drops a thread's parked call and returns it for an answer, with the time of its parking. `None` when there is none, or when
    /// another thread is finishing it right now.
    pub fn cancel(&self, tid: HostTid) -> Option<(Syscall, u64)> {
        let entry = self.parked.lock().remove(&tid)?;
        let mut state = entry.parked.state.lock();
        match std::mem::replace(&mut *state, State::Empty) {
            State::Waiting(future) | State::Queued(future) => {
                drop(state);
                drop(future);
                Some((entry.call, entry.since_ns))
            }
            polling @ State::Polling { .. } => {
                // Its poller decides: if the call completes, that is the answer; if not, a later look finds it.
                *state = polling;
                drop(state);
                self.parked.lock().entry(tid).or_insert(entry);
                None
            }
            State::Empty => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Executor, ReadyQueue, Slot};
    use crate::wait::WaitQueue;
    use abi_linux::fs::Events;
    use platform_api::{CallId, Syscall};
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn call(tid: i32) -> Syscall {
        Syscall { id: CallId(tid as u64), tid, nr: 0, args: [0; 6], instruction_pointer: 0 }
    }

    fn wait_for(queue: &Arc<WaitQueue>, level: &Arc<AtomicU32>, done: &Arc<AtomicU32>) -> Job {
        let (queue, level, done) = (Arc::clone(queue), Arc::clone(level), Arc::clone(done));
        Box::pin(async move {
            queue.wait_until(Events::IN, || (level.load(Ordering::SeqCst) > 0).then_some(())).await;
            done.fetch_add(1, Ordering::SeqCst);
        })
    }

    #[test]
    fn parked_call_runs_after_wake_and_drain() {
        let executor: Arc<Executor<Job>> = Executor::new(&Arc::default());
        let mut slot: Slot<Job> = executor.slot();
        let (queue, level, done) = (Arc::default(), Arc::default(), Arc::default());
        executor.start(&mut slot, call(7), wait_for(&queue, &level, &done), || 0, || {});
        assert!(executor.parked_call(7).is_some());
        queue.wake(Events::IN);
        executor.drain();
        assert_eq!(done.load(Ordering::SeqCst), 0, "condition was still false");
        level.store(1, Ordering::SeqCst);
        queue.wake(Events::IN);
        executor.drain();
        assert_eq!(done.load(Ordering::SeqCst), 1);
        assert!(executor.parked_call(7).is_none());
    }

    #[test]
    fn call_of_one_container_is_finished_by_a_thread_of_another() {
        let ready: Arc<ReadyQueue> = Arc::default();
        let (own, other): (Arc<Executor<Job>>, Arc<Executor<Job>>) =
            (Executor::new(&ready), Executor::new(&ready));
        let mut slot: Slot<Job> = own.slot();
        let (queue, level, done) = (Arc::default(), Arc::new(AtomicU32::new(0)), Arc::default());
        own.start(&mut slot, call(7), wait_for(&queue, &level, &done), || 0, || {});
        level.store(1, Ordering::SeqCst);
        queue.wake(Events::IN);
        other.drain();
        assert_eq!(done.load(Ordering::SeqCst), 1);
        assert!(own.parked_call(7).is_none());
    }

    #[test]
    fn cancelled_call_leaves_no_waiter() {
        let executor: Arc<Executor<Job>> = Executor::new(&Arc::default());
        let mut slot = executor.slot();
        let (queue, level, done) = (Arc::default(), Arc::default(), Arc::default());
        executor.start(&mut slot, call(7), wait_for(&queue, &level, &done), || 0, || {});
        assert_eq!(executor.cancel(7).map(|(call, _)| call.tid), Some(7));
        level.store(1, Ordering::SeqCst);
        queue.wake(Events::IN);
        executor.drain();
        assert_eq!(done.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn ready_call_never_parks() {
        let executor: Arc<Executor<Job>> = Executor::new(&Arc::default());
        let mut slot = executor.slot();
        let (queue, done) = (Arc::default(), Arc::default());
        let level = Arc::new(AtomicU32::new(1));
        for _ in 0..3 {
            executor.start(&mut slot, call(7), wait_for(&queue, &level, &done), || 0, || unreachable!());
        }
        assert_eq!(done.load(Ordering::SeqCst), 3);
    }
}
