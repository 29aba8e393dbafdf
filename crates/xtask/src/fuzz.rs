//! `cargo xtask fuzz`: the fuzzer with the compiler's counters of edges, in a target folder of its own.

use anyhow::Context;

use crate::repo;

/// The pass that counts edges; on the stable toolchain it is reached by its name.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=3 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Ccodegen-units=16";
/// Given by name, so that build scripts and macros are compiled without the flags.
const TARGET: &str = "x86_64-unknown-linux-gnu";

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    let folder = repo::target_dir().join("fuzz");
    let folder_text = folder.to_str().context("the path of the target folder is not UTF-8")?;
    let build = ["build", "--release", "-p", "runtime-fuzz", "--target", TARGET, "--target-dir", folder_text];
    repo::run_with(&repo::cargo(), &build, &[("RUSTFLAGS", FLAGS), ("CARGO_PROFILE_RELEASE_LTO", "off")])?;
    let program = folder.join(TARGET).join("release/palisade-fuzz");
    let program = program.to_str().context("the path of the target folder is not UTF-8")?;
    let mut all = vec!["run", "--engine", "process"];
    all.extend(args.iter().map(String::as_str));
    repo::run(program, &all)
}
