//! Fuzzing of the system call surface: programs of calls, what runs them, and what is wrong about the answers.
//!
//! - [`program`]: a program as text; [`exec`]: as registers and memory; [`grammar`]: where new ones come from.
//! - [`guest`]: the executor, a process that runs programs in a sandbox or on the host; [`link`]: how it is spoken to.
//! - [`differential`]: the engine that compares the two; [`differ`]: what a difference is, and which are known.
//! - [`process`]: the engine that runs the kernel crates in this process; [`sandbox`]: the one with a real sandbox.
//! - [`campaign`]: programs made, run and kept; [`corpus`], [`findings`]: what is kept; [`minimise`]: smaller programs that
//!   show the same; [`import`]: programs of syzkaller.

pub mod campaign;
pub mod corpus;
pub mod differ;
pub mod differential;
pub mod engine;
pub mod exec;
pub mod findings;
pub mod grammar;
pub mod guest;
pub mod import;
pub mod link;
pub mod minimise;
pub mod process;
pub mod program;
pub mod random;
pub mod sandbox;
pub mod wire;
