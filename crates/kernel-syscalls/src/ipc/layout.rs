//! Structures of the *ctl calls on x86_64 (include/uapi/asm-generic/{ipcbuf,shmbuf,sembuf,msgbuf}.h).

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Credentials;
use kernel_ipc::perm::Perm;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct ipc64_perm`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct Perm64 {
    key: i32,
    uid: u32,
    gid: u32,
    cuid: u32,
    cgid: u32,
    mode: u32,
    seq: u16,
    pad: [u16; 3],
    unused: [u64; 2],
}

impl Perm64 {
    /// As `creds` see it.
    pub(super) fn new(perm: &Perm, creds: &Credentials) -> Self {
        let (user_ns, Perm { key, mode, seq, .. }) = (&creds.user_ns, *perm);
        Self {
            key,
            uid: user_ns.show_uid(perm.uid),
            gid: user_ns.show_gid(perm.gid),
            cuid: user_ns.show_uid(perm.cuid),
            cgid: user_ns.show_gid(perm.cgid),
            mode,
            seq,
            ..Self::default()
        }
    }

    /// Owner and mode for IPC_SET: EINVAL for ids that have no meaning.
    pub(super) fn wanted(&self, creds: &Credentials) -> SysResult<(u32, u32, u32)> {
        let uid = creds.user_ns.uid(self.uid).ok_or(Errno::EINVAL)?;
        let gid = creds.user_ns.gid(self.gid).ok_or(Errno::EINVAL)?;
        Ok((uid, gid, self.mode))
    }
}

/// `struct shmid64_ds`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct ShmId {
    pub(super) perm: Perm64,
    pub(super) size: u64,
    pub(super) atime: i64,
    pub(super) dtime: i64,
    pub(super) ctime: i64,
    pub(super) cpid: i32,
    pub(super) lpid: i32,
    pub(super) nattch: u64,
    pub(super) unused: [u64; 2],
}

/// `struct shminfo64`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ShmInfo64 {
    pub(super) shmmax: u64,
    pub(super) shmmin: u64,
    pub(super) shmmni: u64,
    pub(super) shmseg: u64,
    pub(super) shmall: u64,
    pub(super) unused: [u64; 4],
}

/// `struct shm_info`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct ShmInfo {
    pub(super) used_ids: u64,
    pub(super) total: u64,
    pub(super) resident: u64,
    pub(super) swapped: u64,
    pub(super) swap_attempts: u64,
    pub(super) swap_successes: u64,
}

/// `struct semid64_ds`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SemId {
    pub(super) perm: Perm64,
    pub(super) otime: i64,
    pub(super) unused1: u64,
    pub(super) ctime: i64,
    pub(super) unused2: u64,
    pub(super) nsems: u64,
    pub(super) unused3: [u64; 2],
}

/// `struct seminfo`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct SemInfo {
    pub(super) map: i32,
    pub(super) mni: i32,
    pub(super) mns: i32,
    pub(super) mnu: i32,
    pub(super) msl: i32,
    pub(super) opm: i32,
    pub(super) ume: i32,
    pub(super) usz: i32,
    pub(super) vmx: i32,
    pub(super) aem: i32,
}

/// `struct sembuf`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(crate) struct SemBuf {
    pub(super) number: u16,
    pub(super) change: i16,
    pub(super) flags: u16,
}

/// `struct msqid64_ds`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MsgId {
    pub(super) perm: Perm64,
    pub(super) stime: i64,
    pub(super) rtime: i64,
    pub(super) ctime: i64,
    pub(super) cbytes: u64,
    pub(super) qnum: u64,
    pub(super) qbytes: u64,
    pub(super) lspid: i32,
    pub(super) lrpid: i32,
    pub(super) unused: [u64; 2],
}

/// `struct msginfo`.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct MsgInfo {
    pub(super) pool: i32,
    pub(super) map: i32,
    pub(super) max: i32,
    pub(super) mnb: i32,
    pub(super) mni: i32,
    pub(super) ssz: i32,
    pub(super) tql: i32,
    pub(super) seg: u16,
    pub(super) pad: u16,
}

/// A limit as the *info structures of int hold it.
pub(super) fn int(value: u64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{MsgId, MsgInfo, SemBuf, SemId, SemInfo, ShmId, ShmInfo, ShmInfo64};

    #[test]
    fn sizes_are_those_of_x86_64() {
        assert_eq!([size_of::<ShmId>(), size_of::<SemId>(), size_of::<MsgId>()], [112, 104, 120]);
        assert_eq!([size_of::<ShmInfo64>(), size_of::<ShmInfo>()], [72, 48]);
        assert_eq!([size_of::<SemInfo>(), size_of::<MsgInfo>(), size_of::<SemBuf>()], [40, 32, 6]);
    }
}
