//! The file tree of a container: which filesystem stands behind which mount. The one place that knows them
//! all.

use std::sync::{Arc, Weak};

use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use host_files::Node;
use kernel_base::caller::Caller;
use kernel_base::cred::Credentials;
use kernel_base::user::GuestMem;
use kernel_base::user_ns::UserNamespace;
use kernel_fs::dev::{self, Console};
use kernel_fs::devpts::Devpts;
use kernel_fs::hostfs::{HostAccess, HostFs, HostFsOptions, Sharing};
use kernel_fs::mqueue;
use kernel_fs::overlay::OverlayFs;
use kernel_fs::proc::ProcFs;
use kernel_fs::proc::hooks::{ContainerHooks, HostPrefixes, ProcOptions};
use kernel_fs::sys::SysFs;
use kernel_fs::sys::cgroup::CgroupFs;
use kernel_fs::tmpfs::{Tmpfs, TmpfsOptions, budget};
use kernel_fs::tty::{SessionSignals, Terminals};
use kernel_task::Kernel;
use kernel_task::namespaces::IpcNamespace;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Depth, Mount, MountFlags, MountNamespace, Propagation};
use kernel_vfs::path::Path;
use platform_api::{Clock, HostTid};
use runtime_oci::{ContainerSpec, MountKind, MountSpec, Recursion};

use crate::copy_up;
use crate::credentials;
use crate::error::{Error, shown};
use crate::filesystems::{self, Parts};
use crate::launch::Place;
use crate::mount_points::MountPoints;
use crate::trees::Trees;
use crate::tuning;

/// A container's files and terminals.
pub(crate) struct Tree {
    pub(crate) namespace: Arc<MountNamespace>,
    pub(crate) terminals: Arc<Terminals>,
    pub(crate) devpts: Arc<Devpts>,
    pub(crate) console: Arc<Console>,
    /// What was made in the root to mount on, to be removed if the sandbox does not come to life.
    pub(crate) mount_points: MountPoints,
}

/// Signals of terminals, by the container's process ids.
struct KernelSignals(Weak<Kernel>);

impl SessionSignals for KernelSignals {
    fn signal_group(&self, pgid: i32, signal: Signal) {
        // A group that is gone needs no signal.
        let _ = self.0.upgrade().map(|kernel| kernel.signal_group(pgid, signal));
    }
    fn signal_process(&self, pid: i32, signal: Signal) {
        if let Some(kernel) = self.0.upgrade()
            && let Some(process) = kernel.process(pid)
        {
            let _ = kernel.signal_process(&process, signal);
        }
    }
    fn session_of_group(&self, pgid: i32) -> Option<i32> {
        self.0.upgrade()?.member_of_group(pgid).map(|process| process.sid())
    }
}

/// The supervisor itself as one who walks paths: root, with no process while the tree is built.
pub(crate) struct Builder<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) init: HostTid,
    /// Whose namespaces count.
    pub(crate) pid: i32,
    /// Whose root user owns what is made.
    pub(crate) user_ns: &'a UserNamespace,
}

impl Caller for Builder<'_> {
    fn pid(&self) -> i32 {
        self.pid
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
        Arc::new(credentials::builder(self.user_ns))
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
    ipc: &'a Arc<IpcNamespace>,
    user_ns: &'a Arc<UserNamespace>,
    devices: Arc<DeviceRegistry>,
    terminals: Arc<Terminals>,
    devpts: Arc<Devpts>,
    names: HostPrefixes,
    trees: &'a Trees,
}

/// Builds the tree of `spec`.
pub(crate) fn build(
    spec: &ContainerSpec,
    trees: &Trees,
    kernel: &Arc<Kernel>,
    place: Place<'_>,
    init: HostTid,
) -> Result<Tree, Error> {
    let terminals = place.terminals.cloned().unwrap_or_else(|| {
        let signals: Arc<dyn SessionSignals> = Arc::new(KernelSignals(Arc::downgrade(kernel)));
        Terminals::new(signals)
    });
    let devpts = Devpts::new(Arc::clone(&terminals), kernel.platform.now_ns(Clock::Realtime));
    let devices = Arc::new(DeviceRegistry::new());
    let console = Arc::new(Console::default());
    dev::register(&devices, &kernel.platform, &devpts, &console);
    let names = trees.names(spec);
    let assembly =
        Assembly { kernel, ipc: place.ipc, user_ns: place.user_ns, devices, terminals, devpts, names, trees };
    let parts = Parts {
        kernel: Arc::downgrade(kernel),
        devices: Arc::clone(&assembly.devices),
        terminals: Arc::clone(&assembly.terminals),
        names: assembly.names.clone(),
    };
    // Once: a container that joins another's processes sees that one's limits, and its types of filesystems.
    if kernel.filesystems.get().is_none() {
        *kernel.cgroup_files.write() = runtime_oci::cgroup::files_shown(&spec.resources);
        // As Linux gives a tmpfs half of the machine; where there is a limit, files in memory count against it.
        let machine = kernel.machine_state().total_bytes;
        if machine > 0 {
            budget::allow(kernel.memory_limit().unwrap_or(machine / 2));
        }
    }
    let _ = kernel.filesystems.set(filesystems::types(parts));
    let builder = Builder { kernel, init, pid: 0, user_ns: place.user_ns };
    // A root that may not be written and lacks mount points gets them in a layer in memory.
    let (namespace, mount_points) = match assembly.mount_all(spec, spec.overlay, &builder) {
        Err(Error::Mount { errno: Errno::EROFS, .. }) if spec.readonly && !spec.overlay => {
            assembly.mount_all(spec, true, &builder)?
        }
        built => built?,
    };
    Ok(Tree { namespace, terminals: assembly.terminals, devpts: assembly.devpts, console, mount_points })
}

impl Assembly<'_> {
    fn host_dir(&self, node: Node, options: HostFsOptions) -> SysResult<Arc<HostFs>> {
        HostFs::new(node, options, Arc::clone(&self.devices))
    }

    fn mount_all(
        &self,
        spec: &ContainerSpec,
        overlay: bool,
        builder: &Builder<'_>,
    ) -> Result<(Arc<MountNamespace>, MountPoints), Error> {
        let root = self.root(spec, overlay)?;
        let namespace =
            MountNamespace::owned(Mount::of(&root, b"palisade", MountFlags::RELATIME), self.user_ns);
        let mut points = MountPoints::new(&namespace);
        let built = self.mount_each(spec, &namespace, &mut points, builder);
        if let Err(error) = built {
            points.remove();
            return Err(error);
        }
        let (propagation, recursion) = spec.root_propagation;
        namespace
            .set_propagation(&namespace.root(), linux_propagation(propagation), depth(recursion))
            .map_err(Error::Platform)?;
        // Last, because mount points were made before.
        if spec.readonly {
            let root = namespace.root().mount;
            root.set_flags(root.flags() | MountFlags::RDONLY);
        }
        Ok((namespace, points))
    }

    fn mount_each(
        &self,
        spec: &ContainerSpec,
        namespace: &Arc<MountNamespace>,
        points: &mut MountPoints,
        builder: &Builder<'_>,
    ) -> Result<(), Error> {
        for (index, mount) in spec.mounts.iter().enumerate() {
            self.mount((index, mount), namespace, points, builder)
                .map_err(|errno| mount_error(mount, errno))?;
        }
        tuning::make_devices(spec, points, builder)?;
        let hidden = |path: &Vec<u8>| {
            let path = shown(path);
            move |errno| Error::Mount {
                destination: path,
                errno,
                remedy: "; take it out of maskedPaths and readonlyPaths",
            }
        };
        for path in &spec.readonly_paths {
            points.write_protect(path, builder).map_err(hidden(path))?;
        }
        if spec.masked_paths.is_empty() {
            return Ok(());
        }
        let devices = self.dev("mode=755", "tmpfs").map_err(hidden(&b"/dev/null".to_vec()))?;
        let empty =
            || self.tmpfs("mode=755,size=4k,nr_inodes=1", "tmpfs").map(|tmpfs| tmpfs as Arc<dyn SuperBlock>);
        for path in &spec.masked_paths {
            points.mask(path, &devices, empty, builder).map_err(hidden(path))?;
        }
        Ok(())
    }

    fn root(&self, spec: &ContainerSpec, overlay: bool) -> Result<Arc<dyn SuperBlock>, Error> {
        let failed = |errno| match errno {
            Errno::ENOSYS => Error::Platform(errno),
            _ => Error::Rootfs { path: spec.rootfs.display().to_string(), errno },
        };
        let access = if overlay || spec.readonly { HostAccess::ReadOnly } else { HostAccess::ReadWrite };
        let node = self.trees.root().map_err(failed)?;
        let options = HostFsOptions { access, ..HostFsOptions::default() };
        let lower = self.host_dir(node, options).map_err(failed)?;
        if !overlay {
            return Ok(lower);
        }
        let upper = self.tmpfs("mode=755", "tmpfs").map_err(failed)?;
        Ok(OverlayFs::new(lower, upper, Arc::clone(&self.kernel.platform)).map_err(failed)?)
    }

    fn tmpfs(&self, text: &str, fs_type: &'static str) -> SysResult<Arc<Tmpfs>> {
        let given = TmpfsOptions::parse(text)?;
        // What is not mapped is nobody's inside, whichever number it has.
        let uid = self.user_ns.uid(given.uid).unwrap_or(given.uid);
        let gid = self.user_ns.gid(given.gid).unwrap_or(given.gid);
        let options = TmpfsOptions { fs_type, uid, gid, ..given };
        Tmpfs::new(options, Arc::clone(&self.kernel.platform), Arc::clone(&self.devices))
    }

    fn dev(&self, data: &str, fs_type: &'static str) -> SysResult<Arc<dyn SuperBlock>> {
        let tmpfs = self.tmpfs(data, fs_type)?;
        dev::populate(&**tmpfs.root_inode())?;
        Ok(tmpfs)
    }

    fn proc(&self) -> Arc<dyn SuperBlock> {
        let hooks = ContainerHooks { terminals: Arc::clone(&self.terminals), names: self.names.clone() };
        let options = ProcOptions { hooks: Arc::new(hooks), ..ProcOptions::default() };
        ProcFs::new(self.kernel, options)
    }

    fn superblock(&self, (index, mount): (usize, &MountSpec)) -> SysResult<Arc<dyn SuperBlock>> {
        let data = mount.data.join(",");
        Ok(match &mount.kind {
            MountKind::Bind(_) => {
                let access = if mount.readonly { HostAccess::ReadOnly } else { HostAccess::ReadWrite };
                let owners = mount.ids.as_ref().map(credentials::owners).transpose()?.map(Arc::new);
                let options =
                    HostFsOptions { sharing: Sharing::Shared, access, owners, ..HostFsOptions::default() };
                self.host_dir(self.trees.bind(index)?, options)?
            }
            // An engine mounts a bare tmpfs on /dev and expects the runtime to fill it.
            MountKind::Tmpfs if mount.destination == b"/dev" => self.dev(&data, "tmpfs")?,
            MountKind::Tmpfs => self.tmpfs(&data, "tmpfs")?,
            MountKind::Mqueue => mqueue::superblock_of(&self.ipc.objects, &self.kernel.platform),
            MountKind::Cgroup => CgroupFs::new(self.kernel),
            MountKind::Devtmpfs => self.dev("mode=755", "devtmpfs")?,
            MountKind::Devpts => Arc::clone(&self.devpts) as Arc<dyn SuperBlock>,
            MountKind::Sysfs => SysFs::new(self.kernel),
            MountKind::Proc => self.proc(),
        })
    }

    fn mount(
        &self,
        (index, mount): (usize, &MountSpec),
        namespace: &Arc<MountNamespace>,
        points: &mut MountPoints,
        builder: &Builder<'_>,
    ) -> SysResult<()> {
        let superblock = self.superblock((index, mount))?;
        let at = points.find_or_make(&mount.destination, superblock.root().kind(), builder)?;
        if mount.copies_up {
            copy_up::copy_tree(Arc::clone(at.inode()), superblock.root(), builder)?;
        }
        let mounted = namespace.mount(&superblock, &mount.source, flags_of(mount), &at)?;
        for &(propagation, recursion) in &mount.propagation {
            let at = Path { mount: Arc::clone(&mounted), dentry: Arc::clone(mounted.root()) };
            namespace.set_propagation(&at, linux_propagation(propagation), depth(recursion))?;
        }
        Ok(())
    }
}

fn linux_propagation(wanted: runtime_oci::Propagation) -> Propagation {
    match wanted {
        runtime_oci::Propagation::Shared => Propagation::Shared,
        runtime_oci::Propagation::Slave => Propagation::Slave,
        runtime_oci::Propagation::Private => Propagation::Private,
        runtime_oci::Propagation::Unbindable => Propagation::Unbindable,
    }
}

fn depth(recursion: Recursion) -> Depth {
    match recursion {
        Recursion::One => Depth::One,
        Recursion::All => Depth::Recursive,
    }
}

fn mount_error(mount: &MountSpec, errno: Errno) -> Error {
    let remedy = match errno {
        Errno::ENOENT | Errno::EROFS => "; create the mount point in the rootfs, or leave the mount out",
        Errno::ENOTDIR => "; mount a directory on a directory, and a file on a file",
        Errno::EINVAL => "; an option of the mount has a value that is not supported",
        Errno::EACCES | Errno::EPERM => "; run as a user who may read the source",
        _ => "",
    };
    Error::Mount { destination: shown(&mount.destination), errno, remedy }
}

fn flags_of(mount: &MountSpec) -> MountFlags {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, mount.readonly);
    flags.set(MountFlags::NOSUID, mount.nosuid);
    flags.set(MountFlags::NODEV, mount.nodev);
    flags.set(MountFlags::NOEXEC, mount.noexec);
    flags.set(MountFlags::NOATIME, mount.noatime);
    // What Linux mounts with unless told otherwise (fs/namespace.c path_mount).
    flags.set(MountFlags::RELATIME, !mount.noatime && !mount.strictatime);
    flags.set(MountFlags::NODIRATIME, mount.nodiratime);
    flags.set(MountFlags::NOSYMFOLLOW, mount.nosymfollow);
    flags
}
