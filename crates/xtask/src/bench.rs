//! `cargo xtask bench …`: `palisade bench`, built as users run it.

use crate::repo;

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let cargo = repo::cargo();
    // The benchmark compares the `palisade` beside itself.
    repo::run(&cargo, &["build", "--release", "-p", "runtime-cli", "-p", "palisade-benches"])?;
    let mut run = vec!["run", "--release", "--quiet", "-p", "runtime-cli", "--", "bench"];
    run.extend(args.iter().map(String::as_str));
    repo::run(&cargo, &run)
}
