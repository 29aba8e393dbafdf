//! `executor`: the process that runs programs; started by the engines.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use runtime_fuzz::guest::{Bare, bare_container, serve};

#[derive(Debug, Args)]
pub(crate) struct ExecutorArgs {
    place: Place,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Place {
    Host,
    Sandbox,
}

pub(crate) fn run(args: &ExecutorArgs) -> anyhow::Result<ExitCode> {
    bare_container(match args.place {
        Place::Host => Bare::Host,
        Place::Sandbox => Bare::Sandbox,
    })?;
    serve(Path::new("/w"))?;
    Ok(ExitCode::SUCCESS)
}
