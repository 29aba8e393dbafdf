//! `cargo xtask layers`: the law of ARCHITECTURE.md.
//!
//! Dependencies go from higher rank to lower, equal ranks do not know each other, and every crate but the
//! named islands forbids unsafe code. A crate that has no rank here fails: a new crate is a decision.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use crate::repo;

/// Ranks of the crates. Tools and tests stand above everything.
const RANKS: &[(&str, u32)] = &[
    ("abi-linux", 0),
    ("syscall-table", 5),
    ("host-sys", 10),
    ("host-files", 20),
    ("host-net", 20),
    ("host-seccomp", 20),
    ("platform-api", 30),
    // Below platform-notify, which starts it in guests.
    ("guest-loader", 32),
    ("platform-notify", 35),
    ("kernel-base", 40),
    ("kernel-vfs", 50),
    ("kernel-net", 55),
    ("kernel-ipc", 58),
    ("kernel-task", 60),
    ("kernel-fs", 65),
    ("kernel-syscalls", 70),
    ("runtime-oci", 80),
    ("runtime-control", 82),
    ("runtime-supervisor", 85),
    ("runtime-watch", 86),
    // It starts the `palisade` beside it, and the kernel crates in its own process.
    ("runtime-fuzz", 88),
    ("runtime-cli", 90),
    ("runtime-shim", 90),
    ("palisade-benches", 1010),
    ("integration", 1000),
    ("xtask", 1000),
];

/// Crates that hold unsafe code: host calls that no safe wrapper covers, and code inside guests.
const UNSAFE_ISLANDS: &[&str] =
    &["host-sys", "platform-notify", "guest-loader", "runtime-fuzz", "palisade-benches", "integration"];

/// Crates outside the kernel's host interface that a kernel crate must not name.
const HOST_CRATES: &[&str] = &["libc", "nix", "rustix", "host-sys", "caps", "seccompiler"];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

pub(crate) fn run() -> anyhow::Result<()> {
    let packages = workspace()?;
    let mut complaints = Vec::new();
    for package in &packages {
        complaints.extend(rank_complaints(package));
        complaints.extend(kernel_complaints(package));
        complaints.extend(unsafe_complaint(package)?);
    }
    for complaint in &complaints {
        eprintln!("layers: {complaint}");
    }
    ensure!(complaints.is_empty(), "{} violations of the layer law", complaints.len());
    eprintln!("layers: {} crates keep the law", packages.len());
    Ok(())
}

fn workspace() -> anyhow::Result<Vec<Package>> {
    let output = Command::new(repo::cargo())
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(repo::root())
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice::<Metadata>(&output.stdout)?.packages)
}

fn rank_complaints(package: &Package) -> Vec<String> {
    let ranks: BTreeMap<&str, u32> = RANKS.iter().copied().collect();
    let Some(&own) = ranks.get(package.name.as_str()) else {
        return vec![format!("{} has no rank; give it one in crates/xtask/src/layers.rs", package.name)];
    };
    let mut out = Vec::new();
    for dependency in package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev")) {
        if let Some(&theirs) = ranks.get(dependency.name.as_str()).filter(|&&theirs| theirs >= own) {
            out.push(format!("{} (rank {own}) depends on {} (rank {theirs})", package.name, dependency.name));
        }
    }
    out
}

fn is_kernel(name: &str) -> bool {
    name.starts_with("kernel-") || name.starts_with("abi-")
}

/// The kernel reaches the guest through platform-api and the host through host-files and host-net.
fn kernel_complaints(package: &Package) -> Vec<String> {
    if !is_kernel(&package.name) {
        return Vec::new();
    }
    let shipped = package.dependencies.iter().filter(|d| d.kind.as_deref() != Some("dev"));
    let host = shipped.filter(|d| HOST_CRATES.contains(&d.name.as_str()));
    host.map(|d| format!("{} makes host calls through {}", package.name, d.name)).collect()
}

fn unsafe_complaint(package: &Package) -> anyhow::Result<Option<String>> {
    if UNSAFE_ISLANDS.contains(&package.name.as_str()) {
        return Ok(None);
    }
    let folder = package.manifest_path.parent().context("a manifest without a folder")?.join("src");
    for head in ["lib.rs", "main.rs"] {
        let path = folder.join(head);
        if path.is_file() && !std::fs::read_to_string(&path)?.contains("#![forbid(unsafe_code)]") {
            return Ok(Some(format!("{} must start with #![forbid(unsafe_code)]", path.display())));
        }
    }
    Ok(None)
}
