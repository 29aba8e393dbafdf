//! What is known of filesystems as a whole: sysfs(2) and ustat(2), which statfs(2) and /proc/filesystems have replaced
//! (fs/filesystems.c, fs/statfs.c, Linux v6.18).

use abi_linux::{Errno, SysResult};
use kernel_base::user::{UserCStr, UserRef};
use kernel_fs::proc::filesystem_types;
use zerocopy::{Immutable, IntoBytes};

use crate::cx::Cx;

/// sysfs(2): the index of a type's name, the name of an index, or how many there are.
pub(crate) fn sys_sysfs(cx: &Cx, option: i32, arg1: u64, arg2: u64) -> SysResult<usize> {
    const NAME_OF: i32 = 2;
    match option {
        1 => {
            let name = cx.mem().read_path(UserCStr(arg1))?;
            filesystem_types().position(|known| known.as_bytes() == name).ok_or(Errno::EINVAL)
        }
        NAME_OF => {
            let index = usize::try_from(arg1 as u32).map_err(|_| Errno::EINVAL)?;
            let mut name = filesystem_types().nth(index).ok_or(Errno::EINVAL)?.as_bytes().to_vec();
            name.push(0);
            cx.mem().write_bytes(arg2, &name)?;
            Ok(0)
        }
        3 => Ok(filesystem_types().count()),
        _ => Err(Errno::EINVAL),
    }
}

/// `struct ustat` (include/linux/types.h).
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Ustat {
    free_blocks: i32,
    padding: u32,
    free_inodes: u64,
    /// Names of old, and padding.
    names: [u8; 16],
}

/// ustat(2) of a mounted filesystem, by the number that stat(2) gives.
pub(crate) fn sys_ustat(cx: &Cx, dev: u32, ubuf: u64) -> SysResult<()> {
    let mounts = cx.process.namespaces().mnt.list();
    let superblocks = mounts.iter().map(|mount| mount.root().superblock());
    let found = superblocks.into_iter().find(|superblock| superblock.dev() == u64::from(dev));
    let stat = found.ok_or(Errno::EINVAL)?.statfs()?;
    let ustat =
        Ustat { free_blocks: stat.f_bfree as i32, padding: 0, free_inodes: stat.f_ffree, names: [0; 16] };
    cx.mem().write(UserRef::new(ubuf), &ustat)
}
