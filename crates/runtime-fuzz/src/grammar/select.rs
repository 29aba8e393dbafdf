//! Which calls programs are made of.

use syscall_table::{Answer, SYSCALLS, Syscall};

use super::Resource;
use super::excluded::{EXCLUDED, Why};

/// What will run the programs, which decides what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The kernel crates in the fuzzer's process.
    Process,
    /// A sandbox.
    Sandbox,
    /// A sandbox and the host.
    Differential,
}

/// A choice of calls.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Those that were asked for.
    rows: Vec<&'static Syscall>,
    /// And those that make what they need.
    helpers: Vec<&'static Syscall>,
}

/// A word that names no family and no call.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a family nor a call that this engine makes; families are {1}")]
pub struct UnknownFamily(String, String);

fn is_excluded(row: &Syscall, engine: Engine) -> bool {
    EXCLUDED.iter().any(|(name, why, _)| {
        *name == row.name
            && match engine {
                Engine::Differential => true,
                Engine::Sandbox => *why == Why::Executor,
                // Nothing there can be harmed; what only the host performs is of no interest.
                Engine::Process => *why == Why::Executor && row.family == "loader",
            }
    })
}

impl Selection {
    /// The calls of families, or single calls, by name. None: all.
    ///
    /// # Errors
    /// A name that is neither.
    pub fn new(names: &[String], engine: Engine) -> Result<Self, UnknownFamily> {
        let possible: Vec<&Syscall> = SYSCALLS
            .iter()
            .filter(|row| row.nr < 1024 && row.answer != Answer::Fixed && !is_excluded(row, engine))
            .filter(|row| engine != Engine::Process || row.answer == Answer::Handler)
            .collect();
        let mut rows: Vec<&Syscall> = Vec::new();
        for name in names {
            let before = rows.len();
            rows.extend(possible.iter().filter(|row| row.family == name || row.name == name));
            if rows.len() == before {
                let mut families: Vec<&str> = possible.iter().map(|row| row.family).collect();
                families.sort_unstable();
                families.dedup();
                return Err(UnknownFamily(name.clone(), families.join(", ")));
            }
        }
        if names.is_empty() {
            rows.clone_from(&possible);
        }
        let makes = |row: &&&Syscall| {
            let binds = crate::exec::layout_of(row.args.last().map_or(syscall_table::Ty::Int, |arg| arg.ty));
            Resource::returned(row).is_some() || binds.is_some_and(|layout| layout.name.contains("pair"))
        };
        let helpers = possible.iter().filter(makes).copied().collect();
        Ok(Self { rows, helpers })
    }

    /// The calls.
    pub fn rows(&self) -> &[&'static Syscall] {
        &self.rows
    }

    /// Calls that make something, also where they were not asked for.
    pub fn makers(&self) -> &[&'static Syscall] {
        &self.helpers
    }
}
