//! Reading an overlay's directories: both layers' names, each once.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_vfs::file::{DirEntry, FileOps, Io};
use kernel_vfs::inode::{FileKind, Inode};

use super::directory::is_whiteout;
use super::inode::OverlayInode;

/// Most names of one directory that are listed.
const MAX_ENTRIES: usize = 1 << 20;

/// A name for getdents64(2).
pub(super) struct Entry {
    name: Vec<u8>,
    ino: u64,
    kind: FileKind,
}

/// What one layer's directory holds, but for "." and "..".
fn read_layer(dir: &Arc<dyn Inode>, who: &dyn Caller) -> SysResult<Vec<Entry>> {
    let ops = dir.open(OpenFlags::DIRECTORY, who)?;
    let mut entries = Vec::new();
    ops.read_dir(who, 0, &mut |entry| {
        if !matches!(entry.name, b"." | b"..") {
            entries.push(Entry { name: entry.name.to_vec(), ino: entry.ino, kind: entry.kind });
        }
        entries.len() < MAX_ENTRIES
    })?;
    if entries.len() < MAX_ENTRIES { Ok(entries) } else { Err(Errno::ENOMEM) }
}

/// All names of one layer's directory.
pub(super) fn names(dir: &Arc<dyn Inode>, who: &dyn Caller) -> SysResult<Vec<Vec<u8>>> {
    Ok(read_layer(dir, who)?.into_iter().map(|entry| entry.name).collect())
}

/// The names of both layers without whiteouts.
pub(super) fn merged(dir: &OverlayInode, who: &dyn Caller) -> SysResult<Vec<Entry>> {
    let layers = dir.layers();
    let shared = dir.shared();
    let mut entries = Vec::new();
    // Where an upper name is in `entries`; `None` for a whiteout.
    let mut seen: HashMap<Vec<u8>, Option<usize>> = HashMap::new();
    if let Some(upper) = &layers.upper {
        for mut entry in read_layer(upper, who)? {
            let covered =
                entry.kind == FileKind::CharDevice && is_whiteout(&*upper.lookup(&entry.name, who)?);
            if layers.lower.is_some() {
                seen.insert(entry.name.clone(), (!covered).then_some(entries.len()));
            }
            if !covered {
                entry.ino = shared.upper_ino(entry.ino);
                entries.push(entry);
            }
        }
    }
    if let Some(lower) = &layers.lower {
        let dev = lower.metadata()?.dev;
        for mut entry in read_layer(lower, who)? {
            entry.ino = shared.lower_entry_ino(dev, entry.ino);
            match seen.get(&entry.name) {
                None => entries.push(entry),
                Some(&Some(at)) if entry.kind == FileKind::Directory => {
                    // A merged directory goes by its lower number, see `Shared::identify`.
                    let ino = dir.find(&entry.name, who)?.ino();
                    if let Some(upper) = entries.get_mut(at) {
                        upper.ino = ino;
                    }
                }
                Some(_) => {}
            }
        }
    }
    Ok(entries)
}

/// An open directory. It lists what was there when it was opened or rewound.
pub(super) struct OverlayDir {
    inode: Arc<OverlayInode>,
    entries: Mutex<Option<Arc<Vec<Entry>>>>,
}

impl OverlayDir {
    pub(super) fn new(inode: Arc<OverlayInode>) -> Self {
        Self { inode, entries: Mutex::new(None) }
    }

    fn snapshot(&self, who: &dyn Caller, position: u64) -> SysResult<Arc<Vec<Entry>>> {
        if position > 0
            && let Some(entries) = &*self.entries.lock()
        {
            return Ok(Arc::clone(entries));
        }
        let entries = Arc::new(merged(&self.inode, who)?);
        *self.entries.lock() = Some(Arc::clone(&entries));
        Ok(entries)
    }
}

impl FileOps for OverlayDir {
    fn read(&self, _io: Io<'_>, _buf: &mut [u8]) -> SysResult<usize> {
        Err(Errno::EISDIR)
    }

    fn read_dir(
        &self,
        who: &dyn Caller,
        position: u64,
        emit: &mut dyn FnMut(DirEntry<'_>) -> bool,
    ) -> SysResult<()> {
        let entries = self.snapshot(who, position)?;
        let kind = FileKind::Directory;
        if position == 0 && !emit(DirEntry { name: b".", ino: self.inode.ino(), kind, next: 1 }) {
            return Ok(());
        }
        if position <= 1 && !emit(DirEntry { name: b"..", ino: self.inode.parent_ino(), kind, next: 2 }) {
            return Ok(());
        }
        let first = position.max(2);
        let skip = usize::try_from(first - 2).unwrap_or(usize::MAX);
        for (entry, next) in entries.iter().skip(skip).zip(first + 1..) {
            if !emit(DirEntry { name: &entry.name, ino: entry.ino, kind: entry.kind, next }) {
                break;
            }
        }
        Ok(())
    }

    fn sync(&self, _data_only: bool) -> SysResult<()> {
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
