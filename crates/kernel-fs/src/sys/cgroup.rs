//! A cgroup2 filesystem with the root of a cgroup namespace and nothing below it (cgroups(7)): what JVMs
//! and Go programs read to learn their limits. Read-only.

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use kernel_base::caller::Caller;
use kernel_task::Kernel;
use kernel_vfs::inode::{Inode, SuperBlock};

use super::instance;
use crate::pseudo::{Content, TreeBuilder, text};

/// CGROUP2_SUPER_MAGIC (include/uapi/linux/magic.h).
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// The limits that a container shows. `None` is "max".
#[derive(Clone, Copy, Debug, Default)]
pub struct CgroupLimits {
    /// memory.max, bytes.
    pub memory_bytes: Option<u64>,
    /// cpu.max: microseconds of a period of 100 ms.
    pub cpu_quota_us: Option<u64>,
    /// pids.max.
    pub pids: Option<u64>,
}

/// A cgroup2 instance.
pub struct CgroupFs {
    dev: u64,
    root: Arc<dyn Inode>,
}

/// The processes of the cgroup: all of the container's.
struct Members(Arc<Kernel>);

impl Content for Members {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        let mut out = Vec::new();
        for process in self.0.processes() {
            text!(&mut out, "{}\n", process.pid);
        }
        Ok(out)
    }
}

impl CgroupFs {
    /// The cgroup of a container.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a filesystem is only used through its trait")]
    pub fn new(kernel: &Arc<Kernel>, limits: CgroupLimits) -> Arc<dyn SuperBlock> {
        let limit = |value: Option<u64>| value.map_or_else(|| "max".to_owned(), |value| value.to_string());
        let mut tree = TreeBuilder::new();
        tree.fixed("cgroup.controllers", "cpu memory pids\n");
        tree.fixed("cgroup.subtree_control", "\n");
        tree.fixed("cgroup.type", "domain\n");
        tree.fixed("cgroup.events", "populated 1\nfrozen 0\n");
        tree.fixed("cgroup.max.depth", "max\n");
        tree.fixed("cgroup.max.descendants", "max\n");
        tree.fixed("memory.max", format!("{}\n", limit(limits.memory_bytes)));
        tree.fixed("memory.high", "max\n");
        tree.fixed("memory.low", "0\n");
        tree.fixed("memory.min", "0\n");
        tree.fixed("memory.swap.max", "max\n");
        tree.fixed("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n");
        tree.fixed("cpu.max", format!("{} 100000\n", limit(limits.cpu_quota_us)));
        tree.fixed("cpu.weight", "100\n");
        tree.fixed("pids.max", format!("{}\n", limit(limits.pids)));
        tree.file("cgroup.procs", 0o444, Arc::new(Members(Arc::clone(kernel))));
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
