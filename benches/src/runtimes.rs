//! The runtimes that are measured, and how each runs a command.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use integration::bundle::Bundle;
use integration::paths;
use integration::runner::ENVIRONMENT;
use serde_json::json;
use tempfile::TempDir;

/// Where the directory of `probe` is in a sandbox.
pub(crate) const TOOLS: &str = "/t";

/// One column of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Native,
    Palisade,
    PalisadeStrict,
    Runc,
    Crun,
    Runsc,
}

impl Runtime {
    pub(crate) const ALL: [Self; 6] =
        [Self::Native, Self::Palisade, Self::PalisadeStrict, Self::Runc, Self::Crun, Self::Runsc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Palisade => "palisade",
            Self::PalisadeStrict => "palisade --strict",
            Self::Runc => "runc",
            Self::Crun => "crun",
            Self::Runsc => "runsc",
        }
    }

    /// Its program, when it is installed or built.
    pub(crate) fn program(self) -> Option<PathBuf> {
        match self {
            Self::Native => Some(PathBuf::new()),
            Self::Palisade | Self::PalisadeStrict => {
                let named = std::env::var_os("PALISADE").map(PathBuf::from);
                Some(named.unwrap_or_else(|| paths::profile_dir().join("palisade")))
                    .filter(|path| path.is_file())
            }
            Self::Runc | Self::Crun | Self::Runsc => {
                let path = std::env::var_os("PATH")?;
                std::env::split_paths(&path).map(|dir| dir.join(self.name())).find(|path| path.is_file())
            }
        }
    }

    /// `RUNTIME … VERB` for a runtime that takes bundles.
    pub(crate) fn command(self, verb: &str) -> Option<Command> {
        let mut command = Command::new(self.program()?);
        match self {
            Self::Native | Self::PalisadeStrict => return None,
            Self::Runsc => drop(command.args(["--ignore-cgroups", "--network=none"])),
            Self::Palisade | Self::Runc | Self::Crun => {}
        }
        command.arg(verb);
        Some(command)
    }

    /// An id that no container of a benchmark has had.
    pub(crate) fn new_id() -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        format!("bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// `RUNTIME … run --bundle BUNDLE ID`.
    pub(crate) fn run_bundle(self, bundle: &Path) -> Option<Command> {
        let mut command = self.command("run")?;
        command.arg("--bundle").arg(bundle).arg(Self::new_id());
        Some(command)
    }
}

/// A root in which the host's own programs run: /usr of the host, read-only, and little else.
pub(crate) struct HostRoot {
    dir: TempDir,
    tools: PathBuf,
}

impl HostRoot {
    /// Makes it; `tools` will be at [`TOOLS`].
    pub(crate) fn new(tools: &Path) -> std::io::Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in ["dev", "etc", "proc", "sys", "tmp", "usr", "t"] {
            fs::create_dir(dir.path().join(name))?;
        }
        for name in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{name}"), dir.path().join(name))?;
        }
        // Without the linker's cache a program looks for its libraries in dozens of directories, which it does not
        // natively.
        for name in ["etc/passwd", "etc/ld.so.cache"] {
            fs::copy(Path::new("/").join(name), dir.path().join(name))?;
        }
        Ok(Self { dir, tools: tools.to_owned() })
    }

    /// The command that runs `program` of the tools with `arguments` under `runtime`. The bundle has to live as
    /// long as the command runs.
    pub(crate) fn command(
        &self,
        runtime: Runtime,
        program: &str,
        arguments: &[&str],
    ) -> Option<(Command, Bundle)> {
        let inside = format!("{TOOLS}/{program}");
        let mut argv = vec![inside.as_str()];
        argv.extend(arguments);
        let bundle = Bundle::new(self.dir.path(), &argv).with(|config| {
            for (source, target) in [(Path::new("/usr"), "/usr"), (&self.tools, TOOLS)] {
                let mount = json!({ "destination": target, "type": "bind", "source": source, "options": ["rbind", "ro"] });
                config["mounts"].as_array_mut().into_iter().for_each(|mounts| mounts.push(mount.clone()));
            }
        });
        let command = match runtime {
            Runtime::Native => {
                let mut command = Command::new(self.tools.join(program));
                command.args(arguments);
                command
            }
            Runtime::PalisadeStrict => self.palisade_do(&argv)?,
            _ => runtime.run_bundle(bundle.path())?,
        };
        Some((command, bundle))
    }

    /// `palisade do --strict`, which a bundle cannot say.
    fn palisade_do(&self, argv: &[&str]) -> Option<Command> {
        let mut command = Command::new(Runtime::PalisadeStrict.program()?);
        command.args(["do", "--strict", "--rootfs"]).arg(self.dir.path());
        command.args(["--volume", "/usr:/usr:ro", "--volume"]);
        command.arg(format!("{}:{TOOLS}:ro", self.tools.display()));
        for (name, value) in ENVIRONMENT {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg("--").args(argv);
        Some(command)
    }
}
