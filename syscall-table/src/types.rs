//! What a row of the table says, as types. `cargo xtask gen` fills them from `syscalls.tbl`, whose header
//! explains every word.

use serde::Serialize;

use crate::plan::Condition;

/// One row: one system call.
#[derive(Debug, Clone, Serialize)]
pub struct Syscall {
    /// The x86_64 number.
    pub nr: u32,
    /// Linux's name.
    pub name: &'static str,
    /// The module of kernel-syscalls it belongs to.
    pub family: &'static str,
    /// Who performs it.
    pub disposition: Disposition,
    /// How much of it works.
    pub level: Level,
    /// Whether it may wait, and how it restarts.
    pub mode: Mode,
    /// Who answers when the call reaches the supervisor.
    pub answer: Answer,
    /// What the result is, for strace.
    pub returns: Returns,
    /// Arguments in order, at most six.
    pub args: &'static [Arg],
    /// When the host may perform the call: alternatives of conjunctions, without the pointer checks,
    /// which follow from the argument types. Empty: always.
    #[serde(skip)]
    pub when: &'static [&'static [Condition]],
    /// Native even under `--strict`.
    pub strict: bool,
    /// The fixed answer of a stub, a missing or a denied call; the refusal of a checked one.
    pub errno: Option<ErrnoName>,
    /// What a user should know.
    pub note: &'static str,
}

/// Who performs the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Disposition {
    /// The supervisor.
    Emulate,
    /// The host, after the supervisor looked at the registers.
    Gate,
    /// The host, after the filter looked at the registers.
    Native,
    /// Nobody: the filter answers.
    Deny,
}

/// How much of the call works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As on a kernel built without the call.
    Missing,
    /// A fixed errno that programs cope with.
    Stub,
    /// Works, except for what the note says.
    Partial,
    /// Works as on Linux.
    Full,
}

/// Whether a handler may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A plain function.
    Inline,
    /// An `async fn`, restarted in this way after an interruption.
    Blocking(Restart),
}

/// What an interrupted call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    /// ERESTARTSYS: restarts under SA_RESTART.
    Sys,
    /// ERESTARTNOHAND: restarts if no handler ran.
    NoHand,
    /// EINTR, always.
    Eintr,
}

/// Who answers a notification for the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// `sys_<name>` in the call's family.
    Handler,
    /// [`seccomp::judge`](crate::seccomp::judge), then the host.
    Checked,
    /// The row's errno, counted.
    Fixed,
}

/// An error number and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ErrnoName {
    /// Such as `ENOSYS`.
    pub name: &'static str,
    /// Such as 38.
    pub value: u16,
}

/// What strace makes of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// Nothing comes back, or nothing worth printing.
    None,
    Int,
    Fd,
    /// A descriptor of such a thing.
    FdOf(&'static str),
    /// A number that names such a thing.
    Id(&'static str),
    /// A count, often of bytes moved.
    Size,
    Addr,
    Octal,
    Pid,
    Uid,
    ClockT,
}

/// One argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Arg {
    /// As in the manual page.
    pub name: &'static str,
    /// What it is.
    pub ty: Ty,
    /// A pointer that is meaningful only for some values of other arguments.
    pub optional: bool,
}

/// How many elements a buffer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Len {
    /// What this argument says.
    Arg(u8),
    /// What the call returned.
    Ret,
}

/// The type of an argument. Strings name a set of `abi_linux::names` or a layout of `abi_linux::layouts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ty {
    Int,
    Uint,
    Long,
    Ulong,
    Size,
    Off,
    Octal,
    Hex32,
    Hex,
    Dev,
    Pid,
    Uid,
    Gid,
    Signal,
    Fd,
    /// A descriptor of something that only some calls make.
    FdOf(&'static str),
    /// A number that names something that only some calls make.
    Id(&'static str),
    /// A register that Linux ignores and the filter looks at.
    Hidden,
    /// A descriptor or AT_FDCWD.
    DirFd,
    /// A flag word of 32 bits.
    Flags(&'static str),
    /// A flag word of 64 bits.
    LongFlags(&'static str),
    /// One of some values.
    Enum(&'static str),
    /// An address that names memory without being read through.
    Addr,
    /// Memory whose content is not shown.
    Ptr,
    /// As [`Ptr`](Self::Ptr): a structure of `abi_linux::layouts`, in either direction.
    PtrTo(&'static str),
    /// A path.
    Path,
    /// Another string.
    Str,
    /// A null-terminated vector of strings.
    Argv,
    /// A structure that the call reads.
    In(&'static str),
    /// A structure that the call fills.
    Out(&'static str),
    /// Both.
    InOut(&'static str),
    ArrayIn(&'static str, Len),
    ArrayOut(&'static str, Len),
    ArrayInOut(&'static str, Len),
    BytesIn(u8),
    BytesOut(u8),
    IovecIn(u8),
    IovecOut(u8),
    /// Three of these make a select(2); the argument counts bits.
    FdSet(u8),
    SockaddrIn(u8),
    /// The argument points to the length.
    SockaddrOut(u8),
    /// What the ioctl request in that argument says.
    ByIoctl(u8),
    /// What the fcntl operation in that argument says.
    ByFcntl(u8),
}

impl Ty {
    /// The bits of the register that the kernel looks at.
    pub const fn mask(self) -> u64 {
        match self {
            Self::Int
            | Self::Uint
            | Self::Octal
            | Self::Hex32
            | Self::Dev
            | Self::Pid
            | Self::Uid
            | Self::Gid
            | Self::Signal
            | Self::Fd
            | Self::FdOf(_)
            | Self::Id(_)
            | Self::DirFd
            | Self::Flags(_)
            | Self::Enum(_) => 0xffff_ffff,
            _ => u64::MAX,
        }
    }

    /// Whether the register is an address of the caller.
    pub const fn is_pointer(self) -> bool {
        match self {
            Self::Long | Self::Ulong | Self::Size | Self::Off | Self::Hex | Self::LongFlags(_) => false,
            Self::ByIoctl(_) | Self::ByFcntl(_) | Self::Hidden => false,
            _ => self.mask() == u64::MAX,
        }
    }
}
