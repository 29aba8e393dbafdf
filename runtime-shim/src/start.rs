//! `start`: finds or makes the shim that is to serve a container, and prints its address.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::args::Args;

/// Where shims have their sockets; containerd makes it, and nobody but root gets in.
const SOCKETS: &str = "/run/containerd/s";
/// Tells containerd, when it starts again, where a container's shim listens.
const ADDRESS: &str = "address";
/// CRI's name of the pod that a container belongs to.
const SANDBOX_ID: &str = "io.kubernetes.cri.sandbox-id";

/// Finds or makes the shim of the container whose bundle is the working directory.
pub(crate) fn start(args: &Args) -> Result<()> {
    // Runtime options come with the container's creation again.
    let mut options = Vec::new();
    let _ = std::io::stdin().lock().take(1 << 20).read_to_end(&mut options);
    let bundle = std::env::current_dir().context("the bundle")?;
    let address = match pod_of(&bundle)? {
        Some(pod) if pod != args.id => existing(&bundle, &pod)?,
        _ => fresh(args)?,
    };
    write_address(&bundle, &address)?;
    print(&address)
}

fn print(address: &str) -> Result<()> {
    let mut stdout = std::io::stdout();
    stdout.write_all(address.as_bytes()).and_then(|()| stdout.flush()).context("cannot answer")
}

/// The pod that config.json names.
fn pod_of(bundle: &Path) -> Result<Option<String>> {
    let config: Value = runtime_oci::read(bundle)?;
    let pod = config.get("annotations").and_then(|annotations| annotations.get(SANDBOX_ID));
    match pod.and_then(Value::as_str) {
        Some(pod) if pod.contains('/') || pod.starts_with('.') => bail!("{SANDBOX_ID} is not an id: {pod:?}"),
        pod => Ok(pod.map(str::to_owned)),
    }
}

/// The address of the pod's shim. Without that the pod is dead, and its containers cannot be made.
fn existing(bundle: &Path, pod: &str) -> Result<String> {
    let file = bundle.with_file_name(pod).join(ADDRESS);
    let address = fs::read_to_string(&file).with_context(|| format!("pod {pod} has no shim"))?;
    UnixStream::connect(path_of(&address)).with_context(|| format!("the shim of pod {pod} is dead"))?;
    Ok(address)
}

fn fresh(args: &Args) -> Result<String> {
    let name = fs::read_to_string("/proc/sys/kernel/random/uuid").context("/proc is not mounted")?;
    fs::create_dir_all(SOCKETS).context(SOCKETS)?;
    let path = Path::new(SOCKETS).join(format!("palisade-{}", name.trim()));
    let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
    let mut command = Command::new(std::env::current_exe().context("/proc is not mounted")?);
    command.arg0("containerd-shim-palisade-v1").args(["-namespace", &args.namespace, "-id", &args.id]);
    command.args(["-address", &args.address]);
    if args.debug {
        command.arg("-debug");
    }
    command.stdin(Stdio::from(OwnedFd::from(listener))).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(_) => Ok(format!("unix://{}", path.display())),
        Err(error) => {
            let _ = fs::remove_file(&path);
            Err(error).context("cannot start the shim")
        }
    }
}

/// Replaces the file at once, as containerd may be reading it.
fn write_address(bundle: &Path, address: &str) -> Result<()> {
    let fresh = bundle.join(format!(".{ADDRESS}"));
    fs::write(&fresh, address)
        .and_then(|()| fs::rename(fresh, bundle.join(ADDRESS)))
        .context("cannot write the shim's address into the bundle")
}

/// The path in an address.
pub(crate) fn path_of(address: &str) -> PathBuf {
    PathBuf::from(address.trim().trim_start_matches("unix://"))
}

/// The socket of the shim that serves a bundle's container.
pub(crate) fn socket_of(bundle: &Path) -> Option<PathBuf> {
    fs::read_to_string(bundle.join(ADDRESS)).ok().map(|address| path_of(&address))
}
