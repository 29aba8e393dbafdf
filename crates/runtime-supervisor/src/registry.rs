//! The file tree of a container: which filesystem stands behind which mount. The one place that knows them
//! all.

use std::os::unix::ffi::OsStrExt;
use std::path::Path as HostPath;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use host_files::Node;
use kernel_base::caller::Caller;
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user::GuestMem;
use kernel_fs::dev::{self, Console};
use kernel_fs::devpts::Devpts;
use kernel_fs::hostfs::{HostAccess, HostFs, HostFsOptions, Sharing};
use kernel_fs::overlay::OverlayFs;
use kernel_fs::proc::hooks::{ContainerHooks, HostPrefixes, ProcOptions};
use kernel_fs::proc::ProcFs;
use kernel_fs::sys::SysFs;
use kernel_fs::sys::cgroup::{CgroupFs, CgroupLimits};
use kernel_fs::tmpfs::{Tmpfs, TmpfsOptions};
use kernel_fs::tty::{SessionSignals, Terminals};
use kernel_task::Kernel;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::{FileKind, SuperBlock};
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use kernel_vfs::path::Path;
use kernel_vfs::walk::{WalkContext, WalkFlags};
use platform_api::{Clock, HostTid};
use runtime_oci::{ContainerSpec, MountKind, MountSpec};

use crate::error::{Error, shown};

/// A container's files and terminals.
pub(crate) struct Tree {
    pub(crate) namespace: Arc<MountNamespace>,
    pub(crate) terminals: Arc<Terminals>,
    pub(crate) devpts: Arc<Devpts>,
    pub(crate) console: Arc<Console>,
}

/// Signals of terminals, by the container's process ids.
struct KernelSignals(Arc<Kernel>);

impl SessionSignals for KernelSignals {
    fn signal_group(&self, pgid: i32, signal: Signal) {
        // A group that is gone needs no signal.
        let _ = self.0.signal_group(pgid, signal);
    }
    fn signal_process(&self, pid: i32, signal: Signal) {
        if let Some(process) = self.0.process(pid) {
            let _ = self.0.signal_process(&process, signal);
        }
    }
    fn session_of_group(&self, pgid: i32) -> Option<i32> {
        self.0.group(pgid).first().map(|process| process.sid())
    }
}

/// The supervisor itself as one who walks paths while the tree is built: root, with no process.
struct Builder<'a> {
    kernel: &'a Kernel,
    init: HostTid,
}

impl Caller for Builder<'_> {
    fn pid(&self) -> i32 {
        0
    }
    fn tid(&self) -> i32 {
        0
    }
    fn pgid(&self) -> i32 {
        0
    }
    fn sid(&self) -> i32 {
        0
    }
    fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::new(0, 0, CapSet::ALL))
    }
    fn mem(&self) -> GuestMem<'_> {
        GuestMem::new(&*self.kernel.platform, self.init)
    }
    fn raise(&self, _signal: Signal) {}
    fn raise_group(&self, _pgid: i32, _signal: Signal) -> SysResult<()> {
        Err(Errno::ESRCH)
    }
    fn blocks_or_ignores(&self, _signal: Signal) -> bool {
        true
    }
    fn group_is_orphaned(&self) -> bool {
        true
    }
    fn now_realtime_ns(&self) -> u64 {
        self.kernel.platform.now_ns(Clock::Realtime)
    }
}

struct Assembly<'a> {
    kernel: &'a Arc<Kernel>,
    devices: Arc<DeviceRegistry>,
    terminals: Arc<Terminals>,
    devpts: Arc<Devpts>,
    names: HostPrefixes,
}

/// Builds the tree of `spec`.
pub(crate) fn build(spec: &ContainerSpec, kernel: &Arc<Kernel>, init: HostTid) -> Result<Tree, Error> {
    let signals: Arc<dyn SessionSignals> = Arc::new(KernelSignals(Arc::clone(kernel)));
    let terminals = Terminals::new(signals);
    let devpts = Devpts::new(Arc::clone(&terminals), kernel.platform.now_ns(Clock::Realtime));
    let devices = Arc::new(DeviceRegistry::new());
    let console = Arc::new(Console::default());
    dev::register(&devices, &kernel.platform, &devpts, &console);
    let names = host_names(spec);
    let assembly = Assembly { kernel, devices, terminals, devpts, names };
    let root = assembly.root(spec)?;
    let flags = if spec.readonly { MountFlags::RDONLY } else { MountFlags::empty() };
    let namespace = MountNamespace::new(Mount::of(&root, b"palisade", MountFlags::empty()));
    let builder = Builder { kernel, init };
    for mount in &spec.mounts {
        assembly.mount(mount, &namespace, &builder)?;
    }
    namespace.root().mount.set_flags(flags);
    Ok(Tree { namespace, terminals: assembly.terminals, devpts: assembly.devpts, console })
}

/// Which host paths a guest sees, and where: for /proc/pid/maps.
fn host_names(spec: &ContainerSpec) -> HostPrefixes {
    let mut names = HostPrefixes::new();
    names.add(spec.rootfs.as_os_str().as_bytes(), b"/");
    for mount in &spec.mounts {
        if let MountKind::Bind(source) = &mount.kind {
            names.add(source.as_os_str().as_bytes(), &mount.destination);
        }
    }
    names
}

impl Assembly<'_> {
    fn host_dir(&self, path: &HostPath, access: HostAccess, sharing: Sharing) -> SysResult<Arc<HostFs>> {
        let options = HostFsOptions { sharing, access, ..HostFsOptions::default() };
        HostFs::new(Node::open_root(path)?, options, Arc::clone(&self.devices))
    }

    fn root(&self, spec: &ContainerSpec) -> Result<Arc<dyn SuperBlock>, Error> {
        let failed = |errno| Error::Rootfs { path: spec.rootfs.display().to_string(), errno };
        let access = if spec.overlay || spec.readonly { HostAccess::ReadOnly } else { HostAccess::ReadWrite };
        let lower = self.host_dir(&spec.rootfs, access, Sharing::Exclusive).map_err(failed)?;
        if !spec.overlay {
            return Ok(lower);
        }
        let upper = self.tmpfs("mode=755", "tmpfs").map_err(failed)?;
        Ok(OverlayFs::new(lower, upper, Arc::clone(&self.kernel.platform)).map_err(failed)?)
    }

    fn tmpfs(&self, text: &str, fs_type: &'static str) -> SysResult<Arc<Tmpfs>> {
        let options = TmpfsOptions { fs_type, ..TmpfsOptions::parse(text)? };
        Tmpfs::new(options, Arc::clone(&self.kernel.platform), Arc::clone(&self.devices))
    }

    fn dev(&self, data: &str) -> SysResult<Arc<dyn SuperBlock>> {
        let tmpfs = self.tmpfs(data, "devtmpfs")?;
        dev::populate(&**tmpfs.root_inode())?;
        Ok(tmpfs)
    }

    fn superblock(&self, mount: &MountSpec, namespace: &Arc<MountNamespace>) -> SysResult<Arc<dyn SuperBlock>> {
        let data = mount.data.join(",");
        Ok(match &mount.kind {
            MountKind::Bind(source) => {
                let access = if mount.readonly { HostAccess::ReadOnly } else { HostAccess::ReadWrite };
                self.host_dir(source, access, Sharing::Shared)?
            }
            // An engine mounts a bare tmpfs on /dev and expects the runtime to fill it.
            MountKind::Tmpfs if mount.destination == b"/dev" => self.dev(&data)?,
            MountKind::Tmpfs => self.tmpfs(&data, "tmpfs")?,
            MountKind::Mqueue => self.tmpfs("mode=1777", "mqueue")?,
            MountKind::Cgroup => CgroupFs::new(self.kernel, CgroupLimits::default()),
            MountKind::Devtmpfs => self.dev("mode=755")?,
            MountKind::Devpts => Arc::clone(&self.devpts) as Arc<dyn SuperBlock>,
            MountKind::Sysfs => SysFs::new(self.kernel),
            MountKind::Proc => {
                let hooks =
                    ContainerHooks { terminals: Arc::clone(&self.terminals), names: self.names.clone() };
                let options = ProcOptions { hooks: Arc::new(hooks), ..ProcOptions::default() };
                ProcFs::new(self.kernel, namespace, options)
            }
        })
    }

    fn mount(&self, mount: &MountSpec, namespace: &Arc<MountNamespace>, builder: &Builder<'_>) -> Result<(), Error> {
        let failed = |errno| Error::Mount {
            destination: shown(&mount.destination),
            errno,
            remedy: match errno {
                Errno::ENOENT | Errno::EROFS => "; create the mount point in the rootfs, or leave the mount out",
                _ => "",
            },
        };
        let superblock = self.superblock(mount, namespace).map_err(failed)?;
        let wants_dir = superblock.root().kind() == FileKind::Directory;
        let at = mount_point(&mount.destination, wants_dir, namespace, builder).map_err(failed)?;
        namespace.mount(&superblock, &mount.source, flags_of(mount), &at).map(drop).map_err(failed)
    }
}

fn flags_of(mount: &MountSpec) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, mount.readonly);
    flags.set(MountFlags::NOSUID, mount.nosuid);
    flags.set(MountFlags::NODEV, mount.nodev);
    flags.set(MountFlags::NOEXEC, mount.noexec);
    flags
}

/// Finds a mount point, making it and what leads to it where it is missing. Symbolic links are followed
/// inside the container's root only.
fn mount_point(destination: &[u8], wants_dir: bool, namespace: &MountNamespace, who: &Builder<'_>) -> SysResult<Path> {
    let credentials = who.credentials();
    let root = namespace.root();
    let walk = WalkContext { root, cwd: root, creds: &credentials, who, umask: 0o022 };
    let find = |path: &[u8]| walk.resolve(None, path, WalkFlags::empty());
    match find(destination) {
        Err(Errno::ENOENT) => {}
        found => return found,
    }
    let slashes = destination.iter().enumerate().filter(|&(at, &b)| b == b'/' && at > 0).map(|(at, _)| at);
    for end in slashes {
        ignore_existing(walk.mkdir(None, &destination[..end], 0o755))?;
    }
    if wants_dir {
        ignore_existing(walk.mkdir(None, destination, 0o755))?;
    } else {
        walk.open(None, destination, OpenFlags::CREAT | OpenFlags::WRONLY, 0o644, WalkFlags::empty())?;
    }
    find(destination)
}

fn ignore_existing(result: SysResult<()>) -> SysResult<()> {
    match result {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}
