//! What config.json puts into a container's own /proc/sys and /dev once its tree stands: sysctls, written through a
//! /proc of ours, and device nodes.

use abi_linux::fs::{OpenFlags, makedev};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user_ns::UserNamespace;
use kernel_fs::proc::ProcFs;
use kernel_fs::proc::hooks::ProcOptions;
use kernel_task::Process;
use kernel_vfs::mount::{Mount, MountFlags, MountNamespace};
use kernel_vfs::walk::{WalkContext, WalkFlags};
use runtime_oci::{ContainerSpec, DeviceSpec};

use crate::error::{Error, shown};
use crate::mount_points::MountPoints;
use crate::registry::Builder;

/// File types in a mode (inode(7)).
const TYPE: u32 = 0o170_000;

/// Writes the sysctls, to a /proc that nothing of the container's tree hides. Those of IPC and names are the first
/// process's namespaces'.
pub(crate) fn write_sysctls(spec: &ContainerSpec, process: &Process) -> Result<(), Error> {
    if spec.sysctl.is_empty() {
        return Ok(());
    }
    let kernel = &process.kernel;
    let who: &dyn Caller =
        &Builder { kernel, init: process.tgid, pid: process.pid, user_ns: UserNamespace::initial() };
    let proc = ProcFs::new(kernel, ProcOptions::default());
    let aside = MountNamespace::new(Mount::of(&proc, b"proc", MountFlags::empty()));
    let (root, credentials) = (aside.root(), who.credentials());
    let walk = WalkContext { root: &root, cwd: &root, creds: &credentials, who, umask: 0 };
    for (name, value) in &spec.sysctl {
        let write = || -> SysResult<()> {
            let path = format!("/sys/{name}");
            let file = walk.open(None, path.as_bytes(), OpenFlags::WRONLY, 0, WalkFlags::empty())?;
            let (written, _) = file.ops.write(file.io(who, 0), value.as_bytes())?;
            if written == value.len() { Ok(()) } else { Err(Errno::EINVAL) }
        };
        write().map_err(|errno| Error::Sysctl { name: name.clone(), value: value.clone(), errno })?;
    }
    Ok(())
}

/// Makes the devices, or gives those that are there already their modes and owners.
pub(crate) fn make_devices(
    spec: &ContainerSpec,
    points: &mut MountPoints,
    who: &dyn Caller,
) -> Result<(), Error> {
    for device in &spec.devices {
        let failed = |errno| Error::Device { path: shown(&device.path), errno };
        points.make_parents(&device.path, who).map_err(failed)?;
        points.with_walk(who, |walk| make_device(device, walk)).map_err(failed)?;
    }
    Ok(())
}

fn make_device(device: &DeviceSpec, walk: &WalkContext<'_>) -> SysResult<()> {
    let rdev = makedev(device.major, device.minor);
    match walk.mknod(None, &device.path, device.mode, rdev) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let place = walk.resolve(None, &device.path, WalkFlags::NOFOLLOW)?;
    let metadata = place.inode().metadata()?;
    // /dev/ptmx is a link to the devpts's.
    let is_ptmx = (device.major, device.minor) == (5, 2);
    if metadata.mode & TYPE != device.mode & TYPE || metadata.rdev != rdev {
        return if is_ptmx { Ok(()) } else { Err(Errno::EEXIST) };
    }
    walk.chown(&place, Some(device.uid), Some(device.gid))?;
    walk.chmod(&place, device.mode & !TYPE)
}
