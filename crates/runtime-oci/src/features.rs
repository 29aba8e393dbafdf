//! What this runtime does, as `features` tells it (runtime-spec, features.md).

use serde_json::{Value, json};

use crate::OCI_VERSION;
use crate::capability;
use crate::hooks::HookKind;
use crate::mounts;

/// The whole structure.
#[must_use]
pub fn features() -> Value {
    let hooks: Vec<&str> = HookKind::ALL.into_iter().map(HookKind::name).collect();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": hooks,
        "mountOptions": mounts::known_options(),
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "user", "uts"],
            "capabilities": capability::names(),
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": true, "rdma": true },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW",
                    "SCMP_ACT_ERRNO",
                    "SCMP_ACT_KILL",
                    "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD",
                    "SCMP_ACT_TRACE",
                    "SCMP_ACT_TRAP",
                ],
                "operators": [
                    "SCMP_CMP_EQ",
                    "SCMP_CMP_GE",
                    "SCMP_CMP_GT",
                    "SCMP_CMP_LE",
                    "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ",
                    "SCMP_CMP_NE",
                ],
                // Others may be named; no call of theirs exists inside.
                "archs": ["SCMP_ARCH_X86_64"],
                "knownFlags": FLAGS,
                "supportedFlags": FLAGS.iter().filter(|flag| **flag != LOG).collect::<Vec<_>>(),
            },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } },
            "netDevices": { "enabled": false },
        },
        "annotations": { "palisade.version": env!("CARGO_PKG_VERSION") },
    })
}

/// Known, and refused: guests do not write to the host's log.
const LOG: &str = "SECCOMP_FILTER_FLAG_LOG";

const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    LOG,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

#[cfg(test)]
mod tests {
    use super::features;

    #[test]
    fn structure_is_the_specifications() {
        let features: oci_spec::runtime::Features = serde_json::from_value(features()).unwrap();
        let options = features.mount_options().clone().unwrap();
        for option in ["ro", "rro", "bind", "rbind", "rprivate", "nosuid", "strictatime"] {
            assert!(options.iter().any(|known| known == option), "{option}");
        }
        let linux = features.linux().clone().unwrap();
        assert_eq!(linux.capabilities().as_ref().unwrap().len(), 41);
    }
}
