//! mounts, mountinfo and mountstats (fs/proc_namespace.c): the mounts below a process's root.

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::device_numbers;
use kernel_base::caller::Caller;
use kernel_vfs::dentry::Dentry;
use kernel_vfs::mount::{Mount, MountFlags, SuperFlags};
use kernel_vfs::path::Path;

use super::Target;
use crate::pseudo::text;

/// Per-mount options by flag (show_mnt_opts).
const OPTIONS: [(MountFlags, &str); 7] = [
    (MountFlags::NOSUID, ",nosuid"),
    (MountFlags::NODEV, ",nodev"),
    (MountFlags::NOEXEC, ",noexec"),
    (MountFlags::NOATIME, ",noatime"),
    (MountFlags::NODIRATIME, ",nodiratime"),
    (MountFlags::RELATIME, ",relatime"),
    (MountFlags::NOSYMFOLLOW, ",nosymfollow"),
];

/// Options of filesystem instances by flag (show_sb_opts).
const SUPER_OPTIONS: [(SuperFlags, &str); 4] = [
    (SuperFlags::SYNCHRONOUS, ",sync"),
    (SuperFlags::DIRSYNC, ",dirsync"),
    (SuperFlags::MANDLOCK, ",mand"),
    (SuperFlags::LAZYTIME, ",lazytime"),
];

/// A mount that the process can reach, and where.
struct Seen {
    mount: Arc<Mount>,
    point: Vec<u8>,
}

fn seen(target: &Target) -> Vec<Seen> {
    let root = target.process.fs.get().root.clone();
    let below = target.process.namespaces().mnt.list().into_iter().filter_map(|mount| {
        let top = Path::new(Arc::clone(&mount), Arc::clone(mount.root()));
        // The root directory may lie inside its mount (chroot): the mount is shown as "/" then.
        let holds_root = Arc::ptr_eq(&mount, &root.mount);
        (holds_root || top.is_below(&root)).then(|| {
            let point = if holds_root { b"/".to_vec() } else { top.display(&root) };
            Seen { mount, point }
        })
    });
    below.collect()
}

/// Octal escapes for what separates fields (seq_escape).
fn escaped(out: &mut Vec<u8>, text: &[u8], special: &[u8]) {
    for &byte in text {
        if special.contains(&byte) {
            text!(out, "\\{byte:03o}");
        } else {
            out.push(byte);
        }
    }
}

const SEPARATORS: &[u8] = b" \t\n\\";
const SEPARATORS_AND_HASH: &[u8] = b" \t\n\\#";

fn source(mount: &Mount) -> &[u8] {
    if mount.source().is_empty() { b"none" } else { mount.source() }
}

fn access(is_readonly: bool) -> &'static str {
    if is_readonly { "ro" } else { "rw" }
}

fn is_readonly(mount: &Mount) -> bool {
    mount.flags().contains(MountFlags::RDONLY)
}

fn is_super_readonly(mount: &Mount) -> bool {
    mount.root().super_flags().contains(SuperFlags::RDONLY)
}

fn mount_options(mount: &Mount, out: &mut Vec<u8>) {
    for (flag, option) in OPTIONS {
        if mount.flags().contains(flag) {
            out.extend_from_slice(option.as_bytes());
        }
    }
}

fn filesystem_options(mount: &Mount, out: &mut Vec<u8>) {
    for (flag, option) in SUPER_OPTIONS {
        if mount.root().super_flags().contains(flag) {
            out.extend_from_slice(option.as_bytes());
        }
    }
    let options = mount.superblock().show_options();
    if !options.is_empty() {
        out.push(b',');
        escaped(out, options.as_bytes(), b" \t\n");
    }
}

pub(super) fn mounts(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    for Seen { mount, point } in seen(target) {
        escaped(out, source(&mount), SEPARATORS_AND_HASH);
        out.push(b' ');
        escaped(out, &point, SEPARATORS_AND_HASH);
        let is_readonly = is_readonly(&mount) || is_super_readonly(&mount);
        text!(out, " {} {}", mount.superblock().fs_type(), access(is_readonly));
        filesystem_options(&mount, out);
        mount_options(&mount, out);
        text!(out, " 0 0\n");
    }
    Ok(())
}

/// The path of a dentry within its filesystem.
#[must_use]
pub fn path_in_filesystem(dentry: &Arc<Dentry>) -> Vec<u8> {
    let mut names = Vec::new();
    let mut here = Arc::clone(dentry);
    while let Some(parent) = here.parent() {
        names.push(here.name());
        here = parent;
    }
    if names.is_empty() && !here.name().is_empty() {
        // A namespace's file.
        return here.name().to_vec();
    }
    let mut path = Vec::new();
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() { b"/".to_vec() } else { path }
}

/// Tags of shared and slave mounts (show_mountinfo). `root` is the reader's.
fn propagation(mount: &Mount, root: &Path, out: &mut Vec<u8>) {
    if let Some(group) = mount.peer_group() {
        text!(out, " shared:{group}");
    }
    if let Some(master) = mount.master_group() {
        text!(out, " master:{master}");
        let shows =
            |member: &Arc<Mount>| Path::new(Arc::clone(member), Arc::clone(member.root())).is_below(root);
        if let Some(from) = mount.dominating_group(&shows).filter(|&from| from != master) {
            text!(out, " propagate_from:{from}");
        }
    }
    if mount.is_unbindable() {
        text!(out, " unbindable");
    }
}

pub(super) fn mountinfo(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let root = target.process.fs.get().root.clone();
    for Seen { mount, point } in seen(target) {
        let parent = mount.place().map_or(mount.id(), |(parent, _)| parent.id());
        let (major, minor) = device_numbers(mount.superblock().dev());
        text!(out, "{} {parent} {major}:{minor} ", mount.id());
        escaped(out, &path_in_filesystem(mount.root()), SEPARATORS);
        out.push(b' ');
        escaped(out, &point, SEPARATORS);
        text!(out, " {}", access(is_readonly(&mount)));
        mount_options(&mount, out);
        propagation(&mount, &root, out);
        text!(out, " - {} ", mount.superblock().fs_type());
        escaped(out, source(&mount), SEPARATORS_AND_HASH);
        text!(out, " {}", access(is_super_readonly(&mount)));
        filesystem_options(&mount, out);
        out.push(b'\n');
    }
    Ok(())
}

pub(super) fn mountstats(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    for Seen { mount, point } in seen(target) {
        text!(out, "device ");
        escaped(out, source(&mount), SEPARATORS_AND_HASH);
        text!(out, " mounted on ");
        escaped(out, &point, SEPARATORS_AND_HASH);
        text!(out, " with fstype {}\n", mount.superblock().fs_type());
    }
    Ok(())
}
