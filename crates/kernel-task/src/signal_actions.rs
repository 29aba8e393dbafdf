//! Handlers without SA_RESTART.
//!
//! A signal that comes before the supervisor has received a call aborts the call with ERESTARTSYS
//! (seccomp_unotify(2) protects a thread from then on only), and under a handler without SA_RESTART the guest
//! would see EINTR from calls such as stat(2) that never give it. So on the host every handler has SA_RESTART. Where the
//! guest did not ask for it, [`SignalActions`] keeps what it asked for, and the calls that a signal has to interrupt are
//! told apart: those parked in the supervisor by [`Process::interrupts_call`], those that the host performs
//! (wait4, waitid, futex) by a stub in the guest, through which the host calls the handler.
//!
//! The stub, its table of handlers and room for the changed `struct kernel_sigaction`s are the [`SignalPage`],
//! which the loader makes. It is the guest's memory: whatever the guest does to it, it does to itself.

use std::collections::BTreeMap;

use abi_linux::signal::{Action, NSIG, SigSet, Signal};
use abi_linux::{Errno, SysResult};
use guest_loader::protocol::{SIGNAL_PAGE_ACTIONS, SIGNAL_PAGE_LEN, SIGNAL_PAGE_TABLE};
use kernel_base::user::{TASK_SIZE, UserRef};
use platform_api::SignalState;

use crate::fork::ChildMemory;
use crate::process::Process;
use crate::task::Task;

/// Where the loader put the stub and its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalPage(u64);

impl SignalPage {
    /// From an address that a guest alleges.
    pub fn new(addr: u64) -> SysResult<Self> {
        const PAGE_SIZE: u64 = 4096;
        let fits = addr != 0 && addr.is_multiple_of(PAGE_SIZE) && addr < TASK_SIZE - SIGNAL_PAGE_LEN;
        if fits { Ok(Self(addr)) } else { Err(Errno::EINVAL) }
    }

    fn handler(self, signal: Signal) -> UserRef<u64> {
        UserRef::new(self.0 + SIGNAL_PAGE_TABLE + 8 * u64::from(signal.raw().unsigned_abs()))
    }

    fn action(self, signal: Signal) -> UserRef<Action> {
        let index = u64::from(signal.raw().unsigned_abs() - 1);
        UserRef::new(self.0 + SIGNAL_PAGE_ACTIONS + size_of::<Action>() as u64 * index)
    }
}

/// What a process asked for where the host has something else.
#[derive(Default)]
pub(crate) struct SignalActions {
    page: Option<SignalPage>,
    /// The memory is the parent's, which uses the table.
    borrowed: bool,
    /// And the parent waits for it.
    lent: bool,
    /// As the guest installed them; every one [`Action::interrupts`].
    interrupting: BTreeMap<Signal, Action>,
}

impl SignalActions {
    pub(crate) fn inherited(&self, memory: ChildMemory) -> Self {
        let borrowed = self.borrowed || memory != ChildMemory::Copied;
        let lent = memory == ChildMemory::Lent;
        Self { page: self.page, borrowed, lent, interrupting: self.interrupting.clone() }
    }

    /// The host's exec has reset the handlers, and the memory is new.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn set_page(&mut self, page: SignalPage) {
        *self = Self { page: Some(page), ..Self::default() };
    }
}

impl Task {
    /// The present action of a signal where the host has another one.
    #[must_use]
    pub fn interrupting_action(&self, signal: Signal) -> Option<Action> {
        let action =
            self.process.signal_actions.read(|actions| actions.interrupting.get(&signal).copied())?;
        // A handler that is called once may have been.
        let used = action.flags & Action::RESET_HAND != 0
            && self
                .kernel()
                .platform
                .signal_state(self.tid)
                .is_ok_and(|state| !state.caught.contains(signal));
        Some(if used { Action { handler: Action::DEFAULT, ..action } } else { action })
    }

    /// Whether the host is given actions as they are. A child of vfork(2) may only execute or exit, and before it
    /// does, posix_spawn sets the actions of all signals to their defaults.
    #[must_use]
    pub fn leaves_actions_to_the_host(&self) -> bool {
        self.process.signal_actions.read(|actions| actions.lent)
    }

    /// The host is about to have the action that the guest asks for.
    pub fn forget_interrupting_action(&self, signal: Signal) {
        self.process.signal_actions.write(|actions| actions.interrupting.remove(&signal));
    }

    /// Prepares the installation of an action in the signal page: the address of what the host is to be given.
    /// `None` without a page: the host gets the guest's own.
    pub fn stage_action(&self, signal: Signal, asked: Action) -> Option<u64> {
        let actions = &self.process.signal_actions;
        let (page, borrowed) = actions.read(|actions| (actions.page, actions.borrowed));
        let page = page?;
        let slot = page.action(signal);
        let mut staged = asked;
        if asked.interrupts() {
            staged.flags |= Action::RESTART;
            // The stub would call this handler in the parent, too.
            if !borrowed {
                self.mem().write(page.handler(signal), &asked.handler).ok()?;
                staged.handler = page.0;
            }
        }
        self.mem().write(slot, &staged).ok()?;
        actions.write(|actions| {
            if asked.interrupts() {
                actions.interrupting.insert(signal, asked.kept());
            } else {
                actions.interrupting.remove(&signal);
            }
        });
        Some(slot.addr())
    }
}

impl Process {
    /// Whether another process has the same (CLONE_SIGHAND).
    #[must_use]
    pub fn shares_signal_actions(&self) -> bool {
        self.signal_actions.is_shared()
    }

    /// Tells those of living processes apart.
    #[must_use]
    pub fn signal_actions_identity(&self) -> usize {
        self.signal_actions.identity()
    }

    /// Whether the first handler that a thread with these signals will run interrupts the call it waits in.
    pub(crate) fn interrupts_call(&self, state: &SignalState) -> bool {
        self.signal_actions.read(|actions| {
            if actions.interrupting.is_empty() {
                return false;
            }
            let first = first_caught(state);
            first.and_then(|signal| actions.interrupting.get(&signal)).is_some()
        })
    }
}

/// The first signal with a handler in the order in which the host takes them (Linux v6.18 kernel/signal.c:
/// dequeue_signal, next_signal): the thread's own, then the process's; in each, faults, then by number.
fn first_caught(state: &SignalState) -> Option<Signal> {
    const SYNCHRONOUS: u64 = Signal::SIGSEGV.bit().0
        | Signal::SIGBUS.bit().0
        | Signal::SIGILL.bit().0
        | Signal::SIGTRAP.bit().0
        | Signal::SIGFPE.bit().0
        | Signal::SIGSYS.bit().0;
    let own = state.deliverable(state.pending).0 & state.caught.0;
    let shared = state.deliverable(state.shared_pending).0 & state.caught.0;
    [own & SYNCHRONOUS, own, shared & SYNCHRONOUS, shared].into_iter().map(SigSet).find_map(lowest)
}

fn lowest(set: SigSet) -> Option<Signal> {
    (1..=i32::from(NSIG)).filter_map(Signal::new).find(|&signal| set.contains(signal))
}

#[cfg(test)]
#[path = "signal_actions_test.rs"]
mod tests;
