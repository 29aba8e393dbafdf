//! Who may signal whom: the checks before the host performs kill(2) and its kin (kernel/signal.c, v6.12).
//!
//! On the host all guests have one user id, so the host would allow everything; the guests' ids are ours.

use std::sync::Arc;

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;

use crate::credentials::may_kill;
use crate::process::Process;
use crate::task::Task;

/// What becomes of a call that signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kill {
    /// Every target may be signalled: the host does it.
    ByHost,
    /// Only some might be: they have been.
    Done,
}

/// The signal of a call; 0 only asks whether it would be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Probe,
    Signal(Signal),
}

impl Wanted {
    /// From a guest's number; EINVAL outside 0 to 64.
    pub fn new(number: i32) -> SysResult<Self> {
        match number {
            0 => Ok(Self::Probe),
            _ => Signal::new(number).map(Self::Signal).ok_or(Errno::EINVAL),
        }
    }
}

impl Task {
    /// kill(2).
    pub fn kill(&self, pid: i32, signal: i32) -> SysResult<Kill> {
        match pid {
            i32::MIN => Err(Errno::ESRCH),
            -1 => self.kill_everyone(signal),
            0 => self.kill_group(self.process.pgid(), signal),
            1.. => self.kill_process(pid, signal),
            _ => self.kill_group(-pid, signal),
        }
    }

    /// kill(2) and rt_sigqueueinfo(2) of one process, named by any of its threads.
    pub fn kill_process(&self, pid: i32, signal: i32) -> SysResult<Kill> {
        let kernel = self.kernel();
        let target = kernel.process(pid);
        let target = target.or_else(|| kernel.task_by_guest_tid(pid).map(|task| Arc::clone(&task.process)));
        match target {
            Some(target) => self.kill_one(&target, signal),
            None => self.kill_unknown(signal),
        }
    }

    /// tgkill(2), tkill(2) (without `tgid`) and rt_tgsigqueueinfo(2).
    pub fn kill_thread(&self, tgid: Option<i32>, tid: i32, signal: i32) -> SysResult<Kill> {
        if tid <= 0 || tgid.is_some_and(|tgid| tgid <= 0) {
            return Err(Errno::EINVAL);
        }
        if tid == self.guest_tid && tgid.is_none_or(|tgid| tgid == self.process.pid) {
            // raise(3): the host delivers it before this call returns. A signalfd may wait for a blocked one.
            Wanted::new(signal)?;
            self.kernel().recheck_at_next_call(self);
            return Ok(Kill::ByHost);
        }
        let kernel = self.kernel();
        // A thread that has made no call yet is not in the books; whether it exists the host will say.
        let target = match tgid {
            Some(tgid) => kernel.process(tgid),
            None => kernel.task_by_guest_tid(tid).map(|task| Arc::clone(&task.process)),
        };
        match target {
            Some(target) => self.kill_one(&target, signal),
            None => self.kill_unknown(signal),
        }
    }

    fn kill_one(&self, target: &Arc<Process>, signal: i32) -> SysResult<Kill> {
        let wanted = Wanted::new(signal)?;
        if !self.may_signal(&self.credentials(), target, wanted) {
            return Err(Errno::EPERM);
        }
        self.signal_by_host(std::slice::from_ref(target), wanted);
        Ok(Kill::ByHost)
    }

    /// Nobody of that id in the books: a zombie, a thread without a call yet, or none. The host knows; it
    /// may be asked if the answer cannot reach anybody whom the caller may not signal.
    fn kill_unknown(&self, signal: i32) -> SysResult<Kill> {
        let wanted = Wanted::new(signal)?;
        let creds = self.credentials();
        let harmless = wanted == Wanted::Probe
            || self.kernel().processes().iter().all(|target| self.may_signal(&creds, target, wanted));
        if harmless { Ok(Kill::ByHost) } else { Err(Errno::ESRCH) }
    }

    fn kill_group(&self, pgid: i32, signal: i32) -> SysResult<Kill> {
        let members = self.kernel().group(pgid);
        if members.is_empty() {
            return self.kill_unknown(signal);
        }
        self.kill_those_allowed(members, signal, Err(Errno::EPERM))
    }

    /// All but init and the caller; being allowed to signal none of them is no error.
    fn kill_everyone(&self, signal: i32) -> SysResult<Kill> {
        let mut others = self.kernel().processes();
        others.retain(|process| process.pid != 1 && !Arc::ptr_eq(process, &self.process));
        if others.is_empty() {
            return Err(Errno::ESRCH);
        }
        self.kill_those_allowed(others, signal, Ok(Kill::Done))
    }

    fn kill_those_allowed(
        &self,
        mut targets: Vec<Arc<Process>>,
        signal: i32,
        if_none: SysResult<Kill>,
    ) -> SysResult<Kill> {
        let wanted = Wanted::new(signal)?;
        let creds = self.credentials();
        let all = targets.len();
        targets.retain(|target| self.may_signal(&creds, target, wanted));
        if targets.is_empty() {
            return if_none;
        }
        if targets.len() == all {
            self.signal_by_host(&targets, wanted);
            return Ok(Kill::ByHost);
        }
        if let Wanted::Signal(signal) = wanted {
            for target in &targets {
                // One that died meanwhile is no failure of the others.
                let _ = self.kernel().signal_process(target, signal);
            }
        }
        Ok(Kill::Done)
    }

    fn signal_by_host(&self, targets: &[Arc<Process>], wanted: Wanted) {
        if let Wanted::Signal(signal) = wanted {
            self.kernel().signal_sent_by(self, targets, signal);
        }
    }

    fn may_signal(&self, creds: &Credentials, target: &Arc<Process>, wanted: Wanted) -> bool {
        Arc::ptr_eq(target, &self.process)
            || may_kill(creds, &target.credentials())
            || wanted == Wanted::Signal(Signal::SIGCONT) && target.sid() == self.process.sid()
    }
}

#[cfg(test)]
#[path = "kill_test.rs"]
mod tests;
