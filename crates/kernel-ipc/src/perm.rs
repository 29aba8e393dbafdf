//! Owners and modes of IPC objects (ipc/util.c).

use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, Credentials};

/// Who acts.
#[derive(Clone, Copy, Debug)]
pub struct Actor<'a> {
    pub creds: &'a Credentials,
    pub pid: i32,
    /// Real time in seconds.
    pub now_s: i64,
}

/// `struct kern_ipc_perm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Perm {
    pub key: i32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    /// Permission bits, and flags of the object's kind above them.
    pub mode: u32,
    pub seq: u16,
}

/// S_IRUGO and S_IWUGO.
pub const READ: u32 = 0o444;
pub const WRITE: u32 = 0o222;

impl Perm {
    /// Of a new object.
    pub(crate) fn new(key: i32, flags: u32, who: &Actor<'_>) -> Self {
        let (uid, gid) = (who.creds.euid, who.creds.egid);
        Self { key, uid, gid, cuid: uid, cgid: gid, mode: flags & 0o777, seq: 0 }
    }

    /// EACCES unless the actor has all permission that `wanted` has for anybody (ipcperms).
    pub fn check(&self, who: &Actor<'_>, wanted: u32) -> SysResult<()> {
        let creds = who.creds;
        let wanted = (wanted >> 6 | wanted >> 3 | wanted) & 0o7;
        let granted = if creds.euid == self.cuid || creds.euid == self.uid {
            self.mode >> 6
        } else if creds.in_group(self.cgid) || creds.in_group(self.gid) {
            self.mode >> 3
        } else {
            self.mode
        };
        if wanted & !granted == 0 || creds.has(Cap::IPC_OWNER) { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// EPERM unless the actor owns it (ipcctl_obtain_check).
    pub fn check_owner(&self, who: &Actor<'_>) -> SysResult<()> {
        let creds = who.creds;
        let owns = creds.euid == self.cuid || creds.euid == self.uid || creds.has(Cap::SYS_ADMIN);
        if owns { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// IPC_SET: EINVAL for an id that is none.
    pub fn set(&mut self, uid: u32, gid: u32, mode: u32) -> SysResult<()> {
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        (self.uid, self.gid) = (uid, gid);
        self.mode = self.mode & !0o777 | mode & 0o777;
        Ok(())
    }
}
