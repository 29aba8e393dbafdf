//! Contexts of asynchronous I/O (io_setup(2); fs/aio.c, Linux v6.18): what was completed and not yet fetched.
//!
//! Files and disks are served while io_submit(2) runs, as Linux does for buffered files; so nothing is ever under way
//! and a context is a queue of results.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;

/// Most events of all contexts of a process (fs.aio-max-nr).
pub const AIO_MAX_NR: u32 = 65536;

/// `struct io_event` without its types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    /// `aio_data` of the request.
    pub data: u64,
    /// Where the request lies.
    pub request: u64,
    /// What the operation answered.
    pub result: i64,
}

#[derive(Default)]
struct State {
    completed: VecDeque<Completed>,
    is_dead: bool,
}

/// One context.
pub struct AioContext {
    max: u32,
    state: Mutex<State>,
    queue: WaitQueue,
}

impl AioContext {
    fn new(max: u32) -> Self {
        Self { max, state: Mutex::default(), queue: WaitQueue::new() }
    }

    /// EAGAIN when no other result has room.
    pub fn check_room(&self) -> SysResult<()> {
        let full = self.state.lock().completed.len() >= self.max as usize;
        if full { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Adds a result.
    pub fn complete(&self, done: Completed) {
        self.state.lock().completed.push_back(done);
        self.queue.wake(Events::IN);
    }

    /// Takes up to `most` results once there are `least`; EINVAL when the context has gone.
    fn try_take(&self, least: usize, most: usize) -> Option<SysResult<Vec<Completed>>> {
        let mut state = self.state.lock();
        if state.is_dead {
            return Some(Err(Errno::EINVAL));
        }
        let count = state.completed.len().min(most);
        if count < least {
            return None;
        }
        Some(Ok(state.completed.drain(..count).collect()))
    }

    /// io_getevents(2) without its timeout.
    pub async fn take(&self, least: usize, most: usize) -> SysResult<Vec<Completed>> {
        self.queue.wait_until(Events::IN, || self.try_take(least, most)).await
    }

    /// What is there, when time is over.
    pub fn take_present(&self, most: usize) -> SysResult<Vec<Completed>> {
        self.try_take(0, most).unwrap_or(Ok(Vec::new()))
    }

    fn end(&self) {
        self.state.lock().is_dead = true;
        self.queue.wake(Events::IN);
    }
}

/// The contexts of a process, by the address that names each: not inherited by fork, gone after exec.
#[derive(Default)]
pub struct AioContexts {
    by_address: Mutex<BTreeMap<u64, Arc<AioContext>>>,
}

impl AioContexts {
    /// EAGAIN when a context of `max` events is too much.
    pub fn check_room(&self, max: u32) -> SysResult<()> {
        let contexts = self.by_address.lock();
        let all: u64 = contexts.values().map(|context| u64::from(context.max)).sum();
        if all + u64::from(max) > u64::from(AIO_MAX_NR) { Err(Errno::EAGAIN) } else { Ok(()) }
    }

    /// Enters a context; one that was at the address, whose memory is gone, ends.
    pub fn insert(&self, address: u64, max: u32) {
        let old = self.by_address.lock().insert(address, Arc::new(AioContext::new(max)));
        old.iter().for_each(|old| old.end());
    }

    /// The context at an address; EINVAL.
    pub fn get(&self, address: u64) -> SysResult<Arc<AioContext>> {
        self.by_address.lock().get(&address).cloned().ok_or(Errno::EINVAL)
    }

    /// io_destroy(2): who waits for it gets EINVAL.
    pub fn remove(&self, address: u64) -> SysResult<()> {
        let gone = self.by_address.lock().remove(&address).ok_or(Errno::EINVAL)?;
        gone.end();
        Ok(())
    }

    /// Ends all of them: exec and exit.
    pub fn clear(&self) {
        let gone = std::mem::take(&mut *self.by_address.lock());
        gone.values().for_each(|context| context.end());
    }
}

#[cfg(test)]
mod tests {
    use super::{AIO_MAX_NR, AioContext, AioContexts, Completed};
    use abi_linux::Errno;

    #[test]
    fn results_are_bounded_and_come_in_order() {
        let context = AioContext::new(2);
        let of = |data| Completed { data, ..Completed::default() };
        for data in [1, 2] {
            assert_eq!(context.check_room(), Ok(()));
            context.complete(of(data));
        }
        assert_eq!(context.check_room(), Err(Errno::EAGAIN));
        assert!(context.try_take(3, 3).is_none());
        assert_eq!(context.try_take(1, 1), Some(Ok(vec![of(1)])));
        assert_eq!(context.take_present(9), Ok(vec![of(2)]));
    }

    #[test]
    fn contexts_share_the_limit_and_end() {
        let contexts = AioContexts::default();
        assert_eq!(contexts.check_room(AIO_MAX_NR), Ok(()));
        contexts.insert(0x1000, AIO_MAX_NR);
        assert_eq!(contexts.check_room(1), Err(Errno::EAGAIN));
        let context = contexts.get(0x1000).unwrap();
        assert_eq!((contexts.remove(0x1000), contexts.remove(0x1000)), (Ok(()), Err(Errno::EINVAL)));
        assert_eq!(context.try_take(1, 1), Some(Err(Errno::EINVAL)));
    }
}
