//! No runtime: what the same program costs in a chroot with namespaces of its own, which this program makes by becoming it.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::bundle::{Bundle, ENVIRONMENT, RootMode};
use crate::failure::Failure;
use crate::roots::PROBE_DIR;

/// `palisade-bench native …`, which nobody types.
#[derive(Debug, clap::Args)]
pub(crate) struct NativeArgs {
    root: PathBuf,
    probe: PathBuf,
    #[arg(long)]
    read_only: bool,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    argv: Vec<OsString>,
}

/// The command that runs a bundle's program.
pub(super) fn run(bundle: &Bundle) -> Result<Command, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("native");
    if bundle.mode == RootMode::ReadOnly {
        command.arg("--read-only");
    }
    command.arg(&bundle.root).arg(&bundle.probe).arg("--").args(&bundle.argv);
    Ok(command)
}

/// Starts it in the background.
pub(super) fn spawn(bundle: &Bundle) -> Result<(), Failure> {
    let mut command = run(bundle)?;
    // Whoever removes it kills this program's descendants, and reaps them.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn()?;
    Ok(())
}

/// Goes into the root and becomes the program.
pub(crate) fn become_native(args: &NativeArgs) -> Result<std::convert::Infallible> {
    enter(args).context("native")?;
    let (program, arguments) = args.argv.split_first().context("there is no program")?;
    let variables = ENVIRONMENT.iter().filter_map(|variable| variable.split_once('='));
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables);
    Err(command.exec()).with_context(|| format!("cannot start {}", Path::new(program).display()))
}

fn enter(args: &NativeArgs) -> Result<()> {
    let none = None::<&str>;
    let attach = |source: &str, kind: &str, name: &str, flags: MsFlags| {
        mount(Some(source), &args.root.join(name), Some(kind), flags, none)
            .with_context(|| format!("cannot mount /{name}"))
    };
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC)
        .context("unshare")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("cannot make mounts private")?;
    let probe = args.root.join(PROBE_DIR.trim_start_matches('/'));
    mount(Some(&args.probe), &probe, none, MsFlags::MS_BIND, none).context("cannot mount the probe")?;
    mount(Some("/dev"), &args.root.join("dev"), none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
        .context("cannot mount /dev")?;
    attach("proc", "proc", "proc", MsFlags::empty())?;
    attach("tmpfs", "tmpfs", "tmp", MsFlags::MS_NOSUID | MsFlags::MS_NODEV)?;
    if args.read_only {
        mount(Some(&args.root), &args.root, none, MsFlags::MS_BIND | MsFlags::MS_REC, none)
            .context("cannot bind the root")?;
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, &args.root, none, flags, none).context("cannot make the root read-only")?;
    }
    // The program is the host's own otherwise: it sees its processes and its network.
    std::os::unix::fs::chroot(&args.root).context("chroot")?;
    std::env::set_current_dir("/").context("chdir")
}

/// The directories that mounts go to.
pub(crate) fn make_mount_points(root: &Path) -> std::io::Result<()> {
    ["dev", "proc", "sys", "tmp", "root", "probe"]
        .into_iter()
        .try_for_each(|name| fs::create_dir_all(root.join(name)))
}
