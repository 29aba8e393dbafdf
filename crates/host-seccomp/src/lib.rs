//! Turns the seccomp plan of `syscall-table` into a BPF program.
//!
//! Key functions: [`compile`] (plan → program), [`evaluate`] (what the kernel would compute, and in how
//! many instructions), [`ways`] (what it may answer when arguments are not known), [`disassemble`]. Key type: [`SockFilter`], the kernel's `struct sock_filter`. There
//! is no host call here: `platform-notify` installs the program in the guest's first process.
//!
//! # Shape of a program
//!
//! ```text
//! ld [arch]; jeq x86_64, else KILL_PROCESS
//! ld [nr]
//! balanced tree of "jge nr"        leaves: ret …, or a jump to a block
//! condition blocks                 one for each distinct set of conditions
//! ```
//!
//! The x32 numbers (bit 30) and all above them are one more leaf of the tree: ENOSYS.
//!
//! seccompiler (0.5) alone can't give this: it knows one action for all matches and one for all
//! mismatches, no USER_NOTIF, and tests the numbers one after another, some 400 comparisons for the last.
//! Calls that the filter allows whatever their arguments are answered from the kernel's bitmap (Linux
//! v6.12 kernel/seccomp.c:seccomp_cache_prepare), but those that notify run the program every time. So the
//! tree is ours (`tree.rs`), and seccompiler compiles what it is good at, the conditions of one rule: with
//! Allow for a match and Trap for a mismatch, which `block.rs` rewrites to the rule's own actions.
//!
//! The table's plan of 386 rules becomes 912 instructions. A call that always notifies takes 10 or 11 of
//! them; native ones with checked pointers 14 to 20, futex, with its list of operations, up to 50 (counted
//! by [`evaluate`]; the test `hot_calls_take_few_instructions` prints them).
//!
//! # Neighbours
//!
//! `syscall-table` has the plan, with the checks that every pointer of a native row lies below 2^47.
#![forbid(unsafe_code)]

mod block;
mod compile;
mod disassemble;
mod evaluate;
mod insn;
mod reach;
mod tree;

pub use compile::{Error, compile, compile_with};
pub use disassemble::disassemble;
pub use evaluate::{AUDIT_ARCH_X86_64, Call, Evaluation, Fault, Verdict, evaluate};
pub use insn::SockFilter;
pub use reach::{Known, Range, Way, Word, ways};
