//! From a bundle directory to a [`ContainerSpec`]. What cannot be honoured is refused by name.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::{Capabilities, Capability, PosixRlimitType, Process, Spec};
use serde_json::Value;

use crate::home;
use crate::hooks;
use crate::mounts::convert_mount;
use crate::process::{ProcessSpec, Rlimit, User};
use crate::spec::ContainerSpec;
use crate::supported;

/// Why a bundle can't be run; each message names the thing and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error(
        "bundle {0}: cannot open config.json: {1}; give a directory made by `runc spec` or an image tool"
    )]
    NoConfig(PathBuf, std::io::Error),
    #[error("bundle {0}: config.json is malformed: {1}")]
    Malformed(PathBuf, String),
    #[error("config.json: {0} is missing")]
    Missing(&'static str),
    #[error("config.json: {field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    #[error(transparent)]
    Hook(#[from] hooks::HookError),
}

/// Largest config.json that is read, in bytes.
const MAX_CONFIG: u64 = 8 << 20;

pub(crate) fn invalid(field: &'static str, problem: impl Into<String>) -> BundleError {
    BundleError::Invalid { field, problem: problem.into() }
}

/// Reads `bundle`/config.json.
pub fn load(bundle: &Path) -> Result<ContainerSpec, BundleError> {
    let path = bundle.join("config.json");
    let file = File::open(&path).map_err(|error| BundleError::NoConfig(bundle.to_path_buf(), error))?;
    let malformed =
        |error: &dyn std::fmt::Display| BundleError::Malformed(bundle.to_path_buf(), error.to_string());
    if file.metadata().map_err(|error| malformed(&error))?.len() > MAX_CONFIG {
        return Err(malformed(&"larger than 8 MiB"));
    }
    let config: Value =
        serde_json::from_reader(std::io::BufReader::new(file)).map_err(|error| malformed(&error))?;
    let spec: Spec = serde_json::from_value(config.clone()).map_err(|error| malformed(&error))?;
    supported::check(&config)?;
    if let Some(list) = spec.hooks() {
        hooks::check(list)?;
    }
    convert(bundle, &spec)
}

fn convert(bundle: &Path, spec: &Spec) -> Result<ContainerSpec, BundleError> {
    let root = spec.root().as_ref().ok_or(BundleError::Missing("root"))?;
    let process = spec.process().as_ref().ok_or(BundleError::Missing("process"))?;
    let args = process
        .args()
        .as_ref()
        .filter(|args| !args.is_empty())
        .ok_or(BundleError::Missing("process.args"))?;
    let cwd = process.cwd();
    if !cwd.is_absolute() {
        return Err(invalid("process.cwd", format!("{} is not an absolute path", cwd.display())));
    }
    let rootfs = if root.path().is_absolute() { root.path().clone() } else { bundle.join(root.path()) };
    let mounts = spec.mounts().as_ref().map_or(Ok(Vec::new()), |mounts| {
        mounts.iter().map(|mount| convert_mount(bundle, mount)).collect::<Result<Vec<_>, _>>()
    })?;
    let masked = |paths: &Option<Vec<String>>| absolute_paths("linux.maskedPaths", paths);
    let readonly = |paths: &Option<Vec<String>>| absolute_paths("linux.readonlyPaths", paths);
    let linux = spec.linux().as_ref();
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={}", home::of(&rootfs, process.user().uid())));
    }
    let bytes = |strings: &[String]| strings.iter().map(|s| s.as_bytes().to_vec()).collect();
    Ok(ContainerSpec {
        rootfs,
        readonly: root.readonly().unwrap_or(false),
        overlay: false,
        mounts,
        masked_paths: linux.map_or(Ok(Vec::new()), |linux| masked(linux.masked_paths()))?,
        readonly_paths: linux.map_or(Ok(Vec::new()), |linux| readonly(linux.readonly_paths()))?,
        process: ProcessSpec {
            args: bytes(args),
            env: bytes(&env),
            cwd: cwd.as_os_str().as_bytes().to_vec(),
            user: convert_user(process)?,
            capabilities: capability_sets(process),
            no_new_privs: process.no_new_privileges().unwrap_or(false),
            rlimits: convert_rlimits(process),
            terminal: process.terminal().unwrap_or(false),
            ..ProcessSpec::default()
        },
        hostname: spec.hostname().as_ref().map_or_else(Vec::new, |name| name.as_bytes().to_vec()),
        domainname: spec.domainname().as_ref().map_or_else(Vec::new, |name| name.as_bytes().to_vec()),
        cgroups_path: linux
            .and_then(|linux| linux.cgroups_path().as_ref())
            .map(|path| path.display().to_string()),
        resources: linux.and_then(|linux| linux.resources().clone()).unwrap_or_default(),
        hooks: spec.hooks().clone().unwrap_or_default(),
        annotations: spec.annotations().clone().unwrap_or_default().into_iter().collect(),
        ..ContainerSpec::default()
    })
}

fn absolute_paths(field: &'static str, paths: &Option<Vec<String>>) -> Result<Vec<Vec<u8>>, BundleError> {
    let check = |path: &String| match path.starts_with('/') {
        true => Ok(path.as_bytes().to_vec()),
        false => Err(invalid(field, format!("{path:?} is not an absolute path"))),
    };
    paths.iter().flatten().map(check).collect()
}

fn convert_user(process: &Process) -> Result<User, BundleError> {
    let user = process.user();
    let groups = user.additional_gids().clone().unwrap_or_default();
    let ids = [user.uid(), user.gid()];
    // (uid_t)-1 means "no change" to setresuid(2), and is nobody's id.
    if ids.iter().chain(&groups).any(|id| *id == u32::MAX) {
        return Err(invalid("process.user", "4294967295 is not an id; choose another"));
    }
    Ok(User { uid: user.uid(), gid: user.gid(), groups, umask: user.umask().map(|umask| umask & 0o777) })
}

fn bits(set: Option<&Capabilities>) -> u64 {
    set.into_iter().flatten().fold(0, |bits, cap| bits | capability_number(*cap).map_or(0, |n| 1 << n))
}

fn capability_sets(process: &Process) -> [u64; 5] {
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
    let name = cap.to_string();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    NAMES.iter().position(|known| *known == name).map(|at| at as u32)
}

fn convert_rlimits(process: &Process) -> Vec<Rlimit> {
    let limits = process.rlimits().iter().flatten();
    let convert = |limit: &oci_spec::runtime::PosixRlimit| Rlimit {
        resource: rlimit_number(limit.typ()),
        soft: limit.soft(),
        hard: limit.hard(),
    };
    limits.map(convert).collect()
}

fn rlimit_number(resource: PosixRlimitType) -> u32 {
    match resource {
        PosixRlimitType::RlimitCpu => 0,
        PosixRlimitType::RlimitFsize => 1,
        PosixRlimitType::RlimitData => 2,
        PosixRlimitType::RlimitStack => 3,
        PosixRlimitType::RlimitCore => 4,
        PosixRlimitType::RlimitRss => 5,
        PosixRlimitType::RlimitNproc => 6,
        PosixRlimitType::RlimitNofile => 7,
        PosixRlimitType::RlimitMemlock => 8,
        PosixRlimitType::RlimitAs => 9,
        PosixRlimitType::RlimitLocks => 10,
        PosixRlimitType::RlimitSigpending => 11,
        PosixRlimitType::RlimitMsgqueue => 12,
        PosixRlimitType::RlimitNice => 13,
        PosixRlimitType::RlimitRtprio => 14,
        PosixRlimitType::RlimitRttime => 15,
    }
}
