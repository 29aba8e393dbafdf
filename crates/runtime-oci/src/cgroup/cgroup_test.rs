//! Groups in a pretended hierarchy (a directory with the kernel's files) and in the host's own.

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use serde_json::json;

use super::hierarchy::Hierarchies;
use super::{Cgroup, CgroupError, CgroupRequest, Driver, Version};

fn resources(value: serde_json::Value) -> LinuxResources {
    serde_json::from_value(value).unwrap()
}

fn request<'a>(path: &'a str, resources: &'a LinuxResources) -> CgroupRequest<'a> {
    CgroupRequest { id: "c", path: Some(path), driver: Driver::Cgroupfs, resources }
}

/// A version 2 hierarchy: a directory where the kernel's files are made beforehand, as mkdir(2) there would.
struct Fake(tempfile::TempDir);

const FILES: &[&str] = &[
    "cgroup.procs",
    "memory.max",
    "memory.swap.max",
    "memory.low",
    "memory.events",
    "memory.stat",
    "memory.current",
    "cpu.max",
    "cpu.max.burst",
    "cpu.weight",
    "cpu.idle",
    "cpu.stat",
    "cpuset.cpus",
    "cpuset.mems",
    "pids.max",
    "pids.current",
    "io.weight",
    "io.max",
    "cgroup.freeze",
    "cgroup.events",
    "memory.high",
];

impl Fake {
    fn new() -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(fake.leaf()).unwrap();
        for group in [fake.0.path().to_path_buf(), fake.0.path().join("a")] {
            fs::write(group.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
            fs::write(group.join("cgroup.subtree_control"), "cpu\n").unwrap();
        }
        for file in FILES {
            fs::write(fake.leaf().join(file), "").unwrap();
        }
        fake
    }

    fn leaf(&self) -> PathBuf {
        self.0.path().join("a/b")
    }

    fn hierarchies(&self) -> Hierarchies {
        let line = format!("1 0 0:1 / {} rw - cgroup2 cgroup2 rw\n", self.0.path().display());
        Hierarchies::parse(&line, "0::/\n").unwrap()
    }

    fn create(&self, value: serde_json::Value) -> Result<Cgroup, CgroupError> {
        let resources = resources(value);
        let cgroup = Cgroup::plan_in(&self.hierarchies(), &request("/a/b", &resources))?;
        cgroup.make(&resources)?;
        Ok(cgroup)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.leaf().join(file)).unwrap()
    }
}

#[test]
fn version_2_gets_its_own_words() {
    let fake = Fake::new();
    let cgroup = fake
        .create(json!({
            "memory": { "limit": 1000, "swap": 1500, "reservation": 500 },
            "cpu": { "shares": 1024, "quota": 5000, "period": 10_000, "burst": 7, "cpus": "0-1", "idle": 1 },
            "pids": { "limit": 20 },
            "blockIO": { "weight": 500, "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 9 }] },
            "unified": { "memory.high": "900" },
        }))
        .unwrap();
    assert_eq!(cgroup.version(), Version::V2);
    for (file, value) in [
        ("memory.max", "1000"),
        ("memory.swap.max", "500"),
        ("memory.low", "500"),
        ("memory.high", "900"),
        ("cpu.weight", "39"),
        ("cpu.max", "5000 10000"),
        ("cpu.max.burst", "7"),
        ("cpuset.cpus", "0-1"),
        ("cpu.idle", "1"),
        ("pids.max", "20"),
        ("io.weight", "4950"),
        ("io.max", "8:0 rbps=9"),
    ] {
        assert_eq!(fake.read(file), value, "{file}");
    }
    let root = fake.0.path();
    assert_eq!(fs::read_to_string(root.join("cgroup.subtree_control")).unwrap(), "+pids");
    cgroup.add(7).unwrap();
    assert_eq!((fake.read("cgroup.procs").as_str(), cgroup.pids()), ("7", vec![7]));
}

#[test]
fn version_2_removes_limits_and_freezes() {
    let fake = Fake::new();
    let cgroup = fake.create(json!({})).unwrap();
    let change = json!({ "memory": { "limit": -1 }, "cpu": { "quota": -1 }, "pids": { "limit": -1 } });
    fs::write(fake.leaf().join("memory.max"), "").unwrap();
    cgroup.update(&resources(change)).unwrap();
    assert_eq!(
        ["memory.max", "memory.swap.max", "cpu.max", "pids.max"].map(|file| fake.read(file)),
        ["max"; 4]
    );
    fs::write(fake.leaf().join("cgroup.events"), "populated 1\nfrozen 1\n").unwrap();
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen());
    fs::write(fake.leaf().join("memory.events"), "oom 2\noom_kill 3\n").unwrap();
    assert_eq!(cgroup.oom_kills(), 3);
}

#[test]
fn version_2_refuses_by_name_what_it_lacks() {
    for (value, name) in [
        (json!({ "memory": { "swappiness": 60 } }), "linux.resources.memory.swappiness"),
        (json!({ "memory": { "disableOOMKiller": true } }), "linux.resources.memory.disableOOMKiller"),
        (json!({ "memory": { "swap": 5 } }), "linux.resources.memory.swap"),
        (json!({ "cpu": { "realtimeRuntime": 5 } }), "linux.resources.cpu.realtimeRuntime"),
        (json!({ "network": { "classID": 5 } }), "linux.resources.network.classID"),
        (json!({ "rdma": { "mlx": { "hcaHandles": 5 } } }), "linux.resources.rdma.mlx"),
        (
            json!({ "hugepageLimits": [{ "pageSize": "3MB", "limit": 5 }] }),
            "linux.resources.hugepageLimits[0].pageSize",
        ),
        (json!({ "unified": { "../x": "1" } }), "linux.resources.unified.../x"),
        (json!({ "unified": { "misc.max": "1" } }), "linux.resources.unified.misc.max"),
    ] {
        let message = Fake::new().create(value).unwrap_err().to_string();
        assert!(message.contains(&format!("config.json: {name}: ")), "{message}");
    }
}

#[test]
fn group_in_use_is_not_taken() {
    let fake = Fake::new();
    fs::write(fake.leaf().join("cgroup.procs"), "1\n").unwrap();
    assert!(matches!(fake.create(json!({})), Err(CgroupError::Busy(_))));
    assert!(fake.leaf().exists());
}

/// The host's own hierarchy, where the test may make groups.
fn on_host(name: &str, value: serde_json::Value) -> Option<Result<Cgroup, CgroupError>> {
    let path = format!("palisade-test-{}-{name}/inner", std::process::id());
    if !rustix::process::geteuid().is_root() || !Path::new("/sys/fs/cgroup/memory").exists() {
        return None;
    }
    Some(Cgroup::create(&request(&path, &resources(value))))
}

#[test]
fn version_1_group_of_the_host_holds_its_limits() {
    let limits = json!({
        "memory": { "limit": 64 << 20, "swap": 128 << 20 },
        "cpu": { "shares": 512, "quota": 20_000, "period": 50_000 },
        "pids": { "limit": 9 },
    });
    let Some(cgroup) = on_host("limits", limits) else { return };
    let cgroup = cgroup.unwrap();
    let read = |controller: &str, file: &str| {
        let path = cgroup.directory(controller).unwrap().join(file);
        fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let limits = || (read("memory", "memory.limit_in_bytes"), read("memory", "memory.memsw.limit_in_bytes"));
    assert_eq!(limits(), ((64 << 20).to_string(), (128 << 20).to_string()));
    assert_eq!((read("cpu", "cpu.cfs_quota_us"), read("pids", "pids.max")), ("20000".into(), "9".into()));
    // Both directions, whichever of the two limits has to move first.
    for (memory, both) in [(256 << 20, 512 << 20), (32 << 20, 48 << 20)] {
        cgroup.update(&resources(json!({ "memory": { "limit": memory, "swap": both } }))).unwrap();
        assert_eq!(limits(), (memory.to_string(), both.to_string()));
    }
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    cgroup.add(child.id() as i32).unwrap();
    assert_eq!((cgroup.pids(), cgroup.stats().unwrap().pids.current), (vec![child.id() as i32], 1));
    assert_eq!(cgroup.entrance(cgroup.open().unwrap()).pids(), vec![child.id() as i32]);
    cgroup.freeze().unwrap();
    assert!(cgroup.is_frozen());
    let text = serde_json::to_string(&cgroup).unwrap();
    let same: Cgroup = serde_json::from_str(&text).unwrap();
    let reaper = std::thread::spawn(move || child.wait());
    same.kill_all().unwrap();
    reaper.join().unwrap().unwrap();
    same.remove().unwrap();
    assert!(
        cgroup
            .directories()
            .values()
            .all(|directory| !directory.exists() && !directory.parent().unwrap().exists())
    );
}

#[test]
fn thread_enters_version_1_groups_of_cpu_time_alone() {
    let Some(cgroup) = on_host("thread", json!({})) else { return };
    let cgroup = cgroup.unwrap();
    let entrance = cgroup.entrance(cgroup.open().unwrap());
    let doors = entrance.cpu_doors().unwrap();
    assert_eq!(doors.len(), 2);
    let own = std::thread::scope(|scope| {
        let enter = || {
            doors.iter().for_each(|door| assert_eq!(rustix::io::write(door, b"0"), Ok(1)));
            fs::read_to_string("/proc/thread-self/cgroup").unwrap()
        };
        scope.spawn(enter).join().unwrap()
    });
    let inside = |line: &&str| line.ends_with(&format!("palisade-test-{}-thread/inner", std::process::id()));
    let names = |line: &str| line.split(':').nth(1).unwrap_or_default().to_owned();
    let entered: Vec<String> = own.lines().filter(inside).map(names).collect();
    assert!(
        !entered.is_empty() && entered.iter().all(|names| names.contains("cpu") && names != "cpuset"),
        "{own}"
    );
    assert!(cgroup.pids().is_empty());
    cgroup.remove().unwrap();
}

#[test]
fn failed_creation_leaves_nothing() {
    let Some(result) = on_host("fails", json!({ "cpu": { "cpus": "77777" } })) else { return };
    let error = result.unwrap_err();
    assert!(error.to_string().contains("linux.resources.cpu.cpus"), "{error}");
    let left = fs::read_dir("/sys/fs/cgroup/cpuset").unwrap().flatten();
    let name = format!("palisade-test-{}-fails", std::process::id());
    assert!(left.map(|entry| entry.file_name()).all(|left| left != name.as_str()));
}

/// Version 2 as the host has it, whatever controllers are there: on a hybrid host, beside version 1's.
#[test]
fn version_2_group_of_the_host_freezes_and_kills() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let (Some(line), true) = (line, rustix::process::geteuid().is_root()) else { return };
    let hierarchies = Hierarchies::parse(line, "0::/\n").unwrap();
    let path = format!("/palisade-test-{}-v2/inner", std::process::id());
    let at = line.split(' ').nth(4).unwrap();
    let controllers = fs::read_to_string(Path::new(at).join("cgroup.controllers")).unwrap();
    let limits = match controllers.contains("hugetlb") {
        true => json!({ "hugepageLimits": [{ "pageSize": "2MB", "limit": 4 << 20 }] }),
        false => json!({}),
    };
    let resources = resources(limits);
    let Ok(cgroup) = Cgroup::plan_in(&hierarchies, &request(&path, &resources)) else { return };
    // Where somebody else delegates, there is nothing to test.
    let Ok(()) = cgroup.make(&resources) else { return };
    let leaf = cgroup.directory("").unwrap().to_path_buf();
    if controllers.contains("hugetlb") {
        assert_eq!(fs::read_to_string(leaf.join("hugetlb.2MB.max")).unwrap(), "4194304\n");
        assert_eq!(cgroup.stats().unwrap().hugetlb["2MB"].limit, 4 << 20);
    }
    let mut child = std::process::Command::new("sleep").arg("100").spawn().unwrap();
    cgroup.add(child.id() as i32).unwrap();
    cgroup.freeze().unwrap();
    let events = fs::read_to_string(leaf.join("cgroup.events")).unwrap();
    assert!(cgroup.is_frozen() && events.contains("frozen 1"), "{events}");
    let reaper = std::thread::spawn(move || child.wait());
    cgroup.kill_all().unwrap();
    reaper.join().unwrap().unwrap();
    cgroup.remove().unwrap();
    assert!(!leaf.exists() && !leaf.parent().unwrap().exists());
}
