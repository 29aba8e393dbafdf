//! What splice(2) and tee(2) do to a pipe beside reading and writing it.

use abi_linux::{Errno, SysResult};

use super::{PipeEnd, end};

impl PipeEnd {
    /// Copies what the pipe holds to `buf` and leaves it there (tee(2)). 0: no writer is left; EAGAIN: empty.
    pub fn peek(&self, buf: &mut [u8]) -> SysResult<usize> {
        let state = self.pipe.state.lock();
        match state.ring.peek(buf) {
            0 if state.writers == 0 || buf.is_empty() => Ok(0),
            0 => Err(Errno::EAGAIN),
            got => Ok(got),
        }
    }

    /// Free bytes.
    #[must_use]
    pub fn room(&self) -> usize {
        let state = self.pipe.state.lock();
        state.capacity.saturating_sub(state.ring.len())
    }

    /// Writes all of `bytes`, for which there was [`PipeEnd::room`] a moment ago: what other writers took of it
    /// is exceeded. EPIPE without readers; the caller has looked before and need not raise SIGPIPE.
    pub fn fill_beyond(&self, bytes: &[u8]) -> SysResult<()> {
        let mut state = self.pipe.state.lock();
        if state.readers == 0 {
            return Err(Errno::EPIPE);
        }
        state.ring.push(bytes);
        drop(state);
        self.pipe.queue.wake(end::READABLE);
        Ok(())
    }

    /// Puts bytes that were read from this pipe back in front: their destination did not take them. The
    /// capacity may be exceeded by what was written meanwhile.
    pub fn give_back(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.pipe.state.lock().ring.push_front(bytes);
        self.pipe.queue.wake(end::READABLE);
    }
}
