//! Subcommands that are programs of their own beside this one: `palisade bench` is `palisade-bench`. A sandbox's own
//! binary stays small that way; it is what every container's supervisor maps.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, anyhow};
use clap::Args as ClapArgs;

/// What is passed on as it stands.
#[derive(Debug, ClapArgs)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct SiblingArgs {
    /// See --help of the program
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

/// Becomes `palisade-NAME`; returns only if it cannot.
pub(crate) fn become_sibling(name: &str, args: &SiblingArgs) -> Result<u8> {
    let own = std::env::current_exe().context("cannot tell where this program is")?;
    let program = format!("palisade-{name}");
    let dir = own.parent().unwrap_or(Path::new("/"));
    let path = dir.join(&program);
    let error = Command::new(&path).args(&args.args).exec();
    if error.kind() == ErrorKind::NotFound {
        return Err(anyhow!(
            "`palisade {name}` is a program of its own, {program}, which is not in {}: build it with \
             `cargo build --release --workspace --bins` in Palisade's sources and put it there",
            dir.display()
        ));
    }
    Err(error).with_context(|| format!("cannot start {}", path.display()))
}
