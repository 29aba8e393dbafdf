//! Fork snapshots whose makers have ended before their children's first calls. The host has handed these children to
//! another thread of the process, or to a reaper.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use platform_api::{HostTid, Identity, ProcFile, SignalTarget};

use crate::exec::AUXV_MAX;
use crate::fork::ForkSnapshot;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::task::Task;

/// Most snapshots that wait for children of threads that are gone.
const MAX_ORPHANS: usize = 16;

/// A snapshot without its thread.
pub(crate) struct OrphanSnapshot {
    /// The process of the thread that made it.
    maker: HostTid,
    snapshot: ForkSnapshot,
}

impl Kernel {
    /// A child whose maker ended before the child's first call.
    pub(crate) fn match_orphan(&self, identity: &Identity) -> SysResult<(Arc<Process>, ForkSnapshot)> {
        let parent = self.process_by_host(identity.parent).or_else(|| self.init()).ok_or(Errno::ESRCH)?;
        // The reaper's news of the maker's death may come later than the child's call.
        for task in self.tasks_with_pending_fork() {
            if matches!(self.host_state(task.tid), None | Some(b'Z' | b'X')) {
                self.orphan_snapshots_of(&task.process);
            }
        }
        let mut auxv = Vec::new();
        let is_known = self.platform.read_proc(identity.tgid, ProcFile::Auxv, AUXV_MAX, &mut auxv).is_ok();
        let mut orphans = self.orphan_snapshots.lock();
        let mut candidates: Vec<usize> = (0..orphans.len()).collect();
        if orphans.iter().any(|orphan| orphan.maker == identity.parent) {
            candidates.retain(|&at| orphans[at].maker == identity.parent);
        }
        if candidates.len() > 1 && is_known {
            // A fork has its maker's image, and no two execs the same auxiliary vector.
            candidates.retain(|&at| orphans[at].snapshot.image.host_auxv == auxv);
        }
        // More than one cannot be told apart: none is given, and the child is refused.
        if let [only] = candidates[..] {
            return Ok((parent, orphans.remove(only).snapshot));
        }
        let count = candidates.len();
        drop(orphans);
        tracing::warn!(
            tid = identity.tgid,
            count,
            "child of a process that ended has no certain snapshot; killed as well"
        );
        // Else it would go on with ESRCH for every call, even exit. If it is gone already, all is well.
        let _ = self.platform.send_signal(SignalTarget::Process(identity.tgid), Signal::SIGKILL);
        Err(Errno::ESRCH)
    }

    /// Whether a reaper has a child that has made no call yet.
    fn has_unknown_orphans(&self) -> bool {
        let mut all: Vec<Arc<Process>> = self.init().into_iter().collect();
        let mut next = 0;
        while let Some(process) = all.get(next).map(Arc::clone) {
            let reaps = process.pid == 1 || process.child_subreaper.load(Ordering::Relaxed);
            if reaps && process.tasks().iter().any(|task| self.unknown_child(task).is_some()) {
                return true;
            }
            all.extend(process.children.lock().iter().filter_map(Weak::upgrade));
            next += 1;
        }
        false
    }

    /// Keeps the snapshot of a thread that is about to end, and may be in the middle of its clone.
    pub(crate) fn keep_orphan_snapshot(&self, task: &Task) {
        let Some(snapshot) = task.pending_fork.lock().take() else { return };
        let mut orphans = self.orphan_snapshots.lock();
        orphans.push(OrphanSnapshot { maker: task.process.tgid, snapshot });
        let excess = orphans.len().saturating_sub(MAX_ORPHANS);
        let unused: Vec<_> = orphans.drain(..excess).collect();
        // Outside the lock: they may hold the last references to files.
        drop(orphans);
        drop(unused);
    }

    /// Settles the snapshots of threads that the exec of `task`, now its process's only one, has ended.
    pub(crate) fn settle_orphans_of(self: &Arc<Self>, task: &Task) {
        let is_of_it = |orphan: &OrphanSnapshot| orphan.maker == task.process.tgid;
        if !self.orphan_snapshots.lock().iter().any(is_of_it) {
            return;
        }
        let discovery = self.discovery.lock();
        let child = self.unknown_child(task);
        let mut orphans = self.orphan_snapshots.lock();
        let (mut own, others): (Vec<_>, Vec<_>) = orphans.drain(..).partition(is_of_it);
        *orphans = others;
        match child {
            Some(child) if own.len() == 1 => {
                drop(orphans);
                if let Some(orphan) = own.pop() {
                    self.adopt(child, &task.process, orphan.snapshot);
                }
            }
            // Which is whose will show at their first calls.
            Some(_) => orphans.append(&mut own),
            None => drop(orphans),
        }
        drop(discovery);
        drop(own);
    }

    /// Keeps the snapshots of a process that is dead, whose children the host has given to a reaper.
    pub(crate) fn orphan_snapshots_of(&self, process: &Process) {
        process.tasks().iter().for_each(|task| self.keep_orphan_snapshot(task));
        let is_of_it = |orphan: &OrphanSnapshot| orphan.maker == process.tgid;
        if !self.orphan_snapshots.lock().iter().any(is_of_it) {
            return;
        }
        // The host gave the children away before it told of the death. Where there are none, the clones never
        // happened, neither these nor those that left older snapshots.
        if !self.has_unknown_orphans() {
            let unused = std::mem::take(&mut *self.orphan_snapshots.lock());
            drop(unused);
        }
    }
}
