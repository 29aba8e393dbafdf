//! One call being handled, and what a handler may answer.

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::Pieces;
use kernel_task::{Kernel, Task};
use kernel_vfs::file::File;
use platform_api::{Performed, Step, Syscall};

use crate::observe::Entry;

/// Most bytes that one copy between guest and supervisor moves; longer transfers loop.
pub(crate) const SCRATCH_LEN: usize = 256 * 1024;

/// When a call that job control stops tries again if its signal did not interrupt it.
const JOB_CONTROL_RETRY_NS: u64 = 100_000_000;

/// A call and the thread that made it. Derefs to the thread.
pub struct Cx {
    pub(crate) task: Arc<Task>,
    pub(crate) call: Syscall,
    /// If somebody looks.
    pub(crate) entry: Option<Box<Entry>>,
}

impl Deref for Cx {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

/// What a handler answers when it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The call returns this.
    Value(i64),
    /// The host performs the call as the guest made it (gate).
    Continue,
    /// The handler had the thread perform host calls, and has answered.
    Answered,
    /// The host performs another call instead.
    Substitute { nr: i32, args: [u64; 6] },
}

macro_rules! outcome_from {
    ($($ty:ty),*) => {$(
        impl From<$ty> for Outcome {
            fn from(value: $ty) -> Self {
                Self::Value(value as i64)
            }
        }
    )*};
}
outcome_from!(i32, u32, i64, u64, usize);

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Value(0)
    }
}

impl From<Fd> for Outcome {
    fn from(fd: Fd) -> Self {
        Self::Value(i64::from(fd.0))
    }
}

/// A handler's result as an outcome: what the generated dispatch calls.
pub(crate) fn ret<T: Into<Outcome>>(result: SysResult<T>) -> SysResult<Outcome> {
    result.map(Into::into)
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's buffer of `len` bytes (at most [`SCRATCH_LEN`]). Not to be nested.
pub(crate) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [u8]) -> R) -> R {
    let len = len.min(SCRATCH_LEN);
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => {
            if scratch.len() < len {
                scratch.resize(len, 0);
            }
            f(&mut scratch[..len])
        }
        Err(_) => f(&mut vec![0; len]),
    })
}

impl Cx {
    /// The container's kernel.
    pub(crate) fn kernel(&self) -> &Arc<Kernel> {
        self.task.kernel()
    }

    /// The file behind a descriptor; EBADF without one, and for O_PATH descriptors, which nothing but the
    /// *at calls, fstat, fcntl, dup and close accept.
    pub(crate) fn file(&self, fd: Fd) -> SysResult<Arc<File>> {
        let file = self.process.files.get(fd)?;
        let is_path = file.flags().contains(abi_linux::fs::OpenFlags::PATH);
        if is_path { Err(Errno::EBADF) } else { Ok(file) }
    }

    /// Puts a new file at the lowest free descriptor.
    pub(crate) fn install(&self, file: Arc<File>, cloexec: bool) -> SysResult<Fd> {
        self.process.files.insert(file, cloexec, self.process.limits.files())
    }

    /// Tries `attempt` until it answers something other than EAGAIN, waiting for `interest` in between;
    /// once only when the file is non-blocking.
    pub(crate) async fn block_on<T>(
        &self,
        file: &File,
        interest: Events,
        mut attempt: impl FnMut() -> SysResult<T>,
    ) -> SysResult<T> {
        match file.ops.wait_queue() {
            Some(queue) if !file.is_nonblocking() => {
                let not_yet = |result: &SysResult<T>| matches!(result, Err(Errno::EAGAIN));
                queue.wait_until(interest, || Some(attempt()).filter(|result| !not_yet(result))).await
            }
            _ => attempt(),
        }
    }

    /// Waits for the signal that job control has raised at the caller, which interrupts the call. Should
    /// another thread have taken it, the caller tries again and raises it anew.
    pub(crate) async fn park_for_job_control(&self) {
        let timers = &self.kernel().timers;
        timers.sleep_until(timers.now_ns().saturating_add(JOB_CONTROL_RETRY_NS)).await;
    }

    /// Has the thread make host calls; the platform has answered even when it fails.
    pub(crate) fn perform(&self, mut next: impl FnMut(Performed) -> Step) -> SysResult<Outcome> {
        if let Err(error) = self.kernel().platform.perform(&self.call, &mut next) {
            tracing::debug!(tid = self.tid, %error, "cannot make a thread perform host calls");
        }
        Ok(Outcome::Answered)
    }

    /// One guest buffer.
    pub(crate) fn buffer(&self, addr: u64, len: usize) -> SysResult<Pieces> {
        self.mem().single(addr, len)
    }
}
