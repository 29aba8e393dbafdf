//! Names of capabilities as bit sets.

use oci_spec::runtime::{Capabilities, Capability, Process};

fn bits(set: Option<&Capabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |bits, cap| bits | capability_number(*cap).map_or(0, |n| 1 << n))
}

/// Bounding, effective, permitted, inheritable, ambient.
pub(crate) fn sets(process: &Process) -> [u64; 5] {
    let Some(caps) = process.capabilities() else { return [0; 5] };
    [
        bits(caps.bounding().as_ref()),
        bits(caps.effective().as_ref()),
        bits(caps.permitted().as_ref()),
        bits(caps.inheritable().as_ref()),
        bits(caps.ambient().as_ref()),
    ]
}

/// The kernel's number of a capability, by its name (include/uapi/linux/capability.h).
fn capability_number(cap: Capability) -> Option<u32> {
    let name = cap.to_string();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    NAMES.iter().position(|known| *known == name).map(|at| at as u32)
}

/// All of them, as config.json has them.
pub(crate) fn names() -> Vec<String> {
    NAMES.iter().map(|name| format!("CAP_{name}")).collect()
}

const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
