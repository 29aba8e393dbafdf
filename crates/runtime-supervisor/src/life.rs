//! A guest process as its container's owner sees it: made, running, ended, and who waits for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use kernel_base::sync::Mutex;
use kernel_task::kernel::ExitStatus;
use platform_api::{HostTid, KernelEvents};
use runtime_control::{Exit, State, WindowSize};

use crate::console::Console;

/// Told of an end, on the thread that noticed it.
pub(crate) type Waiter = Box<dyn FnOnce(Exit) + Send>;

/// A process that was asked for: a container's first, or one that joined it.
pub(crate) struct Life {
    /// Its host id.
    pub(crate) pid: HostTid,
    console: Option<Console>,
    runs: AtomicBool,
    end: Mutex<End>,
}

enum End {
    Awaited(Vec<Waiter>),
    Come(Exit),
}

impl Life {
    pub(crate) fn new(pid: HostTid, console: Option<Console>) -> Arc<Self> {
        let end = Mutex::new(End::Awaited(Vec::new()));
        Arc::new(Self { pid, console, runs: AtomicBool::new(false), end })
    }

    /// Its program is about to run.
    pub(crate) fn begin(&self, events: &dyn KernelEvents) {
        if let Some(console) = &self.console {
            console.follow(events);
        }
        self.runs.store(true, Ordering::Relaxed);
    }

    pub(crate) fn state(&self) -> State {
        match &*self.end.lock() {
            End::Come(exit) => State::Stopped(*exit),
            End::Awaited(_) if self.runs.load(Ordering::Relaxed) => State::Running { pid: self.pid },
            End::Awaited(_) => State::Created { pid: self.pid },
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.end.lock(), End::Come(_))
    }

    /// Calls `waiter` at the end, at once if it has come.
    pub(crate) fn on_end(&self, waiter: Waiter) {
        let mut end = self.end.lock();
        match &mut *end {
            End::Awaited(waiters) => waiters.push(waiter),
            End::Come(exit) => {
                let exit = *exit;
                drop(end);
                waiter(exit);
            }
        }
    }

    /// It has ended; the first word counts.
    pub(crate) fn end(&self, status: ExitStatus) -> Exit {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let exit =
            Exit { status: shell_status(status), at_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX) };
        let waiters = match std::mem::replace(&mut *self.end.lock(), End::Come(exit)) {
            End::Awaited(waiters) => waiters,
            End::Come(_) => Vec::new(),
        };
        if let Some(console) = &self.console {
            console.finish();
        }
        waiters.into_iter().for_each(|waiter| waiter(exit));
        exit
    }

    /// Sets the size of its terminal; false if it has none.
    pub(crate) fn resize(&self, size: WindowSize) -> bool {
        self.console.as_ref().map(|console| console.resize(size)).is_some()
    }

    /// Waits until what it wrote to its terminal is on the host's.
    pub(crate) fn drain(&self) {
        if let Some(console) = &self.console {
            console.drain();
        }
    }
}

/// The status as shells and engines write it.
pub(crate) fn shell_status(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Code(code) => code.to_le_bytes()[0],
        ExitStatus::Signal(signal) => 128u8.wrapping_add(signal.to_le_bytes()[0]),
    }
}
