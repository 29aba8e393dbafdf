//! `palisade do`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use runtime_control::observe::Stats;
use runtime_oci::{ContainerSpec, MountKind, MountSpec, NetworkSpec, ProcessSpec, User};
use runtime_supervisor::{ExitStatus, Options, Trace, TraceTo};

use crate::args::{Args, Command, DoArgs, TracingArgs};
use crate::commands::monitor;

/// All of them: they count inside the container alone, where everything is its own (ARCHITECTURE.md).
const ROOT_CAPS: u64 = 0x01ff_ffff_ffff;

/// __NEW_UTS_LEN of include/uapi/linux/utsname.h.
const MAX_HOSTNAME: usize = 64;

/// The arguments of a `do` behind another command.
pub(super) fn parse_do(rest: &[OsString]) -> Result<DoArgs> {
    let words = ["palisade", "do"].into_iter().map(OsString::from).chain(rest.iter().cloned());
    match Args::try_parse_from(words).map(|args| args.command) {
        Ok(Command::Do(args)) => Ok(args),
        Ok(_) => bail!("name a program behind `do`"),
        Err(error) => {
            // One line: clap's first.
            let text = error.to_string();
            bail!("do: {}", text.lines().next().unwrap_or_default().trim_start_matches("error: "))
        }
    }
}

/// Who looks at the calls of a `do`.
#[derive(Default)]
pub(crate) struct Looked<'a> {
    pub(crate) live: Option<Trace>,
    pub(crate) profile: Option<Box<dyn FnOnce(Stats) + 'a>>,
}

/// `palisade do`.
pub(crate) fn run_program(args: &DoArgs, looked: Looked<'_>) -> Result<u8> {
    let rootfs = existing_dir(&args.rootfs, "--rootfs")?;
    if !args.hostname.is_ascii() || args.hostname.len() > MAX_HOSTNAME {
        bail!("--hostname: at most {MAX_HOSTNAME} ASCII characters");
    }
    let mut mounts = default_mounts();
    for volume in &args.volume {
        mounts.push(parse_volume(volume)?);
    }
    let user = parse_user(&args.user)?;
    let caps = if user.uid == 0 { ROOT_CAPS } else { 0 };
    let mut network = NetworkSpec::default();
    args.network.apply(&mut network);
    let spec = ContainerSpec {
        rootfs,
        readonly: args.readonly,
        overlay: !args.readonly,
        mounts,
        process: ProcessSpec {
            args: args.command.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            env: environment(&args.env)?,
            cwd: working_directory(args),
            user,
            capabilities: [ROOT_CAPS, caps, caps, 0, 0],
            // Where one of the standard streams is one.
            terminal: true,
            ..ProcessSpec::default()
        },
        hostname: args.hostname.as_bytes().to_vec(),
        domainname: b"(none)".to_vec(),
        init: true,
        strict: args.tracing.strict,
        network,
        ..ContainerSpec::default()
    };
    finish(&spec, &args.tracing, looked)
}

fn finish(spec: &ContainerSpec, tracing: &TracingArgs, looked: Looked<'_>) -> Result<u8> {
    let trace = tracing.strace.as_deref().map(trace_target).transpose()?;
    let to = tracing.security_events.as_deref().map(monitor::open).transpose()?;
    let monitor = to.map(|to| (String::from_utf8_lossy(&spec.hostname).into_owned(), to));
    let Looked { live, profile } = looked;
    let status =
        runtime_supervisor::run(spec, Options { trace, monitor, live, profile, ..Options::default() })?;
    Ok(shell_status(status))
}

/// The status as shells write it.
pub(super) fn shell_status(status: ExitStatus) -> u8 {
    match status {
        ExitStatus::Code(code) => code as u8,
        ExitStatus::Signal(signal) => 128u8.wrapping_add(signal as u8),
    }
}

pub(super) fn trace_target(path: &Path) -> Result<TraceTo> {
    if path == Path::new("-") {
        return Ok(TraceTo::Stderr);
    }
    let file = std::fs::File::create(path).with_context(|| {
        format!(
            "--strace={}: cannot create the file; name one in a directory that can be written",
            path.display()
        )
    })?;
    Ok(TraceTo::File(file))
}

pub(super) fn stdin_is_terminal() -> bool {
    use std::io::IsTerminal;
    std::io::stdin().is_terminal()
}

pub(super) fn existing_dir(path: &Path, what: &str) -> Result<PathBuf> {
    let full = path.canonicalize().with_context(|| {
        format!("{what}: {} can't be used; give the directory that is to become /", path.display())
    })?;
    if !full.is_dir() {
        bail!("{what}: {} is not a directory; give the directory that is to become /", path.display());
    }
    Ok(full)
}

fn environment(extra: &[OsString]) -> Result<Vec<Vec<u8>>> {
    let own = |(key, _): &(OsString, OsString)| key != runtime_supervisor::REPORT_REFUSED;
    let mut env: Vec<Vec<u8>> = std::env::vars_os()
        .filter(own)
        .map(|(key, value)| [key.as_bytes(), b"=", value.as_bytes()].concat())
        .collect();
    for pair in extra {
        let pair = pair.as_bytes();
        let Some(at) = pair.iter().position(|&b| b == b'=').filter(|&at| at > 0) else {
            bail!("--env {}: write it as NAME=VALUE", OsStr::from_bytes(pair).display());
        };
        env.retain(|old| !old.starts_with(&pair[..=at]));
        env.push(pair.to_vec());
    }
    Ok(env)
}

/// The present directory when it can exist inside, else `/`.
fn working_directory(args: &DoArgs) -> Vec<u8> {
    if let Some(cwd) = &args.cwd {
        return cwd.as_os_str().as_bytes().to_vec();
    }
    let is_host_root = args.rootfs == Path::new("/");
    let cwd = std::env::current_dir().ok().filter(|_| is_host_root);
    cwd.map_or_else(|| b"/".to_vec(), |cwd| cwd.into_os_string().into_vec())
}

fn parse_user(text: &str) -> Result<User> {
    let (uid, gid) = text.split_once(':').unwrap_or((text, text));
    let number = |part: &str| {
        let parsed = part.parse::<u32>().ok().filter(|&id| id != u32::MAX);
        parsed.with_context(|| format!("--user {text}: {part:?} is not a numeric id; write UID or UID:GID"))
    };
    Ok(User { uid: number(uid)?, gid: number(gid)?, groups: Vec::new(), umask: None })
}

/// A user id, and a group id if there is one.
pub(super) fn parse_user_or_default(text: &str, gid: u32) -> Result<(u32, u32)> {
    let user = parse_user(text)?;
    Ok((user.uid, if text.contains(':') { user.gid } else { gid }))
}

fn parse_volume(text: &OsString) -> Result<MountSpec> {
    let shown = text.display();
    let parts: Vec<&[u8]> = text.as_bytes().split(|&b| b == b':').collect();
    let (source, destination, readonly) = match parts.as_slice() {
        [source, destination] => (source, destination, false),
        [source, destination, b"ro"] => (source, destination, true),
        [source, destination, b"rw"] => (source, destination, false),
        _ => bail!("--volume {shown}: write it as SRC:DST or SRC:DST:ro"),
    };
    if !destination.starts_with(b"/") {
        bail!("--volume {shown}: the destination must be an absolute path");
    }
    if source.is_empty() {
        bail!("--volume {shown}: the source is empty; write it as SRC:DST or SRC:DST:ro");
    }
    let path = Path::new(OsStr::from_bytes(source));
    let full = path.canonicalize().with_context(|| {
        format!(
            "--volume {shown}: the source {} can't be used; name a file or directory that exists",
            path.display()
        )
    })?;
    let mut mount = MountSpec::new(MountKind::Bind(full.clone()), destination);
    mount.source = full.into_os_string().into_vec();
    mount.readonly = readonly;
    mount.nosuid = true;
    mount.nodev = true;
    Ok(mount)
}

/// What every `do` sandbox has besides its root.
fn default_mounts() -> Vec<MountSpec> {
    let mount = |kind, destination: &str, source: &str, options: &[&str]| {
        let mut mount = MountSpec::new(kind, destination.as_bytes());
        mount.source = source.as_bytes().to_vec();
        mount.nosuid = true;
        mount.noexec = true;
        mount.data = options.iter().map(ToString::to_string).collect();
        mount
    };
    vec![
        mount(MountKind::Proc, "/proc", "proc", &[]),
        mount(MountKind::Devtmpfs, "/dev", "udev", &["mode=0755"]),
        mount(MountKind::Devpts, "/dev/pts", "devpts", &["gid=5", "mode=0620", "ptmxmode=0666"]),
        mount(MountKind::Tmpfs, "/dev/shm", "shm", &["mode=1777", "size=64m"]),
        mount(MountKind::Sysfs, "/sys", "sysfs", &[]),
        mount(MountKind::Cgroup, "/sys/fs/cgroup", "cgroup", &[]),
    ]
}

#[cfg(test)]
mod tests {
    use super::{parse_user, parse_volume};

    #[test]
    fn user_is_uid_and_optional_gid() {
        let ids = |text| parse_user(text).map(|user| (user.uid, user.gid)).ok();
        assert_eq!(ids("7"), Some((7, 7)));
        assert_eq!(ids("7:8"), Some((7, 8)));
        assert_eq!(ids("root"), None);
        assert_eq!(ids("-1"), None);
    }

    #[test]
    fn volume_needs_an_absolute_destination() {
        assert!(parse_volume(&"/tmp:tmp".into()).is_err());
        assert!(parse_volume(&"/tmp".into()).is_err());
        assert!(parse_volume(&"/tmp:/x:ro".into()).is_ok_and(|mount| mount.readonly));
    }
}
