//! Root filesystems for the tests: built once, cached under `target/roots`, never modified afterwards.
//!
//! A root is built beside its final name and renamed, so a killed build leaves no half root; a file lock
//! makes test processes that run at the same time build it once. The name carries a hash of what is in it.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::paths;

const DEBIAN_SUITE: &str = "bookworm";

/// What the workloads need beside Debian's essential packages.
const DEBIAN_PACKAGES: &[&str] = &[
    "bash",
    "coreutils",
    "gcc",
    "git",
    "libc6-dev",
    "libpython3-stdlib",
    "make",
    "perl",
    "procps",
    "python3",
    "tar",
    "xz-utils",
];

/// What an everyday Debian has: tools of the system, daemons, languages, and their test suites.
const EVERYDAY_PACKAGES: &[&str] = &[
    // Files, processes and the system.
    "acl",
    "attr",
    "bubblewrap",
    "e2fsprogs",
    "fakeroot",
    "file",
    "htop",
    "less",
    "libcap2-bin",
    "locales",
    "lsof",
    "man-db",
    "manpages",
    "mount",
    "procps",
    "psmisc",
    "strace",
    "stress-ng",
    "systemd",
    "util-linux",
    "xz-utils",
    // Users, jobs, sessions, keys, databases.
    "at",
    "cron",
    "gnupg",
    "login",
    "passwd",
    "screen",
    "sqlite3",
    "sudo",
    "tmux",
    // Languages.
    "cargo",
    "g++",
    "gcc",
    "git",
    "golang-go",
    "libc6-dev",
    "libpython3.11-testsuite",
    "make",
    "nodejs",
    "openjdk-17-jdk-headless",
    "perl",
    "php-cli",
    "python3",
    "python3-venv",
    "ruby",
    "rustc",
    // Servers, and what speaks to them.
    "apache2-utils",
    "bind9-dnsutils",
    "curl",
    "dnsmasq-base",
    "iperf3",
    "iproute2",
    "iputils-ping",
    "mariadb-server",
    "memcached",
    "net-tools",
    "netbase",
    "netcat-openbsd",
    "nginx-light",
    "openssh-client",
    "openssh-server",
    "postgresql-15",
    "redis-server",
    "rsync",
    "socat",
    "wget",
    "wrk",
];

/// What is done to the everyday root, as the root directory `$1`, once its packages are in it: it gets
/// /etc/hosts, and a package repository of its own, as its only one, with the package `hello`, which is not installed.
const EVERYDAY_HOOK: &str = include_str!("everyday_hook.sh");

/// A Debian root with the programs of the workloads. Needs root, mmdebstrap and a Debian mirror once.
pub fn debian() -> PathBuf {
    cached("debian", &(DEBIAN_SUITE, DEBIAN_PACKAGES), |dir| {
        debootstrap(dir, DEBIAN_PACKAGES, &["--variant=minbase"]);
    })
}

/// A Debian root as people keep one, with manuals, daemons, servers, languages and their test suites: 3 GB.
pub fn everyday() -> PathBuf {
    cached("everyday", &(DEBIAN_SUITE, EVERYDAY_PACKAGES, EVERYDAY_HOOK), |dir| {
        debootstrap(dir, EVERYDAY_PACKAGES, &["--variant=apt", &format!("--customize-hook={EVERYDAY_HOOK}")]);
    })
}

/// Fills `dir` with Debian's essential packages and `packages`.
fn debootstrap(dir: &Path, packages: &[&str], options: &[&str]) {
    // In a mount namespace of its own: what an interrupted build leaves mounted goes with it, rather than staying below a
    // directory that somebody deletes.
    let status = Command::new("unshare")
        .args(["--mount", "mmdebstrap", "--quiet"])
        .args(options)
        .arg(format!("--include={}", packages.join(",")))
        .arg(DEBIAN_SUITE)
        .arg(dir)
        .stdin(Stdio::null())
        .status()
        .expect("mmdebstrap starts (apt install mmdebstrap)");
    assert!(status.success(), "mmdebstrap {DEBIAN_SUITE}: {status}");
}

/// A root that holds nothing but a static busybox, its applets as links, and empty directories.
pub fn busybox() -> PathBuf {
    let busybox = ["/usr/bin/busybox", "/bin/busybox"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.is_file())
        .expect("busybox is installed (apt install busybox-static)");
    let program = fs::read(busybox).expect("busybox is readable");
    cached("busybox", &program, |dir| {
        for name in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            fs::create_dir_all(dir.join(name)).expect("the new root is writable");
        }
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("the new root is ours");
        fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("tmp is ours");
        fs::write(dir.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("etc is ours");
        fs::write(dir.join("etc/group"), "root:x:0:\n").expect("etc is ours");
        fs::copy(busybox, dir.join("bin/busybox")).expect("bin is ours");
        let applets = Command::new(busybox).arg("--list").output().expect("busybox runs");
        for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|name| *name != "busybox") {
            symlink("busybox", dir.join("bin").join(applet)).expect("bin is ours");
        }
    })
}

/// The directory `name-<hash of content>`, which `build` fills when it does not exist.
fn cached(name: &str, content: &impl Hash, build: impl FnOnce(&Path)) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let roots = paths::roots_dir();
    fs::create_dir_all(&roots).expect("target is writable");
    // runc refuses a root whose path has a symbolic link in it.
    let roots = roots.canonicalize().expect("it was just made");
    let lock = File::create(roots.join(format!("{name}.lock"))).expect("target is writable");
    lock.lock().expect("the file system has locks");
    let ready = roots.join(format!("{name}-{:016x}", hasher.finish()));
    if !ready.exists() {
        let building = roots.join(format!("{name}.building"));
        if building.exists() {
            fs::remove_dir_all(&building).expect("a build that was killed can be removed");
        }
        fs::create_dir(&building).expect("target is writable");
        build(&building);
        fs::rename(&building, &ready).expect("both are in one directory");
    }
    ready
}
