//! `cargo xtask bench …`: the benchmark binary, built as users run it.

use crate::repo;

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let cargo = repo::cargo();
    repo::run(&cargo, &["build", "--release", "-p", "runtime-cli"])?;
    let mut run = vec!["run", "--release", "--quiet", "-p", "palisade-benches", "--"];
    run.extend(args.iter().map(String::as_str));
    repo::run(&cargo, &run)
}
