//! The names of Linux's flag words and enumerations.
//!
//! One [`Names`] for each `flags(…)` and `enum(…)` that `syscall-table/syscalls.tbl` mentions; strace
//! prints with them and `cargo xtask gen` evaluates the table's conditions with them. Values come from
//! the kernel's headers; one is written out only where `linux-raw-sys` lacks the constant.

/// One entry: a plain name takes its value from the header module, `NAME = value` brings its own.
macro_rules! entry {
    ($module:ident, $name:ident) => {
        (stringify!($name), linux_raw_sys::$module::$name as u64)
    };
    ($module:ident, $name:ident, $value:expr) => {
        (stringify!($name), $value as u64)
    };
}

/// `names!(module NAME, field MASK { values… } bits { flags… })`; see [`Names`].
macro_rules! names {
    ($module:ident $set:ident, field $field:literal { $($v:ident $(= $vv:expr)?),* $(,)? }
        bits { $($b:ident $(= $bv:expr)?),* $(,)? }) => {
        #[doc = concat!("`", stringify!($set), "` of the system call table.")]
        pub(super) static $set: $crate::names::Names = $crate::names::Names {
            name: stringify!($set),
            field: $field,
            values: &[$(entry!($module, $v $(, $vv)?)),*],
            bits: &[$(entry!($module, $b $(, $bv)?)),*],
        };
    };
    ($module:ident $set:ident enum { $($rest:tt)* }) => {
        names!($module $set, field 0xffff_ffff { $($rest)* } bits {});
    };
    ($module:ident $set:ident flags { $($rest:tt)* }) => {
        names!($module $set, field 0 {} bits { $($rest)* });
    };
}

mod events;
mod files;
mod ioctl;
mod memory;
mod net;
mod process;
mod terminal;

/// The names in one flag word or enumeration.
#[derive(Debug)]
pub struct Names {
    /// The name that the table uses.
    pub name: &'static str,
    /// The bits that hold one of `values`: 0 for plain flags, all 32 for an enumeration, something
    /// between for words such as `open`'s, whose access mode is not a bit.
    pub field: u64,
    /// Values of the field.
    pub values: &'static [(&'static str, u64)],
    /// Flags, those of several bits before the ones they contain.
    pub bits: &'static [(&'static str, u64)],
}

impl Names {
    /// The value of a constant of this set.
    pub fn value_of(&self, name: &str) -> Option<u64> {
        self.values.iter().chain(self.bits).find(|(n, _)| *n == name).map(|&(_, v)| v)
    }

    /// The name of a value of the field.
    pub fn name_of(&self, value: u64) -> Option<&'static str> {
        self.values.iter().find(|&&(_, v)| v == value & self.field).map(|&(n, _)| n)
    }
}

/// The set of that name.
pub fn find(name: &str) -> Option<&'static Names> {
    ALL.iter().copied().find(|set| set.name == name)
}

/// The set at that place of [`ALL`].
pub fn all() -> &'static [&'static Names] {
    ALL
}

static ALL: &[&Names] = &[
    &events::CLOCK,
    &events::EFD,
    &events::EPOLL_CLOEXEC,
    &events::EPOLL_CTL,
    &events::EPOLL,
    &events::IN,
    &events::IN_INIT,
    &events::ITIMER,
    &events::POLL,
    &events::SFD,
    &events::TFD,
    &events::TFD_SET,
    &events::TIMER_ABSTIME,
    &files::ACCESS,
    &files::AT,
    &files::CLOSE_RANGE,
    &files::FADV,
    &files::FALLOC,
    &files::FCNTL,
    &files::FD,
    &files::FLOCK,
    &files::FSMOUNT,
    &files::FSOPEN,
    &files::FSPICK,
    &files::LOCKTYPE,
    &files::MOUNT,
    &files::MOVE_MOUNT,
    &files::OPEN,
    &files::OPEN_TREE,
    &files::PIPE,
    &files::RENAME,
    &files::RESOLVE,
    &files::RWF,
    &files::SEAL,
    &files::SEEK,
    &files::SPLICE,
    &files::STATX,
    &files::STATX_ATTR,
    &files::SYNC_RANGE,
    &files::S_IF,
    &files::UMOUNT,
    &files::XATTR,
    &ioctl::IOCTL,
    &memory::MADV,
    &memory::MAP,
    &memory::MCL,
    &memory::MEMBARRIER,
    &memory::MFD,
    &memory::MLOCK,
    &memory::MREMAP,
    &memory::MSYNC,
    &memory::PKEY,
    &memory::PROT,
    &net::AF,
    &net::MSG,
    &net::SHUT,
    &net::SO,
    &net::SOCK,
    &net::SOCK_FLAGS,
    &net::SOL,
    &process::ARCH,
    &process::CLONE,
    &process::FUTEX,
    &process::GRND,
    &process::IDTYPE,
    &process::IPC,
    &process::IPCCMD,
    &process::LANDLOCK,
    &process::PERSONALITY,
    &process::PIDFD,
    &process::PIDFD_SIGNAL,
    &process::PRCTL,
    &process::PRIO,
    &process::PTRACE,
    &process::REBOOT,
    &process::RLIMIT,
    &process::RSEQ,
    &process::RUSAGE,
    &process::SA,
    &process::SCHED,
    &process::SECCOMP,
    &process::SHM,
    &process::SIGNAL,
    &process::SIGEV,
    &process::SIGHOW,
    &process::SS,
    &process::WAIT,
    &terminal::CFLAG,
    &terminal::IFLAG,
    &terminal::LFLAG,
    &terminal::OFLAG,
];

#[cfg(test)]
mod tests;
