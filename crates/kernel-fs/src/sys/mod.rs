//! /sys (sysfs(5)): the read-only part that libc, language runtimes and lscpu look at.
//!
//! [`SysFs`] builds one tree when it is made: [`cpu`] and [`node`] from the host's list of processors,
//! [`fixed`] for the rest, and an empty cgroup2 directory (a filesystem of its own in [`cgroup`], to be
//! mounted on /sys/fs/cgroup). To add a file that never changes, add a row to `fixed::TEXTS`; for another,
//! add a `tree.file` with a function.

pub mod cgroup;
mod cpu;
mod fixed;
mod node;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use abi_linux::time::Timespec;
use kernel_task::Kernel;
use kernel_vfs::anon::next_dev;
use kernel_vfs::inode::{Inode, SuperBlock};
use platform_api::Clock;

use crate::pseudo::{Instance, TreeBuilder};
use cpu::Processors;

/// SYSFS_MAGIC (include/uapi/linux/magic.h).
const SYSFS_MAGIC: i64 = 0x6265_6572;

/// A /sys instance.
pub struct SysFs {
    dev: u64,
    root: Arc<dyn Inode>,
}

impl SysFs {
    /// The /sys of a container's kernel.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a filesystem is only used through its trait")]
    pub fn new(kernel: &Arc<Kernel>) -> Arc<dyn SuperBlock> {
        let instance = instance(kernel);
        let mut tree = TreeBuilder::new();
        let processors = Processors::of_host(kernel);
        fixed::add(&mut tree);
        processors.add(&mut tree);
        node::add(&mut tree, kernel, &processors);
        Arc::new(Self { dev: instance.dev, root: Arc::new(tree.build(&instance)) })
    }
}

/// An instance whose files have the size of a page.
fn instance(kernel: &Kernel) -> Instance {
    let born = Timespec::from_ns(kernel.platform.now_ns(Clock::Realtime));
    Instance { dev: next_dev(), born, file_size: 4096 }
}

impl SuperBlock for SysFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root)
    }
    fn fs_type(&self) -> &'static str {
        "sysfs"
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let f_bsize = 4096;
        Ok(StatFs { f_type: SYSFS_MAGIC, f_bsize, f_frsize: f_bsize, f_namelen: 255, ..StatFs::default() })
    }
    fn is_exclusive(&self) -> bool {
        true
    }
}
