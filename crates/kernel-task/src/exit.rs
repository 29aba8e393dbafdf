//! Exit of threads and processes.
//!
//! exit and exit_group are gated: what the process holds here is let go before the host ends it, so a
//! parent that sees the death sees its effects (closed pipes, released locks). The process stays known
//! until the host says that it is dead, because its parent may still signal or group it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use platform_api::{HostTid, ProcFile};

use crate::kernel::{ExitStatus, Kernel};
use crate::process::Process;
use crate::signal_actions::SignalActions;
use crate::task::Task;

impl Task {
    /// exit(2) of this thread with `status`, about to be performed by the host.
    pub fn exit_thread(&self, status: i32) {
        let kernel = self.kernel();
        kernel.settle_fork(self);
        if self.is_last_thread() {
            self.exit_process(status);
        } else {
            kernel.remove_task(self);
        }
    }

    /// exit_group(2) with `status`, about to be performed by the host.
    pub fn exit_group(&self, status: i32) {
        self.settle_all_forks();
        self.exit_process(status);
    }

    /// Before the other threads of this process end, and the host forgets whose children were whose.
    pub(crate) fn settle_all_forks(&self) {
        let kernel = self.kernel();
        kernel.settle_fork(self);
        for sibling in self.process.tasks().iter().filter(|task| task.tid != self.tid) {
            kernel.settle_fork_of_other(sibling);
        }
    }

    fn exit_process(&self, status: i32) {
        let (kernel, process) = (self.kernel(), &self.process);
        if process.pid == 1 {
            kernel.finished(ExitStatus::Code(status & 0xff));
        }
        let tasks = process.tasks();
        for task in &tasks {
            kernel.cancel_call(task);
        }
        kernel.release(process);
        for task in &tasks {
            kernel.remove_task(task);
        }
    }

    /// Whether the host has no other thread in this process; the books may lack some that were just made.
    fn is_last_thread(&self) -> bool {
        if self.process.tasks.lock().len() > 1 {
            return false;
        }
        const STAT_LEN: usize = 1024;
        // The 20th field; counted from behind the name, which may hold anything.
        const NUM_THREADS: usize = 20 - 3;
        let mut stat = Vec::new();
        if self.kernel().platform.read_proc(self.tid, ProcFile::Stat, STAT_LEN, &mut stat).is_err() {
            return false;
        }
        let name_end = stat.iter().rposition(|&b| b == b')').map_or(0, |at| at + 1);
        let rest = String::from_utf8_lossy(stat.get(name_end..).unwrap_or_default());
        rest.split_ascii_whitespace().nth(NUM_THREADS) == Some("1")
    }
}

impl Kernel {
    /// Tells the container's owner how its program ended; the first word counts.
    pub fn finished(&self, status: ExitStatus) {
        if self.is_finished.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(events) = self.events.get() {
            events.finished(status);
        }
    }

    /// Lets go of what a process holds: descriptors, timers, its program.
    fn release(&self, process: &Arc<Process>) {
        process.dying.store(true, Ordering::Relaxed);
        process.real_timer.disarm();
        process.posix_timers.clear();
        process.aio.clear();
        process.end_image();
        process.undo_semaphores();
        process.leave_shm();
        process.fs.unshare();
        process.signal_actions.part(|_| SignalActions::default());
        let task = process.any_task();
        for file in process.files.leave() {
            if let Some(task) = &task {
                file.flush(&**task);
            }
        }
    }

    /// The host says that a process is dead.
    pub fn process_died(self: &Arc<Self>, tgid: HostTid) {
        if let Some(process) = self.process_by_host(tgid) {
            self.bury(&process);
        }
    }

    /// Takes a dead process out of the books. Who comes second finds that done when it returns.
    pub(crate) fn bury(self: &Arc<Self>, process: &Arc<Process>) {
        let _one_at_a_time = process.burial.lock();
        if process.has_exited() {
            return;
        }
        self.orphan_snapshots_of(process);
        self.release(process);
        self.reparent_children(process);
        self.remove_process(process);
        if let Some(parent) = process.parent() {
            parent.children.lock().retain(|child| !std::ptr::eq(child.as_ptr(), Arc::as_ptr(process)));
        }
        self.note_death(process);
        // Not before its death: the signals that this may raise must not change how it ends.
        if let Some(events) = self.events.get().filter(|_| process.sid() == process.pid) {
            events.session_ended(process.sid());
        }
        if let Some(parent) = process.parent() {
            self.signal_hint(&parent);
        }
    }

    /// Children of a dead process go to the nearest subreaper, else to init (kernel/exit.c find_new_reaper).
    fn reparent_children(&self, process: &Arc<Process>) {
        let mut reaper = process.parent();
        while let Some(candidate) = &reaper {
            if candidate.child_subreaper.load(Ordering::Relaxed) && !candidate.is_dying() {
                break;
            }
            reaper = candidate.parent();
        }
        let Some(reaper) = reaper.or_else(|| self.init()) else { return };
        let orphans = std::mem::take(&mut *process.children.lock());
        for child in orphans.iter().filter_map(std::sync::Weak::upgrade) {
            *child.parent.lock() = Arc::downgrade(&reaper);
        }
        reaper.children.lock().extend(orphans);
    }
}
