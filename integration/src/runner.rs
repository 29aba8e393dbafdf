//! The ways to run one and the same program, and the comparison of two of them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths;
use crate::process::{self, Finished};

/// The environment of every run, control or not.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/root"),
    ("LC_ALL", "C.UTF-8"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TERM", "dumb"),
    ("TZ", "UTC"),
];

/// The host name of every sandbox.
pub const HOSTNAME: &str = "box";

/// A way to run a program.
#[derive(Clone, Debug)]
pub enum Runner {
    /// On the host, as it is.
    Native,
    /// In a root filesystem, in mount, pid, ipc, uts and network namespaces of its own, as pid 2, over an overlay
    /// that vanishes, with lo alone: what a container is without anything that confines it.
    Chroot(PathBuf),
    /// `palisade do`.
    Palisade(Sandbox),
}

/// The options of a `palisade do`.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// The root filesystem; the host's own without one.
    pub rootfs: Option<PathBuf>,
    /// `--volume` values.
    pub volumes: Vec<OsString>,
    /// Other options, as they stand on the command line.
    pub options: Vec<OsString>,
}

impl Sandbox {
    /// A sandbox on the root filesystem at `root`.
    pub fn on(root: &Path) -> Self {
        Self { rootfs: Some(root.to_owned()), ..Self::default() }
    }

    /// With the host's directory `source` at `target`, read-only.
    #[must_use]
    pub fn with_volume(mut self, source: &Path, target: &str) -> Self {
        let mut volume = source.as_os_str().to_owned();
        volume.push(format!(":{target}:ro"));
        self.volumes.push(volume);
        self
    }

    /// With a further option.
    #[must_use]
    pub fn with_option(mut self, option: impl Into<OsString>) -> Self {
        self.options.push(option.into());
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(paths::palisade());
        command.args(["do", "--hostname", HOSTNAME, "--cwd", "/"]);
        for (name, value) in ENVIRONMENT {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        if let Some(rootfs) = &self.rootfs {
            command.arg("--rootfs").arg(rootfs);
        }
        for volume in &self.volumes {
            command.arg("--volume").arg(volume);
        }
        command.args(&self.options).arg("--");
        command
    }
}

impl Runner {
    /// The host's command that runs `argv`, with [`ENVIRONMENT`] and nothing else.
    pub fn command<S: AsRef<OsStr>>(&self, argv: &[S]) -> Command {
        let mut command = match self {
            Runner::Native => {
                let (program, arguments) = argv.split_first().expect("there is a program");
                let mut command = Command::new(program);
                command.args(arguments);
                return clean(command);
            }
            Runner::Chroot(root) => {
                let mut command = Command::new(paths::profile_dir().join("with_loopback"));
                command.args([
                    "unshare",
                    "--mount",
                    "--pid",
                    "--uts",
                    "--ipc",
                    "--fork",
                    "--kill-child",
                    "sh",
                    "-c",
                ]);
                command.arg(include_str!("chroot.sh")).arg("chroot.sh").arg(root).arg(HOSTNAME);
                command
            }
            Runner::Palisade(sandbox) => sandbox.command(),
        };
        command.args(argv);
        clean(command)
    }

    /// Runs `argv` to its end with nothing on its stdin.
    pub fn run<S: AsRef<OsStr>>(&self, argv: &[S]) -> Finished {
        process::run(&mut self.command(argv), b"")
    }
}

/// Has a supervisor say which host call its filter refused.
const REFUSED: &str = "PALISADE_REFUSED";

fn clean(mut command: Command) -> Command {
    command.env_clear().envs(ENVIRONMENT.iter().copied()).current_dir("/");
    // Who runs the suite may want to know which host calls are refused (CONTRIBUTING.md).
    command.envs(std::env::var_os(REFUSED).map(|file| (REFUSED, file)));
    command
}

/// Runs `argv` in `root` under the control and under Palisade: output and status have to be equal.
/// Returns what the control gave, so that a test can say more about it.
pub fn assert_same<S: AsRef<OsStr>>(root: &Path, argv: &[S]) -> Finished {
    let control = Runner::Chroot(root.to_owned()).run(argv);
    assert!(!control.hung, "the control hung: {control:?}");
    // Shown when the test fails, or with --nocapture.
    println!("{control:?}");
    // Without Palisade the control is compared with itself: a workload has to be deterministic.
    let other = if paths::palisade_is_wanted() {
        Runner::Palisade(Sandbox::on(root))
    } else {
        Runner::Chroot(root.to_owned())
    };
    assert_equal(&control, &other.run(argv));
    control
}

/// [`assert_same`] for a bash script that is to end with status 0.
pub fn assert_same_script(root: &Path, script: &str) -> Finished {
    let control = assert_same(root, &["bash", "-c", script]);
    assert_eq!(control.status, 0, "the script fails under the control: {control:?}");
    control
}

/// Panics with the first difference between what the control and Palisade gave.
pub fn assert_equal(control: &Finished, palisade: &Finished) {
    if control == palisade {
        return;
    }
    let mut report = String::new();
    for (name, a, b) in
        [("stdout", &control.stdout, &palisade.stdout), ("stderr", &control.stderr, &palisade.stderr)]
    {
        report.push_str(&first_difference(name, a, b));
    }
    panic!("Palisade differs from the control.\n{report}\ncontrol: {control:?}\npalisade: {palisade:?}");
}

/// `name:line` and both lines, where two texts part; empty when they don't.
fn first_difference(name: &str, control: &str, palisade: &str) -> String {
    if control == palisade {
        return String::new();
    }
    let (mut a, mut b) = (control.lines(), palisade.lines());
    for number in 1.. {
        match (a.next(), b.next()) {
            (None, None) => break,
            (left, right) if left == right => {}
            (left, right) => {
                let show = |line: Option<&str>| line.map_or("(end)".to_owned(), ToOwned::to_owned);
                return format!("{name}:{number}\n  control:  {}\n  palisade: {}\n", show(left), show(right));
            }
        }
    }
    format!("{name}: they differ in line ends\n")
}
