//! `palisade spec`: a configuration to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime_oci::{Rootless, template};
use rustix::process::{getegid, geteuid};

use crate::args::{self, Global};

#[derive(Debug, Args)]
pub(crate) struct SpecArgs {
    /// Directory for config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
}

/// Writes config.json, if there is none; with --rootless, for a plain user.
pub(crate) fn spec(args: &SpecArgs, global: &Global) -> Result<u8> {
    let path = args.bundle.join("config.json");
    let rootless = match global.rootless {
        args::Rootless::True => Rootless::For { uid: geteuid().as_raw(), gid: getegid().as_raw() },
        args::Rootless::False | args::Rootless::Auto => Rootless::No,
    };
    let text = serde_json::to_string_pretty(&template(rootless))?;
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("file {} exists; remove it first", path.display())
        }
        opened => opened.with_context(|| format!("{}: cannot be written", path.display()))?,
    };
    file.write_all(format!("{text}\n").as_bytes())
        .with_context(|| format!("{}: cannot be written", path.display()))?;
    Ok(0)
}
