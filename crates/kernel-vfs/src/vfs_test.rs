//! Mounts over a filesystem whose lookups make a fresh inode each time, as /proc's do. Path walks over
//! ordinary filesystems are tested with them, in kernel-fs.

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{OpenFlags, S_IFDIR, StatFs};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user::GuestMem;
use platform_api::fake::FakePlatform;

use crate::file::FileOps;
use crate::inode::{FileKind, Inode, Metadata, SuperBlock};
use crate::mount::{Mount, MountFlags, MountNamespace, Unmount};
use crate::walk::{WalkContext, WalkFlags};

/// A directory that has every name, each a fresh one of its own kind.
struct Fresh(u64);

impl Inode for Fresh {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        Ok(Metadata { ino: self.0, mode: S_IFDIR | 0o755, ..Metadata::default() })
    }
    fn lookup(&self, _name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        Ok(Arc::new(Self(self.0)))
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        Err(Errno::ENXIO)
    }
    fn caches_lookups(&self) -> bool {
        false
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(crate) struct FreshFs(pub(crate) u64);

impl SuperBlock for FreshFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(Fresh(self.0))
    }
    fn fs_type(&self) -> &'static str {
        "fresh"
    }
    fn dev(&self) -> u64 {
        self.0
    }
    fn statfs(&self) -> SysResult<StatFs> {
        Ok(StatFs::default())
    }
    fn is_exclusive(&self) -> bool {
        false
    }
}

pub(crate) struct Nobody(pub(crate) Arc<FakePlatform>);

impl Caller for Nobody {
    fn pid(&self) -> i32 {
        1
    }
    fn tid(&self) -> i32 {
        1
    }
    fn pgid(&self) -> i32 {
        1
    }
    fn sid(&self) -> i32 {
        1
    }
    fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::new(0, 0, CapSet::ALL))
    }
    fn mem(&self) -> GuestMem<'_> {
        GuestMem::new(&*self.0, 1)
    }
    fn raise(&self, _signal: Signal) {}
    fn raise_group(&self, _pgid: i32, _signal: Signal) -> SysResult<()> {
        Ok(())
    }
    fn blocks_or_ignores(&self, _signal: Signal) -> bool {
        false
    }
    fn group_is_orphaned(&self) -> bool {
        false
    }
    fn now_realtime_ns(&self) -> u64 {
        0
    }
}

#[test]
fn a_mount_deep_in_a_fresh_tree_is_found_until_unmounted() {
    let who = Nobody(FakePlatform::new(0));
    let creds = Credentials::new(0, 0, CapSet::ALL);
    let lower: Arc<dyn SuperBlock> = Arc::new(FreshFs(1));
    let upper: Arc<dyn SuperBlock> = Arc::new(FreshFs(2));
    let namespace = MountNamespace::new(Mount::of(&lower, b"lower", MountFlags::empty()));
    let root = namespace.root();
    let cx = WalkContext { root: &root, cwd: &root, creds: &creds, who: &who, umask: 0 };
    let find = || cx.resolve(None, b"/sys/kernel/masked", WalkFlags::empty()).expect("every name is there");
    namespace.mount(&upper, b"upper", MountFlags::RDONLY, &find()).expect("a directory on a directory");
    assert_eq!(find().inode().metadata().map(|metadata| metadata.ino), Ok(2));
    assert_eq!(find().display(&root), b"/sys/kernel/masked");
    namespace.unmount(find(), Unmount::IfUnused).expect("nobody uses it");
    assert_eq!(find().inode().metadata().map(|metadata| metadata.ino), Ok(1));
}
