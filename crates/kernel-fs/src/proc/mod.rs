//! /proc (proc(5); fs/proc/, Linux v6.18).
//!
//! [`ProcFs`] is the superblock. What a file holds comes from the books (`kernel-task`), from the mount
//! namespace, or from the host's file of the same name through the platform, with every id, path and name
//! replaced: nothing of the host that has a name in it reaches a guest.
//!
//! To add a file, write a function and add a row: machine-wide files are rows of `machine::FILES`,
//! `fixed::FILES`, `sysctl::FILES` or `net::FILES`; those of a process are rows of `pid::table::ENTRIES`.
//!
//! Neighbours: [`crate::pseudo`] serves the generated text; [`hooks::ProcHooks`] is what the supervisor
//! tells (terminals, host names). A process that has died is here as a zombie until the host says that it has
//! been waited for.
//!
//! Lock order: no lock is held while text is generated; `Proc.dirs` is a leaf.

mod fixed;
pub mod hooks;
pub(crate) mod host;
mod machine;
mod net;
mod pid;
pub mod mounts {
    //! How mounts are shown, for statmount(2).
    pub use super::pid::mounts::path_in_filesystem;
}
mod root;
mod sysctl;
mod sysvipc;
#[cfg(test)]
mod tests;

pub use fixed::filesystem_types;

use std::sync::{Arc, OnceLock, Weak};

use abi_linux::SysResult;
use abi_linux::fs::StatFs;
use abi_linux::time::Timespec;
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_task::{Kernel, Process};
use kernel_vfs::anon::next_dev;
use kernel_vfs::file::File;
use kernel_vfs::inode::{Inode, SuperBlock};
use kernel_vfs::path::Path;
use platform_api::Clock;
use rustc_hash::FxHashMap;

use crate::pseudo::{Content, Instance, TreeBuilder};
use hooks::ProcOptions;

/// PROC_SUPER_MAGIC (include/uapi/linux/magic.h).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// What all of one /proc share.
pub(crate) struct Proc {
    kernel: Arc<Kernel>,
    options: ProcOptions,
    instance: Instance,
    /// Real time of the container's boot.
    boot_realtime_ns: u64,
    /// Time between the host's boot and the container's ([`Clock::Boottime`]).
    boot_boottime_ns: u64,
    /// Directories of processes by id, so that a process keeps one inode.
    dirs: Mutex<FxHashMap<i32, Weak<pid::PidDir>>>,
    /// The entries of /proc/pid/net.
    net: OnceLock<Arc<dyn Inode>>,
}

impl Proc {
    /// Time since the container's boot.
    fn uptime_ns(&self) -> u64 {
        self.kernel.platform.now_ns(Clock::Monotonic).saturating_sub(self.kernel.boot_ns)
    }

    /// The root directory of whoever reads: paths are shown from there.
    fn root_of(&self, who: &dyn Caller) -> SysResult<Path> {
        match self.kernel.process(who.pid()) {
            Some(process) => Ok(process.fs.get().root.clone()),
            None => {
                let init = self.kernel.init().ok_or(abi_linux::Errno::ENOENT)?;
                Ok(init.fs.get().root.clone())
            }
        }
    }
}

/// A /proc instance.
pub struct ProcFs {
    proc: Arc<Proc>,
    root: Arc<dyn Inode>,
}

impl ProcFs {
    /// The /proc of a container's kernel.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a filesystem is only used through its trait")]
    pub fn new(kernel: &Arc<Kernel>, options: ProcOptions) -> Arc<dyn SuperBlock> {
        let platform = &kernel.platform;
        let age_ns = platform.now_ns(Clock::Monotonic).saturating_sub(kernel.boot_ns);
        let boot_realtime_ns = platform.now_ns(Clock::Realtime).saturating_sub(age_ns);
        let proc = Arc::new(Proc {
            kernel: Arc::clone(kernel),
            options,
            instance: Instance { dev: next_dev(), born: Timespec::from_ns(boot_realtime_ns), file_size: 0 },
            boot_realtime_ns,
            boot_boottime_ns: platform.now_ns(Clock::Boottime).saturating_sub(age_ns),
            dirs: Mutex::default(),
            net: OnceLock::new(),
        });
        proc.net.get_or_init(|| net::directory(&proc));
        let root: Arc<dyn Inode> = Arc::new(root::Root::new(&proc));
        Arc::new(Self { proc, root })
    }
}

impl SuperBlock for ProcFs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root)
    }
    fn fs_type(&self) -> &'static str {
        "proc"
    }
    fn dev(&self) -> u64 {
        self.proc.instance.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let (f_bsize, f_namelen) = (4096, 255);
        Ok(StatFs { f_type: PROC_SUPER_MAGIC, f_bsize, f_frsize: f_bsize, f_namelen, ..StatFs::default() })
    }
    fn is_exclusive(&self) -> bool {
        false
    }
}

/// The process that an open directory /proc/<pid> is about, which pidfd_send_signal(2) takes as a pidfd.
pub fn process_of_dir(file: &File) -> SysResult<Arc<Process>> {
    pid::process_of_dir(file)
}

/// Makes the text of a machine-wide file.
type Show = fn(&Proc, &dyn Caller, &mut Vec<u8>) -> SysResult<()>;
/// Takes what a guest writes to one.
type Store = fn(&Proc, &dyn Caller, &[u8]) -> SysResult<()>;

/// A machine-wide file: path below /proc, permission bits, what it shows, and who may change it how.
struct Row {
    path: &'static str,
    mode: u32,
    show: Show,
    store: Option<Store>,
}

/// A row without a `store`.
const fn row(path: &'static str, mode: u32, show: Show) -> Row {
    Row { path, mode, show, store: None }
}

/// A file of a [`Row`].
struct RowFile {
    proc: Arc<Proc>,
    row: &'static Row,
}

impl Content for RowFile {
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>> {
        let mut out = Vec::new();
        (self.row.show)(&self.proc, who, &mut out)?;
        Ok(out)
    }
    fn store(&self, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
        let store = self.row.store.ok_or(abi_linux::Errno::EPERM)?;
        store(&self.proc, who, data)
    }
}

/// Adds the files of a table to a tree.
fn add_rows(tree: &mut TreeBuilder, proc: &Arc<Proc>, rows: &'static [Row]) {
    for row in rows {
        tree.file(row.path, row.mode, Arc::new(RowFile { proc: Arc::clone(proc), row }));
    }
}
