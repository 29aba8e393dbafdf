//! `palisade fuzz`: programs that once found something find nothing any more, and a short campaign of each engine with a fixed
//! seed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration::paths;

fn fuzzer() -> Command {
    let program = paths::palisade().with_file_name("palisade-fuzz");
    assert!(program.is_file(), "{} is not there: cargo build --release -p runtime-fuzz", program.display());
    Command::new(program)
}

fn told(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Programs that showed differences from Linux, or faults, which were mended.
fn recorded() -> Vec<PathBuf> {
    let dir = paths::package_dir().join("programs");
    let mut all: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("integration/programs")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "prog"))
        .collect();
    all.sort();
    assert!(!all.is_empty(), "no programs in {}", dir.display());
    all
}

#[test]
fn recorded_programs_behave_as_on_the_host() {
    for program in recorded() {
        let output = fuzzer().arg("repro").arg(&program).output().expect("palisade-fuzz");
        assert!(output.status.success(), "{}: {}", program.display(), told(&output));
    }
}

fn campaign(engine: &str, programs: &str, dir: &Path) -> Output {
    fuzzer()
        .args(["run", "--engine", engine, "--seed", "1", "--programs", programs, "--time", "60s"])
        .arg("--corpus")
        .arg(dir.join("corpus"))
        .arg("--out")
        .arg(dir.join("out"))
        .output()
        .expect("palisade-fuzz")
}

#[test]
fn fixed_seeds_find_nothing_in_the_kernel_crates() {
    let dir = tempfile::tempdir().expect("directory");
    let output = campaign("process", "20000", dir.path());
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn fixed_seeds_find_nothing_in_a_sandbox() {
    let dir = tempfile::tempdir().expect("directory");
    let output = campaign("sandbox", "500", dir.path());
    assert!(output.status.success(), "{}", told(&output));
}

#[test]
fn bad_programs_are_refused_with_their_place() {
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("bad.prog");
    std::fs::write(&file, "close(1)\nopn(1)\n").expect("write");
    let output = fuzzer().args(["repro", "--engine", "process"]).arg(&file).output().expect("palisade-fuzz");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{}", told(&output));
    assert!(error.contains("line 2, column 1: there is no system call opn"), "{error}");
}
