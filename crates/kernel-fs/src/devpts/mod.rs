//! devpts: /dev/pts with a node for each pty and the ptmx that makes them (Documentation/filesystems/
//! devpts.rst). Nodes come and go with the ptys of [`Terminals`]; nothing else can be made here.
//!
//! Lock order: `Devpts.nodes` → `PtsInode.metadata`; no terminal is asked with either held.

mod inode;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use abi_linux::fs::{OpenFlags, StatFs};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_vfs::anon::next_dev;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{Inode, SuperBlock};

use crate::tty::{MasterFile, PtyMaster, Terminals};
pub use inode::PtsInode;
use inode::RootInode;

/// DEVPTS_SUPER_MAGIC.
const DEVPTS_MAGIC: i64 = 0x1cd1;
/// The tty group, as distributions mount devpts.
const GID: u32 = 5;
/// Permission of the nodes.
const MODE: u32 = 0o620;

/// One instance, over the terminals of its container.
pub struct Devpts {
    me: Weak<Devpts>,
    dev: u64,
    born: Timespec,
    terminals: Arc<Terminals>,
    nodes: Mutex<BTreeMap<u32, Arc<PtsInode>>>,
}

impl Devpts {
    /// An instance; `now_ns` is the time of its root.
    #[must_use]
    pub fn new(terminals: Arc<Terminals>, now_ns: u64) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            dev: next_dev(),
            born: Timespec::from_ns(now_ns),
            terminals,
            nodes: Mutex::default(),
        })
    }

    /// The terminals that it shows.
    #[must_use]
    pub fn terminals(&self) -> &Arc<Terminals> {
        &self.terminals
    }

    /// Opens /dev/ptmx: a new pty whose node belongs to the caller.
    pub fn open_ptmx(&self, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let master = self.terminals.open_master()?;
        self.adopt(&master, who.credentials().fsuid, who.now_realtime_ns());
        Ok(MasterFile::new(master))
    }

    /// Gives the node of a pty, made by the supervisor, to a user.
    pub fn adopt(&self, master: &PtyMaster, uid: u32, now_ns: u64) -> Arc<PtsInode> {
        let pty = master.pty();
        let node = Arc::new(PtsInode::new(self.dev, pty, uid, Timespec::from_ns(now_ns)));
        // Nodes of closed masters stay until their numbers are used again: there are no more than numbers.
        let old = self.nodes.lock().insert(pty.index(), Arc::clone(&node));
        drop(old);
        node
    }

    /// The node of a pty; ENOENT when there is none.
    pub fn node(&self, index: u32) -> SysResult<Arc<PtsInode>> {
        let found = self.nodes.lock().get(&index).map(Arc::clone);
        found.filter(|node| node.is_alive()).ok_or(Errno::ENOENT)
    }

    fn indices_from(&self, first: u32) -> Vec<u32> {
        let nodes = self.nodes.lock();
        nodes.range(first..).filter(|(_, node)| node.is_alive()).map(|(index, _)| *index).collect()
    }
}

impl SuperBlock for Devpts {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::new(RootInode::new(Weak::clone(&self.me), self.dev, self.born))
    }
    fn fs_type(&self) -> &'static str {
        "devpts"
    }
    fn dev(&self) -> u64 {
        self.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        Ok(StatFs {
            f_type: DEVPTS_MAGIC,
            f_bsize: 4096,
            f_frsize: 4096,
            f_namelen: 255,
            ..StatFs::default()
        })
    }
    fn is_exclusive(&self) -> bool {
        // Nodes vanish with their masters, behind the back of a cache.
        false
    }
    fn show_options(&self) -> String {
        format!("gid={GID},mode={MODE:o},ptmxmode=666")
    }
}

/// Opens the terminal behind /dev/tty: the controlling one; ENXIO without.
pub fn open_controlling(
    terminals: &Terminals,
    flags: OpenFlags,
    who: &dyn Caller,
) -> SysResult<Arc<dyn FileOps>> {
    let pty = terminals.controlling(who.terminal_session()).ok_or(Errno::ENXIO)?;
    Ok(pty.open_slave(flags | OpenFlags::NOCTTY, who)?)
}

#[cfg(test)]
mod tests;
