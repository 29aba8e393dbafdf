//! statmount(2) and listmount(2): mounts by their unique ids.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::user::UserRef;
use kernel_fs::proc::mounts as text;
use kernel_vfs::mount::{Mount, MountNamespace};
use kernel_vfs::path::Path;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::attributes::{attributes_of, read_size};
use crate::cx::Cx;

/// LSMT_ROOT: the root of the namespace.
const ROOT: u64 = u64::MAX;
const LISTMOUNT_REVERSE: u32 = 1;
/// Most ids of one call.
const MOST_IDS: usize = 1_000_000;
/// Ids copied out at a time.
const BATCH: usize = 512;
/// Bits of unique ids above those of our own.
const UNIQUE: u64 = 1 << 31;

/// STATMOUNT_* (include/uapi/linux/mount.h).
const SB_BASIC: u64 = 0x1;
const MNT_BASIC: u64 = 0x2;
const PROPAGATE_FROM: u64 = 0x4;
const MNT_ROOT: u64 = 0x8;
const MNT_POINT: u64 = 0x10;
const FS_TYPE: u64 = 0x20;
const MNT_NS_ID: u64 = 0x40;
const MNT_OPTS: u64 = 0x80;
const SB_SOURCE: u64 = 0x200;
const SUPPORTED_MASK: u64 = 0x1000;
const SUPPORTED: u64 = SB_BASIC
    | MNT_BASIC
    | PROPAGATE_FROM
    | MNT_ROOT
    | MNT_POINT
    | FS_TYPE
    | MNT_NS_ID
    | MNT_OPTS
    | SB_SOURCE
    | SUPPORTED_MASK;

/// MS_* of a mount's propagation.
const MS_UNBINDABLE: u64 = 1 << 17;
const MS_PRIVATE: u64 = 1 << 18;
const MS_SLAVE: u64 = 1 << 19;
const MS_SHARED: u64 = 1 << 20;

/// `struct mnt_id_req`.
struct Request {
    id: u64,
    param: u64,
}

impl Request {
    fn read(cx: &Cx, at: u64) -> SysResult<Self> {
        const SIZES: std::ops::RangeInclusive<usize> = 24..=4096;
        let size = read_size(cx, at)?;
        if size > *SIZES.end() {
            return Err(Errno::E2BIG);
        }
        if size < *SIZES.start() {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; size.max(32)];
        cx.mem().read_bytes(at, bytes.get_mut(..size).ok_or(Errno::EINVAL)?)?;
        if bytes.iter().skip(32).any(|&byte| byte != 0) {
            return Err(Errno::E2BIG);
        }
        let words = bytes.as_chunks::<8>().0;
        let word = |at: usize| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word));
        // The upper half of the first word names a namespace by descriptor, the fourth by number.
        if word(0) >> 32 != 0 {
            return Err(Errno::EINVAL);
        }
        let own = cx.process.namespaces().mnt.id().number();
        if word(3) != 0 && word(3) != own {
            return Err(Errno::ENOENT);
        }
        Ok(Self { id: word(1), param: word(2) })
    }
}

/// `struct statmount` without its strings.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Statmount {
    size: u32,
    mnt_opts: u32,
    mask: u64,
    sb_dev: [u32; 2],
    sb_magic: u64,
    sb_flags: u32,
    fs_type: u32,
    mnt_id: u64,
    mnt_parent_id: u64,
    mnt_id_old: u32,
    mnt_parent_id_old: u32,
    mnt_attr: u64,
    mnt_propagation: u64,
    mnt_peer_group: u64,
    mnt_master: u64,
    propagate_from: u64,
    mnt_root: u32,
    mnt_point: u32,
    mnt_ns_id: u64,
    fs_subtype: u32,
    sb_source: u32,
    opt: [u32; 4],
    supported_mask: u64,
    id_maps: [u32; 4],
    spare: [u64; 43],
}

fn find(namespace: &MountNamespace, id: u64) -> SysResult<Arc<Mount>> {
    if id <= UNIQUE {
        return Err(Errno::EINVAL);
    }
    namespace.find(id & !UNIQUE).ok_or(Errno::ENOENT)
}

fn top_of(mount: &Arc<Mount>) -> Path {
    Path::new(Arc::clone(mount), Arc::clone(mount.root()))
}

/// EPERM for a mount that the caller cannot reach and does not administer.
fn check_reach(cx: &Cx, namespace: &MountNamespace, place: &Path) -> SysResult<()> {
    let root = cx.process.fs.get().root.clone();
    let may = cx.credentials().has_in(namespace.user_ns(), Cap::SYS_ADMIN);
    if may || place.is_below(&root) { Ok(()) } else { Err(Errno::EPERM) }
}

/// A string of the answer: its offset. All end with a NUL.
fn put(strings: &mut Vec<u8>, text: &[u8]) -> u32 {
    let at = strings.len() as u32;
    strings.extend_from_slice(text);
    strings.push(0);
    at
}

/// statmount(2).
pub(crate) fn sys_statmount(cx: &Cx, req: u64, buf: u64, bufsize: usize, flags: u32) -> SysResult<()> {
    if flags != 0 {
        return Err(Errno::EINVAL);
    }
    let request = Request::read(cx, req)?;
    let namespace = Arc::clone(&cx.process.namespaces().mnt);
    let mount = find(&namespace, request.id)?;
    check_reach(cx, &namespace, &top_of(&mount))?;
    let root = cx.process.fs.get().root.clone();
    let (mut answer, strings) = describe(&mount, &namespace, &root, request.param)?;
    let fixed = size_of::<Statmount>();
    let total = fixed + strings.len();
    if bufsize < total && !strings.is_empty() {
        return Err(Errno::EOVERFLOW);
    }
    answer.size = u32::try_from(total).map_err(|_| Errno::EOVERFLOW)?;
    let head = answer.as_bytes();
    cx.mem().write_bytes(buf, head.get(..bufsize.min(fixed)).unwrap_or(head))?;
    cx.mem().write_bytes(buf.wrapping_add(fixed as u64), &strings)
}

fn describe(
    mount: &Arc<Mount>,
    namespace: &MountNamespace,
    root: &Path,
    wanted: u64,
) -> SysResult<(Statmount, Vec<u8>)> {
    let mut out = Statmount::new_zeroed();
    let mut strings = Vec::new();
    out.mask = wanted & SUPPORTED;
    let superblock = mount.superblock();
    if wanted & SB_BASIC != 0 {
        out.sb_dev = crate::file::statx::split_device(superblock.dev());
        out.sb_magic = superblock.statfs()?.f_type.cast_unsigned();
        out.sb_flags = mount.root().super_flags().bits();
    }
    if wanted & MNT_BASIC != 0 {
        let parent = mount.place().map_or_else(|| Arc::clone(mount), |(parent, _)| parent);
        (out.mnt_id, out.mnt_parent_id) = (mount.unique_id(), parent.unique_id());
        (out.mnt_id_old, out.mnt_parent_id_old) = (mount.id() as u32, parent.id() as u32);
        out.mnt_attr = attributes_of(mount.flags());
        out.mnt_propagation = propagation(mount);
        out.mnt_peer_group = mount.peer_group().unwrap_or(0);
        out.mnt_master = mount.master_group().unwrap_or(0);
    }
    if wanted & PROPAGATE_FROM != 0 {
        let shows = |member: &Arc<Mount>| top_of(member).is_below(root);
        out.propagate_from = mount.dominating_group(&shows).unwrap_or(0);
    }
    if wanted & MNT_NS_ID != 0 {
        out.mnt_ns_id = namespace.id().number();
    }
    if wanted & FS_TYPE != 0 {
        out.fs_type = put(&mut strings, superblock.fs_type().as_bytes());
    }
    if wanted & MNT_ROOT != 0 {
        out.mnt_root = put(&mut strings, &text::path_in_filesystem(mount.root()));
    }
    if wanted & MNT_POINT != 0 {
        out.mnt_point = put(&mut strings, &top_of(mount).display(root));
    }
    if wanted & MNT_OPTS != 0 {
        out.mnt_opts = put(&mut strings, superblock.show_options().as_bytes());
    }
    if wanted & SB_SOURCE != 0 {
        out.sb_source = put(&mut strings, mount.source());
    }
    if wanted & SUPPORTED_MASK != 0 {
        out.supported_mask = SUPPORTED;
    }
    Ok((out, strings))
}

fn propagation(mount: &Mount) -> u64 {
    let shared = if mount.peer_group().is_some() { MS_SHARED } else { 0 };
    let slave = if mount.master_group().is_some() { MS_SLAVE } else { 0 };
    let unbindable = if mount.is_unbindable() { MS_UNBINDABLE } else { 0 };
    match shared | slave | unbindable {
        0 => MS_PRIVATE,
        bits => bits,
    }
}

/// listmount(2): the mounts below one, by id. Below all: what the caller can reach.
pub(crate) fn sys_listmount(
    cx: &Cx,
    req: u64,
    mnt_ids: u64,
    nr_mnt_ids: usize,
    flags: u32,
) -> SysResult<usize> {
    if flags & !LISTMOUNT_REVERSE != 0 {
        return Err(Errno::EINVAL);
    }
    if nr_mnt_ids > MOST_IDS {
        return Err(Errno::EOVERFLOW);
    }
    let request = Request::read(cx, req)?;
    let namespace = Arc::clone(&cx.process.namespaces().mnt);
    let below = if request.id == ROOT {
        namespace.root()
    } else {
        let place = top_of(&find(&namespace, request.id)?);
        check_reach(cx, &namespace, &place)?;
        place
    };
    let after = (request.param != 0).then_some(request.param & !UNIQUE);
    let mut ids = Vec::new();
    for mount in namespace.list_from(after, usize::MAX, flags & LISTMOUNT_REVERSE != 0) {
        if ids.len() >= nr_mnt_ids {
            break;
        }
        if mount.unique_id() != request.id && top_of(&mount).is_below(&below) {
            ids.push(mount.unique_id());
        }
    }
    for (index, batch) in ids.chunks(BATCH).enumerate() {
        let at = mnt_ids.wrapping_add((index * BATCH * 8) as u64);
        cx.mem().write_array(UserRef::new(at), batch)?;
    }
    Ok(ids.len())
}

#[cfg(test)]
mod tests {
    use super::Statmount;

    #[test]
    fn statmount_has_linuxs_size() {
        assert_eq!(size_of::<Statmount>(), 512);
    }
}
