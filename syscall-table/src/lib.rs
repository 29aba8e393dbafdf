//! The one list of system calls, and what is derived from it.
//!
//! `syscalls.tbl` is the list; `cargo xtask gen` makes [`SYSCALLS`] of it. From the rows follow the
//! seccomp plan ([`seccomp::plan`]), the dispatch of kernel-syscalls, its strace printer, COMPAT.md and the
//! JSON of `palisade syscalls` ([`render`]), and the fuzzer's grammar.
//!
//! [`reference`] has facts of others to compare with.
#![forbid(unsafe_code)]

mod generated;
pub mod plan;
pub mod reference;
pub mod render;
pub mod seccomp;
#[cfg(test)]
mod tests;
pub mod types;

pub use generated::SYSCALLS;
pub use types::{Answer, Arg, Disposition, ErrnoName, Len, Level, Mode, Restart, Returns, Syscall, Ty};

/// Numbers above this are looked up slowly; it covers Linux's range and the private calls.
const DENSE: usize = 2048;

/// For each number below [`DENSE`], the row's place in [`SYSCALLS`] plus one.
static INDEX: [u16; DENSE] = {
    let mut index = [0u16; DENSE];
    let mut at = 0;
    while at < SYSCALLS.len() {
        index[SYSCALLS[at].nr as usize] = at as u16 + 1;
        at += 1;
    }
    index
};

/// The row of a number, as a guest's register has it.
pub fn by_nr(nr: i32) -> Option<&'static Syscall> {
    let place = *INDEX.get(usize::try_from(nr).ok()?)?;
    SYSCALLS.get(usize::from(place).checked_sub(1)?)
}

/// The row of a name.
pub fn by_name(name: &str) -> Option<&'static Syscall> {
    SYSCALLS.iter().find(|row| row.name == name)
}
