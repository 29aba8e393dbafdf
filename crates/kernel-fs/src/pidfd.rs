//! pidfd_open(2): a process as a file, after Linux v6.18 fs/pidfs.c.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use kernel_base::wait::WaitQueue;
use kernel_task::Process;
use kernel_vfs::file::{File, FileOps};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A pidfd.
pub struct PidFd {
    process: Arc<Process>,
}

impl PidFd {
    /// A pidfd of `process`.
    #[must_use]
    pub fn new(process: Arc<Process>) -> Arc<Self> {
        Arc::new(Self { process })
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The process behind an open file; EBADF when it is something else.
    pub fn process_of(file: &File) -> SysResult<&Arc<Process>> {
        file.ops.as_any().downcast_ref::<Self>().map(|pidfd| &pidfd.process).ok_or(Errno::EBADF)
    }
}

/// Its number without the size of the structure.
const PIDFD_GET_INFO: u32 = 0xc000_ff0b;
const PIDFD_INFO_PID: u64 = 1;
const PIDFD_INFO_CREDS: u64 = 2;

/// `struct pidfd_info` of Linux 6.13.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Info {
    mask: u64,
    cgroup_id: u64,
    pid: i32,
    tgid: i32,
    ppid: i32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
}

impl PidFd {
    /// PIDFD_GET_INFO. What is not told (the cgroup's id, the exit status) is not in the mask.
    fn get_info(&self, who: &dyn Caller, size: usize, at: u64) -> SysResult<()> {
        if at == 0 {
            return Err(Errno::EINVAL);
        }
        let rest = vec![0; size.saturating_sub(size_of::<Info>())];
        let _wanted: u64 = who.mem().read(UserRef::new(at))?;
        if self.process.is_reaped() {
            return Err(Errno::ESRCH);
        }
        let (its, reader) = (self.process.credentials(), who.credentials());
        let [ruid, euid, suid, fsuid] =
            [its.ruid, its.euid, its.suid, its.fsuid].map(|id| reader.user_ns.show_uid(id));
        let [rgid, egid, sgid, fsgid] =
            [its.rgid, its.egid, its.sgid, its.fsgid].map(|id| reader.user_ns.show_gid(id));
        let (pid, ppid) = (self.process.pid, self.process.ppid());
        let mask = PIDFD_INFO_PID | PIDFD_INFO_CREDS;
        let info = Info {
            mask,
            cgroup_id: 0,
            pid,
            tgid: pid,
            ppid,
            ruid,
            rgid,
            euid,
            egid,
            suid,
            sgid,
            fsuid,
            fsgid,
            exit_code: 0,
        };
        who.mem().write(UserRef::new(at), &info)?;
        // copy_struct_to_user: what a later structure has more is zero.
        who.mem().write_bytes(at + size_of::<Info>() as u64, &rest)
    }
}

impl FileOps for PidFd {
    fn is_seekable(&self) -> bool {
        false
    }

    /// Readable when it is dead, hung up when it has been waited for.
    fn poll(&self) -> Events {
        match (self.process.has_exited(), self.process.is_reaped()) {
            (false, _) => Events::empty(),
            (true, false) => Events::IN | Events::RDNORM,
            (true, true) => Events::IN | Events::RDNORM | Events::HUP,
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.process.exit_queue)
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        // The size in the command may be that of a later structure.
        const SIZE: u32 = 0x3fff << 16;
        let size = (cmd & SIZE) as usize >> 16;
        if cmd & !SIZE != PIDFD_GET_INFO || size < size_of::<Info>() {
            return Err(Errno::ENOTTY);
        }
        self.get_info(who, size, arg).map(|()| 0)
    }

    fn fdinfo(&self) -> String {
        let pid = if self.process.is_reaped() { -1 } else { self.process.pid };
        format!("Pid:\t{pid}\nNSpid:\t{pid}\n")
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
