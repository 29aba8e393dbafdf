//! Attributes of host files.

use abi_linux::fs::makedev;
use abi_linux::time::Timespec;
use rustix::fs::{FileType, Statx, StatxFlags, StatxTimestamp};

/// What a host file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

impl HostKind {
    pub(crate) fn from_type(kind: FileType) -> Option<Self> {
        Some(match kind {
            FileType::RegularFile => Self::Regular,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharDevice,
            FileType::BlockDevice => Self::BlockDevice,
            _ => return None,
        })
    }
}

/// What statx(2) tells of a host file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostStat {
    pub kind: HostKind,
    pub dev: u64,
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    pub nlink: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    pub blocks: u64,
    pub block_size: u32,
    pub atime: Timespec,
    pub mtime: Timespec,
    pub ctime: Timespec,
    pub btime: Option<Timespec>,
}

/// What is asked for.
pub(crate) const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

fn time(time: StatxTimestamp) -> Timespec {
    Timespec { tv_sec: time.tv_sec, tv_nsec: i64::from(time.tv_nsec) }
}

impl HostStat {
    pub(crate) fn from_statx(stat: &Statx) -> Self {
        let mode = u32::from(stat.stx_mode);
        let kind = HostKind::from_type(FileType::from_raw_mode(mode)).unwrap_or(HostKind::Socket);
        let has_btime = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        Self {
            kind,
            dev: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            ino: stat.stx_ino,
            mode,
            nlink: stat.stx_nlink,
            uid: stat.stx_uid,
            gid: stat.stx_gid,
            rdev: makedev(stat.stx_rdev_major, stat.stx_rdev_minor),
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            block_size: stat.stx_blksize,
            atime: time(stat.stx_atime),
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
            btime: has_btime.then(|| time(stat.stx_btime)),
        }
    }
}
