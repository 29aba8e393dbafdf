//! Fuzzing of the system call surface: programs of calls, what runs them, and what is wrong about the answers.
//!
//! - [`program`]: a program as text; [`exec`]: as registers and memory; [`grammar`]: where new ones come from.
//! - [`guest`]: the executor, a process that runs programs in a sandbox or on the host; [`link`]: how it is spoken to.
//! - [`differential`]: the engine that compares the two; [`differ`]: what a difference is, and which are known.
//! - [`minimise`]: smaller programs that show the same.

pub mod differ;
pub mod differential;
pub mod exec;
pub mod grammar;
pub mod guest;
pub mod link;
pub mod minimise;
pub mod program;
pub mod random;
pub mod wire;
