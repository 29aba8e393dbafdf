//! Why a sandbox could not be started: each message is one line that names the thing and the remedy.

use std::io;

use abi_linux::Errno;
use runtime_control::{Kind, Refusal};

/// The remedy where the host has no room for another namespace.
fn more_namespaces(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOSPC => "; remedy: raise sysctl user.max_user_namespaces and its siblings",
        _ => "",
    }
}

/// A sandbox that did not come to life.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Spawn(platform_notify::SpawnError),
    #[error("cannot compile the system call filter: {0}; this is a bug")]
    Filter(host_seccomp::Error),
    #[error("cannot read the data about CVEs: {0}; this is a bug")]
    Data(String),
    #[error("cannot {what} for the supervisor: {errno}{}", more_namespaces(*errno))]
    Confinement { what: &'static str, errno: Errno },
    #[error("cannot start the process that makes guests: {0}")]
    Maker(Errno),
    #[error("the host refused a call of the supervisor: {0}; run `palisade doctor`")]
    Platform(Errno),
    #[error(
        "the hard limit of open files is {0}; raise it to {least} or more (ulimit -Hn, LimitNOFILE= of the service)",
        least = crate::FEWEST_DESCRIPTORS
    )]
    Descriptors(u64),
    #[error("the container's init exited before it could run the program; run `palisade doctor`")]
    NeverStarted,
    #[error("an {0} contains a NUL byte; remove it")]
    NulByte(&'static str),
    #[error("rootfs {path}: {errno}; give a directory that can be read")]
    Rootfs { path: String, errno: Errno },
    #[error("mount on {destination}: {errno}{remedy}")]
    Mount { destination: String, errno: Errno, remedy: &'static str },
    #[error(
        "{field}: {id} is in no line of linux.uidMappings or linux.gidMappings; map it, or choose another"
    )]
    UnmappedId { field: &'static str, id: u32 },
    #[error("cannot make a user namespace: {0}")]
    UserNamespace(Errno),
    #[error("working directory {path}: {errno}; choose one that exists inside the sandbox (--cwd)")]
    Cwd { path: String, errno: Errno },
    #[error("cannot run {program}: {problem}")]
    Program { program: String, problem: String, found: Found },
    #[error("standard {name}: {errno}")]
    Stdio { name: &'static str, errno: Errno },
    #[error("--publish {port}: {error}; choose another port, or end who has it")]
    Publish { port: String, error: std::io::Error },
    #[error(transparent)]
    Place(#[from] runtime_control::PlaceError),
    #[error("{0}")]
    WrongState(&'static str),
    #[error("exec id {0:?} is in use; choose another")]
    ExecExists(String),
    #[error("container {0:?} exists already; choose another id")]
    ContainerExists(String),
    #[error("{0} does not exist")]
    NotFound(String),
    #[error("{0}")]
    State(runtime_oci::StateError),
    #[error("{0}")]
    Hooks(String),
    #[error("control socket: {0}")]
    Control(io::Error),
    #[error("system call number {0} does not exist")]
    NoCall(i32),
    #[error("signal {0} does not exist")]
    NoSignal(i32),
    #[error("config.json: hooks.startContainer[{index}]: {path} {problem}")]
    Hook { index: usize, path: String, problem: String },
    #[error("cannot start a thread: {0}; raise the limit of processes")]
    Thread(io::Error),
    #[error("cannot use the terminal: {0}")]
    Terminal(io::Error),
    #[error(
        "process.terminal is true, but standard input is no terminal; run it from one, or set it to false"
    )]
    NoTerminal,
    #[error(
        "process.rlimits: RLIMIT number {resource}: {errno}; the soft limit must not exceed the hard one, nor that the host's"
    )]
    Rlimit { resource: u32, errno: Errno },
    #[error(transparent)]
    Bundle(runtime_oci::BundleError),
    #[error("config.json: {field}: the host refuses {wanted}: {errno}{}", setting_remedy(.field, *.errno))]
    Setting { field: &'static str, wanted: String, errno: Errno },
    #[error(
        "config.json: linux.namespaces: {path}, the path of {kind}, is of no container of this sandbox; name one of the pod's, or leave the path out"
    )]
    NotInPod { kind: String, path: String },
    #[error("config.json: linux.sysctl: {name} = {value:?}: {errno}{}", sysctl_remedy(*.errno))]
    Sysctl { name: String, value: String, errno: Errno },
    #[error("config.json: linux.devices: {path}: {errno}; leave it out, or choose a path that is free")]
    Device { path: String, errno: Errno },
}

fn setting_remedy(field: &str, errno: Errno) -> &'static str {
    match (field, errno) {
        ("process.oomScoreAdj", Errno::EACCES | Errno::EPERM) => {
            "; a lower score than the caller's takes CAP_SYS_RESOURCE: run palisade with it, or leave it out"
        }
        (_, Errno::EPERM) => "; run palisade as root with CAP_SYS_NICE, or leave it out",
        (_, Errno::EINVAL) => "; choose a value that the host's kernel knows and has CPUs for",
        _ => "; leave it out",
    }
}

fn sysctl_remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => "; a container has no such sysctl: leave it out",
        Errno::EACCES | Errno::EPERM => "; it can only be read: leave it out",
        _ => "; choose a value that it takes",
    }
}

/// Whether a program that can't be run exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    No,
    Yes,
}

/// Bytes of a path or name for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    // One line, whatever the name.
    String::from_utf8_lossy(bytes).replace(char::is_control, "?")
}

impl Error {
    /// Why a program can't be executed, with what to do.
    pub(crate) fn program(program: &[u8], errno: Errno) -> Self {
        let problem = match errno {
            Errno::ENOENT => "no such file, or its interpreter is missing inside the sandbox".to_owned(),
            Errno::EACCES => {
                "permission denied; it must be a regular file with execute permission".to_owned()
            }
            Errno::ENOEXEC => {
                "not a program this sandbox can run; it must be a valid x86_64 ELF file or start with #!"
                    .to_owned()
            }
            Errno::ELIBBAD => "its ELF interpreter is not a valid x86_64 ELF file".to_owned(),
            Errno::ENOTDIR => "a part of its path is not a directory".to_owned(),
            Errno::E2BIG => "the arguments and the environment are too long; pass less".to_owned(),
            Errno::ELOOP => "too many levels of symbolic links or #! interpreters".to_owned(),
            other => other.to_string(),
        };
        let found = if errno == Errno::ENOENT { Found::No } else { Found::Yes };
        Self::Program { program: shown(program), problem, found }
    }

    /// What a client of the control socket is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let kind = match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::ExecExists(_) | Self::ContainerExists(_) => Kind::Exists,
            Self::WrongState(_) => Kind::WrongState,
            Self::Program { found: Found::No, .. } => Kind::NoProgram,
            Self::Program { found: Found::Yes, .. } => Kind::BadProgram,
            Self::NoSignal(_)
            | Self::NoCall(_)
            | Self::NulByte(_)
            | Self::Cwd { .. }
            | Self::Rlimit { .. }
            | Self::Bundle(_)
            | Self::Setting { .. }
            | Self::NotInPod { .. }
            | Self::Sysctl { .. }
            | Self::Device { .. } => Kind::Invalid,
            _ => Kind::Failed,
        };
        Refusal { kind, message: self.to_string() }
    }

    /// The exit status to end with, as env(1) and docker-run(1) choose it: 127 when the program is not found,
    /// 126 when it is and can't be run, 125 when Palisade itself failed.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Program { found: Found::No, .. } => 127,
            Self::Program { found: Found::Yes, .. } => 126,
            _ => 125,
        }
    }
}
