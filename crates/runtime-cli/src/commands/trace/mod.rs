//! `palisade trace`: the calls of a running container, or of a program that it starts.

mod print;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use runtime_control::observe::{TraceBatch, TraceFilter};
use runtime_oci::Status;

use crate::args::Global;
use crate::commands::{containers, guest, until_signal};
use print::Printer;

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// Only these system calls
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = call_number)]
    syscalls: Vec<i32>,
    /// Only this process, by its id inside the container
    #[arg(long, value_name = "PID")]
    pid: Option<i32>,
    /// text as strace's, json with an object in each line, or perfetto for ui.perfetto.dev and chrome://tracing
    #[arg(long, value_enum, default_value = "text")]
    format: TraceFormat,
    /// File to write to; default: standard output, for `do` standard error
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name of the container; or `do` with its options and a program, to trace that from its beginning
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "ID|do …")]
    target: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    Text,
    Json,
    Perfetto,
}

fn call_number(name: &str) -> Result<i32, String> {
    let row = syscall_table::by_name(name);
    let nr = row.and_then(|row| i32::try_from(row.nr).ok());
    nr.ok_or_else(|| "no system call has this name; see `palisade syscalls`".to_owned())
}

/// What is being written, until its end.
type Shared = Arc<Mutex<Printer>>;

fn locked<T>(printer: &Shared, body: impl FnOnce(&mut Printer) -> T) -> T {
    body(&mut printer.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(crate) fn trace(args: &TraceArgs, global: &Global) -> Result<u8> {
    let filter = TraceFilter { calls: args.syscalls.clone(), pid: args.pid };
    let (first, rest) = args.target.split_first().context("name a container")?;
    if first == "do" {
        let program = guest::parse_do(rest)?;
        let printer = Arc::new(Mutex::new(Printer::new(args.format, output(args, Box::new(io::stderr()))?)));
        let writing = Arc::clone(&printer);
        let sink = Box::new(move |batch: TraceBatch| locked(&writing, |printer| printer.batch(&batch)));
        let live = Some(runtime_supervisor::Trace { filter, sink });
        let looked = guest::Looked { live, ..guest::Looked::default() };
        let status = guest::run_program(&program, looked)?;
        locked(&printer, Printer::finish).context("cannot write the trace")?;
        return Ok(status);
    }
    let [id] = args.target.as_slice() else { bail!("name one container, or `do` and a program") };
    let id = id.to_str().context("name a container")?;
    let printer = Printer::new(args.format, output(args, Box::new(io::stdout()))?);
    attach(id, filter, &Arc::new(Mutex::new(printer)), global)
}

fn output(args: &TraceArgs, standard: Box<dyn Write + Send>) -> Result<Box<dyn Write + Send>> {
    let Some(path) = &args.output else { return Ok(Box::new(BufWriter::new(standard))) };
    let remedy = "cannot be created; name a file in a directory that can be written";
    let file = File::create(path).with_context(|| format!("--output {}: {remedy}", path.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn attach(id: &str, filter: TraceFilter, printer: &Shared, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, id)?;
    if record.status == Status::Stopped {
        bail!("container {id:?} has stopped: there is nothing to trace");
    }
    let client = containers::connect(&record)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (stopping, stopper) = (Arc::clone(&stop), client.stopper()?);
    until_signal::then(move || {
        stopping.store(true, Ordering::SeqCst);
        stopper.stop();
    })?;
    let mut written = Ok(());
    let traced = client.trace(id, filter, |batch| {
        written = locked(printer, |printer| printer.batch(&batch));
        if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let written = written.and_then(|()| locked(printer, Printer::finish));
    match written {
        // A reader that has enough (head) is no error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
        written => written.context("cannot write the trace")?,
    }
    match traced {
        Err(_) if stop.load(Ordering::SeqCst) => {}
        traced => traced?,
    }
    Ok(0)
}
