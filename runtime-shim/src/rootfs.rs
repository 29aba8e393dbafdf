//! The container's root: what containerd's snapshotter says is to be mounted.

use std::path::Path;

use containerd_shim_protos::api::Mount;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Error, io};

/// Options that are flags of mount(2): their name, the flag, and whether it is taken away.
const FLAGS: [(&str, MsFlags, bool); 21] = [
    ("ro", MsFlags::MS_RDONLY, false),
    ("rw", MsFlags::MS_RDONLY, true),
    ("nosuid", MsFlags::MS_NOSUID, false),
    ("suid", MsFlags::MS_NOSUID, true),
    ("nodev", MsFlags::MS_NODEV, false),
    ("dev", MsFlags::MS_NODEV, true),
    ("noexec", MsFlags::MS_NOEXEC, false),
    ("exec", MsFlags::MS_NOEXEC, true),
    ("sync", MsFlags::MS_SYNCHRONOUS, false),
    ("dirsync", MsFlags::MS_DIRSYNC, false),
    ("noatime", MsFlags::MS_NOATIME, false),
    ("atime", MsFlags::MS_NOATIME, true),
    ("nodiratime", MsFlags::MS_NODIRATIME, false),
    ("relatime", MsFlags::MS_RELATIME, false),
    ("norelatime", MsFlags::MS_RELATIME, true),
    ("strictatime", MsFlags::MS_STRICTATIME, false),
    ("bind", MsFlags::MS_BIND, false),
    ("private", MsFlags::MS_PRIVATE, false),
    ("slave", MsFlags::MS_SLAVE, false),
    ("rprivate", MsFlags::MS_PRIVATE.union(MsFlags::MS_REC), false),
    ("rslave", MsFlags::MS_SLAVE.union(MsFlags::MS_REC), false),
];
const PROPAGATION: MsFlags = MsFlags::MS_PRIVATE.union(MsFlags::MS_SLAVE).union(MsFlags::MS_SHARED);
/// Most mounts that are taken off one place.
const MAX_STACKED: usize = 64;

/// Mounts a snapshot.
pub(crate) fn mount_all(mounts: &[Mount], target: &Path) -> Result<(), Error> {
    mounts.iter().try_for_each(|one| {
        let what = || format!("cannot mount {} {} on {}", one.type_, one.source, target.display());
        mount_one(one, target).map_err(|errno| io(what())(errno))
    })
}

fn mount_one(one: &Mount, target: &Path) -> nix::Result<()> {
    let (flags, data) = parse(&one.options);
    let (propagation, flags) = (flags & (PROPAGATION | MsFlags::MS_REC), flags - PROPAGATION);
    let kind = Some(one.type_.as_str()).filter(|kind| !kind.is_empty());
    mount(Some(one.source.as_str()), target, kind, flags, Some(data.as_str()))?;
    // A bind takes the flags of what is bound first.
    if flags.contains(MsFlags::MS_BIND) && flags.contains(MsFlags::MS_RDONLY) {
        let again = flags | MsFlags::MS_REMOUNT;
        mount(None::<&str>, target, None::<&str>, again, None::<&str>)?;
    }
    if propagation.intersects(PROPAGATION) {
        mount(None::<&str>, target, None::<&str>, propagation, None::<&str>)?;
    }
    Ok(())
}

fn parse(options: &[String]) -> (MsFlags, String) {
    let (mut flags, mut data) = (MsFlags::empty(), Vec::new());
    for option in options {
        match FLAGS.iter().find(|(name, ..)| name == option) {
            Some((_, flag, false)) => flags |= *flag,
            Some((_, flag, true)) => flags -= *flag,
            None if option == "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            None => data.push(option.as_str()),
        }
    }
    (flags, data.join(","))
}

/// Unmounts whatever is mounted on `target`.
pub(crate) fn unmount_all(target: &Path) {
    for _ in 0..MAX_STACKED {
        if umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use nix::mount::MsFlags;

    #[test]
    fn flags_and_data_are_told_apart() {
        let (flags, data) = parse(&["ro", "rbind", "lowerdir=/a:/b", "rw", "index=off"].map(str::to_owned));
        assert_eq!(flags, MsFlags::MS_BIND | MsFlags::MS_REC);
        assert_eq!(data, "lowerdir=/a:/b,index=off");
    }
}
