//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::commands::debug::DebugArgs;
use crate::commands::events::EventsArgs;
use crate::commands::install::InstallArgs;
use crate::commands::manual::{CompletionsArgs, ManArgs};
use crate::commands::monitor::MonitorArgs;
use crate::commands::profile::ProfileArgs;
use crate::commands::spec::SpecArgs;
use crate::commands::trace::TraceArgs;
use crate::commands::update::UpdateArgs;
use crate::sibling::SiblingArgs;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use runtime_oci::{NetworkMode, NetworkSpec, Publish};
use syscall_table::{Disposition, Level};

/// Run Linux programs in a sandbox whose system calls a userspace kernel answers.
#[derive(Debug, Parser)]
#[command(name = "palisade", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command, with runc's names and meanings.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Global {
    /// Log what the supervisor does (PALISADE_LOG selects more finely)
    #[arg(long, global = true)]
    pub(crate) debug: bool,
    /// File to log to; default: standard error
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// How to log
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Directory for the state of containers; default: /run/palisade, for a plain user in XDG_RUNTIME_DIR
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Make cgroups by systemd; cgroupsPath is then slice:prefix:name
    #[arg(long, global = true)]
    pub(crate) systemd_cgroup: bool,
    /// Go on without a cgroup where none may be made: true, false or auto
    #[arg(long, global = true, value_enum, default_value = "auto", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) rootless: Rootless,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rootless {
    True,
    False,
    Auto,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program on the host's root or a directory, below a layer in memory
    Do(DoArgs),
    /// Create and start a container from an OCI bundle
    Run(RunArgs),
    /// Create a container that waits for `start`
    Create(CreateArgs),
    /// Run a created container's program
    Start(IdArgs),
    /// Print a container's state
    State(IdArgs),
    /// Send a signal to a container
    Kill(KillArgs),
    /// Remove a container that has ended
    Delete(DeleteArgs),
    /// Run another process in a container
    Exec(ExecArgs),
    /// List containers
    List(ListArgs),
    /// List the processes of a container
    Ps(PsArgs),
    /// Stop all processes of a container
    Pause(IdArgs),
    /// Let the processes of a paused container go on
    Resume(IdArgs),
    /// Change a container's limits
    Update(UpdateArgs),
    /// Print what a container uses, and when it runs out of memory
    Events(EventsArgs),
    /// Print the system calls of a running container, or of a program from its beginning
    Trace(TraceArgs),
    /// Print the security events of a running container
    Monitor(MonitorArgs),
    /// Print what a container is doing: waiting calls, locks, open files, mounts
    Debug(DebugArgs),
    /// Show all sandboxes: CPU, memory, call rate, hottest calls
    Top(SiblingArgs),
    /// Print what completes this command line in a shell
    Completions(CompletionsArgs),
    /// Write manual pages
    Man(ManArgs),
    /// Print where the time of a container's system calls goes
    Profile(ProfileArgs),
    /// Print a container's metrics in Prometheus's text format
    Metrics(IdArgs),
    /// Serve metrics of all sandboxes to Prometheus
    MetricsServer(SiblingArgs),
    /// Write a config.json to begin with
    Spec(SpecArgs),
    /// Print what this runtime supports
    Features,
    /// Make Palisade known to an engine, and print the RuntimeClass manifest for Kubernetes
    Install(InstallArgs),
    /// Take Palisade out of an engine's configuration
    Uninstall(InstallArgs),
    /// List the system calls and what becomes of each
    Syscalls(SyscallsArgs),
    /// List what of the host kernel guests and the supervisor can reach
    Surface(SurfaceArgs),
    /// Check whether this host has what is needed
    Doctor,
    /// Compare what isolation costs under several runtimes (palisade-bench)
    Bench(SiblingArgs),
    /// Look for faults with random calls (palisade-fuzz)
    Fuzz(SiblingArgs),
    /// Serve containers over a control socket
    #[command(hide = true)]
    Supervise(SuperviseArgs),
    /// Stand for a process that was started with exec --detach
    #[command(hide = true)]
    Await(AwaitArgs),
}

/// The network of a sandbox.
#[derive(Debug, ClapArgs)]
pub(crate) struct NetworkArgs {
    /// What is behind INET sockets: none (loopback inside) or host (the container's network namespace); default: none for
    /// `do`, host for bundles
    #[arg(long, value_name = "none|host")]
    pub(crate) network: Option<NetworkMode>,
    /// Pass TCP connections to a port of the host on to one inside; may be repeated
    #[arg(long, value_name = "[ADDR:]PORT:PORT")]
    pub(crate) publish: Vec<Publish>,
    /// Let guests with CAP_NET_RAW have raw ICMP sockets (with --network host)
    #[arg(long)]
    pub(crate) raw_sockets: bool,
}

impl NetworkArgs {
    /// Puts what was given into a sandbox's network.
    pub(crate) fn apply(&self, network: &mut NetworkSpec) {
        network.mode = self.network.unwrap_or(network.mode);
        network.raw_sockets |= self.raw_sockets;
        network.publish.extend_from_slice(&self.publish);
    }
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
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) tracing: TracingArgs,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// A container's id.
#[derive(Debug, ClapArgs)]
pub(crate) struct IdArgs {
    /// Name of the container
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct CreateArgs {
    /// Directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(crate) bundle: PathBuf,
    /// AF_UNIX socket that is sent the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File for the id of the process whose exit status is the container's
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Pass N more descriptors, from 3 on and after those of LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Of no effect: the root is no mount of the host
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Of no effect: guests have no keyring of the host
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) tracing: TracingArgs,
    /// Name of the container
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) create: CreateArgs,
    /// Return when the program has been started
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Keep the container when it has ended
    #[arg(long)]
    pub(crate) keep: bool,
    /// Of no effect: the container's first process reaps
    #[arg(long)]
    pub(crate) no_subreaper: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KillArgs {
    /// To all processes of the container
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Name of the container
    pub(crate) id: String,
    /// By name or number
    #[arg(default_value = "SIGTERM")]
    pub(crate) signal: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct DeleteArgs {
    /// Kill it first if it runs; no error if there is none
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Name of the container
    pub(crate) id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ExecArgs {
    /// AF_UNIX socket that is sent the master of the process's terminal
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Set an environment variable
    #[arg(short, long, value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// Give it a terminal
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Numeric user and group
    #[arg(short, long, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    /// Supplementary groups
    #[arg(short = 'g', long, value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// File with runtime-spec's `process`
    #[arg(short, long, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Return when the program has been started
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// File for the id of a process that ends as the program does
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Refused: guests do not reach what the label guards
    #[arg(long, value_name = "LABEL")]
    pub(crate) process_label: Option<String>,
    /// Refused: guests do not reach what the profile guards
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// Add a capability
    #[arg(short, long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
    /// Pass N more descriptors, from 3 on and after those of LISTEN_FDS
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) preserve_fds: u32,
    /// Also in a paused container
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    /// Name of the container
    pub(crate) id: String,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ListArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// Only ids
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PsArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// Name of the container
    pub(crate) id: String,
    /// Arguments of ps(1) instead of -ef
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS-ARG")]
    pub(crate) options: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Table,
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SuperviseArgs {
    /// End with the first container, and with its status
    #[arg(long)]
    pub(crate) single: bool,
    /// End when nobody reads standard output any more.
    #[arg(long)]
    pub(crate) tied: bool,
    /// The sandbox's directory
    pub(crate) dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct AwaitArgs {
    pub(crate) dir: PathBuf,
    pub(crate) id: String,
    pub(crate) exec_id: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TracingArgs {
    /// Print each system call of the guest that reaches the supervisor, to stderr or FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) strace: Option<PathBuf>,
    /// Write security events, a JSON object in each line, to a file or a listening socket (unix:PATH)
    #[arg(long, value_name = "FILE|unix:PATH")]
    pub(crate) security_events: Option<OsString>,
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

#[derive(Debug, ClapArgs)]
pub(crate) struct SurfaceArgs {
    /// How to print
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// That of --strict
    #[arg(long)]
    pub(crate) strict: bool,
    /// Which CVEs of Linux and of container engines get how far, by what their triggers need
    #[arg(long)]
    pub(crate) cves: bool,
    /// The figures of SECURITY.md
    #[arg(long, hide = true)]
    pub(crate) summary: bool,
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
    fn siblings_get_their_options_unread() {
        let args =
            Args::try_parse_from(["palisade", "bench", "--quick", "syscall", "--help", "--", "-x"]).unwrap();
        let Command::Bench(sibling) = args.command else { panic!("{args:?}") };
        assert_eq!(sibling.args, ["--quick", "syscall", "--help", "--", "-x"]);
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
