//! `palisade run`: in the foreground this very process is the container's supervisor.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Entry, ProcessId, Record, Status};
use runtime_supervisor::{Control, Error, Maker, Options, Reach};

use crate::args::{Global, RunArgs};
use crate::commands::{containers, create, guest, making, monitor, start};

pub(crate) fn run(args: &RunArgs, global: &Global) -> Result<u8> {
    if args.detach {
        let client = create::make(&args.create, global)?;
        let (entry, record) = containers::find_locked(global, &args.create.id)?;
        if let Err(error) = start::begin(&client, &record) {
            let _ = containers::destroy(entry, Some(&record));
            return Err(error);
        }
        return Ok(0);
    }
    let spec = making::load(&args.create)?;
    making::check_console(spec.process.terminal, false, args.create.console_socket.as_deref())?;
    if spec.process.terminal && !guest::stdin_is_terminal() {
        return Err(Error::NoTerminal.into());
    }
    let preserved = making::preserved(args.create.preserve_fds)?;
    let own = |record: &mut Record| {
        record.supervisor = ProcessId::own();
        record.transient = !args.keep;
    };
    let (entry, record) = making::reserve(global, &args.create, spec, own)?;
    let own_pid = std::process::id().cast_signed();
    let entry = RefCell::new(Some(entry));
    let errands = |what: &[u8]| errand(what, args, own_pid, &entry, &mut record.clone());
    let reach = if has_host_hooks(&record) { Reach::Host } else { Reach::Guests };
    let maker = match runtime_supervisor::start_maker(reach, Box::new(errands)) {
        Ok(maker) => maker,
        Err(error) => {
            entry.take().into_iter().for_each(|entry| remove(entry, &record));
            return Err(error.into());
        }
    };
    // The maker's alone from now on: an open directory of the host leads to all others.
    drop(entry.take());
    let ended = supervise(args, global, &record, &maker, preserved);
    if ended.is_err() || !args.keep {
        let _ = maker.errand(&[REMOVE]);
    }
    maker.end();
    ended
}

fn supervise(
    args: &RunArgs,
    global: &Global,
    record: &Record,
    maker: &Arc<Maker>,
    descriptors: Vec<OwnedFd>,
) -> Result<u8> {
    let trace = args.create.tracing.strace.as_deref().map(guest::trace_target).transpose()?;
    let created = |record: &Record| {
        let init = serde_json::to_vec(&record.init).map_err(|error| error.to_string())?;
        let answer =
            maker.errand(&[&[CREATED], init.as_slice()].concat()).map_err(|errno| errno.to_string())?;
        if answer.is_empty() { Ok(()) } else { Err(String::from_utf8_lossy(&answer).into_owned()) }
    };
    let control = Control {
        listener: runtime_control::listen(&record.sandbox)?,
        maker: Arc::clone(maker),
        entry: containers::store(global).open(&args.create.id)?,
        record: record.clone(),
        created: Box::new(created),
    };
    let cgroup = record.cgroup.clone();
    let to = args.create.tracing.security_events.as_deref().map(monitor::open).transpose()?;
    let monitor = to.map(|to| (record.id.clone(), to));
    let options =
        Options { trace, live: None, profile: None, monitor, cgroup, descriptors, control: Some(control) };
    Ok(guest::shell_status(runtime_supervisor::run(&record.spec, options)?))
}

/// Errands of the maker, which has all our rights: the container is there, its program is about to run; with its init.
const CREATED: u8 = 1;
/// Remove what is left of the container.
const REMOVE: u8 = 2;

/// Does one; the answer is what went wrong.
fn errand(
    what: &[u8],
    args: &RunArgs,
    own_pid: i32,
    entry: &RefCell<Option<Entry>>,
    record: &mut Record,
) -> Vec<u8> {
    let done = match what {
        [CREATED, init @ ..] => {
            serde_json::from_slice(init).map_err(|error| error.to_string()).and_then(|init| {
                record.init = init;
                entry.borrow().as_ref().map_or(Ok(()), |entry| created(args, own_pid, entry, record))
            })
        }
        _ => {
            entry.take().into_iter().for_each(|entry| remove(entry, record));
            Ok(())
        }
    };
    done.err().unwrap_or_default().into_bytes()
}

/// Whether programs of the host belong to the container's life.
fn has_host_hooks(record: &Record) -> bool {
    let guests = HookKind::StartContainer;
    HookKind::ALL.into_iter().any(|kind| kind != guests && !kind.of(&record.spec.hooks).is_empty())
}

/// The container is there, and its program is about to run.
fn created(args: &RunArgs, own_pid: i32, entry: &Entry, record: &Record) -> Result<(), String> {
    making::run_hooks(record).map_err(|error| error.to_string())?;
    if let Some(path) = &args.create.pid_file {
        making::write_pid_file(path, own_pid).map_err(|error| format!("{error:#}"))?;
    }
    // Others may have it now.
    entry.unlock();
    // As runc: a failure ends the container.
    hooks::run(HookKind::Poststart, &record.spec.hooks, &record.oci_state(Status::Running))
        .map_err(|error| error.to_string())
}

/// Removes what is left, unless somebody is at it.
fn remove(entry: Entry, record: &Record) {
    let removed = match entry.try_lock() {
        Ok(Some(true)) => containers::clean_up(entry, record),
        Ok(_) => Ok(()),
        Err(error) => Err(anyhow!(error)),
    };
    if let Err(error) = removed {
        tracing::error!("{error:#}");
    }
}
