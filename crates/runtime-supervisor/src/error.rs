//! Why a sandbox could not be started: each message is one line that names the thing and the remedy.

use std::io;

use abi_linux::Errno;

/// A sandbox that did not come to life.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Spawn(platform_notify::SpawnError),
    #[error("cannot compile the system call filter: {0}; this is a bug")]
    Filter(host_seccomp::Error),
    #[error("the host refused a call of the supervisor: {0}; run `palisade doctor`")]
    Platform(Errno),
    #[error("an {0} contains a NUL byte; remove it")]
    NulByte(&'static str),
    #[error("rootfs {path}: {errno}; give a directory that can be read")]
    Rootfs { path: String, errno: Errno },
    #[error("mount on {destination}: {errno}{remedy}")]
    Mount { destination: String, errno: Errno, remedy: &'static str },
    #[error("working directory {path}: {errno}; choose one that exists inside the sandbox (--cwd)")]
    Cwd { path: String, errno: Errno },
    #[error("cannot run {program}: {problem}")]
    Program { program: String, problem: String },
    #[error("standard {name}: {errno}")]
    Stdio { name: &'static str, errno: Errno },
    #[error("cannot start a thread: {0}; raise the limit of processes")]
    Thread(io::Error),
    #[error("cannot use the terminal: {0}")]
    Terminal(io::Error),
    #[error("process.rlimits: resource {resource}: {errno}")]
    Rlimit { resource: u32, errno: Errno },
}

/// Bytes of a path or name for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Error {
    /// Why a program can't be executed, with what to do.
    pub(crate) fn program(program: &[u8], errno: Errno) -> Self {
        let problem = match errno {
            Errno::ENOENT => "no such file, or its interpreter is missing inside the sandbox".to_owned(),
            Errno::EACCES => "permission denied; it must be a regular file with execute permission".to_owned(),
            Errno::ENOEXEC => {
                "not a program this sandbox can run; it must be a valid x86_64 ELF file or start with #!".to_owned()
            }
            Errno::ELIBBAD => "its ELF interpreter is not a valid x86_64 ELF file".to_owned(),
            Errno::ELOOP => "too many levels of symbolic links or #! interpreters".to_owned(),
            other => other.to_string(),
        };
        Self::Program { program: shown(program), problem }
    }
}
