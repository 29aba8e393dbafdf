//! Compiles the loader program with the compiler that compiles this crate. It is a binary of another shape
//! (no std, no libc, one segment), which a Cargo target of this package cannot be without a nightly.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const FLAGS: &[&str] = &[
    "--edition=2024",
    "--crate-name=palisade_loader",
    "--crate-type=bin",
    "--target=x86_64-unknown-linux-gnu",
    "-Cpanic=abort",
    "-Copt-level=s",
    "-Ccodegen-units=1",
    "-Cstrip=symbols",
    "-Coverflow-checks=off",
    "-Cdebug-assertions=off",
    // Static PIE: the host kernel then keeps the low addresses free for ET_EXEC guests, and puts brk where
    // it does for a program without PT_INTERP.
    "-Crelocation-model=pie",
    "-Ctarget-feature=+crt-static",
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static-pie",
    "-Clink-arg=-Wl,--build-id=none",
    "-Clink-arg=-Wl,-z,norelro",
    "-Clink-arg=-Wl,--no-dynamic-linker",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/program");
    println!("cargo::rerun-if-changed=src/protocol.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let variable = |name: &str| env::var_os(name).unwrap_or_default();
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let output = PathBuf::from(variable("OUT_DIR")).join("loader");
    let script = root.join("src/program/link.ld");

    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(FLAGS);
    rustc.arg(format!("-Clink-arg=-Wl,-T,{}", script.display()));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    rustc.arg("-o").arg(output).arg(root.join("src/program/main.rs"));
    match rustc.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            println!("cargo::error=the loader program does not compile ({status})");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("cargo::error=cannot run rustc for the loader program: {error}");
            ExitCode::FAILURE
        }
    }
}
