//! The types of filesystems that a guest may mount, and what their options mean.

use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;
use kernel_base::user_ns::UserNamespace;
use kernel_fs::dev;
use kernel_fs::devpts::Devpts;
use kernel_fs::mqueue;
use kernel_fs::overlay::OverlayFs;
use kernel_fs::proc::ProcFs;
use kernel_fs::proc::hooks::{ContainerHooks, HostPrefixes, ProcOptions};
use kernel_fs::sys::SysFs;
use kernel_fs::sys::cgroup::CgroupFs;
use kernel_fs::tmpfs::{Tmpfs, TmpfsOptions};
use kernel_fs::tty::Terminals;
use kernel_task::Kernel;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::filesystem::{FileSystemType, FileSystemTypes, MountOption, Request};
use kernel_vfs::inode::{FileKind, SuperBlock};
use kernel_vfs::layer::Layer;
use kernel_vfs::path::Path;
use kernel_vfs::permission::Access;
use kernel_vfs::walk::WalkFlags;
use platform_api::{Clock, Platform};

/// Most lower layers of an overlay (fs/overlayfs/super.c OVL_MAX_STACK is 500; each of ours is a filesystem below the
/// next).
const MAX_LOWER: usize = 32;

/// What instances are made of.
pub(crate) struct Parts {
    /// Weak: the kernel holds the types.
    pub(crate) kernel: Weak<Kernel>,
    pub(crate) devices: Arc<DeviceRegistry>,
    pub(crate) terminals: Arc<Terminals>,
    pub(crate) names: HostPrefixes,
}

impl Parts {
    fn kernel(&self) -> SysResult<Arc<Kernel>> {
        self.kernel.upgrade().ok_or(Errno::ENODEV)
    }

    fn platform(&self) -> SysResult<Arc<dyn Platform>> {
        Ok(Arc::clone(&self.kernel()?.platform))
    }

    /// A tmpfs, owned by whoever mounts it unless the options say otherwise.
    fn tmpfs(&self, request: &Request<'_>, fs_type: &'static str) -> SysResult<Arc<Tmpfs>> {
        let creds = request.walk.creds;
        let text = tmpfs_text(request.options, Some(creds))?;
        let own = TmpfsOptions { uid: creds.fsuid, gid: creds.fsgid, fs_type, ..TmpfsOptions::default() };
        let options = own.with(&text)?;
        Tmpfs::new(options, self.platform()?, Arc::clone(&self.devices))
    }
}

/// A type, by what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tmpfs,
    Ramfs,
    Devtmpfs,
    Devpts,
    Proc,
    Sysfs,
    Cgroup2,
    Mqueue,
    Overlay,
}

const KINDS: [Kind; 9] = [
    Kind::Tmpfs,
    Kind::Ramfs,
    Kind::Devtmpfs,
    Kind::Devpts,
    Kind::Proc,
    Kind::Sysfs,
    Kind::Cgroup2,
    Kind::Mqueue,
    Kind::Overlay,
];

struct Type {
    kind: Kind,
    parts: Arc<Parts>,
}

/// All of them.
pub(crate) fn types(parts: Parts) -> FileSystemTypes {
    let parts = Arc::new(parts);
    let one = |kind| Arc::new(Type { kind, parts: Arc::clone(&parts) }) as Arc<dyn FileSystemType>;
    KINDS.into_iter().map(one).collect()
}

impl FileSystemType for Type {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Tmpfs => "tmpfs",
            Kind::Ramfs => "ramfs",
            Kind::Devtmpfs => "devtmpfs",
            Kind::Devpts => "devpts",
            Kind::Proc => "proc",
            Kind::Sysfs => "sysfs",
            Kind::Cgroup2 => "cgroup2",
            Kind::Mqueue => "mqueue",
            Kind::Overlay => "overlay",
        }
    }

    fn is_for_all(&self) -> bool {
        self.kind != Kind::Devtmpfs
    }

    fn user_ns(&self, who: &dyn Caller) -> Arc<UserNamespace> {
        let process = self.parts.kernel().ok().and_then(|kernel| kernel.process(who.pid()));
        let namespaces = process.map(|process| process.namespaces());
        match (self.kind, namespaces) {
            // What they show belongs to pid, network, cgroup and IPC namespaces.
            (Kind::Proc, Some(namespaces)) => Arc::clone(namespaces.pid.user_ns()),
            (Kind::Sysfs, Some(namespaces)) => Arc::clone(namespaces.net.user_ns()),
            (Kind::Cgroup2, Some(namespaces)) => Arc::clone(namespaces.cgroup.user_ns()),
            (Kind::Mqueue, Some(namespaces)) => Arc::clone(namespaces.ipc.base().user_ns()),
            _ => Arc::clone(&who.credentials().user_ns),
        }
    }

    fn check_option(&self, option: &MountOption) -> SysResult<()> {
        match self.kind {
            Kind::Tmpfs | Kind::Devtmpfs => {
                let text = tmpfs_text(std::slice::from_ref(option), None)?;
                TmpfsOptions::parse(&text).map(drop)
            }
            // Options that it does not know are ignored (fs/ramfs/inode.c).
            Kind::Ramfs => Ok(()),
            Kind::Devpts => match option.key.as_slice() {
                b"newinstance" if option.value.is_none() => Ok(()),
                b"mode" | b"ptmxmode" => option.number(8).map(drop),
                b"uid" | b"gid" | b"max" => option.number(10).map(drop),
                _ => Err(Errno::EINVAL),
            },
            Kind::Proc => match option.key.as_slice() {
                b"hidepid" | b"gid" | b"subset" => option.text().map(drop),
                _ => Err(Errno::EINVAL),
            },
            Kind::Cgroup2 => match option.key.as_slice() {
                b"nsdelegate" | b"favordynmods" | b"memory_localevents" | b"memory_recursiveprot" => Ok(()),
                _ => Err(Errno::EINVAL),
            },
            Kind::Sysfs | Kind::Mqueue => Err(Errno::EINVAL),
            Kind::Overlay => match option.key.as_slice() {
                b"lowerdir" | b"upperdir" | b"workdir" => {
                    option.value.is_some().then_some(()).ok_or(Errno::EINVAL)
                }
                // What ours does anyway, or does without.
                b"lowerdir+" | b"userxattr" | b"volatile" => Ok(()),
                b"index" | b"nfs_export" | b"xino" | b"metacopy" | b"redirect_dir" | b"uuid" => {
                    option.text().map(drop)
                }
                _ => Err(Errno::EINVAL),
            },
        }
    }

    fn create(&self, request: &Request<'_>) -> SysResult<Arc<dyn SuperBlock>> {
        let parts = &self.parts;
        Ok(match self.kind {
            Kind::Tmpfs => parts.tmpfs(request, "tmpfs")?,
            Kind::Ramfs => parts.tmpfs(&Request { options: &[], ..*request }, "ramfs")?,
            Kind::Devtmpfs => {
                let options = TmpfsOptions { mode: 0o755, fs_type: "devtmpfs", ..TmpfsOptions::default() };
                let tmpfs = Tmpfs::new(options, parts.platform()?, Arc::clone(&parts.devices))?;
                dev::populate(&**tmpfs.root_inode())?;
                tmpfs
            }
            Kind::Devpts => {
                let now_ns = parts.platform()?.now_ns(Clock::Realtime);
                Devpts::new(Arc::clone(&parts.terminals), now_ns)
            }
            Kind::Proc => {
                let hooks =
                    ContainerHooks { terminals: Arc::clone(&parts.terminals), names: parts.names.clone() };
                let options = ProcOptions { hooks: Arc::new(hooks), ..ProcOptions::default() };
                ProcFs::new(&parts.kernel()?, options)
            }
            Kind::Sysfs => SysFs::new(&parts.kernel()?),
            Kind::Cgroup2 => CgroupFs::new(&parts.kernel()?),
            Kind::Mqueue => {
                let process = parts.kernel()?.process(request.walk.who.pid()).ok_or(Errno::ESRCH)?;
                mqueue::superblock_of(&process.ipc(), &parts.platform()?)
            }
            Kind::Overlay => overlay(&parts.platform()?, request)?,
        })
    }
}

/// Options of tmpfs as text, users and groups in the container's ids.
fn tmpfs_text(options: &[MountOption], creds: Option<&Credentials>) -> SysResult<String> {
    let mut words = Vec::new();
    for option in options {
        let key = std::str::from_utf8(&option.key).map_err(|_| Errno::EINVAL)?;
        let Some(_) = &option.value else {
            words.push(key.to_owned());
            continue;
        };
        let value = option.text()?;
        let id = |known: Option<u32>| known.ok_or(Errno::EINVAL).map(|id| format!("{key}={id}"));
        words.push(match (key, creds) {
            ("uid", Some(creds)) => id(creds.user_ns.uid(option.number(10)?))?,
            ("gid", Some(creds)) => id(creds.user_ns.gid(option.number(10)?))?,
            _ if value.contains(',') => return Err(Errno::EINVAL),
            _ => format!("{key}={value}"),
        });
    }
    Ok(words.join(","))
}

/// The directories of an option: separated by `separator`, which a backslash keeps.
fn directories(value: &[u8], separator: Option<u8>) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut is_kept = false;
    for &byte in value {
        if byte == b'\\' && !is_kept {
            is_kept = true;
            continue;
        }
        if separator == Some(byte) && !is_kept {
            all.push(Vec::new());
        } else if let Some(last) = all.last_mut() {
            last.push(byte);
        }
        is_kept = false;
    }
    all
}

/// Makes an overlay of directories of the tree (Documentation/filesystems/overlayfs.rst).
fn overlay(platform: &Arc<dyn Platform>, request: &Request<'_>) -> SysResult<Arc<dyn SuperBlock>> {
    let find = |path: &[u8]| -> SysResult<Path> {
        let place = request.walk.resolve(None, path, WalkFlags::empty())?;
        if place.inode().kind() == FileKind::Directory { Ok(place) } else { Err(Errno::ENOTDIR) }
    };
    let value = |key: &[u8]| {
        let found = request.options.iter().rev().find(|option| option.key == key);
        found.and_then(|option| option.value.as_deref())
    };
    let one = |key: &[u8]| value(key).map(|path| find(&directories(path, None).concat())).transpose();
    let lower = value(b"lowerdir").ok_or(Errno::EINVAL)?;
    let lower: Vec<_> = directories(lower, Some(b':')).into_iter().filter(|path| !path.is_empty()).collect();
    if lower.is_empty() || lower.len() > MAX_LOWER {
        return Err(Errno::EINVAL);
    }
    let lower = lower.iter().map(|path| find(path)).collect::<SysResult<Vec<_>>>()?;
    let (upper, work) = (one(b"upperdir")?, one(b"workdir")?);
    let mut layers = lower.iter().rev().map(|place| Layer::new(&place.dentry));
    let mut below = layers.next().ok_or(Errno::EINVAL)?;
    for layer in layers {
        below = OverlayFs::read_only(below, layer, Arc::clone(platform))?;
    }
    let Some(upper) = upper else {
        if lower.len() < 2 {
            return Err(Errno::EINVAL);
        }
        return Ok(below);
    };
    let work = work.ok_or(Errno::EINVAL)?;
    let is_apart = !upper.is_below(&work) && !work.is_below(&upper);
    // An overlay cannot keep another's whiteouts (DCACHE_OP_REAL).
    let is_overlay = upper.mount.superblock().fs_type() == "overlay";
    if upper.mount.id() != work.mount.id() || !is_apart || is_overlay {
        return Err(Errno::EINVAL);
    }
    for place in [&upper, &work] {
        place.mount.check_writable()?;
        request.walk.check_access(place, Access::WRITE)?;
    }
    OverlayFs::of_directories(below, Layer::new(&upper.dentry), Arc::clone(platform))
}

#[cfg(test)]
mod tests {
    use super::directories;

    #[test]
    fn directories_are_separated_by_unescaped_colons() {
        assert_eq!(directories(b"/a:/b\\:c:/d\\\\", Some(b':')), [&b"/a"[..], b"/b:c", b"/d\\"]);
        assert_eq!(directories(b"/a:b\\,c", None).concat(), b"/a:b,c");
    }
}
