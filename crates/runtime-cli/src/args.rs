//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use syscall_table::{Disposition, Level};

/// Run Linux programs in a sandbox whose system calls a userspace kernel answers.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, propagate_version = true)]
pub(crate) struct Args {
    /// Log what the supervisor does (PALISADE_LOG selects more finely)
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program on the host's root or a directory, below a layer in memory
    Do(DoArgs),
    /// Run an OCI bundle in the foreground
    Run(RunArgs),
    /// List the system calls and what becomes of each
    Syscalls(SyscallsArgs),
    /// Check whether this host has what is needed
    Doctor,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DoArgs {
    /// Directory that becomes /; default: the host's own root, read-only below a layer in memory
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) rootfs: PathBuf,
    /// Refuse writes to / instead of keeping them in memory
    #[arg(long)]
    pub(crate) readonly: bool,
    /// Show the host's SRC at DST, writable unless :ro is given
    #[arg(long, value_name = "SRC:DST[:ro]")]
    pub(crate) volume: Vec<OsString>,
    /// Set an environment variable (the caller's environment is passed on)
    #[arg(long, value_name = "K=V")]
    pub(crate) env: Vec<OsString>,
    /// Working directory; default: the present one if it exists inside, else /
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Numeric user and group inside the sandbox
    #[arg(long, value_name = "UID[:GID]", default_value = "0:0")]
    pub(crate) user: String,
    /// Host name inside the sandbox
    #[arg(long, value_name = "H", default_value = "palisade")]
    pub(crate) hostname: String,
    #[command(flatten)]
    pub(crate) tracing: TraceArgs,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Directory with config.json
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// Directory for the state of running sandboxes
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tracing: TraceArgs,
    /// Name of the sandbox
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TraceArgs {
    /// Print each system call of the guest that reaches the supervisor, to stderr or FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) strace: Option<PathBuf>,
    /// Check in the supervisor what the filter would allow natively, as far as progress allows
    #[arg(long)]
    pub(crate) strict: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SyscallsArgs {
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// Only calls of this level
    #[arg(long, value_enum)]
    pub(crate) level: Option<LevelArg>,
    /// Only calls with this disposition
    #[arg(long, value_enum)]
    pub(crate) disposition: Option<DispositionArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Markdown,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LevelArg {
    Missing,
    Stub,
    Partial,
    Full,
}

impl From<LevelArg> for Level {
    fn from(level: LevelArg) -> Self {
        match level {
            LevelArg::Missing => Self::Missing,
            LevelArg::Stub => Self::Stub,
            LevelArg::Partial => Self::Partial,
            LevelArg::Full => Self::Full,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum DispositionArg {
    Emulate,
    Gate,
    Native,
    Deny,
}

impl From<DispositionArg> for Disposition {
    fn from(disposition: DispositionArg) -> Self {
        match disposition {
            DispositionArg::Emulate => Self::Emulate,
            DispositionArg::Gate => Self::Gate,
            DispositionArg::Native => Self::Native,
            DispositionArg::Deny => Self::Deny,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Command};
    use clap::{CommandFactory, Parser};

    #[test]
    fn definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn strace_takes_its_file_only_after_an_equals_sign() {
        let parse = |words: &[&str]| Args::try_parse_from(words).map(|args| args.command);
        let Ok(Command::Do(args)) = parse(&["palisade", "do", "--strace", "--", "ls", "-l"]) else {
            panic!()
        };
        assert_eq!(args.tracing.strace.as_deref(), Some(std::path::Path::new("-")));
        assert_eq!(args.command, ["ls", "-l"]);
    }
}
