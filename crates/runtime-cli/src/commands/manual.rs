//! `palisade completions` and `palisade man`: made of the same definition that parses the command line, so they are never
//! out of date.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::commands::print;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to complete
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages, such as /usr/local/share/man/man1
    dir: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut crate::args::Args::command(), "palisade", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}

pub(crate) fn man(args: &ManArgs) -> Result<u8> {
    if !args.dir.is_dir() {
        bail!("{} is not a directory; make it first", args.dir.display());
    }
    let written = clap_mangen::generate_to(crate::args::Args::command(), &args.dir);
    written.with_context(|| format!("cannot write pages into {}", args.dir.display()))?;
    Ok(0)
}
