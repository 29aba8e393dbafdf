//! Entries of config.json's `mounts`, with their options as mount(8) and runc know them.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use oci_spec::runtime::Mount;

use crate::bundle::{BundleError, invalid};
use crate::linux::{self, propagation_of};
use crate::spec::{ContainerSpec, IdMappings, MountKind, MountSpec, Propagation, Recursion};

/// Options that ask for what holds anyway, as times are kept in memory or by the host; and the kinds of a bind.
const IMPLIED: &[&str] = &[
    "async",
    "atime",
    "bind",
    "defaults",
    "loud",
    "newinstance",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "rbind",
    "ratime",
    "rnorelatime",
    "rnostrictatime",
    "silent",
];

/// All options of a mount that are honoured, beside a filesystem's own: for `features`.
pub(crate) fn known_options() -> Vec<String> {
    let flags = FLAGS.iter().flat_map(|(word, ..)| [(*word).to_owned(), format!("r{word}")]);
    let spread = ["private", "shared", "slave", "unbindable"];
    let spread = spread.into_iter().flat_map(|word| [word.to_owned(), format!("r{word}")]);
    let of_kinds = ["tmpcopyup", "idmap", "ridmap"].map(str::to_owned);
    let mut all: Vec<String> =
        IMPLIED.iter().map(ToString::to_string).chain(flags).chain(spread).chain(of_kinds).collect();
    all.sort();
    all.dedup();
    all
}

/// Changes a flag of a mount.
type Change = fn(&mut MountSpec);

/// Options that are flags; each has a recursive form with an "r" before it, which says the same here: one instance
/// stands behind a mount and what lies below.
const FLAGS: &[(&str, Change)] = &[
    ("ro", |mount| mount.readonly = true),
    ("rw", |mount| mount.readonly = false),
    ("nosuid", |mount| mount.nosuid = true),
    ("suid", |mount| mount.nosuid = false),
    ("nodev", |mount| mount.nodev = true),
    ("dev", |mount| mount.nodev = false),
    ("noexec", |mount| mount.noexec = true),
    ("exec", |mount| mount.noexec = false),
    ("nosymfollow", |mount| mount.nosymfollow = true),
    ("symfollow", |mount| mount.nosymfollow = false),
    ("nodiratime", |mount| mount.nodiratime = true),
    ("diratime", |mount| mount.nodiratime = false),
    ("noatime", |mount| (mount.noatime, mount.strictatime) = (true, false)),
    ("relatime", |mount| (mount.noatime, mount.strictatime) = (false, false)),
    ("strictatime", |mount| (mount.noatime, mount.strictatime) = (false, true)),
];

pub(crate) fn convert_mount(bundle: &Path, mount: &Mount) -> Result<MountSpec, BundleError> {
    let destination = mount.destination();
    let bytes = destination.as_os_str().as_bytes();
    // Before runtime-spec 1.0 they were relative to the root; runc takes them still.
    if !destination.is_absolute() || bytes.contains(&0) {
        return Err(invalid(
            "mounts.destination",
            format!("{} is not an absolute path", destination.display()),
        ));
    }
    let mut spec = MountSpec::new(kind(bundle, mount)?, bytes);
    spec.ids = ids(mount, &spec.kind)?;
    let of_bind = |option: &&String| matches!(option.as_str(), "bind" | "rbind");
    if mount.options().iter().flatten().rfind(of_bind).is_some_and(|option| option == "bind") {
        spec.recursion = Recursion::One;
    }
    spec.source = mount.source().iter().flat_map(|source| source.as_os_str().as_bytes()).copied().collect();
    for option in mount.options().iter().flatten() {
        let known = |word: &str| FLAGS.iter().find(|(flag, _)| *flag == word);
        if let Some((_, change)) = known(option).or_else(|| option.strip_prefix('r').and_then(known)) {
            change(&mut spec);
        } else if let Some(propagation) = propagation_of(option) {
            if propagation.0 == Propagation::Shared && matches!(spec.kind, MountKind::Bind(_)) {
                let problem = format!(
                    "{}: {option:?} of a bind is not supported, as no mount inside can show on the host; use rslave",
                    destination.display()
                );
                return Err(invalid("mounts.options", problem));
            }
            spec.propagation.push(propagation);
        } else if matches!(option.as_str(), "tmpcopyup" | "notmpcopyup") && spec.kind == MountKind::Tmpfs {
            spec.copies_up = option == "tmpcopyup";
        } else if matches!(option.as_str(), "idmap" | "ridmap") && matches!(spec.kind, MountKind::Bind(_)) {
            spec.ids.get_or_insert_default();
        } else if takes(&spec.kind, option) {
            spec.data.push(option.clone());
        } else if !IMPLIED.contains(&option.as_str()) {
            let problem =
                format!("{}: option {option:?} is not supported; leave it out", destination.display());
            return Err(invalid("mounts.options", problem));
        }
    }
    Ok(spec)
}

/// Maps of ids that a bind has for itself.
fn ids(mount: &Mount, kind: &MountKind) -> Result<Option<IdMappings>, BundleError> {
    let maps = IdMappings {
        users: linux::mappings(mount.uid_mappings(), "mounts.uidMappings")?,
        groups: linux::mappings(mount.gid_mappings(), "mounts.gidMappings")?,
    };
    let problem = match (maps.users.is_empty(), maps.groups.is_empty(), kind) {
        (true, true, _) => return Ok(None),
        (false, false, MountKind::Bind(_)) => return Ok(Some(maps)),
        (false, false, _) => "only a bind can have ids of its own; leave them out",
        _ => "needs both uidMappings and gidMappings",
    };
    Err(invalid("mounts.uidMappings", format!("{}: {problem}", mount.destination().display())))
}

/// Gives binds that ask for mapped ids the container's maps where they name none.
pub(crate) fn settle_ids(container: &mut ContainerSpec) -> Result<(), BundleError> {
    let own = IdMappings { users: container.uid_mappings.clone(), groups: container.gid_mappings.clone() };
    for mount in &mut container.mounts {
        let Some(ids) = mount.ids.as_mut().filter(|ids| ids.users.is_empty()) else { continue };
        if own.users.is_empty() {
            let destination = String::from_utf8_lossy(&mount.destination).into_owned();
            let problem = format!("{destination}: idmap needs uidMappings, of the mount or of the container");
            return Err(invalid("mounts.options", problem));
        }
        ids.clone_from(&own);
    }
    Ok(())
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
    use super::convert_mount;
    use crate::spec::{MountKind, Recursion};
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
        let all = super::known_options();
        let of_binds = |word: &&str| word.ends_with("bind") || word.ends_with("idmap");
        let all: Vec<&str> = all.iter().map(String::as_str).filter(|word| !of_binds(word)).collect();
        let spec = convert_mount(Path::new("/b"), &mount("tmpfs", &all)).unwrap();
        assert_eq!(spec.propagation.len(), 8);
        let spec = convert_mount(Path::new("/b"), &mount("tmpfs", &["ro", "noatime", "rw", "rstrictatime"]));
        assert!(spec.is_ok_and(|spec| !spec.readonly && !spec.noatime && spec.strictatime));
    }

    #[test]
    fn unknown_options_are_refused_by_name() {
        for (kind, option) in [
            ("tmpfs", "nonsense"),
            ("tmpfs", "colour=red"),
            ("proc", "hidepid=2"),
            ("tmpfs", "sync"),
            ("tmpfs", "idmap"),
            ("bind", "rshared"),
            ("tmpfs", "rcolour"),
        ] {
            let error = convert_mount(Path::new("/b"), &mount(kind, &[option])).unwrap_err().to_string();
            assert!(error.contains(option) && error.contains("/x"), "{error}");
        }
    }

    #[test]
    fn sources_of_binds_are_relative_to_the_bundle() {
        for (options, recursion) in [
            (&["rbind"][..], Recursion::All),
            (&["bind"], Recursion::One),
            (&["rbind", "ro", "bind"], Recursion::One),
            (&["bind", "rbind"], Recursion::All),
        ] {
            let spec = convert_mount(Path::new("/b"), &mount("none", options)).unwrap();
            assert_eq!((spec.kind, spec.recursion), (MountKind::Bind("/b/from".into()), recursion));
        }
    }
}
