//! Puts a sandbox together: filter and platform below, kernel and filesystems above, the terminal beside.
//!
//! [`run`] is the whole life of one sandbox, on the calling thread: it makes the init, builds the file tree,
//! starts the program and delivers calls until the init is dead.
#![forbid(unsafe_code)]

mod credentials;
mod error;
mod filesystems;
mod jobs;
mod launch;
mod mount_points;
mod owner;
mod registry;
mod stdio;
mod terminal;
mod trace;

use std::ffi::CString;
use std::sync::Arc;

use abi_linux::Errno;
use host_seccomp::SockFilter;
use kernel_task::Kernel;
use kernel_task::kernel::Uts;
use platform_api::Platform;
use platform_notify::{Ending, GuestIds, Instruction, NotifyPlatform, SpawnSpec};
use runtime_oci::ContainerSpec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub use error::Error;
pub use kernel_task::kernel::ExitStatus;
pub use platform_notify::doctor::{Check, doctor};
pub use trace::TraceTo;

/// How a sandbox is observed.
#[derive(Debug, Default)]
pub struct Options {
    /// Print each call.
    pub trace: Option<TraceTo>,
}

/// Worker threads: one is hot, the other takes over while it is in a long host call.
const WORKERS: usize = 2;

/// With a lower hard limit ordinary programs would find files that cannot be opened.
const FEWEST_DESCRIPTORS: u64 = 1024;

/// Runs a sandbox to its end.
pub fn run(spec: &ContainerSpec, options: Options) -> Result<ExitStatus, Error> {
    // Modes of files that guests make are the guest's umask's business.
    rustix::process::umask(rustix::fs::Mode::empty());
    allow_descriptors()?;
    let signals = jobs::block_signals()?;
    let container = spawn(spec)?;
    let platform = NotifyPlatform::new(container).map_err(Error::Platform)?;
    let uts = Uts { hostname: spec.hostname.clone(), domainname: spec.domainname.clone() };
    let kernel = Kernel::new(Arc::clone(&platform) as Arc<dyn Platform>, uts);
    let launched = launch::launch(spec, &kernel, platform.init());
    let sandbox = match launched {
        Ok(sandbox) => sandbox,
        Err(error) => {
            // The init waits in its first call; it has done nothing yet.
            let _ = platform.kill();
            return Err(error);
        }
    };
    let trace = options.trace.map(trace::start);
    let engine = kernel_syscalls::Engine::new(&kernel, trace);
    let (workers, events) = (engine.workers(WORKERS), Arc::clone(engine.events()));
    let relay = sandbox.terminal.map(|pty| terminal::Relay::start(pty, Arc::clone(&events))).transpose()?;
    let jobs = jobs::Jobs::start(signals, &kernel, spec, relay.clone(), Arc::clone(&events))?;
    let _ = kernel.events.set(Arc::new(owner::Owner::new(jobs, sandbox.terminals)));
    let init = kernel.init();
    let ending = platform.run(workers, &events);
    if let Some(relay) = relay {
        relay.finish();
    }
    match ending.map_err(Error::Platform)? {
        // Only the loader can have said so: it has nobody to tell once the filter is in place.
        Ending::Exited(_) if init.is_some_and(|init| !init.image.read().has_begun()) => {
            Err(Error::NeverStarted)
        }
        Ending::Exited(code) => Ok(ExitStatus::Code(code)),
        Ending::Killed(signal) => Ok(ExitStatus::Signal(signal)),
    }
}

/// The supervisor holds the host's side of all its guests' files: as many as the hard limit allows.
fn allow_descriptors() -> Result<(), Error> {
    let limit = getrlimit(Resource::Nofile);
    if let Some(hard) = limit.maximum.filter(|&hard| hard < FEWEST_DESCRIPTORS) {
        return Err(Error::Descriptors(hard));
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .map_err(|errno| Error::Platform(Errno::from_raw(errno.raw_os_error())))
}

fn spawn(spec: &ContainerSpec) -> Result<platform_notify::Container, Error> {
    let rules = syscall_table::seccomp::plan(spec.strict);
    let program = host_seccomp::compile(&rules).map_err(Error::Filter)?;
    let filter: Vec<Instruction> = program.iter().map(instruction).collect();
    let spec = SpawnSpec {
        filter: &filter,
        program: guest_loader::LOADER,
        argv: c_strings(&spec.process.args, "argument")?,
        envp: c_strings(&spec.process.env, "environment variable")?,
        ids: GuestIds { uid: spec.process.user.uid, gid: spec.process.user.gid },
        place: &platform_notify::stay,
    };
    platform_notify::spawn(spec).map_err(Error::Spawn)
}

fn instruction(filter: &SockFilter) -> Instruction {
    Instruction { code: filter.code, jt: filter.jt, jf: filter.jf, k: filter.k }
}

fn c_strings(strings: &[Vec<u8>], what: &'static str) -> Result<Vec<CString>, Error> {
    strings.iter().map(|bytes| CString::new(bytes.as_slice()).map_err(|_| Error::NulByte(what))).collect()
}
