//! `containerd-shim-palisade-v1`: stands between containerd and the supervisor of a pod.
//!
//! containerd runs this program three ways: `start` prints the address of the shim that serves a container, starting
//! it unless the container's pod has one; without an action it is that shim, with its socket as standard input;
//! `delete` removes what a container leaves when its shim is dead.
//!
//! Everything about a container lies in its bundle: its record in `palisade/<id>`, and in the bundle of the pod's
//! first container the supervisor's directory. What containerd removes with the bundle is nobody's then.
//!
//! Neighbours: `runtime-control` speaks to the supervisor, `runtime-oci` reads bundles and makes cgroups.
#![forbid(unsafe_code)]

mod args;
mod container;
mod create;
mod delete;
mod ending;
mod error;
mod events;
mod exec;
mod log;
mod logger;
mod memory;
mod metrics;
mod options;
mod pod;
mod process;
mod relay;
mod rootfs;
mod serve;
mod start;
mod stdio;
mod task;

use std::io::Write;
use std::process::ExitCode;

use args::Args;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};

fn main() -> ExitCode {
    let done = Args::parse(std::env::args_os().skip(1)).and_then(|args| match args.action.as_str() {
        _ if args.version => version(),
        _ if args.info => info(),
        "start" => start::start(&args),
        "delete" => delete::delete(&args),
        "" => serve::serve(&args),
        other => anyhow::bail!("unknown action {other:?}"),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // containerd shows it to the user.
            let _ = writeln!(std::io::stderr(), "containerd-shim-palisade-v1: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What containerd 2 asks before it uses a runtime.
fn info() -> anyhow::Result<()> {
    let mut version = RuntimeVersion::new();
    env!("CARGO_PKG_VERSION").clone_into(&mut version.version);
    let mut info = RuntimeInfo::new();
    "io.containerd.palisade.v1".clone_into(&mut info.name);
    info.version = Some(version).into();
    Ok(std::io::stdout().write_all(&info.write_to_bytes()?)?)
}

fn version() -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "containerd-shim-palisade-v1 {}", env!("CARGO_PKG_VERSION"))?)
}
