//! The root filesystems that the suites run on: made once, kept in a cache, never changed afterwards.
//!
//! A root is made beside its final name and renamed, so what was interrupted leaves no half root. The name has a hash of
//! what is in it.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::failure::Failure;
use crate::job;
use crate::runtimes::{make_mount_points, on_path};
use crate::suite::RootKind;

/// Where the probe is inside.
pub(crate) const PROBE_DIR: &str = "/probe";
const PROBE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/probe"));

const DEBIAN_SUITE: &str = "bookworm";
const DEBIAN_PACKAGES: &[&str] = &[
    "fio",
    "gcc",
    "git",
    "iperf3",
    "libc6-dev",
    "make",
    "nginx-light",
    "nodejs",
    "openjdk-17-jdk-headless",
    "python3",
    "redis-server",
    "redis-tools",
    "wrk",
];
const WORKLOADS: &[(&str, &str)] = &[
    ("debian_hook.sh", include_str!("../workloads/debian_hook.sh")),
    ("prepare.sh", include_str!("../workloads/prepare.sh")),
    ("net.py", include_str!("../workloads/net.py")),
    ("small_files.py", include_str!("../workloads/small_files.py")),
    ("sqlite.py", include_str!("../workloads/sqlite.py")),
];
/// A mirror that is slower than this is none.
const DEBIAN_LIMIT: Duration = Duration::from_secs(1800);

/// The cache, and the probe in it.
#[derive(Debug)]
pub(crate) struct Roots {
    cache: PathBuf,
}

impl Roots {
    pub(crate) fn new(cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache).with_context(|| format!("no cache for roots: {}", cache.display()))?;
        // runc refuses a root whose path has a symbolic link in it.
        let cache = cache.canonicalize()?;
        let roots = Self { cache };
        roots.cached("probe", &PROBE, |dir| {
            let path = dir.join("probe");
            fs::write(&path, PROBE)?;
            Ok(fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?)
        })?;
        Ok(roots)
    }

    /// The directory with the probe.
    pub(crate) fn probe(&self) -> PathBuf {
        self.path("probe", &PROBE)
    }

    /// The root of a kind, made now if it is not there.
    pub(crate) fn get(&self, kind: RootKind, say: &dyn Fn(&str)) -> Result<PathBuf> {
        match kind {
            RootKind::Busybox => self.busybox(),
            RootKind::Debian => self.debian(say),
        }
    }

    fn busybox(&self) -> Result<PathBuf> {
        let source = on_path("busybox").map_err(|_| missing("busybox", "busybox-static"))?;
        let program = fs::read(&source).with_context(|| source.display().to_string())?;
        ensure!(is_static(&program), "{} is not static: apt-get install busybox-static", source.display());
        self.cached("busybox", &program, |dir| {
            make_mount_points(dir)?;
            for name in ["bin", "etc"] {
                fs::create_dir(dir.join(name))?;
            }
            fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777))?;
            fs::write(dir.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
            fs::write(dir.join("etc/group"), "root:x:0:\n")?;
            fs::copy(&source, dir.join("bin/busybox"))?;
            let applets = Command::new(&source).arg("--list").output()?;
            for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|name| *name != "busybox") {
                symlink("busybox", dir.join("bin").join(applet))?;
            }
            Ok(())
        })
    }

    fn debian(&self, say: &dyn Fn(&str)) -> Result<PathBuf> {
        self.cached("debian", &(DEBIAN_SUITE, DEBIAN_PACKAGES, WORKLOADS), |dir| {
            on_path("mmdebstrap").map_err(|_| missing("mmdebstrap", "mmdebstrap"))?;
            say("making a Debian root by mmdebstrap: some minutes, once (1.2 GB)");
            let workloads = tempfile::tempdir()?;
            for (name, text) in WORKLOADS {
                fs::write(workloads.path().join(name), text)?;
            }
            let hook = format!("sh {}/debian_hook.sh", workloads.path().display());
            let mut command = Command::new("mmdebstrap");
            command.args(["--quiet", "--variant=apt", &format!("--customize-hook={hook} \"$1\"")]);
            command.arg(format!("--include={}", DEBIAN_PACKAGES.join(","))).arg(DEBIAN_SUITE).arg(dir);
            command.env("PALISADE_BENCH_WORKLOADS", workloads.path());
            match job::run(&mut command, DEBIAN_LIMIT).and_then(job::Ended::success) {
                Ok(_) => Ok(make_mount_points(dir)?),
                Err(Failure::Interrupted) => bail!("interrupted while the Debian root was made"),
                Err(failure) => bail!("mmdebstrap makes no Debian root (it needs a mirror): {failure}"),
            }
        })
    }

    fn path(&self, name: &str, content: &impl Hash) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        self.cache.join(format!("{name}-{:016x}", hasher.finish()))
    }

    /// The directory `name-<hash of content>`, which `build` fills when it does not exist.
    fn cached(
        &self,
        name: &str,
        content: &impl Hash,
        build: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let ready = self.path(name, content);
        if ready.exists() {
            return Ok(ready);
        }
        // One benchmark runs at a time, so nobody else builds.
        let building = self.cache.join(format!("{name}.building"));
        if building.exists() {
            fs::remove_dir_all(&building)?;
        }
        fs::create_dir(&building)?;
        fs::set_permissions(&building, fs::Permissions::from_mode(0o755))?;
        if let Err(error) = build(&building) {
            // The error of the build says more than that of the removal.
            let _ = fs::remove_dir_all(&building);
            return Err(error);
        }
        fs::rename(&building, &ready)?;
        Ok(ready)
    }
}

fn missing(program: &str, package: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "{program} is missing, which the root of this suite is made with: apt-get install {package}"
    )
}

/// An ELF file of 64 bits without PT_INTERP.
fn is_static(program: &[u8]) -> bool {
    const PT_INTERP: u32 = 3;
    let word = |at: usize, len: usize| {
        let bytes = program.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let interpreted = || {
        let (offset, size, count) = (word(32, 8)?, word(54, 2)?, word(56, 2)?);
        let mut headers = (0..count).filter_map(|n| word(usize::try_from(offset + n * size).ok()?, 4));
        Some(headers.any(|kind| kind == u64::from(PT_INTERP)))
    };
    program.starts_with(b"\x7fELF\x02") && interpreted() == Some(false)
}
