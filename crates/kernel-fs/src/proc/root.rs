//! The root of /proc: machine-wide files, `self` and a directory for each process.
//!
//! Its lookups are cached by the VFS as those of a filesystem that others change: each name is looked up
//! again, and stays the same dentry while it leads to the same inode. So a runtime can mount over a file
//! of it (`maskedPaths`).

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{FileKind, Inode, LinkTarget, Metadata, NewNode};

use super::pid::PidDir;
use super::{Proc, add_rows, fixed, machine, sysctl, sysvipc};
use crate::pseudo::{DirOps, Id, Listed, PseudoLink, ROOT_INO, StaticDir, TreeBuilder, child_ino};

/// Keys of processes in the listing come after those of files.
const FIRST_PROCESS: u64 = 0x1000;

/// The root directory.
pub(super) struct Root {
    proc: Arc<Proc>,
    fixed: StaticDir,
}

impl Root {
    pub(super) fn new(proc: &Arc<Proc>) -> Self {
        let mut tree = TreeBuilder::new();
        add_rows(&mut tree, proc, machine::FILES);
        add_rows(&mut tree, proc, fixed::FILES);
        add_rows(&mut tree, proc, sysctl::FILES);
        fixed::add(&mut tree);
        add_rows(&mut tree, proc, sysvipc::FILES);
        sysctl::add(&mut tree, &proc.kernel);
        sysvipc::add(&mut tree, &proc.kernel);
        tree.link("mounts", "self/mounts");
        tree.link("net", "self/net");
        let link =
            |name: &str| Id { ino: child_ino(ROOT_INO, name.as_bytes()), ..proc.instance.id(0, 0o777) };
        let own =
            PseudoLink::new(link("self"), |who| Ok(LinkTarget::Path(who.pid().to_string().into_bytes())));
        let thread = PseudoLink::new(link("thread-self"), |who| {
            Ok(LinkTarget::Path(format!("{}/task/{}", who.pid(), who.tid()).into_bytes()))
        });
        tree.inode("self", own);
        tree.inode("thread-self", thread);
        Self { proc: Arc::clone(proc), fixed: tree.build(&proc.instance) }
    }
}

/// An id as Linux's name_to_int takes it: decimal, without a leading zero.
pub(super) fn id_of(name: &[u8]) -> Option<i32> {
    let text = std::str::from_utf8(name).ok()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (!text.starts_with('0') || text == "0");
    if plain { text.parse().ok() } else { None }
}

impl Inode for Root {
    fn kind(&self) -> FileKind {
        FileKind::Directory
    }
    fn metadata(&self) -> SysResult<Metadata> {
        let processes = u32::try_from(self.proc.kernel.processes().len()).unwrap_or(u32::MAX);
        let nlink = self.fixed.nlink().saturating_add(processes);
        Ok(self.proc.instance.id(ROOT_INO, 0o555).metadata(FileKind::Directory, nlink))
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        match self.fixed.child(name) {
            Err(Errno::ENOENT) => {}
            found => return found,
        }
        let pid = id_of(name).ok_or(Errno::ENOENT)?;
        let dir = PidDir::of(&self.proc, pid)?;
        Ok(dir)
    }
    /// A name that isn't there is no place for a new file either: Linux's lookup already fails, where other
    /// filesystems answer a negative dentry (proc_root_lookup).
    fn create(&self, _name: &[u8], _node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        Err(Errno::ENOENT)
    }
    fn open(&self, _flags: OpenFlags, _who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let proc = Arc::clone(&self.proc);
        let children = Arc::clone(self.fixed.children());
        Ok(DirOps::open(ROOT_INO, ROOT_INO, move |_| {
            let mut all = StaticDir::listed(&children)?;
            let mut pids: Vec<i32> = proc.kernel.processes().iter().map(|process| process.pid).collect();
            pids.extend(proc.kernel.zombies().iter().map(|process| process.pid));
            pids.sort_unstable();
            // One that died between the two questions is in both answers.
            pids.dedup();
            all.extend(pids.into_iter().map(|pid| {
                let name = pid.to_string().into_bytes();
                let key = FIRST_PROCESS + u64::from(pid.unsigned_abs());
                Listed { key, ino: child_ino(ROOT_INO, &name), name, kind: FileKind::Directory }
            }));
            Ok(all)
        }))
    }
}
