//! Process groups and sessions (setpgid(2), setsid(2), credentials(7)). The host performs the change; the
//! same rules are checked here first, so that the books agree with the host's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_linux::{Errno, SysResult};

use crate::kernel::Kernel;
use crate::process::Process;
use crate::task::Task;

impl Kernel {
    /// Processes of a group.
    #[must_use]
    pub fn group(self: &Arc<Self>, pgid: i32) -> Vec<Arc<Process>> {
        self.processes().into_iter().filter(|process| process.pgid() == pgid).collect()
    }

    /// A member of a group; its zombies are members until they have been waited for.
    #[must_use]
    pub fn member_of_group(self: &Arc<Self>, pgid: i32) -> Option<Arc<Process>> {
        let is_member = |process: &Arc<Process>| process.pgid() == pgid;
        self.processes().into_iter().find(is_member).or_else(|| self.zombies().into_iter().find(is_member))
    }

    /// Whether no member of the group has a parent in another group of the same session
    /// (kernel/exit.c will_become_orphaned_pgrp).
    #[must_use]
    pub fn group_is_orphaned(self: &Arc<Self>, pgid: i32) -> bool {
        !self.group(pgid).iter().filter(|member| !member.is_dying()).any(|member| {
            member.parent().is_some_and(|parent| parent.pgid() != pgid && parent.sid() == member.sid())
        })
    }
}

impl Task {
    /// setpgid(2); kernel/sys.c, Linux v6.12. On success the host performs it, too.
    pub fn set_pgid(&self, pid: i32, pgid: i32) -> SysResult<()> {
        let me = &self.process;
        let pid = if pid == 0 { me.pid } else { pid };
        let pgid = if pgid == 0 { pid } else { pgid };
        if pgid < 0 {
            return Err(Errno::EINVAL);
        }
        let target = self.kernel().process_or_zombie(pid).ok_or(Errno::ESRCH)?;
        let is_child = target.parent().is_some_and(|parent| Arc::ptr_eq(&parent, me));
        if is_child {
            if target.sid() != me.sid() {
                return Err(Errno::EPERM);
            }
            if target.did_exec.load(Ordering::Relaxed) {
                return Err(Errno::EACCES);
            }
        } else if !Arc::ptr_eq(&target, me) {
            return Err(Errno::ESRCH);
        }
        if target.sid() == target.pid {
            return Err(Errno::EPERM);
        }
        if pgid != pid {
            let member = self.kernel().member_of_group(pgid).ok_or(Errno::EPERM)?;
            if member.sid() != me.sid() {
                return Err(Errno::EPERM);
            }
        }
        target.pgid.store(pgid, Ordering::Relaxed);
        Ok(())
    }

    /// setsid(2): EPERM for a group leader. On success the host performs it, too.
    pub fn set_sid(&self) -> SysResult<i32> {
        let me = &self.process;
        if me.pgid() == me.pid || self.kernel().member_of_group(me.pid).is_some() {
            return Err(Errno::EPERM);
        }
        me.sid.store(me.pid, Ordering::Relaxed);
        me.pgid.store(me.pid, Ordering::Relaxed);
        // The new session has none that it could have given up.
        me.settings.without_terminal.store(false, Ordering::Relaxed);
        Ok(me.pid)
    }
}

#[cfg(test)]
#[path = "groups_test.rs"]
mod tests;
