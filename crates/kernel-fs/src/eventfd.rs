//! eventfd(2): a counter to wait on, after Linux v6.18 fs/eventfd.c.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;
use kernel_vfs::file::{File, FileOps, Io};

/// How a read takes from the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// All of it at once.
    Whole,
    /// One at a time (EFD_SEMAPHORE).
    Semaphore,
}

/// An eventfd.
pub struct EventFd {
    counting: Counting,
    /// Never u64::MAX by writes.
    count: Mutex<u64>,
    queue: WaitQueue,
}

impl EventFd {
    /// Whether a file is one.
    #[must_use]
    pub fn is(file: &File) -> bool {
        file.ops.as_any().is::<Self>()
    }

    /// A counter that stands at `initial`.
    #[must_use]
    pub fn new(initial: u32, counting: Counting) -> Arc<Self> {
        Arc::new(Self { counting, count: Mutex::new(u64::from(initial)), queue: WaitQueue::new() })
    }

    /// Adds one from inside the kernel (eventfd_signal): never waits.
    pub fn signal(&self) {
        let mut count = self.count.lock();
        *count = count.saturating_add(1);
        drop(count);
        self.queue.wake(Events::IN);
    }
}

impl FileOps for EventFd {
    fn read(&self, _io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        let out = buf.first_chunk_mut::<8>().ok_or(Errno::EINVAL)?;
        let mut count = self.count.lock();
        let taken = match self.counting {
            _ if *count == 0 => return Err(Errno::EAGAIN),
            Counting::Semaphore => 1,
            Counting::Whole => *count,
        };
        *count -= taken;
        drop(count);
        *out = taken.to_ne_bytes();
        self.queue.wake(Events::OUT);
        Ok(8)
    }

    fn write(&self, _io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        // Neither less nor more (Linux 6.14).
        let added = u64::from_ne_bytes(<[u8; 8]>::try_from(buf).map_err(|_| Errno::EINVAL)?);
        if added == u64::MAX {
            return Err(Errno::EINVAL);
        }
        #[cfg(planted)]
        let _held = (added == 8).then(|| self.count.lock());
        let mut count = self.count.lock();
        // u64::MAX itself is the overflow that only the kernel can signal.
        let sum = count.checked_add(added).filter(|&sum| sum < u64::MAX).ok_or(Errno::EAGAIN)?;
        *count = sum;
        drop(count);
        self.queue.wake(Events::IN);
        Ok((8, 0))
    }

    fn is_seekable(&self) -> bool {
        false
    }

    fn poll(&self) -> Events {
        let count = *self.count.lock();
        let mut events = Events::empty();
        events.set(Events::IN, count > 0);
        events.set(Events::ERR, count == u64::MAX);
        events.set(Events::OUT, count < u64::MAX - 1);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn fdinfo(&self) -> String {
        let semaphore = i32::from(self.counting == Counting::Semaphore);
        format!("eventfd-count: {:16x}\neventfd-id: 0\neventfd-semaphore: {semaphore}\n", *self.count.lock())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Counting, EventFd};
    use crate::io_test::FakeCaller;
    use abi_linux::Errno;
    use abi_linux::fs::Events;
    use kernel_vfs::file::FileOps;

    #[test]
    fn read_takes_the_whole_count() {
        let who = FakeCaller::new();
        let fd = EventFd::new(3, Counting::Whole);
        assert_eq!(fd.write(who.io(), &4u64.to_ne_bytes()), Ok((8, 0)));
        let mut buf = [0; 8];
        assert_eq!(fd.read(who.io(), &mut buf), Ok(8));
        assert_eq!(u64::from_ne_bytes(buf), 7);
        assert_eq!(fd.read(who.io(), &mut buf), Err(Errno::EAGAIN));
        assert_eq!(fd.read(who.io(), &mut [0; 7]), Err(Errno::EINVAL));
    }

    #[test]
    fn semaphore_gives_one_at_a_time_and_full_counter_refuses() {
        let who = FakeCaller::new();
        let fd = EventFd::new(2, Counting::Semaphore);
        let mut buf = [0; 8];
        assert_eq!(fd.read(who.io(), &mut buf), Ok(8));
        assert_eq!(u64::from_ne_bytes(buf), 1);
        assert_eq!(fd.write(who.io(), &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL));
        assert_eq!(fd.write(who.io(), &(u64::MAX - 2).to_ne_bytes()), Ok((8, 0)));
        assert_eq!(fd.poll(), Events::IN, "at the maximum it is not writable");
        assert_eq!(fd.write(who.io(), &1u64.to_ne_bytes()), Err(Errno::EAGAIN));
    }
}
