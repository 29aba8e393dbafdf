//! Whole workloads: seconds from start to exit, on a Debian root behind an overlay as container engines make one.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use integration::bundle::Bundle;
use integration::roots;
use integration::runner::ENVIRONMENT;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Options;
use crate::goals::{MACRO_EACH_OF_RUNC, MACRO_WORST_OF_RUNC};
use crate::micro::ratio;
use crate::runtimes::Runtime;
use crate::table::Table;

struct Workload {
    name: &'static str,
    /// `bash -euc`.
    script: &'static str,
}

const PREPARE: &str = include_str!("../workloads/prepare.sh");

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "untar, make -j2 of 121 C files",
        script: "cd /root; tar xzf /bench/c.tar.gz; cd c; make -s -j2; ./program >/dev/null",
    },
    Workload {
        name: "git clone, fsck of 2,000 files",
        script: "cd /root; git clone -q /bench/repository copy; git -C copy fsck --full --no-progress",
    },
    Workload { name: "python3 -c pass x 50", script: "for i in {1..50}; do python3 -c pass; done" },
    Workload {
        name: "find over 50,000 files",
        script: "[ $(find /bench/tree -type f -size -2 -newer /bench/c.tar.gz | wc -l) = 50000 ]",
    },
    Workload {
        name: "20,000 small files",
        script: concat!("python3 -c '", include_str!("../workloads/small_files.py"), "'"),
    },
    Workload { name: "sqlite", script: concat!("python3 -c '", include_str!("../workloads/sqlite.py"), "'") },
    Workload {
        name: "javac of 40 files",
        script: "mkdir /root/classes; javac -d /root/classes /bench/java/*.java",
    },
];

/// A Debian root with /bench, whose changes go to a layer that is thrown away after each run.
pub(crate) struct Layers {
    dir: TempDir,
}

impl Layers {
    pub(crate) fn new() -> std::io::Result<Self> {
        let layers = Self { dir: tempfile::Builder::new().prefix("palisade-bench-").tempdir_in("/var/tmp")? };
        for name in ["data", "upper", "work", "root"] {
            fs::create_dir(layers.dir.path().join(name))?;
        }
        Ok(layers)
    }

    /// The options of the overlay on "root" with changes in `upper`.
    fn options(&self, lower: &str, upper: &str) -> String {
        let dir = self.dir.path().display();
        format!("lowerdir={lower},upperdir={dir}/{upper},workdir={dir}/work")
    }

    /// Runs `command` in the mount namespace of its own in which "root" is the overlay. `command` is a shell
    /// script with "root" as `$1`.
    fn within(&self, options: &str, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        let script = format!("mount -t overlay -o \"$0\" overlay \"$1\" || exit 125\n{script}");
        command.args(["--mount", "sh", "-c", &script, options]).arg(self.root()).args(arguments);
        command.env_clear().envs(ENVIRONMENT.iter().copied()).stdin(Stdio::null());
        command
    }

    fn root(&self) -> std::path::PathBuf {
        self.dir.path().join("root")
    }

    /// Fills "data", natively.
    fn prepare(&self, debian: &Path) -> bool {
        let options = self.options(&debian.display().to_string(), "data");
        let mut command = self.within(&options, "exec chroot \"$1\" bash -c \"$2\"", &[PREPARE]);
        command.status().is_ok_and(|status| status.success())
    }

    /// Empties the layer of changes.
    fn clear(&self) {
        for name in ["upper", "work"] {
            let path = self.dir.path().join(name);
            // What cannot be removed shows in the next run's status.
            let _ = fs::remove_dir_all(&path).and_then(|()| fs::create_dir(&path));
        }
    }

    /// The command of one run, on an empty layer of changes; it needs the bundle while it runs. `None` for a runtime
    /// that takes no bundles.
    pub(crate) fn command(
        &self,
        debian: &Path,
        runtime: Runtime,
        script: &str,
        annotations: &Value,
    ) -> Option<(Command, Bundle)> {
        self.clear();
        let lower = format!("{}/data:{}", self.dir.path().display(), debian.display());
        let options = self.options(&lower, "upper");
        let argv = ["bash", "-euc", script];
        let bundle = Bundle::new(&self.root(), &argv).with(|config| {
            config["root"]["readonly"] = json!(false);
            config["process"]["rlimits"] = json!([]);
            config["annotations"] = annotations.clone();
        });
        let command = match runtime.run_bundle(bundle.path()) {
            Some(runtime) => {
                let argv = std::iter::once(runtime.get_program()).chain(runtime.get_args());
                let argv: Vec<&str> = argv.filter_map(|argument| argument.to_str()).collect();
                self.within(&options, "shift; exec \"$@\"", &argv)
            }
            None if runtime == Runtime::Native => {
                let mounts = "mount -t proc proc \"$1/proc\"; mount --rbind /dev \"$1/dev\"; mount -t tmpfs tmpfs \"$1/tmp\"";
                self.within(&options, &format!("{mounts}; exec chroot \"$@\""), &argv)
            }
            None => return None,
        };
        Some((command, bundle))
    }

    /// Seconds of one run; `None` when it failed.
    fn run(&self, debian: &Path, runtime: Runtime, script: &str) -> Option<f64> {
        let (mut command, _bundle) = self.command(debian, runtime, script, &json!({}))?;
        let start = Instant::now();
        let output = command.output().ok()?;
        let seconds = start.elapsed().as_secs_f64();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            eprintln!("{}: {}: {}", runtime.name(), output.status, error.lines().next().unwrap_or(""));
            return None;
        }
        Some(seconds)
    }
}

pub(crate) fn run(options: &Options) -> Value {
    let debian = roots::everyday();
    let layers = match Layers::new() {
        Ok(layers) => layers,
        Err(error) => {
            eprintln!("bench macro: no directory in /var/tmp: {error}");
            return Value::Null;
        }
    };
    if !layers.prepare(&debian) {
        eprintln!("bench macro: the workloads' files cannot be made; it needs root, for an overlay mount");
        return Value::Null;
    }
    let runtimes: Vec<Runtime> = Runtime::ALL
        .into_iter()
        .filter(|runtime| *runtime != Runtime::PalisadeStrict && runtime.program().is_some())
        .collect();
    let mut heads = vec!["workload (best of rounds, s)"];
    heads.extend(runtimes.iter().map(|runtime| runtime.name()));
    heads.extend(["palisade x runc", "goal"]);
    let mut table = Table::new(&heads);
    let mut result = Vec::new();
    for Workload { name, script } in WORKLOADS {
        let mut best = vec![f64::NAN; runtimes.len()];
        for _ in 0..options.rounds {
            for (runtime, best) in runtimes.iter().zip(&mut best) {
                if let Some(seconds) = layers.run(&debian, *runtime, script) {
                    *best = best.min(seconds);
                }
            }
        }
        let of = |runtime| {
            runtimes.iter().position(|other| *other == runtime).and_then(|at| best.get(at)).copied()
        };
        let share = of(Runtime::Palisade).unwrap_or(f64::NAN) / of(Runtime::Runc).unwrap_or(f64::NAN);
        let mut row = vec![(*name).to_owned()];
        let seconds = |seconds: &f64| if seconds.is_nan() { "-".to_owned() } else { format!("{seconds:.2}") };
        row.extend(best.iter().map(seconds));
        row.extend([ratio(share), format!("{MACRO_EACH_OF_RUNC}, at worst {MACRO_WORST_OF_RUNC}")]);
        table.row(row);
        let names: Vec<_> = runtimes.iter().map(|runtime| runtime.name()).collect();
        result.push(
            json!({ "workload": name, "unit": "s", "runtimes": names, "best": best, "of runc": share }),
        );
    }
    println!("{table}");
    Value::from(result)
}
