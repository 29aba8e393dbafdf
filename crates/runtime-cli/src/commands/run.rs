//! `palisade run`: in the foreground this very process is the container's supervisor.

use anyhow::{Result, anyhow};
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Entry, ProcessId, Record, Status};
use runtime_supervisor::{Control, Error, Options};

use crate::args::{Global, RunArgs};
use crate::commands::{containers, create, guest, making, start};

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
    let (entry, mut record) = making::reserve(global, &args.create, spec)?;
    // Who sees the record from now on sees a container that is being made by somebody alive.
    record.supervisor = ProcessId::own();
    record.transient = !args.keep;
    let ended = entry.write(&record).map_err(anyhow::Error::from).and_then(|()| {
        let trace = args.create.tracing.strace.as_deref().map(guest::trace_target).transpose()?;
        let control = control(args, global, &record)?;
        let control = Control { created: Box::new(|record| created(args, &entry, record)), ..control };
        let options =
            Options { trace, cgroup: record.cgroup.clone(), descriptors: preserved, control: Some(control) };
        Ok(guest::shell_status(runtime_supervisor::run(&record.spec, options)?))
    });
    if ended.is_err() || !args.keep {
        remove(entry, &record);
    }
    ended
}

fn control(args: &RunArgs, global: &Global, record: &Record) -> Result<Control<'static>> {
    Ok(Control {
        listener: runtime_control::listen(&record.sandbox)?,
        entry: containers::store(global).open(&args.create.id)?,
        record: record.clone(),
        created: Box::new(|_| Ok(())),
    })
}

/// The container is there, and its program is about to run.
fn created(args: &RunArgs, entry: &Entry, record: &Record) -> Result<(), String> {
    making::run_hooks(record).map_err(|error| error.to_string())?;
    if let Some(path) = &args.create.pid_file {
        let pid = std::process::id().cast_signed();
        making::write_pid_file(path, pid).map_err(|error| format!("{error:#}"))?;
    }
    // Others may have it now.
    entry.unlock();
    if let Err(error) =
        hooks::run(HookKind::Poststart, &record.spec.hooks, &record.oci_state(Status::Running))
    {
        tracing::warn!("{error}");
    }
    Ok(())
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
