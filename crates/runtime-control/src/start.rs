//! Starting a supervisor: `palisade supervise`, a process in a session of its own that finds its control socket,
//! listening, as standard input. So it can be connected to at once, and holds nothing of its maker's.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, io};

use runtime_oci::ProcessId;

use crate::client::{Client, connect, listen};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "supervise";

/// How it shows in lists of processes.
const NAME: &str = "palisade";

/// What a supervisor is to be like.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The `palisade` binary; the running program without one.
    pub program: Option<PathBuf>,
    /// Global options before the subcommand: `--log`, `--log-format`, `--debug`.
    pub arguments: Vec<OsString>,
    /// End with the first container, with its exit status: where somebody waits for the process itself.
    pub single: bool,
    /// End, with all guests, when its maker has: when [`Started::process`]'s standard output is closed, which has to be
    /// kept open until then.
    pub tied: bool,
}

/// A supervisor that is coming up.
#[derive(Debug)]
pub struct Started {
    pub process: Child,
    pub client: Client,
}

/// Lets no descriptor but the standard ones pass into programs that this process executes: what a caller left open by
/// mistake must not live as long as a container.
pub fn keep_descriptors() -> io::Result<()> {
    host_sys::child::close_on_exec_from(3).map_err(|errno| io::Error::from_raw_os_error(errno.raw()))
}

/// Starts the supervisor of the sandbox whose directory is `dir`. It ends by [`crate::Request::Shutdown`], or with
/// its first container where [`Options::single`] is set; killing it kills all its guests.
pub fn start(dir: &Path, options: &Options) -> io::Result<Started> {
    keep_descriptors()?;
    let listener = listen(dir)?;
    let program = options.program.as_deref().unwrap_or(Path::new("/proc/self/exe"));
    let mut command = Command::new(program);
    command.arg0(NAME).args(&options.arguments).arg(SUBCOMMAND);
    if options.single {
        command.arg("--single");
    }
    let output = if options.tied { Stdio::piped() } else { Stdio::null() };
    if options.tied {
        command.arg("--tied");
    }
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(output).stderr(Stdio::null());
    command.arg(dir).current_dir("/");
    let process = command.spawn()?;
    Ok(Started { process, client: connect(dir)? })
}

/// The file that names the supervisor of a sandbox, in its directory.
const PID_FILE: &str = "supervisor";

/// Says in a sandbox's directory that this process is its supervisor.
pub fn note_supervisor(dir: &Path) -> io::Result<()> {
    let own = serde_json::to_vec(&ProcessId::own())?;
    let fresh = dir.join(format!("{PID_FILE}.{}", std::process::id()));
    fs::write(&fresh, own)?;
    fs::rename(fresh, dir.join(PID_FILE))
}

/// The supervisor of the sandbox with this directory, if it has said so; it may be dead.
#[must_use]
pub fn supervisor_of(dir: &Path) -> Option<ProcessId> {
    serde_json::from_slice(&fs::read(dir.join(PID_FILE)).ok()?).ok()?
}
