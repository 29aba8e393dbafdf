//! `linux` of config.json: namespaces, devices, sysctls and the like. (Resources: `cgroup`; filters: `seccomp`.)

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::{
    Linux, LinuxDevice, LinuxDeviceType, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType,
};

use crate::bundle::{BundleError, invalid};
use crate::spec::{ContainerSpec, DeviceSpec, IdMapping, NamespaceSpec, Propagation, Recursion};

/// Character devices that exist in a container (mem(4), tty(4)): all that they do happens inside.
const DEVICES: [(u32, u32); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)];

/// S_IFCHR and S_IFIFO (inode(7)).
const CHARACTER: u32 = 0o020_000;
const FIFO: u32 = 0o010_000;

/// Most lines of a map of ids (user_namespaces(7)).
const MAX_MAPPINGS: usize = 340;

/// The annotation by which CRI marks a container that belongs to a pod: its sandbox's id.
const SANDBOX_IDS: [&str; 2] = ["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"];

/// Puts what `linux` says into `spec`, whose annotations are known.
pub(crate) fn convert(linux: &Linux, spec: &mut ContainerSpec) -> Result<(), BundleError> {
    let is_in_pod = SANDBOX_IDS.iter().any(|name| spec.annotations.contains_key(*name));
    spec.namespaces = namespaces(linux.namespaces().as_deref().unwrap_or_default(), is_in_pod)?;
    spec.devices = linux.devices().iter().flatten().map(device).collect::<Result<_, _>>()?;
    spec.sysctl = sysctl(linux)?;
    spec.uid_mappings = mappings(linux.uid_mappings(), "linux.uidMappings")?;
    spec.gid_mappings = mappings(linux.gid_mappings(), "linux.gidMappings")?;
    check_mappings(spec)?;
    spec.masked_paths = absolute_paths("linux.maskedPaths", linux.masked_paths())?;
    spec.readonly_paths = absolute_paths("linux.readonlyPaths", linux.readonly_paths())?;
    spec.root_propagation = propagation(linux.rootfs_propagation().as_deref().unwrap_or_default())?;
    if let Some(profile) = linux.seccomp() {
        // Whatever is wrong with it is told before anything is made.
        crate::seccomp::compile(profile)?;
        spec.seccomp = Some(profile.clone());
    }
    if let Some(personality) = linux.personality() {
        if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
            return Err(invalid("linux.personality.flags", "the runtime-spec knows none; leave them out"));
        }
        spec.personality = Some(match personality.domain() {
            oci_spec::runtime::LinuxPersonalityDomain::PerLinux => 0,
            oci_spec::runtime::LinuxPersonalityDomain::PerLinux32 => 8,
        });
    }
    spec.cgroups_path = linux.cgroups_path().as_ref().map(|path| path.display().to_string());
    spec.resources = linux.resources().clone().unwrap_or_default();
    Ok(())
}

fn absolute_paths(field: &'static str, paths: &Option<Vec<String>>) -> Result<Vec<Vec<u8>>, BundleError> {
    let check = |path: &String| match path.starts_with('/') && !path.contains('\0') {
        true => Ok(path.as_bytes().to_vec()),
        false => Err(invalid(field, format!("{path:?} is not an absolute path"))),
    };
    paths.iter().flatten().map(check).collect()
}

fn kind(namespace: LinuxNamespaceType) -> &'static str {
    match namespace {
        LinuxNamespaceType::Pid => "pid",
        LinuxNamespaceType::Network => "network",
        LinuxNamespaceType::Mount => "mount",
        LinuxNamespaceType::Ipc => "ipc",
        LinuxNamespaceType::Uts => "uts",
        LinuxNamespaceType::User => "user",
        LinuxNamespaceType::Cgroup => "cgroup",
        LinuxNamespaceType::Time => "time",
    }
}

/// Namespaces that a container always has, because it shares nothing with the host.
const OWN: [&str; 5] = ["pid", "mount", "ipc", "uts", "network"];

fn namespaces(list: &[LinuxNamespace], is_in_pod: bool) -> Result<Vec<NamespaceSpec>, BundleError> {
    const FIELD: &str = "linux.namespaces";
    let mut all: Vec<NamespaceSpec> = Vec::new();
    for namespace in list {
        let kind = kind(namespace.typ());
        let path = namespace.path().clone().filter(|path| !path.as_os_str().is_empty());
        if all.iter().any(|before| before.kind == kind) {
            return Err(invalid(FIELD, format!("{kind} is there twice; leave one out")));
        }
        if let Some(path) = &path {
            check_join(kind, path, is_in_pod)?;
        } else if kind == "time" {
            return Err(invalid(FIELD, "a time namespace of its own is not supported; leave it out"));
        }
        all.push(NamespaceSpec { kind: kind.to_owned(), path });
    }
    for wanted in OWN {
        if !all.iter().any(|namespace| namespace.kind == wanted) {
            let problem = format!(
                "sharing the host's {wanted} namespace is not supported; add {{\"type\": \"{wanted}\"}}"
            );
            return Err(invalid(FIELD, problem));
        }
    }
    Ok(all)
}

/// What can be joined: the network namespace that a CNI plugin made, and what containers of a pod share, which live in
/// one supervisor.
fn check_join(kind: &str, path: &Path, is_in_pod: bool) -> Result<(), BundleError> {
    const FIELD: &str = "linux.namespaces";
    if !path.is_absolute() {
        return Err(invalid(FIELD, format!("{}, the path of {kind}, is not absolute", path.display())));
    }
    match kind {
        "network" => {}
        "pid" | "ipc" | "uts" | "user" if is_in_pod => {}
        _ => {
            let problem = format!(
                "joining the {kind} namespace {} is not supported outside of a pod; leave the path out",
                path.display()
            );
            return Err(invalid(FIELD, problem));
        }
    }
    // A namespace's inode is in nsfs; anything else cannot be joined.
    const NSFS_MAGIC: i64 = 0x6e73_6673;
    match rustix::fs::statfs(path) {
        Ok(fs) if fs.f_type == NSFS_MAGIC => Ok(()),
        Ok(_) => Err(invalid(FIELD, format!("{}, the path of {kind}, is no namespace", path.display()))),
        Err(error) => Err(invalid(FIELD, format!("{}, the path of {kind}: {error}", path.display()))),
    }
}

fn device(device: &LinuxDevice) -> Result<DeviceSpec, BundleError> {
    let path = device.path();
    let shown = path.display();
    if !path.is_absolute() {
        return Err(invalid("linux.devices.path", format!("{shown} is not an absolute path")));
    }
    let number = |value: i64| u32::try_from(value).ok();
    let (kind, number) = match (device.typ(), number(device.major()).zip(number(device.minor()))) {
        (LinuxDeviceType::P, _) => (FIFO, (0, 0)),
        (LinuxDeviceType::C | LinuxDeviceType::U, Some(number)) if DEVICES.contains(&number) => {
            (CHARACTER, number)
        }
        (typ, _) => {
            let problem = format!(
                "{shown}, {} {}:{}, is a device of the host, which no sandbox can reach; leave it out",
                typ.as_str(),
                device.major(),
                device.minor()
            );
            return Err(invalid("linux.devices", problem));
        }
    };
    let mode = kind | device.file_mode().unwrap_or(0o666) & 0o7777;
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    let (major, minor) = number;
    Ok(DeviceSpec { path: path.as_os_str().as_bytes().to_vec(), mode, major, minor, uid, gid })
}

/// Names with dots or slashes; a slash inside a dotted name stands for a dot, as in sysctl(8).
fn sysctl(linux: &Linux) -> Result<BTreeMap<String, String>, BundleError> {
    let mut all = BTreeMap::new();
    for (name, value) in linux.sysctl().iter().flatten() {
        let first = name.find(['.', '/']).and_then(|at| name.get(at..=at));
        let path: String = match first {
            Some("/") => name.clone(),
            _ => name
                .chars()
                .map(|c| {
                    if c == '.' {
                        '/'
                    } else if c == '/' {
                        '.'
                    } else {
                        c
                    }
                })
                .collect(),
        };
        if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
            return Err(invalid("linux.sysctl", format!("{name:?} is no name of a sysctl")));
        }
        all.insert(path, value.clone());
    }
    Ok(all)
}

pub(crate) fn mappings(
    list: &Option<Vec<LinuxIdMapping>>,
    field: &'static str,
) -> Result<Vec<IdMapping>, BundleError> {
    let convert = |mapping: &LinuxIdMapping| {
        let (container_id, host_id, size) = (mapping.container_id(), mapping.host_id(), mapping.size());
        let ends = [container_id.checked_add(size), host_id.checked_add(size)];
        if size == 0 || ends.contains(&None) {
            return Err(invalid(
                field,
                format!("{size} ids from {container_id} and {host_id} are no range of ids"),
            ));
        }
        Ok(IdMapping { container_id, host_id, size })
    };
    list.iter().flatten().map(convert).collect()
}

/// Ids are mapped for a user namespace, and one of its own needs them.
fn check_mappings(spec: &ContainerSpec) -> Result<(), BundleError> {
    let user = spec.namespaces.iter().find(|namespace| namespace.kind == "user");
    let is_own = user.is_some_and(|namespace| namespace.path.is_none());
    for (field, list) in
        [("linux.uidMappings", &spec.uid_mappings), ("linux.gidMappings", &spec.gid_mappings)]
    {
        match list.is_empty() {
            true if is_own => return Err(invalid(field, "is empty; a user namespace needs it")),
            false if user.is_none() => {
                return Err(invalid(field, "needs {\"type\": \"user\"} in linux.namespaces"));
            }
            _ => {}
        }
        let pairs = |one: &IdMapping| [(one.container_id, one.size), (one.host_id, one.size)];
        for (at, one) in list.iter().enumerate() {
            for other in list.iter().skip(at + 1) {
                let overlap = |(a, b): (&(u32, u32), &(u32, u32))| a.0 < b.0 + b.1 && b.0 < a.0 + a.1;
                if pairs(one).iter().zip(&pairs(other)).any(overlap) {
                    return Err(invalid(field, format!("{one} and {other} overlap")));
                }
            }
        }
        if list.len() > MAX_MAPPINGS {
            return Err(invalid(field, format!("has more than {MAX_MAPPINGS} entries")));
        }
    }
    Ok(())
}

/// The word of mount(8) for a propagation.
pub(crate) fn propagation_of(word: &str) -> Option<(Propagation, Recursion)> {
    let (word, recursion) = match word.strip_prefix('r') {
        Some(rest) => (rest, Recursion::All),
        None => (word, Recursion::One),
    };
    let propagation = match word {
        "private" => Propagation::Private,
        "slave" => Propagation::Slave,
        "shared" => Propagation::Shared,
        "unbindable" => Propagation::Unbindable,
        _ => return None,
    };
    Some((propagation, recursion))
}

fn propagation(name: &str) -> Result<(Propagation, Recursion), BundleError> {
    if name.is_empty() {
        return Ok((Propagation::Private, Recursion::One));
    }
    propagation_of(name).ok_or_else(|| {
        let problem = format!("{name:?} is none of private, slave, shared and unbindable");
        invalid("linux.rootfsPropagation", problem)
    })
}

#[cfg(test)]
mod tests {
    use super::convert;
    use crate::ContainerSpec;
    use oci_spec::runtime::Linux;
    use serde_json::{Value, json};

    fn converted(change: impl FnOnce(&mut Value)) -> Result<ContainerSpec, String> {
        let namespaces: Vec<Value> = super::OWN.iter().map(|kind| json!({ "type": kind })).collect();
        let mut linux = json!({ "namespaces": namespaces });
        change(&mut linux);
        let linux: Linux = serde_json::from_value(linux).unwrap();
        let mut spec = ContainerSpec::default();
        convert(&linux, &mut spec).map(|()| spec).map_err(|error| error.to_string())
    }

    #[test]
    fn sysctl_names_have_dots_or_slashes() {
        let names = ["net.ipv4.ip_forward", "kernel/msgmax", "net.ipv4.conf.eth0/1.forwarding"];
        let spec =
            converted(|linux| names.iter().for_each(|name| linux["sysctl"][*name] = json!("1"))).unwrap();
        let paths: Vec<&str> = spec.sysctl.keys().map(String::as_str).collect();
        assert_eq!(paths, ["kernel/msgmax", "net/ipv4/conf/eth0.1/forwarding", "net/ipv4/ip_forward"]);
        assert!(converted(|linux| linux["sysctl"]["a/../b"] = json!("1")).is_err());
    }

    #[test]
    fn devices_of_the_host_are_refused_by_name() {
        let device = |typ: &str, major: i64, minor: i64| {
            converted(|linux| {
                linux["devices"] = json!([{ "path": "/dev/x", "type": typ, "major": major, "minor": minor }]);
            })
        };
        assert_eq!(device("c", 1, 3).unwrap().devices[0].mode, 0o020_666);
        assert!(device("p", 0, 0).is_ok());
        for (typ, major, minor) in [("b", 8, 0), ("c", 1, 1), ("c", 10, 200), ("c", -1, 0)] {
            assert!(device(typ, major, minor).unwrap_err().contains("linux.devices: /dev/x"));
        }
    }

    #[test]
    fn namespaces_are_our_own_or_a_pods() {
        let with = |change: Value| converted(|linux| linux["namespaces"] = change);
        let list = |kind: &str, path: &str| {
            let one = |own: &&str| {
                if *own == kind { json!({ "type": own, "path": path }) } else { json!({ "type": own }) }
            };
            with(super::OWN.iter().map(one).collect())
        };
        assert!(with(json!([{ "type": "pid" }])).unwrap_err().contains("host's mount"));
        assert!(list("network", "/proc/self/ns/net").is_ok());
        assert!(list("network", "/no/such").unwrap_err().contains("/no/such"));
        assert!(list("network", "/etc/passwd").unwrap_err().contains("no namespace"));
        assert!(list("ipc", "/proc/self/ns/ipc").unwrap_err().contains("outside of a pod"));
        assert!(list("mount", "/proc/self/ns/mnt").unwrap_err().contains("joining the mount"));
    }

    #[test]
    fn maps_are_ranges_of_a_user_namespace() {
        let with = |map: Value| {
            converted(|linux| {
                linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
                (linux["uidMappings"], linux["gidMappings"]) = (map.clone(), map);
            })
        };
        let line = |inside: u32, host: u32, size: u64| json!({ "containerID": inside, "hostID": host, "size": size });
        let map = |size: u64, host: u32| with(json!([line(0, host, size)]));
        assert_eq!(map(65536, 0).unwrap().uid_mappings[0].size, 65536);
        assert!(map(0, 0).is_err() && map(0xffff_ffff, 7).is_err());
        assert_eq!(map(65536, 100_000).unwrap().gid_mappings[0].host_id, 100_000);
        let pair = |second: Value| with(json!([line(0, 1000, 10), second]));
        assert!(pair(line(10, 1010, 1)).is_ok());
        assert!(pair(line(9, 2000, 1)).unwrap_err().contains("overlap"));
        assert!(pair(line(20, 1009, 1)).unwrap_err().contains("overlap"));
        assert!(with(json!([])).unwrap_err().contains("a user namespace needs it"));
        let alone = converted(|linux| linux["uidMappings"] = json!([line(0, 0, 1)]));
        assert!(alone.unwrap_err().contains("linux.namespaces"));
    }
}
