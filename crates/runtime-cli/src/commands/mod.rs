//! One file for each subcommand.

mod containers;
mod create;
pub(crate) mod debug;
mod delete;
mod doctor;
pub(crate) mod events;
mod exec;
mod features;
mod guest;
pub(crate) mod install;
mod kill;
mod making;
pub(crate) mod manual;
mod metrics;
pub(crate) mod monitor;
mod pause;
pub(crate) mod profile;
mod ps;
mod run;
mod signal_thread;
mod signals;
pub(crate) mod spec;
mod start;
mod state;
mod supervise;
mod surface;
mod syscalls;
mod terminal;
pub(crate) mod trace;
mod until_signal;
pub(crate) mod update;

use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

use crate::args::{Command, Global};
use crate::sibling;

/// Exit status when Palisade itself could not do what was asked (as timeout(1), env(1) and runc do).
pub(crate) const FAILED: u8 = 125;

/// The exit status of a command that failed. Those that runc has, too, end as runc's: engines know them so.
pub(crate) fn status_of_failure(command: &Command) -> u8 {
    match command {
        Command::Do(_)
        | Command::Syscalls(_)
        | Command::Surface(_)
        | Command::Doctor
        | Command::Bench(_)
        | Command::Fuzz(_)
        | Command::Trace(_)
        | Command::Profile(_)
        | Command::Top(_)
        | Command::Completions(_)
        | Command::Man(_)
        | Command::Monitor(_)
        | Command::Debug(_)
        | Command::Metrics(_)
        | Command::MetricsServer(_)
        | Command::Supervise(_) => FAILED,
        Command::Exec(_) | Command::Await(_) => 255,
        _ => 1,
    }
}

/// Runs a subcommand; `Ok` is the exit status.
pub(crate) fn run(command: Command, global: &Global) -> Result<u8> {
    match command {
        Command::Do(args) => guest::run_program(&args, guest::Looked::default()),
        Command::Run(args) => run::run(&args, global),
        Command::Create(args) => create::create(&args, global),
        Command::Start(args) => start::start(&args, global),
        Command::State(args) => state::state(&args, global),
        Command::Kill(args) => kill::kill(&args, global),
        Command::Delete(args) => delete::delete(&args, global),
        Command::Exec(args) => exec::exec(&args, global),
        Command::List(args) => state::list(&args, global),
        Command::Ps(args) => ps::ps(&args, global),
        Command::Pause(args) => pause::pause(&args, global),
        Command::Resume(args) => pause::resume(&args, global),
        Command::Update(args) => update::update(&args, global),
        Command::Events(args) => events::events(&args, global),
        Command::Monitor(args) => monitor::monitor(&args, global),
        Command::Debug(args) => debug::debug(&args, global),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Top(args) => sibling::become_sibling("top", &args),
        Command::Profile(args) => profile::profile(&args, global),
        Command::Metrics(args) => metrics::metrics(&args, global),
        Command::MetricsServer(args) => sibling::become_sibling("metrics-server", &args),
        Command::Trace(args) => trace::trace(&args, global),
        Command::Spec(args) => spec::spec(&args, global),
        Command::Features => features::features(),
        Command::Install(args) => install::install(&args),
        Command::Uninstall(args) => install::uninstall(&args),
        Command::Syscalls(args) => syscalls::list(&args),
        Command::Surface(args) => surface::list(&args),
        Command::Doctor => doctor::report(),
        Command::Bench(args) => sibling::become_sibling("bench", &args),
        Command::Fuzz(args) => sibling::become_sibling("fuzz", &args),
        Command::Supervise(args) => supervise::supervise(&args),
        Command::Await(args) => supervise::wait(&args),
    }
}

/// Writes to standard output. A reader that stops early (head) is no error; a full disk is.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}
