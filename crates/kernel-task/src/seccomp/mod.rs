//! seccomp(2) of guests: modes and filters of threads.
//!
//! The host enforces a thread's filters ([`host`]), for calls that it performs and for those that come here, at no cost to
//! threads that have none. The books hold the programs to judge the few calls that the host cannot, to know what a
//! thread may be made to perform, and to show modes.
//!
//! Inheritance is as with credentials: a fork snapshot, and what new threads of a process have.

mod host;
pub mod program;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::raw::general::{__NR_exit, __NR_read, __NR_rt_sigreturn, __NR_write};
use abi_linux::seccomp::{SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SockFilter};
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;

use crate::process::Process;
use crate::task::Task;
use program::{CallData, Program};

/// Most instructions of all filters of a thread, each four longer than it is (MAX_INSNS_PER_PATH).
const MAX_INSNS_PER_PATH: usize = (1 << 18) / 8;
const FILTER_PENALTY: usize = 4;

/// A filter, and those that were there before it.
#[derive(Debug)]
pub struct Filter {
    program: Program,
    previous: Option<Arc<Filter>>,
    count: u32,
    total: usize,
}

impl Filter {
    /// Adds a program to a thread's filters. ENOMEM when they get too long.
    pub fn on_top_of(previous: Option<Arc<Self>>, program: Program) -> SysResult<Arc<Self>> {
        let (count, total) =
            previous.as_ref().map_or((0, 0), |below| (below.count, below.total + FILTER_PENALTY));
        let total = total + program.code().len();
        if total > MAX_INSNS_PER_PATH {
            return Err(Errno::ENOMEM);
        }
        Ok(Arc::new(Self { program, previous, count: count.saturating_add(1), total }))
    }

    /// What the host is to run for the newest program.
    pub fn for_host(&self) -> SysResult<Vec<SockFilter>> {
        host::translate(&self.program)
    }

    /// The most restrictive answer; among equal ones the newest filter's (seccomp_run_filters).
    #[must_use]
    pub fn run(&self, call: &CallData) -> u32 {
        let rank = |answer: u32| (answer & SECCOMP_RET_ACTION_FULL).cast_signed();
        let mut answer = SECCOMP_RET_ALLOW;
        let mut next = Some(self);
        while let Some(filter) = next {
            let its = filter.program.run(call);
            if rank(its) < rank(answer) {
                answer = its;
            }
            next = filter.previous.as_deref();
        }
        answer
    }
}

impl Drop for Filter {
    /// One after the other: a chain may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut next = self.previous.take();
        while let Some(mut last) = next.and_then(Arc::into_inner) {
            next = last.previous.take();
        }
    }
}

/// A thread's mode (include/uapi/linux/seccomp.h SECCOMP_MODE_*).
#[derive(Clone, Debug, Default)]
pub enum Mode {
    #[default]
    Disabled,
    Strict,
    Filter(Arc<Filter>),
}

impl Mode {
    /// Its number.
    #[must_use]
    pub const fn number(&self) -> i32 {
        match self {
            Self::Disabled => 0,
            Self::Strict => 1,
            Self::Filter(_) => 2,
        }
    }

    /// How many filters there are.
    #[must_use]
    pub fn filters(&self) -> u32 {
        self.filter().map_or(0, |filter| filter.count)
    }

    /// Whether a thread could make the call unseen.
    #[must_use]
    pub fn allows(&self, call: &CallData) -> bool {
        match self {
            Self::Disabled => true,
            Self::Strict => is_strict_call(call.nr),
            Self::Filter(filter) => {
                matches!(filter.run(call) & SECCOMP_RET_ACTION_FULL, SECCOMP_RET_ALLOW | SECCOMP_RET_LOG)
            }
        }
    }

    /// The newest filter.
    #[must_use]
    pub const fn filter(&self) -> Option<&Arc<Filter>> {
        match self {
            Self::Filter(filter) => Some(filter),
            _ => None,
        }
    }
}

/// What becomes of a call that the host let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It goes on.
    Pass,
    /// Strict mode does not know it.
    Kill,
    /// A filter's answer.
    Answer(u32),
}

/// The program that the host runs in strict mode, where it performs the calls `native` unseen.
#[must_use]
pub fn strict_for_host(native: &[u32]) -> Vec<SockFilter> {
    host::strict(native)
}

/// mode1_syscalls.
fn is_strict_call(nr: i32) -> bool {
    [__NR_read, __NR_write, __NR_exit, __NR_rt_sigreturn].contains(&nr.cast_unsigned())
}

impl Process {
    /// Its first image gets a filter right before its own code runs.
    pub fn filter_at_start(&self, filter: Arc<Filter>) {
        *self.start_filter.lock() = Some(filter);
    }

    /// The filter that is to be installed now that an image is complete.
    #[must_use]
    pub fn take_start_filter(&self) -> Option<Arc<Filter>> {
        self.start_filter.lock().take()
    }
}

impl Task {
    /// Its mode and filters.
    #[must_use]
    pub fn seccomp(&self) -> Mode {
        self.seccomp.lock().clone()
    }

    /// Whether calls have to be judged: the only look that other threads pay for.
    #[must_use]
    pub fn has_seccomp(&self) -> bool {
        self.has_seccomp.load(Ordering::Relaxed)
    }

    /// What becomes of a call that reached the supervisor.
    #[must_use]
    pub fn judge(&self, call: &CallData) -> Judgement {
        match self.seccomp() {
            Mode::Strict if !is_strict_call(call.nr) => Judgement::Kill,
            // While an image is loaded, the process runs no code of the guest's.
            Mode::Filter(filter) if host::is_exempt(call) && !self.process.is_changing_image() => {
                Judgement::Answer(filter.run(call))
            }
            _ => Judgement::Pass,
        }
    }

    /// The host runs what `mode` asks for in this thread. Its children that are unknown so far had none of it.
    pub fn enter_seccomp(&self, mode: Mode) {
        self.kernel().find_new_threads(&self.process);
        self.set_seccomp(mode);
    }

    pub(crate) fn set_seccomp(&self, mode: Mode) {
        self.has_seccomp.store(mode.number() != 0, Ordering::Relaxed);
        *self.seccomp.lock() = mode;
    }

    /// EACCES unless the thread may install a filter (seccomp_prepare_filter).
    pub fn check_may_filter(&self) -> SysResult<()> {
        let credentials = self.credentials();
        let may = credentials.no_new_privs || credentials.has_own(kernel_base::cred::Cap::SYS_ADMIN);
        if may { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// The host has given the thread's filters to all threads of the process (seccomp_sync_threads).
    pub fn sync_seccomp(&self, filter: &Arc<Filter>) {
        self.kernel().find_new_threads(&self.process);
        let no_new_privs = self.credentials().no_new_privs;
        for task in self.process.tasks() {
            task.set_seccomp(Mode::Filter(Arc::clone(filter)));
            if no_new_privs {
                let bound = |old: &Credentials| Ok(Credentials { no_new_privs, ..old.clone() });
                // The rule does not refuse.
                let _ = task.change_credentials(bound);
            }
        }
        *self.process.newborn_seccomp.lock() = Mode::Filter(Arc::clone(filter));
    }
}
