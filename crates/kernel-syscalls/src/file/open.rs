//! open(2), openat(2), openat2(2), creat(2) (fs/open.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserCStr;
use kernel_vfs::file::File;
use kernel_vfs::walk::{WalkContext, WalkFlags};

use crate::cx::Cx;
use crate::path::at::{CWD, Target};

/// Size of the first `struct open_how` (OPEN_HOW_SIZE_VER0).
const HOW_SIZE: usize = 24;
/// RESOLVE_NO_XDEV to RESOLVE_CACHED.
const RESOLVE_KNOWN: u64 = 0x3f;
const RESOLVE_BENEATH: u64 = 0x08;
const RESOLVE_IN_ROOT: u64 = 0x10;
const RESOLVE_CACHED: u64 = 0x20;
/// Flags that open(2) knows (VALID_OPEN_FLAGS).
const KNOWN: OpenFlags = OpenFlags::all().union(OpenFlags::from_bits_retain(3));
/// Flags that mean something together with O_PATH (O_PATH_FLAGS).
const PATH_KNOWN: OpenFlags =
    OpenFlags::DIRECTORY.union(OpenFlags::NOFOLLOW).union(OpenFlags::PATH).union(OpenFlags::CLOEXEC);

/// A fifo's open waits for the other side.
pub(super) async fn complete(file: &File) {
    if let Some(queue) = file.ops.wait_queue().filter(|_| !file.ops.is_open_complete()) {
        let interest = Events::IN | Events::OUT;
        queue.wait_until(interest, || file.ops.is_open_complete().then_some(())).await;
    }
}

async fn open_file(
    cx: &Cx,
    target: &Target,
    flags: OpenFlags,
    mode: u32,
    walk_flags: WalkFlags,
) -> SysResult<Fd> {
    let open = || cx.with_walk(|walk| walk.open(target.at.as_ref(), &target.path, flags, mode, walk_flags));
    let file: Arc<File> = open().or_else(|errno| match errno {
        Errno::ETXTBSY => {
            cx.kernel().release_programs(cx);
            open()
        }
        _ => Err(errno),
    })?;
    complete(&file).await;
    cx.install(file, flags.contains(OpenFlags::CLOEXEC))
}

/// openat(2): unknown flags are ignored.
pub(crate) async fn sys_openat(cx: &Cx, dirfd: Fd, path: UserCStr, flags: u32, mode: u32) -> SysResult<Fd> {
    let mut flags = OpenFlags::from_bits_retain(flags) & KNOWN;
    if !flags.contains(OpenFlags::PATH) {
        flags |= OpenFlags::LARGEFILE;
    }
    WalkContext::check_open_flags(flags)?;
    let target = Target::read(cx, dirfd, path)?;
    open_file(cx, &target, flags, mode & 0o7777, WalkFlags::empty()).await
}

/// open(2).
pub(crate) async fn sys_open(cx: &Cx, path: UserCStr, flags: u32, mode: u32) -> SysResult<Fd> {
    sys_openat(cx, CWD, path, flags, mode).await
}

/// creat(2).
pub(crate) async fn sys_creat(cx: &Cx, path: UserCStr, mode: u32) -> SysResult<Fd> {
    let flags = OpenFlags::CREAT | OpenFlags::WRONLY | OpenFlags::TRUNC;
    sys_openat(cx, CWD, path, flags.bits(), mode).await
}

/// `struct open_how`.
struct How {
    flags: OpenFlags,
    mode: u32,
    resolve: WalkFlags,
}

impl How {
    /// Reads it, checked as copy_struct_from_user and build_open_flags do.
    fn read(cx: &Cx, at: u64, size: usize) -> SysResult<Self> {
        let [flags, mode, resolve]: [u64; 3] = cx.mem().read_sized(at, size, HOW_SIZE)?;
        Self::check(flags, mode, resolve)
    }

    fn check(flags: u64, mode: u64, resolve: u64) -> SysResult<Self> {
        let bits = u32::try_from(flags).map_err(|_| Errno::EINVAL)?;
        let flags = OpenFlags::from_bits_retain(bits);
        let both = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
        if !KNOWN.contains(flags) || resolve & !RESOLVE_KNOWN != 0 || resolve & both == both {
            return Err(Errno::EINVAL);
        }
        let makes = flags.contains(OpenFlags::CREAT) || flags.contains(OpenFlags::TMPFILE);
        if mode > 0o7777 || !makes && mode != 0 {
            return Err(Errno::EINVAL);
        }
        if flags.contains(OpenFlags::PATH) && !PATH_KNOWN.contains(flags) {
            return Err(Errno::EINVAL);
        }
        if resolve & RESOLVE_CACHED != 0 {
            // "Try without": nothing here tells a cached name from one that needs the disk.
            return Err(Errno::EAGAIN);
        }
        let large = if flags.contains(OpenFlags::PATH) { OpenFlags::empty() } else { OpenFlags::LARGEFILE };
        Ok(Self { flags: flags | large, mode: mode as u32, resolve: WalkFlags::from_resolve(resolve) })
    }
}

/// openat2(2).
pub(crate) async fn sys_openat2(cx: &Cx, dirfd: Fd, path: UserCStr, how: u64, size: usize) -> SysResult<Fd> {
    let how = How::read(cx, how, size)?;
    WalkContext::check_open_flags(how.flags)?;
    let target = Target::read(cx, dirfd, path)?;
    open_file(cx, &target, how.flags, how.mode, how.resolve).await
}

#[cfg(test)]
mod tests {
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{How, KNOWN, OpenFlags, RESOLVE_CACHED, RESOLVE_KNOWN};

    proptest! {
        #[test]
        fn any_open_how_is_known_or_refused(flags in any::<u64>(), mode in any::<u64>(), resolve in any::<u64>()) {
            match How::check(flags, mode, resolve) {
                Ok(how) => {
                    prop_assert!(flags & !u64::from(KNOWN.bits()) == 0 && resolve & !RESOLVE_KNOWN == 0);
                    let given = how.flags.bits() | OpenFlags::LARGEFILE.bits();
                    prop_assert_eq!((u64::from(given), u64::from(how.mode)), (flags | u64::from(OpenFlags::LARGEFILE.bits()), mode));
                }
                Err(errno) => prop_assert!(errno == Errno::EINVAL || resolve & RESOLVE_CACHED != 0),
            }
        }

        #[test]
        fn known_bits_are_judged(flags in any::<u32>(), mode in 0u64..0o10000, resolve in 0u64..0x40) {
            let flags = u64::from(flags & KNOWN.bits());
            let _ = How::check(flags, mode, resolve);
        }
    }
}
