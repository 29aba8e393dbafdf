//! `cargo xtask check`: everything that needs no guest. CI runs the same.

use crate::{generate, layers, ratchet, repo};

pub(crate) fn run() -> anyhow::Result<()> {
    let cargo = repo::cargo();
    repo::run(&cargo, &["fmt", "--all", "--check"])?;
    generate::run(true)?;
    layers::run()?;
    ratchet::run(false)?;
    repo::run(&cargo, &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])?;
    if repo::has_program("cargo-deny") || home_has_cargo_deny() {
        repo::run(&cargo, &["deny", "check", "bans", "licenses", "sources"])?;
    } else {
        eprintln!(
            "check: cargo-deny is not installed, so deny.toml was not applied (cargo install cargo-deny)"
        );
    }
    Ok(())
}

fn home_has_cargo_deny() -> bool {
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    home.is_some_and(|home| home.join("bin/cargo-deny").is_file())
}
