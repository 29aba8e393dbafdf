//! Descriptors that nodes keep: an O_PATH handle, and for regular files one for reading and one for
//! writing. Those of files that are not in use are closed when there are too many.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use host_files::{DataFile, Name, Node, RelPath};
use kernel_base::sync::Mutex;
use kernel_vfs::inode::FileKind;

use super::inode::HostInode;

/// Most names that one openat2(2) goes down: keeps the path below PATH_MAX.
const NAMES_AT_ONCE: usize = 15;

/// How many candidates one insertion into a full cache looks at.
const TRIES: usize = 8;

/// The descriptors of one node.
#[derive(Default)]
pub(super) struct Handles {
    pub(super) node: Option<Arc<Node>>,
    pub(super) read: Option<DataFile>,
    pub(super) write: Option<DataFile>,
    /// The file has lost its name while it was open: it cannot be opened again, so these stay.
    pub(super) pinned: bool,
    /// In the cache's queue.
    pub(super) queued: bool,
    /// Used since the cache last looked.
    pub(super) used: bool,
}

/// The nodes of an instance that keep descriptors, in the order in which they opened their first.
pub(super) struct HandleCache {
    limit: usize,
    queue: Mutex<VecDeque<Weak<HostInode>>>,
}

impl HandleCache {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, queue: Mutex::default() }
    }

    /// Notes that a node keeps descriptors now, and closes those of others when there are too many. The
    /// caller holds no node's handles.
    pub(super) fn add(&self, inode: Weak<HostInode>) {
        let mut queue = self.queue.lock();
        queue.push_back(inode);
        for _ in 0..TRIES {
            if queue.len() <= self.limit {
                return;
            }
            let Some(oldest) = queue.pop_front() else { return };
            drop(queue);
            let keep = oldest.upgrade().is_some_and(|inode| !inode.close_unused());
            queue = self.queue.lock();
            if keep {
                queue.push_back(oldest);
            }
        }
    }
}

impl HostInode {
    /// Closes the descriptors unless they were used lately or must stay. True when they are closed.
    pub(super) fn close_unused(&self) -> bool {
        let mut handles = self.handles.lock();
        if handles.pinned || std::mem::take(&mut handles.used) {
            return false;
        }
        let closed = std::mem::take(&mut *handles);
        drop(handles);
        drop(closed);
        true
    }

    /// Keeps a descriptor, and has the cache know.
    pub(super) fn keep(&self, put: impl FnOnce(&mut Handles)) {
        let mut handles = self.handles.lock();
        put(&mut handles);
        handles.used = true;
        let new = !std::mem::replace(&mut handles.queued, true);
        drop(handles);
        if new {
            self.shared.handles.add(self.me.clone());
        }
    }

    pub(super) fn kept_node(&self) -> Option<Arc<Node>> {
        let mut handles = self.handles.lock();
        if handles.node.is_none() {
            let file = handles.write.as_ref().or(handles.read.as_ref())?;
            handles.node = Some(Arc::new(Node::of_file(file)));
        }
        handles.used = true;
        handles.node.clone()
    }

    /// A handle on it: the one that is kept, or opened by name from the nearest ancestor that has one.
    pub(super) fn node(&self) -> SysResult<Arc<Node>> {
        if let Some(node) = self.kept_node() {
            return Ok(node);
        }
        if self.is_root() {
            return Ok(Arc::clone(&self.shared.root));
        }
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut next = self.place.read().clone();
        let mut from = loop {
            let Some(place) = next else { return Err(Errno::ESTALE) };
            names.push(place.name);
            if let Some(node) = place.parent.kept_node() {
                break node;
            }
            if place.parent.is_root() {
                break Arc::clone(&self.shared.root);
            }
            next = place.parent.place.read().clone();
        };
        names.reverse();
        for piece in names.chunks(NAMES_AT_ONCE) {
            let path = RelPath::from_names(piece.iter().map(|name| &**name))?;
            from = Arc::new(from.descend(&path)?);
        }
        if !self.shared.is_exclusive() {
            let stat = from.stat()?;
            if (stat.dev, stat.ino) != self.key {
                return Err(Errno::ESTALE);
            }
        }
        self.keep(|handles| handles.node = Some(Arc::clone(&from)));
        Ok(from)
    }

    /// The parent's handle and the name there.
    pub(super) fn parent_and_name(&self) -> SysResult<(Arc<Node>, Arc<[u8]>)> {
        let place = self.place.read().clone().ok_or(Errno::ESTALE)?;
        Ok((place.parent.node()?, place.name))
    }

    /// What an open by name has to meet: in a shared instance the name may lead elsewhere by now.
    fn ino_to_check(&self) -> Option<u64> {
        (!self.shared.is_exclusive()).then_some(self.key.1)
    }

    /// It, open for reading on the host.
    pub(super) fn reader(&self) -> SysResult<DataFile> {
        let mut handles = self.handles.lock();
        if let Some(file) = handles.read.clone() {
            handles.used = true;
            return Ok(file);
        }
        drop(handles);
        let file = if self.is_root() {
            self.shared.root.reopen_read()?
        } else {
            let (parent, name) = self.parent_and_name()?;
            parent.open_read(Name::new(&name)?, self.ino_to_check())?
        };
        self.keep(|handles| handles.read = Some(file.clone()));
        Ok(file)
    }

    /// It, open for reading and writing on the host.
    pub(super) fn writer(&self) -> SysResult<DataFile> {
        self.check_writable()?;
        let mut handles = self.handles.lock();
        if let Some(file) = handles.write.clone() {
            handles.used = true;
            return Ok(file);
        }
        drop(handles);
        let file = if self.is_root() {
            self.shared.root.reopen_write()?
        } else {
            let (parent, name) = self.parent_and_name()?;
            parent.open_write(Name::new(&name)?, self.ino_to_check())?
        };
        self.keep(|handles| handles.write = Some(file.clone()));
        Ok(file)
    }

    /// A descriptor for extended attributes.
    pub(super) fn xattr_file(&self) -> SysResult<DataFile> {
        match self.kind {
            FileKind::Regular => self.reader(),
            FileKind::Directory => self.node()?.open_directory(),
            _ => Err(Errno::EOPNOTSUPP),
        }
    }

    pub(super) fn opened(&self) {
        self.open_files.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn closed(&self) {
        self.open_files.fetch_sub(1, Ordering::AcqRel);
    }

    /// Before its name goes: opens what open files of ours will need.
    pub(super) fn prepare_removal(&self) {
        let in_use = self.open_files.load(Ordering::Acquire) > 0;
        if !in_use && self.kind != FileKind::Directory {
            return;
        }
        // What cannot be opened now could not be opened later either.
        let _node = self.node();
        if in_use && self.kind == FileKind::Regular {
            let _reader = self.reader();
            let _writer = self.writer();
        }
        self.handles.lock().pinned = true;
    }
}
