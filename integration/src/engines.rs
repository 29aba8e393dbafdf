//! Podman and Docker of the test's own: storage, state and sockets in a folder that goes with it, and the busybox root
//! as their only image. Both find Palisade as `palisade install` tells them, and runc in PATH.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::process::{self, Finished};
use crate::runtime::{eventually, reap_orphans};
use crate::{paths, roots};

/// The image.
pub const IMAGE: &str = "busybox:test";
/// Nothing that a test asks takes this long.
const LIMIT: Duration = Duration::from_secs(120);

/// A container engine.
pub struct Engine {
    dir: TempDir,
    kind: Kind,
}

enum Kind {
    Podman,
    /// With its daemon.
    Docker(Child),
}

impl Engine {
    pub fn podman() -> Self {
        let dir = scratch();
        // Locks in a file: the default is one piece of shared memory for all of the host's podmans. The host may allow
        // fewer files and processes than podman asks for.
        let config = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n\
             [engine]\nlock_type = \"file\"\nevents_logger = \"file\"\ncgroup_manager = \"cgroupfs\"\n\
             [network]\nnetwork_backend = \"cni\"\n";
        fs::write(dir.path().join("containers.conf"), config).expect("it is ours");
        let engine = Self { dir, kind: Kind::Podman };
        engine.install("podman", "containers.conf");
        engine.import();
        engine
    }

    pub fn docker() -> Self {
        let dir = scratch();
        fs::write(dir.path().join("daemon.json"), "{\n  \"log-level\": \"warn\"\n}\n").expect("it is ours");
        let log = fs::File::create(dir.path().join("log")).expect("it is ours");
        let at = |name: &str| dir.path().join(name).display().to_string();
        install("docker", &dir.path().join("daemon.json"));
        let mut daemon = Command::new("dockerd");
        daemon.args(["--config-file", &at("daemon.json"), "-H", &format!("unix://{}", at("socket"))]);
        daemon.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid")]);
        // No network of the host is touched.
        daemon.args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver", "vfs"]);
        daemon.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log).process_group(0);
        let daemon = daemon.spawn().expect("dockerd starts (apt install docker.io)");
        let engine = Self { dir, kind: Kind::Docker(daemon) };
        eventually("dockerd answers", || engine.run(&["version"]).status == 0);
        engine.import();
        engine
    }

    fn install(&self, engine: &str, config: &str) {
        install(engine, &self.dir.path().join(config));
    }

    /// Takes the busybox root in as the image.
    fn import(&self) {
        let archive = self.dir.path().join("busybox.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(roots::busybox()).arg("-cf").arg(&archive).arg(".");
        assert_eq!(process::run(&mut tar, b"").status, 0);
        self.must(&["import", &archive.display().to_string(), IMAGE]);
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let at = |name: &str| self.dir.path().join(name);
        let mut command = match &self.kind {
            Kind::Podman => {
                let mut command = Command::new("podman");
                command.env("CONTAINERS_CONF", at("containers.conf"));
                command.arg("--root").arg(at("root")).arg("--runroot").arg(at("run"));
                command.arg("--tmpdir").arg(at("tmp")).args(["--storage-driver", "vfs"]);
                command
            }
            Kind::Docker(_) => {
                let mut command = Command::new("/usr/bin/docker");
                command.env("DOCKER_CONFIG", self.dir.path());
                command.arg("-H").arg(format!("unix://{}", at("socket").display()));
                command
            }
        };
        command.args(arguments);
        command
    }

    /// The command of a runtime: where podman wants it.
    pub fn with_runtime(&self, runtime: &str, arguments: &[&str]) -> Command {
        match (&self.kind, arguments) {
            (Kind::Docker(_), ["run", rest @ ..]) => {
                self.command(&[&["run", "--runtime", runtime], rest].concat())
            }
            (Kind::Docker(_), _) => self.command(arguments),
            (Kind::Podman, _) => self.command(&[&["--runtime", runtime], arguments].concat()),
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Finished {
        process::run_within(&mut self.command(arguments), b"", LIMIT)
    }

    pub fn must(&self, arguments: &[&str]) -> Finished {
        let done = self.run(arguments);
        assert_eq!(done.status, 0, "{arguments:?}: {done:?}");
        done
    }

    /// Cgroups of its containers that are there; podman's group of monitors is its own.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let parent = match self.kind {
            Kind::Podman => "libpod_parent",
            Kind::Docker(_) => "docker",
        };
        let controllers =
            fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten().map(|entry| entry.path());
        let parents = controllers.map(|path| path.join(parent)).filter(|path| path.is_dir());
        let inside = parents.flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten());
        inside.map(|entry| entry.path()).filter(|path| path.is_dir() && !path.ends_with("conmon")).collect()
    }

    /// Ends it, and panics if anything of a container is left.
    pub fn finish(mut self) {
        eventually("the containers' cgroups go", || self.cgroups().is_empty());
        self.end();
        let dir = self.dir.path().display().to_string();
        let left = || {
            let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
            mounts.lines().filter(|line| line.contains(&dir)).map(str::to_owned).collect::<Vec<_>>()
        };
        eventually("the engine's mounts go", || {
            reap_orphans();
            left().is_empty()
        });
    }

    fn end(&mut self) {
        match &mut self.kind {
            // It mounts its storage on itself, and leaves the parent of its cgroups.
            Kind::Podman => {
                let _ = nix::mount::umount(&self.dir.path().join("root/vfs"));
                let _ = nix::mount::umount(&self.dir.path().join("root"));
            }
            Kind::Docker(daemon) => {
                let _ = kill(Pid::from_raw(daemon.id().cast_signed()), Signal::SIGTERM);
                let _ = daemon.wait();
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
        if let Kind::Docker(daemon) = &self.kind {
            process::kill_tree(daemon.id());
        }
    }
}

fn scratch() -> TempDir {
    tempfile::Builder::new().prefix("engine").tempdir().expect("/tmp is writable")
}

fn install(engine: &str, config: &Path) {
    if paths::palisade_is_wanted() {
        let mut command = Command::new(paths::palisade());
        let done = process::run(command.args(["install", engine, "--config"]).arg(config), b"");
        assert_eq!(done.status, 0, "{done:?}");
    }
}
