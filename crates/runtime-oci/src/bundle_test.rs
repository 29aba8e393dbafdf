//! Bad configurations: each is refused with the field's name, whatever is in it.

use std::path::Path;

use serde_json::{Value, json};

use super::{BundleError, parse};

/// A configuration that uses every field that is honoured.
fn full() -> Value {
    json!({
        "ociVersion": "1.2.0",
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "h", "domainname": "d",
        "process": {
            "terminal": true, "consoleSize": { "height": 24, "width": 80 }, "cwd": "/", "args": ["a"], "env": ["A=b"],
            "user": { "uid": 1, "gid": 2, "umask": 18, "additionalGids": [3] },
            "capabilities": { "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "permitted": ["CAP_CHOWN"],
                "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"] },
            "rlimits": [{ "type": "RLIMIT_CORE", "soft": 1, "hard": 2 }],
            "noNewPrivileges": true, "oomScoreAdj": 5,
            "scheduler": { "policy": "SCHED_BATCH", "nice": 3, "flags": ["SCHED_FLAG_RESET_ON_FORK"] },
            "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 4 },
            "execCPUAffinity": { "initial": "0-1", "final": "0" },
        },
        "mounts": [{ "destination": "/m", "type": "tmpfs", "source": "t", "options": ["ro", "size=1k"] }],
        "hooks": {
            "prestart": [{ "path": "/h" }], "createRuntime": [{ "path": "/h", "args": ["h"], "env": ["A=b"], "timeout": 1 }],
            "createContainer": [{ "path": "/h" }], "startContainer": [{ "path": "/h" }],
            "poststart": [{ "path": "/h" }], "poststop": [{ "path": "/h" }],
        },
        "annotations": { "a": "b" },
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" }, { "type": "network" }],
            "devices": [{ "path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0, "gid": 0 }],
            "cgroupsPath": "/x", "sysctl": { "net.core.somaxconn": "9" },
            "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "rootfsPropagation": "slave",
            "personality": { "domain": "LINUX" },
            "resources": {
                "memory": { "limit": 1, "swap": 2, "reservation": 3, "kernel": 4, "kernelTCP": 5, "swappiness": 6,
                    "disableOOMKiller": true, "checkBeforeUpdate": true },
                "cpu": { "shares": 1, "quota": 2, "period": 3, "burst": 4, "realtimeRuntime": 5, "realtimePeriod": 6,
                    "cpus": "0", "mems": "0", "idle": 1 },
                "pids": { "limit": 1 },
                "blockIO": { "weight": 10, "leafWeight": 10, "weightDevice": [{ "major": 8, "minor": 0, "weight": 10 }],
                    "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 1 }] },
                "hugepageLimits": [{ "pageSize": "2MB", "limit": 1 }],
                "network": { "classID": 1, "priorities": [{ "name": "eth0", "priority": 1 }] },
                "rdma": { "m": { "hcaHandles": 1, "hcaObjects": 2 } },
                "unified": { "memory.high": "1" },
                "devices": [{ "allow": false, "type": "c", "major": 1, "minor": 2, "access": "rwm" }],
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ["SCMP_ARCH_X86_64"],
                "flags": ["SECCOMP_FILTER_FLAG_TSYNC"],
                "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1,
                    "args": [{ "index": 0, "value": 1, "valueTwo": 2, "op": "SCMP_CMP_EQ" }] }],
            },
        },
    })
}

fn parsed(config: &Value) -> Result<(), BundleError> {
    parse(Path::new("/b"), config).map(drop)
}

#[test]
fn full_configuration_is_accepted() {
    let spec = parse(Path::new("/b"), &full()).unwrap();
    assert_eq!(spec.rootfs, Path::new("/b/rootfs"));
    assert_eq!(spec.process.io_priority, Some(2 << 13 | 4));
    assert_eq!(spec.process.initial_cpus.as_deref(), Some(&[0, 1][..]));
    assert_eq!(spec.process.scheduling.unwrap().flags, 1);
    let text = serde_json::to_string(&spec).unwrap();
    let again: crate::ContainerSpec = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), text);
}

/// The places of all values below `value`, as names and indices.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    if !at.is_empty() {
        all.push(at.to_owned());
    }
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .for_each(|(name, value)| places(value, &format!("{at}/{}", name.replace('/', "~1")), all));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| places(value, &format!("{at}/{index}"), all));
        }
        _ => {}
    }
}

/// The innermost name of a place that is no index.
fn name_of(place: &str) -> &str {
    place.split('/').rfind(|part| part.parse::<usize>().is_err()).unwrap_or_default()
}

#[test]
fn every_field_of_a_wrong_type_is_named() {
    let config = full();
    let mut all = Vec::new();
    places(&config, "", &mut all);
    assert!(all.len() > 150, "{}", all.len());
    for place in all {
        for wrong in [json!("wrong"), json!(-7.5), json!({ "wrong": [] }), json!([[]]), json!(true)] {
            let mut config = full();
            let value = config.pointer_mut(&place).unwrap();
            let same_type = std::mem::discriminant(&*value) == std::mem::discriminant(&wrong);
            let integer = value.is_number() && wrong.is_number();
            if same_type && !integer {
                continue;
            }
            *value = wrong.clone();
            let message = parsed(&config).expect_err(&format!("{place} = {wrong}")).to_string();
            assert!(message.contains(name_of(&place)), "{place} = {wrong}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }
}

#[test]
fn values_out_of_range_are_named() {
    for (place, value, field) in [
        ("/process/args", json!([]), "process.args"),
        ("/process/args/0", json!("a\0b"), "process.args"),
        ("/process/cwd", json!("relative"), "process.cwd"),
        ("/process/user/uid", json!(4_294_967_295u32), "process.user"),
        ("/process/user/uid", json!(-1), "process.user.uid"),
        ("/process/user/gid", json!(1u64 << 40), "process.user.gid"),
        ("/process/oomScoreAdj", json!(1001), "process.oomScoreAdj"),
        ("/process/consoleSize/width", json!(70_000), "process.consoleSize"),
        ("/process/scheduler/policy", json!("SCHED_ISO"), "process.scheduler.policy"),
        ("/process/scheduler/policy", json!("SCHED_X"), "process.scheduler.policy"),
        ("/process/scheduler/nice", json!(20), "process.scheduler.nice"),
        ("/process/scheduler/flags/0", json!("X"), "process.scheduler.flags"),
        ("/process/ioPriority/priority", json!(8), "process.ioPriority"),
        ("/process/ioPriority/class", json!("X"), "process.ioPriority.class"),
        ("/process/execCPUAffinity/initial", json!("1-0"), "process.execCPUAffinity.initial"),
        ("/process/execCPUAffinity/initial", json!("x"), "process.execCPUAffinity.initial"),
        ("/process/capabilities/bounding/0", json!("CAP_X"), "process.capabilities.bounding"),
        ("/process/rlimits/0/type", json!("RLIMIT_X"), "process.rlimits[0].type"),
        ("/hostname", json!("h".repeat(65)), "hostname"),
        ("/root/path", json!(""), "root.path"),
        ("/mounts/0/destination", json!("m"), "mounts"),
        ("/mounts/0/type", json!("ext4"), "mounts"),
        ("/mounts/0/options/0", json!("idmap"), "mounts"),
        ("/hooks/poststop/0/path", json!("h"), "hooks.poststop[0]"),
        ("/hooks/createRuntime/0/timeout", json!(0), "hooks.createRuntime[0]"),
        ("/linux/namespaces/0/type", json!("x"), "linux.namespaces[0].type"),
        ("/linux/namespaces/0/type", json!("time"), "linux.namespaces"),
        ("/linux/namespaces/0/type", json!("mount"), "linux.namespaces"),
        ("/linux/devices/0/major", json!(8), "linux.devices"),
        ("/linux/devices/0/path", json!("x"), "linux.devices"),
        ("/linux/rootfsPropagation", json!("x"), "linux.rootfsPropagation"),
        ("/linux/maskedPaths/0", json!("x"), "linux.maskedPaths"),
        ("/linux/personality/domain", json!("SOLARIS"), "linux.personality.domain"),
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_NOTIFY"), "linux.seccomp.defaultAction"),
        ("/linux/seccomp/defaultAction", json!("SCMP_ACT_LOG"), "linux.seccomp.defaultAction"),
        ("/linux/seccomp/flags/0", json!("SECCOMP_FILTER_FLAG_LOG"), "linux.seccomp.flags"),
        ("/linux/seccomp/syscalls/0/args/0/index", json!(9), "linux.seccomp.syscalls"),
        ("/linux/seccomp/syscalls/0/args/0/op", json!("X"), "linux.seccomp.syscalls[0].args[0].op"),
        ("/linux/resources/memory/limit", json!("1G"), "linux.resources.memory.limit"),
        ("/linux/resources/cpu/shares", json!(-1), "linux.resources.cpu.shares"),
        ("/ociVersion", json!("3.0.0"), "ociVersion"),
    ] {
        let mut config = full();
        *config.pointer_mut(place).unwrap() = value.clone();
        let message = parsed(&config).expect_err(&format!("{place} = {value}")).to_string();
        assert!(message.starts_with(&format!("config.json: {field}")), "{place} = {value}: {message}");
    }
}

#[test]
fn missing_fields_are_named() {
    for (place, name) in [
        ("/ociVersion", "ociVersion"),
        ("/root", "root"),
        ("/root/path", "root"),
        ("/process", "process"),
        ("/process/cwd", "process"),
        ("/process/args", "process.args"),
        ("/linux", "linux"),
        ("/linux/namespaces", "linux.namespaces"),
        ("/mounts/0/destination", "mounts[0]"),
        ("/hooks/poststop/0/path", "hooks.poststop[0]"),
    ] {
        let mut config = full();
        let (parent, field) = place.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(field);
        let message = parsed(&config).expect_err(place).to_string();
        assert!(message.contains(name) && message.starts_with("config.json: "), "{place}: {message}");
    }
    for config in [json!(null), json!([]), json!(7), json!("x")] {
        assert!(parsed(&config).is_err());
    }
}

#[test]
fn root_does_not_lead_out_of_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("b");
    std::fs::create_dir_all(bundle.join("rootfs/deep")).unwrap();
    std::os::unix::fs::symlink("/etc", bundle.join("link")).unwrap();
    let resolved = |path: &str| super::resolve_rootfs(&bundle, &bundle.join(path));
    assert!(resolved("rootfs").unwrap().ends_with("b/rootfs"));
    assert!(resolved("./rootfs/./deep").unwrap().ends_with("b/rootfs/deep"));
    for outside in ["link", "../b", "..", "rootfs/../../b", "none", "link/passwd"] {
        let message = resolved(outside).expect_err(outside).to_string();
        assert!(message.starts_with("config.json: root.path: "), "{message}");
    }
    assert!(resolved("/etc").is_ok());
}
