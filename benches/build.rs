//! Compiles the probe with the compiler that compiles this crate: it is static, so that it runs on any root, which a Cargo
//! target cannot be while others of its package are not. It is put into the tool, which needs no other file then.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const FLAGS: &[&str] = &[
    "--edition=2024",
    "--crate-name=probe",
    "--crate-type=bin",
    "--target=x86_64-unknown-linux-gnu",
    "-Cpanic=abort",
    "-Copt-level=3",
    "-Cstrip=symbols",
    "-Ctarget-feature=+crt-static",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=probe");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let variable = |name: &str| env::var_os(name).unwrap_or_default();
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(FLAGS);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    rustc.arg("-o").arg(PathBuf::from(variable("OUT_DIR")).join("probe")).arg(root.join("probe/main.rs"));
    match rustc.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!("cargo::error=the probe does not compile ({status})");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cargo::error=cannot run rustc for the probe: {error}");
            ExitCode::FAILURE
        }
    }
}
