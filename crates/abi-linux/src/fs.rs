//! File structures and constants: stat(2), statx(2), statfs(2), open(2), getdents64(2), poll(2).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The file type bits of `st_mode`.
pub const S_IFMT: u32 = 0o170_000;
pub const S_IFSOCK: u32 = 0o140_000;
pub const S_IFLNK: u32 = 0o120_000;
pub const S_IFREG: u32 = 0o100_000;
pub const S_IFBLK: u32 = 0o060_000;
pub const S_IFDIR: u32 = 0o040_000;
pub const S_IFCHR: u32 = 0o020_000;
pub const S_IFIFO: u32 = 0o010_000;
pub const S_ISUID: u32 = 0o4000;
pub const S_ISGID: u32 = 0o2000;
pub const S_ISVTX: u32 = 0o1000;

/// Longest path, with its NUL (include/uapi/linux/limits.h).
pub const PATH_MAX: usize = 4096;
/// Longest name of one directory entry.
pub const NAME_MAX: usize = 255;
/// Most symbolic links that one path walk follows (include/linux/namei.h, MAXSYMLINKS).
pub const MAXSYMLINKS: usize = 40;
/// `dirfd` that means the working directory.
pub const AT_FDCWD: i32 = -100;

bitflags::bitflags! {
    /// Flags of open(2) (include/uapi/asm-generic/fcntl.h on x86_64).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        const WRONLY = 0o1;
        const RDWR = 0o2;
        const CREAT = 0o100;
        const EXCL = 0o200;
        const NOCTTY = 0o400;
        const TRUNC = 0o1000;
        const APPEND = 0o2000;
        const NONBLOCK = 0o4000;
        const DSYNC = 0o10_000;
        const ASYNC = 0o20_000;
        const DIRECT = 0o40_000;
        const LARGEFILE = 0o100_000;
        const DIRECTORY = 0o200_000;
        const NOFOLLOW = 0o400_000;
        const NOATIME = 0o1_000_000;
        const CLOEXEC = 0o2_000_000;
        const SYNC = 0o4_010_000;
        const PATH = 0o10_000_000;
        const TMPFILE = 0o20_200_000;
    }

    /// Readiness of poll(2) and epoll(7) (include/uapi/linux/eventpoll.h).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Events: u32 {
        const IN = 0x1;
        const PRI = 0x2;
        const OUT = 0x4;
        const ERR = 0x8;
        const HUP = 0x10;
        const NVAL = 0x20;
        const RDNORM = 0x40;
        const RDBAND = 0x80;
        const WRNORM = 0x100;
        const WRBAND = 0x200;
        const MSG = 0x400;
        const RDHUP = 0x2000;
        const EXCLUSIVE = 1 << 28;
        const WAKEUP = 1 << 29;
        const ONESHOT = 1 << 30;
        const ET = 1 << 31;
    }
}

impl OpenFlags {
    /// Whether the access mode allows reading.
    #[must_use]
    pub const fn readable(self) -> bool {
        self.bits() & 3 == 0 || self.bits() & 3 == 2
    }

    /// Whether the access mode allows writing.
    #[must_use]
    pub const fn writable(self) -> bool {
        matches!(self.bits() & 3, 1 | 2)
    }

    /// Whether opening asks for the right to write, as the access mode 3 does, too, which then allows neither.
    #[must_use]
    pub const fn asks_to_write(self) -> bool {
        self.bits() & 3 != 0
    }
}

/// `struct stat` of x86_64 (arch/x86/include/uapi/asm/stat.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stat {
    pub st_dev: u64,
    pub st_ino: u64,
    pub st_nlink: u64,
    pub st_mode: u32,
    pub st_uid: u32,
    pub st_gid: u32,
    pub pad0: u32,
    pub st_rdev: u64,
    pub st_size: i64,
    pub st_blksize: i64,
    pub st_blocks: i64,
    pub st_atime: i64,
    pub st_atime_nsec: i64,
    pub st_mtime: i64,
    pub st_mtime_nsec: i64,
    pub st_ctime: i64,
    pub st_ctime_nsec: i64,
    pub unused: [i64; 3],
}

/// `struct statfs` of x86_64 (include/uapi/asm-generic/statfs.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct StatFs {
    pub f_type: i64,
    pub f_bsize: i64,
    pub f_blocks: u64,
    pub f_bfree: u64,
    pub f_bavail: u64,
    pub f_files: u64,
    pub f_ffree: u64,
    pub f_fsid: [i32; 2],
    pub f_namelen: i64,
    pub f_frsize: i64,
    pub f_flags: i64,
    pub f_spare: [i64; 4],
}

/// `struct pollfd` (include/uapi/asm-generic/poll.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PollFd {
    pub fd: i32,
    pub events: u16,
    pub revents: u16,
}

/// `struct epoll_event` of x86_64, which is packed (include/uapi/linux/eventpoll.h).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
pub struct EpollEvent {
    pub events: u32,
    pub data: u64,
}

/// `struct iovec` as a guest lays it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IoVec {
    pub base: u64,
    pub len: u64,
}

/// Device number encoding of stat(2) (glibc's makedev(3), include/linux/kdev_t.h new_encode_dev).
#[must_use]
pub const fn makedev(major: u32, minor: u32) -> u64 {
    ((major as u64 & 0xfff) << 8)
        | (minor as u64 & 0xff)
        | ((minor as u64 & !0xff) << 12)
        | ((major as u64 & !0xfff) << 32)
}

/// Major and minor number of a device in stat(2)'s encoding.
#[must_use]
pub const fn device_numbers(dev: u64) -> (u64, u64) {
    (dev >> 8 & 0xfff | dev >> 32 & !0xfff, dev & 0xff | dev >> 12 & 0xffff_ff00)
}
