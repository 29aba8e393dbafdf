//! What of config.json `palisade run` does not do. Nothing is ignored silently: a field that asks for
//! something that a sandbox would not get is refused by its name.
//!
//! Accepted without an effect, because what they ask for holds anyway: `linux.resources.devices` (no device
//! of the host exists inside, and a rule cannot create one), `linux.rootfsPropagation` unless shared,
//! `process.consoleSize` (the terminal has the size of the user's), `annotations`. Properties that the OCI
//! specification does not know have to be ignored, as it says.

use serde_json::Value;

use crate::bundle::{BundleError, invalid};

/// Fields that are refused when they ask for anything, and what to do about it.
const REFUSED: &[(&str, &str)] = &[
    ("hooks", "run them yourself before and after, or leave them out"),
    ("process.apparmorProfile", "leave it out: guests do not reach what the profile guards"),
    ("process.selinuxLabel", "leave it out: guests do not reach what the label guards"),
    ("process.oomScoreAdj", "leave it out, or set it for palisade with choom(1)"),
    ("process.ioPriority", "leave it out, or set it for palisade with ionice(1)"),
    ("process.scheduler", "leave it out, or set it for palisade with chrt(1)"),
    ("process.execCPUAffinity", "leave it out, or set it for palisade with taskset(1)"),
    ("linux.uidMappings", "leave it out: ids inside are virtual and need no mapping"),
    ("linux.gidMappings", "leave it out: ids inside are virtual and need no mapping"),
    ("linux.timeOffsets", "leave it out"),
    ("linux.sysctl", "leave it out"),
    ("linux.devices", "leave it out: /dev has the standard devices"),
    ("linux.netDevices", "leave it out"),
    ("linux.cgroupsPath", "leave it out: no cgroup is made"),
    ("linux.resources.memory", "leave it out, or limit palisade itself with systemd-run(1)"),
    ("linux.resources.cpu", "leave it out, or limit palisade itself with systemd-run(1)"),
    ("linux.resources.pids", "leave it out, or set process.rlimits RLIMIT_NPROC"),
    ("linux.resources.blockIO", "leave it out"),
    ("linux.resources.hugepageLimits", "leave it out"),
    ("linux.resources.network", "leave it out"),
    ("linux.resources.rdma", "leave it out"),
    ("linux.resources.unified", "leave it out"),
    ("linux.seccomp", "leave it out: the guest's calls do not reach the host's kernel"),
    ("linux.mountLabel", "leave it out"),
    ("linux.intelRdt", "leave it out"),
    ("linux.memoryPolicy", "leave it out, or run palisade under numactl(8)"),
];

/// Namespaces that a container always has, because it shares nothing with the host.
const NAMESPACES: &[&str] = &["pid", "mount", "ipc", "uts", "network"];

fn field<'a>(config: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(config, |value, name| value.get(name))
}

/// Whether a value is a long way of saying nothing, as engines write them: `{}`, `[]`, `{"shares": 0}`.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(says_nothing),
    }
}

/// Refuses what is not supported.
pub(crate) fn check(config: &Value) -> Result<(), BundleError> {
    check_version(config)?;
    for (path, remedy) in REFUSED {
        if field(config, path).is_some_and(|value| !says_nothing(value)) {
            return Err(invalid(path, format!("not supported; {remedy}")));
        }
    }
    check_namespaces(field(config, "linux.namespaces"))?;
    let text = |path| field(config, path).and_then(Value::as_str);
    if let Some(domain) = text("linux.personality.domain").filter(|domain| *domain != "LINUX") {
        return Err(invalid("linux.personality", format!("{domain} is not supported; leave it out")));
    }
    if let Some(kind) = text("linux.rootfsPropagation").filter(|kind| kind.ends_with("shared")) {
        return Err(invalid("linux.rootfsPropagation", format!("{kind} is not supported; use \"private\"")));
    }
    let mounts = config.get("mounts").and_then(Value::as_array).into_iter().flatten();
    for mount in mounts {
        if ["uidMappings", "gidMappings"].iter().any(|name| mount.get(name).is_some_and(|v| !says_nothing(v)))
        {
            return Err(invalid("mounts.uidMappings", "not supported; leave it out".to_owned()));
        }
    }
    Ok(())
}

fn check_version(config: &Value) -> Result<(), BundleError> {
    let version =
        config.get("ociVersion").and_then(Value::as_str).ok_or(BundleError::Missing("ociVersion"))?;
    let mut parts = version.split(['.', '-', '+']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    match (number(), number(), number()) {
        (Some(1), Some(_), Some(_)) => Ok(()),
        _ => Err(invalid("ociVersion", format!("{version:?} is not supported; this runtime speaks 1.x.y"))),
    }
}

fn check_namespaces(namespaces: Option<&Value>) -> Result<(), BundleError> {
    let list: &[Value] = namespaces.and_then(Value::as_array).map_or(&[], Vec::as_slice);
    let kind = |namespace: &Value| namespace.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
    for namespace in list {
        let kind = kind(namespace);
        if let Some(path) = namespace.get("path").and_then(Value::as_str).filter(|path| !path.is_empty()) {
            let problem = format!("joining the {kind} namespace {path} is not supported; leave the path out");
            return Err(invalid("linux.namespaces", problem));
        }
        if matches!(kind.as_str(), "user" | "time") {
            let problem = format!("a {kind} namespace of its own is not supported; leave it out");
            return Err(invalid("linux.namespaces", problem));
        }
    }
    for wanted in NAMESPACES {
        if !list.iter().any(|namespace| kind(namespace) == *wanted) {
            let problem = format!(
                "sharing the host's {wanted} namespace is not supported; add {{\"type\": \"{wanted}\"}}"
            );
            return Err(invalid("linux.namespaces", problem));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{NAMESPACES, REFUSED, check, says_nothing};
    use serde_json::{Value, json};

    fn plain() -> Value {
        let namespaces: Vec<Value> = NAMESPACES.iter().map(|kind| json!({ "type": kind })).collect();
        json!({
            "ociVersion": "1.0.2-dev",
            "process": {},
            "linux": { "namespaces": namespaces, "resources": { "devices": [{ "allow": false }], "cpu": { "shares": 0 } } },
        })
    }

    #[test]
    fn plain_configuration_passes() {
        assert!(check(&plain()).is_ok());
    }

    #[test]
    fn each_refused_field_is_named() {
        for (path, _) in REFUSED {
            let mut config = plain();
            let names: Vec<&str> = path.split('.').collect();
            let mut at = &mut config;
            for name in &names {
                at = &mut at[*name];
            }
            *at = json!({ "some": "thing" });
            let message = check(&config).expect_err(path).to_string();
            assert!(message.contains(path) && !message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn namespaces_are_our_own_and_new() {
        for (change, name) in [
            (json!([{ "type": "pid" }]), "mount"),
            (json!([{ "type": "network", "path": "/run/netns/x" }]), "/run/netns/x"),
            (json!([{ "type": "user" }]), "user"),
        ] {
            let mut config = plain();
            config["linux"]["namespaces"] = change;
            assert!(check(&config).is_err_and(|error| error.to_string().contains(name)));
        }
    }

    #[test]
    fn versions_are_1_x_y() {
        for (version, accepted) in
            [("1.0.0", true), ("1.2.1", true), ("2.0.0", false), ("", false), ("1.0", false)]
        {
            let mut config = plain();
            config["ociVersion"] = json!(version);
            assert_eq!(check(&config).is_ok(), accepted, "{version}");
        }
    }

    #[test]
    fn empty_values_say_nothing() {
        assert!(says_nothing(&json!({ "a": [], "b": { "c": 0 }, "d": "" })));
        assert!(!says_nothing(&json!([{}])));
    }
}
