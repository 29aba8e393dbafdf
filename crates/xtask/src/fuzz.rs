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

/// Builds everything with `--cfg planted`, with debug assertions, which check the order of locks, and runs the test that looks
/// for the faults.
pub(crate) fn planted() -> anyhow::Result<()> {
    let folder = repo::target_dir().join("planted");
    let folder_text = folder.to_str().context("the path of the target folder is not UTF-8")?;
    let flags = [("RUSTFLAGS", "--cfg planted")];
    let cargo = repo::cargo();
    let build = ["build", "-p", "runtime-cli", "-p", "runtime-fuzz", "--target-dir", folder_text];
    repo::run_with(&cargo, &build, &flags)?;
    let palisade = folder.join("debug/palisade");
    let palisade = palisade.to_str().context("the path of the target folder is not UTF-8")?;
    let test = [
        "test",
        "-p",
        "runtime-fuzz",
        "--test",
        "planted",
        "--target-dir",
        folder_text,
        "--",
        "--nocapture",
        "--test-threads",
        "1",
    ];
    repo::run_with(&cargo, &test, &[flags[0], ("PALISADE", palisade)])
}
