//! `cargo xtask bench …`: the benchmark binary, built as users run it.

use crate::repo;

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let cargo = repo::cargo();
    // The benchmark starts two binaries beside itself: `palisade`, and the probe that runs in each runtime.
    repo::run(&cargo, &["build", "--release", "-p", "runtime-cli", "-p", "palisade-benches"])?;
    let mut run =
        vec!["run", "--release", "--quiet", "-p", "palisade-benches", "--bin", "palisade-bench", "--"];
    run.extend(args.iter().map(String::as_str));
    repo::run(&cargo, &run)
}
