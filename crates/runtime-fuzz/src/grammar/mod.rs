//! What programs may say: the rows of the system call table that were chosen, and values for each type of argument.
//!
//! Types, directions, lengths and what makes which descriptor stand in the table; structures in `abi_linux::layouts`, flags
//! in `abi_linux::names`. What is here are the values that are worth trying.

mod excluded;
mod generate;
mod memory;
mod mutate;
mod select;
mod values;

use syscall_table::{Returns, Syscall, Ty};

pub use excluded::EXCLUDED;
pub use generate::Generator;
pub use select::{Engine, Selection, UnknownFamily};

/// What a result is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A descriptor of such a thing; of anything where the kind is empty.
    Fd(&'static str),
    /// A number that names such a thing.
    Id(&'static str),
    /// A process.
    Pid,
    /// Mapped memory.
    Mapping,
}

impl Resource {
    /// What the row returns.
    pub fn returned(row: &Syscall) -> Option<Self> {
        match row.returns {
            Returns::Fd => Some(Self::Fd("")),
            Returns::FdOf(kind) => Some(Self::Fd(kind)),
            Returns::Id(kind) => Some(Self::Id(kind)),
            Returns::Pid => Some(Self::Pid),
            Returns::Addr => Some(Self::Mapping),
            _ => None,
        }
    }

    /// What an argument wants.
    pub fn wanted(ty: Ty) -> Option<Self> {
        match ty {
            Ty::Fd | Ty::DirFd => Some(Self::Fd("")),
            Ty::FdOf(kind) => Some(Self::Fd(kind)),
            Ty::Id(kind) => Some(Self::Id(kind)),
            Ty::Pid => Some(Self::Pid),
            Ty::Addr => Some(Self::Mapping),
            _ => None,
        }
    }

    /// Whether this may stand where `wanted` is asked for.
    pub fn fits(self, wanted: Self) -> bool {
        match (self, wanted) {
            (Self::Fd(_), Self::Fd("")) => true,
            (Self::Fd("" | "file"), Self::Fd("dir")) => true,
            (one, other) => one == other,
        }
    }
}
