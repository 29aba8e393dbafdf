//! A cgroup2 filesystem with the root of a cgroup namespace and nothing below it (cgroups(7)): what JVMs
//! and Go programs read to learn their limits. Read-only.
//!
//! [`files`] are the limits (`Kernel::cgroup_files`) and those that never change; [`usage`] adds up what the processes use.

mod files;
mod usage;

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use kernel_task::Kernel;
use kernel_vfs::inode::{Inode, SuperBlock};

use super::instance;
use crate::pseudo::TreeBuilder;
pub(crate) use usage::memory_in_use;

/// CGROUP2_SUPER_MAGIC (include/uapi/linux/magic.h).
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// A cgroup2 instance.
pub struct CgroupFs {
    dev: u64,
    root: Arc<dyn Inode>,
}

impl CgroupFs {
    /// The cgroup of a container.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a filesystem is only used through its trait")]
    pub fn new(kernel: &Arc<Kernel>) -> Arc<dyn SuperBlock> {
        let mut tree = TreeBuilder::new();
        files::add(&mut tree, kernel);
        usage::add(&mut tree, kernel);
        let instance = instance(kernel);
        Arc::new(Self { dev: instance.dev, root: Arc::new(tree.build(&instance)) })
    }
}

impl SuperBlock for CgroupFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root)
    }
    fn fs_type(&self) -> &'static str {
        "cgroup2"
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let (f_type, f_bsize) = (CGROUP2_SUPER_MAGIC, 4096);
        Ok(StatFs { f_type, f_bsize, f_frsize: f_bsize, f_namelen: 255, ..StatFs::default() })
    }
    fn is_exclusive(&self) -> bool {
        true
    }
    fn show_options(&self) -> String {
        "nsdelegate".to_owned()
    }
}
