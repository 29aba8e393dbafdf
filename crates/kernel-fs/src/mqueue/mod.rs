//! The mqueue filesystem (mq_overview(7); ipc/mqueue.c, Linux v6.18): the names of an IPC namespace's POSIX message
//! queues. There is one instance for each namespace, which every mount of it shows, and a mount of its own in which
//! mq_open(2) looks.
//!
//! Lock order: `Shared.directory` → `QueueInode.attributes`; queues are asked with neither held.

mod file;
mod inode;

use std::sync::{Arc, Weak};

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use abi_linux::time::Timespec;
use kernel_base::sync::Mutex;
use kernel_ipc::IpcNamespace;
use kernel_ipc::mqueue::{Attributes, Maker, PosixQueue};
use kernel_vfs::anon::next_dev;
use kernel_vfs::file::File;
use kernel_vfs::inode::{Inode, NewNode, SuperBlock};
use kernel_vfs::mount::{Mount, MountFlags};
use kernel_vfs::path::Path;
use platform_api::{Clock, Platform};

use file::QueueFile;
use inode::{Directory, RootInode};

/// MQUEUE_MAGIC of include/uapi/linux/magic.h.
const MQUEUE_MAGIC: i64 = 0x1980_0202;

/// What the instance's inodes share.
struct Shared {
    /// Weak: the namespace holds the mount. Without it nothing can be made any more.
    namespace: Weak<IpcNamespace>,
    platform: Arc<dyn Platform>,
    dev: u64,
    directory: Mutex<Directory>,
}

impl Shared {
    fn now(&self) -> Timespec {
        Timespec::from_ns(self.platform.now_ns(Clock::Realtime))
    }
}

/// The instance of an IPC namespace.
struct MqueueFs {
    shared: Arc<Shared>,
    root: Arc<RootInode>,
}

impl SuperBlock for MqueueFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root) as Arc<dyn Inode>
    }
    fn fs_type(&self) -> &'static str {
        "mqueue"
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let (f_type, f_bsize) = (MQUEUE_MAGIC, 4096);
        Ok(StatFs { f_type, f_bsize, f_frsize: f_bsize, f_namelen: 255, ..StatFs::default() })
    }
    fn is_exclusive(&self) -> bool {
        // Each mount has names of its own, which are looked up anew.
        false
    }
}

/// The place in which a namespace's queues have their names.
#[must_use]
pub fn root_of(namespace: &Arc<IpcNamespace>, platform: &Arc<dyn Platform>) -> Path {
    let mount = namespace.mqueue_mount.get_or_init(|| {
        let shared = Arc::new(Shared {
            namespace: Arc::downgrade(namespace),
            platform: Arc::clone(platform),
            dev: next_dev(),
            directory: Mutex::default(),
        });
        let root = RootInode::new(&shared);
        let superblock: Arc<dyn SuperBlock> = Arc::new(MqueueFs { shared, root });
        Mount::of(&superblock, b"none", MountFlags::empty())
    });
    Path::new(Arc::clone(mount), Arc::clone(mount.root()))
}

/// What mount(2) shows of it.
#[must_use]
pub fn superblock_of(namespace: &Arc<IpcNamespace>, platform: &Arc<dyn Platform>) -> Arc<dyn SuperBlock> {
    Arc::clone(root_of(namespace, platform).mount.superblock())
}

/// Makes a queue in the directory `root`, for mq_open(2).
pub fn create(
    root: &Path,
    name: &[u8],
    node: &NewNode<'_>,
    wanted: Option<Attributes>,
    maker: Maker,
) -> SysResult<Arc<dyn Inode>> {
    let directory = root.inode().as_any().downcast_ref::<RootInode>().ok_or(abi_linux::Errno::EACCES)?;
    Ok(directory.make(name, node, wanted, maker)?)
}

/// The queue behind an open file; `None` for other files.
#[must_use]
pub fn queue_of(file: &File) -> Option<&Arc<PosixQueue>> {
    file.ops.as_any().downcast_ref::<QueueFile>().map(QueueFile::queue)
}

/// Notes that mq_notify(2) or mq_setattr(2) changed a queue.
pub fn touch(file: &File) {
    if let Some(file) = file.ops.as_any().downcast_ref::<QueueFile>() {
        file.touch();
    }
}
