//! Entries of config.json's `mounts`, with their options as mount(8) and runc know them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::Mount;

use crate::bundle::{BundleError, invalid};
use crate::spec::{MountKind, MountSpec};

/// Options that ask for what holds anyway: times are kept in memory or by the host, nobody else sees mounts
/// come and go, and a bind always shows what is mounted below it.
const IMPLIED: &[&str] = &[
    "async",
    "atime",
    "bind",
    "rbind",
    "defaults",
    "dev",
    "diratime",
    "exec",
    "loud",
    "newinstance",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "private",
    "rprivate",
    "rslave",
    "runbindable",
    "rw",
    "silent",
    "slave",
    "strictatime",
    "relatime",
    "suid",
    "symfollow",
    "unbindable",
    "rrw",
    "rsuid",
    "rdev",
    "rexec",
    "rsymfollow",
    "ratime",
    "rdiratime",
    "rrelatime",
    "rstrictatime",
    "nodiratime",
    "rnodiratime",
];

pub(crate) fn convert_mount(bundle: &Path, mount: &Mount) -> Result<MountSpec, BundleError> {
    let destination = mount.destination();
    if !destination.is_absolute() {
        return Err(invalid(
            "mounts.destination",
            format!("{} is not an absolute path", destination.display()),
        ));
    }
    let mut spec = MountSpec::new(kind(bundle, mount)?, destination.as_os_str().as_bytes());
    spec.source = mount.source().iter().flat_map(|source| source.as_os_str().as_bytes()).copied().collect();
    for option in mount.options().iter().flatten() {
        match option.as_str() {
            "ro" | "rro" => spec.readonly = true,
            "nosuid" | "rnosuid" => spec.nosuid = true,
            "nodev" | "rnodev" => spec.nodev = true,
            "noexec" | "rnoexec" => spec.noexec = true,
            "noatime" | "rnoatime" => spec.noatime = true,
            "nosymfollow" | "rnosymfollow" => spec.nosymfollow = true,
            // Undone by what comes later in the list.
            "rw" | "rrw" => spec.readonly = false,
            option if IMPLIED.contains(&option) => {}
            option if takes(&spec.kind, option) => spec.data.push(option.to_owned()),
            option => {
                let problem =
                    format!("{}: option {option:?} is not supported; leave it out", destination.display());
                return Err(invalid("mounts.options", problem));
            }
        }
    }
    Ok(spec)
}

fn kind(bundle: &Path, mount: &Mount) -> Result<MountKind, BundleError> {
    let is_bind = |option: &String| matches!(option.as_str(), "bind" | "rbind");
    let source = || mount.source().clone().unwrap_or_default();
    Ok(match mount.typ().as_deref() {
        _ if mount.options().iter().flatten().any(is_bind) => MountKind::Bind(bundle.join(source())),
        Some("bind") => MountKind::Bind(bundle.join(source())),
        Some("proc") => MountKind::Proc,
        Some("tmpfs") => MountKind::Tmpfs,
        Some("sysfs") => MountKind::Sysfs,
        Some("devtmpfs") => MountKind::Devtmpfs,
        Some("devpts") => MountKind::Devpts,
        Some("mqueue") => MountKind::Mqueue,
        Some("cgroup" | "cgroup2") => MountKind::Cgroup,
        other => {
            let problem =
                format!("{}: {} is not supported", mount.destination().display(), other.unwrap_or("(none)"));
            return Err(invalid("mounts.type", problem));
        }
    })
}

/// Whether a filesystem has such an option of its own, of the form `key=value`.
fn takes(kind: &MountKind, option: &str) -> bool {
    let key = option.split_once('=').map_or("", |(key, _)| key);
    match kind {
        MountKind::Tmpfs | MountKind::Devtmpfs => {
            matches!(key, "size" | "nr_blocks" | "nr_inodes" | "mode" | "uid" | "gid" | "huge" | "mpol")
        }
        // The only values there are (devpts(5): what distributions choose).
        MountKind::Devpts => {
            matches!(option, "gid=5" | "mode=0620" | "mode=620" | "ptmxmode=0666" | "ptmxmode=666")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{IMPLIED, convert_mount};
    use crate::spec::MountKind;
    use oci_spec::runtime::Mount;
    use serde_json::json;
    use std::path::Path;

    fn mount(kind: &str, options: &[&str]) -> Mount {
        let text = json!({ "destination": "/x", "type": kind, "source": "from", "options": options });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn options_become_flags_or_data() {
        let spec = convert_mount(Path::new("/b"), &mount("tmpfs", &["ro", "nosuid", "size=1k"])).unwrap();
        assert!(spec.readonly && spec.nosuid && !spec.nodev && !spec.noexec);
        assert_eq!(spec.data, ["size=1k"]);
        assert!(convert_mount(Path::new("/b"), &mount("tmpfs", IMPLIED)).is_ok());
    }

    #[test]
    fn unknown_options_are_refused_by_name() {
        for (kind, option) in
            [("tmpfs", "nonsense"), ("tmpfs", "colour=red"), ("proc", "hidepid=2"), ("tmpfs", "shared")]
        {
            let error = convert_mount(Path::new("/b"), &mount(kind, &[option])).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("/x"), "{error}");
        }
    }

    #[test]
    fn sources_of_binds_are_relative_to_the_bundle() {
        for options in [["rbind"], ["bind"]] {
            let spec = convert_mount(Path::new("/b"), &mount("none", &options)).unwrap();
            assert_eq!(spec.kind, MountKind::Bind("/b/from".into()));
        }
    }
}
