//! `cargo xtask test`: builds the release binaries, sees to what the tests need, and runs all of them.

use std::process::Command;

use anyhow::{Context, bail};

use crate::repo;

/// A Debian package, and a program that shows that it is there.
struct Need {
    package: &'static str,
    program: &'static str,
}

/// What the integration tests use on the host.
const NEEDS: &[Need] = &[
    Need { package: "mmdebstrap", program: "mmdebstrap" },
    Need { package: "busybox-static", program: "busybox" },
    Need { package: "gcc", program: "gcc" },
    Need { package: "make", program: "make" },
    Need { package: "git", program: "git" },
    Need { package: "procps", program: "ps" },
    Need { package: "runc", program: "runc" },
    Need { package: "crun", program: "crun" },
    Need { package: "containerd", program: "containerd" },
    Need { package: "podman", program: "podman" },
    Need { package: "docker.io", program: "dockerd" },
    Need { package: "strace", program: "strace" },
    Need { package: "iproute2", program: "ip" },
    Need { package: "prometheus", program: "prometheus" },
    // Looks at the report of `palisade bench`: 64 MB, a quarter of a minute.
    Need { package: "chromium-headless-shell", program: "chromium-headless-shell" },
];

/// Packages without a program in PATH, and files that show that they are there.
const FILES: &[(&str, &str)] = &[
    ("libc6-dev", "/usr/include/stdio.h"),
    ("containernetworking-plugins", "/usr/lib/cni/bridge"),
    ("python3-jsonschema", "/usr/lib/python3/dist-packages/jsonschema/__init__.py"),
];

pub(crate) fn run(args: &[String]) -> anyhow::Result<()> {
    install(&missing())?;
    let cargo = repo::cargo();
    repo::run(
        &cargo,
        &[
            "build",
            "--release",
            "-p",
            "runtime-cli",
            "-p",
            "runtime-watch",
            "-p",
            "runtime-shim",
            "-p",
            "runtime-fuzz",
        ],
    )?;
    // One run tells everything that fails.
    let units =
        repo::run(&cargo, &["test", "--quiet", "--no-fail-fast", "--workspace", "--exclude", "integration"]);
    let mut integration = vec!["test", "--profile", "integration", "--no-fail-fast", "-p", "integration"];
    if !args.is_empty() {
        integration.push("--");
        integration.extend(args.iter().map(String::as_str));
    }
    let palisade = repo::target_dir().join("release/palisade");
    let palisade = palisade.to_str().context("the path of the target folder is not UTF-8")?;
    let refused = repo::target_dir().join("refused-host-calls");
    let _ = std::fs::remove_file(&refused);
    let report = refused.to_str().context("the path of the target folder is not UTF-8")?;
    let tested =
        repo::run_with(&cargo, &integration, &[("PALISADE", palisade), ("PALISADE_REFUSED", report)]);
    let lines = std::fs::read_to_string(&refused).unwrap_or_default();
    if !lines.is_empty() {
        bail!("a supervisor made a host call that it has no rule for:\n{lines}");
    }
    tested.and(units)
}

fn missing() -> Vec<&'static str> {
    let mut out: Vec<_> = NEEDS.iter().filter(|n| !repo::has_program(n.program)).map(|n| n.package).collect();
    out.extend(
        FILES.iter().filter(|(_, file)| !std::path::Path::new(file).exists()).map(|(package, _)| package),
    );
    out
}

/// Installs as root, names the packages otherwise.
fn install(packages: &[&str]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let command = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !is_root()? {
        bail!("the tests need packages that are not installed; run as root: {command}");
    }
    repo::run_with("apt-get", &["update", "-qq"], &[])?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(packages);
    repo::run_with("apt-get", &args, &[("DEBIAN_FRONTEND", "noninteractive")])
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("cannot run id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}
