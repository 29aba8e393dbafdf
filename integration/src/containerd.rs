//! A containerd of the test's own: folders, socket and namespace that nobody else has, with a busybox image.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Finished};
use crate::{paths, roots};

/// Ours, and the control.
pub const PALISADE: &str = "io.containerd.palisade.v1";
pub const RUNC: &str = "io.containerd.runc.v2";
/// The image's name.
pub const IMAGE: &str = "docker.io/library/busybox:test";
/// The namespace of what CRI makes.
const CRI_NAMESPACE: &str = "k8s.io";
/// Nothing that a test asks takes this long.
const LIMIT: Duration = Duration::from_secs(60);
/// How long what is about to vanish may stay.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where distributions put the CNI plugins.
const CNI_PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Where the host's cgroups are, of either version.
const CGROUPS: &str = "/sys/fs/cgroup";

/// A running containerd.
pub struct Containerd {
    dir: TempDir,
    namespace: String,
    /// What stands first in the names of its cgroups.
    cgroups: String,
    child: Child,
}

/// A network of pods: a bridge.
struct Bridge {
    name: String,
    subnet: String,
}

impl Containerd {
    /// Starts one and imports the image.
    pub fn start() -> Self {
        let name = unique_name();
        Self::configured(name.clone(), name, |dir| {
            "disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n".to_owned() + &config(dir)
        })
    }

    /// Starts one that serves CRI as well: runtime handlers `runc` and `palisade`, and a bridge for the pods.
    pub fn start_cri() -> Self {
        let name = unique_name();
        let bridge = Bridge::of(&name);
        Self::configured(CRI_NAMESPACE.to_owned(), name, |dir| {
            fs::create_dir(dir.join("cni")).expect("a directory");
            fs::write(dir.join("cni/pods.conflist"), bridge.conflist(dir)).expect("the network");
            config(dir) + &cri_config(dir)
        })
    }

    fn configured(namespace: String, cgroups: String, config: impl Fn(&Path) -> String) -> Self {
        let dir = tempfile::Builder::new().prefix("ctd").tempdir().expect("a scratch directory");
        fs::write(dir.path().join("config.toml"), config(dir.path())).expect("the configuration");
        let child = spawn(dir.path());
        let containerd = Self { dir, namespace, cgroups, child };
        containerd.wait_ready();
        let archive = containerd.dir.path().join("busybox.tar");
        image(&containerd.dir.path().join("image"), &archive);
        let imported = containerd.ctr(&["image", "import", archive.to_str().expect("UTF-8")]);
        assert_eq!(imported.status, 0, "{imported:?}");
        containerd
    }

    /// Its main socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("c.sock")
    }

    /// The namespace in which [`Containerd::ctr`] works.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A directory for a test's files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// The cgroup under which pods are to be, so that nobody else's are there.
    pub fn cgroup_parent(&self) -> String {
        format!("/{}", self.cgroups)
    }

    fn wait_ready(&self) {
        self.eventually("containerd answers", || self.ctr(&["version"]).status == 0);
    }

    /// Ends containerd, not its shims, and starts it again.
    pub fn restart(&mut self) {
        self.while_down(|_| {});
    }

    /// As [`Containerd::restart`], with something that is done in between.
    pub fn while_down(&mut self, body: impl FnOnce(&Self)) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours");
        body(self);
        self.child = spawn(self.dir.path());
        self.wait_ready();
    }

    /// The host processes of a container whose cgroup is its id, below [`Containerd::cgroup_parent`].
    pub fn guests(&self, id: &str) -> Vec<i32> {
        let group = |controller| Path::new(CGROUPS).join(controller).join(&self.cgroups).join(id);
        let procs = ["freezer", ""].map(group).map(|group| fs::read_to_string(group.join("cgroup.procs")));
        let procs = procs.into_iter().find_map(Result::ok).unwrap_or_default();
        procs.lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// A ctr with these arguments.
    pub fn ctr_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.arg("-a").arg(self.dir.path().join("c.sock")).args(["-n", &self.namespace]).args(args);
        command
    }

    /// Runs ctr to its end.
    pub fn ctr(&self, args: &[&str]) -> Finished {
        process::run_within(&mut self.ctr_command(args), b"", LIMIT)
    }

    /// As [`Containerd::ctr`], which has to succeed. Returns what it wrote.
    pub fn must(&self, args: &[&str]) -> String {
        let done = self.ctr(args);
        assert_eq!(done.status, 0, "ctr {args:?}: {done:?}");
        done.stdout
    }

    /// A task's line in the list: its process and its status.
    pub fn task(&self, id: &str) -> Option<(i32, String)> {
        let list = self.must(&["task", "ls"]);
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(id))?;
        let mut words = line.split_whitespace().skip(1);
        Some((words.next()?.parse().ok()?, words.next()?.to_owned()))
    }

    /// Waits for a task's status.
    pub fn expect_status(&self, id: &str, status: &str) {
        self.eventually(&format!("{id} is {status}"), || self.task(id).is_some_and(|(_, now)| now == status));
    }

    /// Removes a task, which has ended, and its container.
    pub fn remove(&self, id: &str) {
        // It exits with the task's status.
        let done = self.ctr(&["task", "rm", id]);
        assert!(done.stderr.is_empty() || done.stderr.contains("exit with non-zero"), "{done:?}");
        self.must(&["container", "rm", id]);
    }

    /// Waits until something holds.
    pub fn eventually(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < until, "in vain: {what}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Processes of the host that name this containerd's folders and this word; not itself.
    pub fn processes(&self, word: &str) -> Vec<i32> {
        let dir = self.dir.path().to_str().expect("UTF-8");
        let pids = fs::read_dir("/proc").expect("/proc").filter_map(|entry| {
            let pid: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let ours = line.contains(dir) && line.contains(word) && !line.starts_with("containerd ");
            ours.then_some(pid)
        });
        pids.collect()
    }

    /// Panics if anything is left of any container: processes, bundles, mounts, cgroups.
    pub fn assert_clean(&self) {
        let bundles = self.dir.path().join("state/io.containerd.runtime.v2.task").join(&self.namespace);
        let left = || {
            let mut left: Vec<String> =
                self.processes("").iter().map(|pid| format!("process {pid}")).collect();
            left.extend(names(&bundles));
            let mounts = fs::read_to_string("/proc/mounts").expect("/proc");
            let dir = self.dir.path().to_str().expect("UTF-8");
            left.extend(mounts.lines().filter(|line| line.contains(dir)).map(str::to_owned));
            for controller in ["", "memory", "freezer", "unified"] {
                left.extend(names(&Path::new(CGROUPS).join(controller).join(&self.cgroups)));
            }
            // What a pod got an address for.
            for network in names(&self.dir.path().join("addresses")) {
                let given =
                    fs::read_dir(self.dir.path().join("addresses").join(network)).expect("a directory");
                let given = given.map(|entry| entry.expect("an entry").file_name());
                let given = given.filter_map(|name| name.into_string().ok());
                left.extend(
                    given.filter(|name| name.starts_with("10.")).map(|name| format!("address {name}")),
                );
            }
            // A cgroup's own files are no leftovers.
            left.retain(|name| !name.contains('.') || name.contains(' '));
            left
        };
        let until = Instant::now() + PATIENCE;
        while !left().is_empty() {
            assert!(Instant::now() < until, "left behind: {:?}", left());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for pid in self.processes("") {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Shims leave the cgroup of a namespace to its later containers, of which there are none here; and a test that
        // failed, those of its containers.
        for controller in names(Path::new(CGROUPS)).iter().map(String::as_str).chain([""]) {
            let group = Path::new(CGROUPS).join(controller).join(&self.cgroups);
            for left in names(&group).iter().map(|name| group.join(name)).chain([group.clone()]) {
                let _ = fs::remove_dir(left);
            }
        }
        if self.namespace == CRI_NAMESPACE {
            let bridge = Bridge::of(&self.cgroups);
            let _ = process::run(Command::new("ip").args(["link", "del", &bridge.name]), b"");
        }
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// A name that no other containerd of any test has: process and number.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Bridge {
    /// The bridge of the containerd with this unique name.
    fn of(name: &str) -> Self {
        let number = name.trim_start_matches("test-").replace('-', "n");
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let [second, third, ..] = hasher.finish().to_le_bytes();
        // Of the private network 10.128.0.0/9.
        Self { name: format!("pt{number}"), subnet: format!("10.{}.{third}.0/24", 128 | second) }
    }

    fn conflist(&self, dir: &Path) -> String {
        let addresses =
            json!({ "type": "host-local", "subnet": self.subnet, "dataDir": dir.join("addresses") });
        let bridge = json!({ "type": "bridge", "bridge": self.name, "isGateway": true, "ipam": addresses });
        json!({ "cniVersion": "0.4.0", "name": self.name, "plugins": [bridge] }).to_string()
    }
}

/// What CRI needs to know: networks, and runtimes by their handlers.
fn cri_config(dir: &Path) -> String {
    let cri = "[plugins.\"io.containerd.grpc.v1.cri\"";
    let runtime =
        |name: &str, kind: &str| format!("{cri}.containerd.runtimes.{name}]\nruntime_type = {kind:?}\n");
    let plugins = CNI_PLUGINS.iter().find(|dir| Path::new(dir).join("bridge").exists());
    let plugins = plugins.expect("CNI plugins are installed (apt install containernetworking-plugins)");
    format!(
        "{cri}]\nsandbox_image = {IMAGE:?}\ndisable_apparmor = true\nrestrict_oom_score_adj = true\n\
         {cri}.cni]\nbin_dir = {plugins:?}\nconf_dir = {:?}\n{}{}",
        dir.join("cni"),
        runtime("runc", RUNC),
        runtime("palisade", PALISADE),
    )
}

fn config(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "version = 2\nroot = \"{dir}/root\"\nstate = \"{dir}/state\"\n\
         [grpc]\naddress = \"{dir}/c.sock\"\n[ttrpc]\naddress = \"{dir}/c.sock.ttrpc\"\n"
    )
}

fn spawn(dir: &Path) -> Child {
    let beside = paths::palisade().parent().expect("a file is in a directory").to_path_buf();
    let path = std::env::var("PATH").expect("PATH");
    let log = fs::File::options().append(true).create(true).open(dir.join("log")).expect("the log");
    let mut command = Command::new("containerd");
    command.arg("-c").arg(dir.join("config.toml")).env("PATH", format!("{}:{path}", beside.display()));
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log).process_group(0);
    command.spawn().unwrap_or_else(|error| panic!("containerd: {error}"))
}

/// An OCI image of the busybox root, made of tar and JSON.
fn image(dir: &Path, archive: &Path) {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    let layer = dir.join("layer");
    succeed(Command::new("tar").arg("-C").arg(roots::busybox()).arg("-cf").arg(&layer).arg("."));
    let layer = blob(&blobs, &layer);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sleep", "1000000"] },
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let typed = |mut blob: Value, kind: &str| {
        blob["mediaType"] = json!(format!("application/vnd.oci.image.{kind}"));
        blob
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": typed(json_blob(dir, &config), "config.v1+json"), "layers": [typed(layer, "layer.v1.tar")],
    });
    let mut manifest = typed(json_blob(dir, &manifest), "manifest.v1+json");
    manifest["annotations"] = json!({ "io.containerd.image.name": IMAGE });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(dir.join("index.json"), index.to_string()).expect("a file");
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
    succeed(Command::new("tar").arg("-C").arg(dir).arg("-cf").arg(archive).args([
        "blobs",
        "index.json",
        "oci-layout",
    ]));
}

fn json_blob(dir: &Path, value: &Value) -> Value {
    let file = dir.join("json");
    fs::write(&file, value.to_string()).expect("a file");
    blob(&dir.join("blobs/sha256"), &file)
}

/// Moves a file to where its digest says; with its descriptor.
fn blob(blobs: &Path, file: &PathBuf) -> Value {
    let sum = succeed(Command::new("sha256sum").arg(file));
    let digest = sum.split_whitespace().next().expect("a digest");
    let size = fs::metadata(file).expect("a file").len();
    fs::rename(file, blobs.join(digest)).expect("one filesystem");
    json!({ "digest": format!("sha256:{digest}"), "size": size })
}

fn succeed(command: &mut Command) -> String {
    let done = process::run(command, b"");
    assert_eq!(done.status, 0, "{command:?}: {done:?}");
    done.stdout
}
