//! `palisade exec`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use runtime_control::{Client, Exec};
use runtime_oci::{ProcessSpec, Record, Status};
use serde_json::json;

use crate::args::{ExecArgs, Global};
use crate::commands::terminal::{self, Terminal};
use crate::commands::{containers, create, making, signal_thread};

/// Longest file that --process reads, in bytes.
const MAX_PROCESS: u64 = 8 << 20;

pub(crate) fn exec(args: &ExecArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    match record.status {
        Status::Stopped => bail!("cannot exec in a stopped container"),
        Status::Paused if !args.ignore_paused => {
            bail!("cannot exec in a paused container (use --ignore-paused to override)")
        }
        Status::Creating => bail!("cannot exec in a container that is being created"),
        _ => {}
    }
    let mut process = process(args, &record)?;
    process.set_home(&record.spec.rootfs);
    let socket = args.console_socket.as_deref();
    making::check_console(process.terminal, args.detach, socket)?;
    let preserved = making::preserved(args.preserve_fds)?;
    let mut fds: Vec<BorrowedFd<'_>> = Vec::new();
    if !process.terminal {
        fds.extend(making::standard_streams());
    }
    fds.extend(preserved.iter().map(AsFd::as_fd));
    if !args.detach && process.console_size.is_none() {
        process.console_size = terminal::own_size();
    }
    let exec_id = unique_name();
    let streams = create::streams(&process);
    let forget = args.detach && args.pid_file.is_none();
    let request = Exec { id: args.id.clone(), exec_id: exec_id.clone(), process, streams, forget };
    let client = containers::connect(&record)?;
    if !args.detach {
        signal_thread::forward(&record.sandbox, &args.id, &exec_id)?;
    }
    let (_, master) = client.exec(request, &fds)?;
    if args.detach {
        return detached(args, &record, &exec_id, master.as_ref());
    }
    if let Some(path) = &args.pid_file {
        making::write_pid_file(path, std::process::id().cast_signed())?;
    }
    attached(args, &record, &exec_id, client, master)
}

fn unique_name() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}", std::process::id(), now.as_nanos())
}

fn detached(args: &ExecArgs, record: &Record, exec_id: &str, master: Option<&OwnedFd>) -> Result<u8> {
    if let (Some(socket), Some(master)) = (&args.console_socket, master) {
        making::send_console(socket, master)?;
    }
    if let Some(path) = &args.pid_file {
        runtime_control::keep_descriptors()?;
        let stand_in = Command::new("/proc/self/exe")
            .arg0("palisade")
            .arg("await")
            .args([record.sandbox.as_os_str(), args.id.as_ref(), exec_id.as_ref()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the process that stands for it")?;
        making::write_pid_file(path, stand_in.id().cast_signed())?;
    }
    Ok(0)
}

fn attached(
    args: &ExecArgs,
    record: &Record,
    exec_id: &str,
    client: Client,
    master: Option<OwnedFd>,
) -> Result<u8> {
    let terminal =
        master.map(|master| Terminal::attach(master, &record.sandbox, &args.id, exec_id)).transpose()?;
    let exit = client.wait(&args.id, Some(exec_id));
    if let Some(terminal) = terminal {
        terminal.finish();
    }
    // The container may have ended with it.
    let _ = containers::connect(record).map(|client| client.delete(&args.id, Some(exec_id)));
    match exit {
        Ok(exit) => Ok(exit.status),
        // The supervisor is gone, and the process with it.
        Err(runtime_control::CallError::Connection(_)) => Ok(137),
        Err(error) => Err(error.into()),
    }
}

/// What is to be run: the container's own process with changes, or what a file says.
fn process(args: &ExecArgs, record: &Record) -> Result<ProcessSpec> {
    if let Some(path) = &args.process {
        return from_file(path);
    }
    if args.command.is_empty() {
        bail!("process args cannot be empty; name a program");
    }
    if args.apparmor.is_some() || args.process_label.is_some() {
        bail!("--apparmor and --process-label are not supported; leave them out");
    }
    let mut process = record.spec.process.clone();
    process.args = args.command.iter().map(|word| word.as_bytes().to_vec()).collect();
    process.terminal = args.tty;
    process.console_size = None;
    if let Some(cwd) = &args.cwd {
        process.cwd = cwd.clone().into_bytes();
    }
    process.env.extend(args.env.iter().map(|pair| pair.clone().into_bytes()));
    if let Some(user) = &args.user {
        let user = super::guest::parse_user_or_default(user, process.user.gid)?;
        (process.user.uid, process.user.gid) = user;
    }
    process.user.groups.extend(&args.additional_gids);
    process.no_new_privs |= args.no_new_privs;
    let added = capabilities(&args.cap)?;
    // As runc: what it may do now, not what it hands on.
    let [bounding, effective, permitted, ..] = &mut process.capabilities;
    for set in [bounding, effective, permitted] {
        *set |= added;
    }
    Ok(process)
}

fn from_file(path: &Path) -> Result<ProcessSpec> {
    let at = || format!("--process {}", path.display());
    if std::fs::metadata(path).with_context(at)?.len() > MAX_PROCESS {
        bail!("{}: longer than {MAX_PROCESS} bytes", at());
    }
    let text = std::fs::read(path).with_context(at)?;
    let value = serde_json::from_slice(&text).with_context(at)?;
    runtime_oci::process_from_json(&value).with_context(at)
}

/// The set of the capabilities with these names.
fn capabilities(names: &[String]) -> Result<u64> {
    if names.is_empty() {
        return Ok(0);
    }
    let names: Vec<String> = names
        .iter()
        .map(|name| name.to_ascii_uppercase())
        .map(|name| if name.starts_with("CAP_") { name } else { format!("CAP_{name}") })
        .collect();
    let value = json!({
        "user": { "uid": 0, "gid": 0 }, "cwd": "/", "args": ["x"], "capabilities": { "bounding": names },
    });
    let [bounding, ..] = runtime_oci::process_from_json(&value).context("--cap")?.capabilities;
    Ok(bounding)
}
