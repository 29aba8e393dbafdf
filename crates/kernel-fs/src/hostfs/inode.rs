//! Nodes of a host directory.

use std::any::Any;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock, Weak};

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use host_files::{HostKind, HostStat, Name, Node, Rename, Special};
use kernel_base::caller::Caller;
use kernel_base::sync::{Mutex, RwLock};
use kernel_vfs::device::SpecialNode;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{
    FileKind, Inode, LinkTarget, Metadata, NewContent, NewNode, RenameMode, SetAttributes,
};

use super::file::{HostDir, HostFile};
use super::handles::Handles;
use super::{HostAccess, Key, Shared};

/// Where a node lies.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) parent: Arc<HostInode>,
    pub(super) name: Arc<[u8]>,
}

/// A node.
pub struct HostInode {
    pub(super) shared: Arc<Shared>,
    pub(super) me: Weak<HostInode>,
    pub(super) key: Key,
    dev: u64,
    pub(super) kind: FileKind,
    /// `None` for the root, and for a file whose names are all gone.
    pub(super) place: RwLock<Option<Place>>,
    pub(super) handles: Mutex<Handles>,
    /// How many open files of ours it has.
    pub(super) open_files: AtomicU32,
    special: SpecialNode,
    /// Target of a symbolic link, once read; links never change theirs.
    target: OnceLock<Box<[u8]>>,
    /// Appends take turns.
    pub(super) append: Mutex<()>,
    attributes: Mutex<Attributes>,
}

/// What is known of a node's attributes.
#[derive(Default)]
struct Attributes {
    known: Option<Metadata>,
    /// Size, blocks and times, and a directory's links, are not what they were when `known` was.
    is_touched: bool,
    /// Counts changes: what the host said before one is not kept after it.
    changes: u32,
}

impl Attributes {
    fn new(known: Metadata) -> Self {
        Self { known: Some(known), ..Self::default() }
    }
}

pub(super) fn kind_of(kind: HostKind) -> FileKind {
    match kind {
        HostKind::Regular => FileKind::Regular,
        HostKind::Directory => FileKind::Directory,
        HostKind::Symlink => FileKind::Symlink,
        HostKind::Fifo => FileKind::Fifo,
        HostKind::Socket => FileKind::Socket,
        HostKind::CharDevice => FileKind::CharDevice,
        HostKind::BlockDevice => FileKind::BlockDevice,
    }
}

pub(super) fn metadata_of(stat: &HostStat, dev: u64) -> Metadata {
    Metadata {
        dev,
        ino: stat.ino,
        mode: stat.mode,
        nlink: stat.nlink,
        uid: stat.uid,
        gid: stat.gid,
        rdev: stat.rdev,
        size: stat.size,
        blocks: stat.blocks,
        block_size: stat.block_size,
        atime: stat.atime,
        mtime: stat.mtime,
        ctime: stat.ctime,
        btime: stat.btime,
    }
}

impl HostInode {
    pub(super) fn new(shared: &Arc<Shared>, stat: &HostStat, place: Option<(Arc<Self>, &[u8])>) -> Arc<Self> {
        let dev = shared.guest_dev(stat.dev);
        Arc::new_cyclic(|me| Self {
            shared: Arc::clone(shared),
            me: me.clone(),
            key: (stat.dev, stat.ino),
            dev,
            kind: kind_of(stat.kind),
            place: RwLock::new(place.map(|(parent, name)| Place { parent, name: Arc::from(name) })),
            handles: Mutex::default(),
            open_files: AtomicU32::new(0),
            special: SpecialNode::default(),
            target: OnceLock::new(),
            append: Mutex::new(()),
            attributes: Mutex::new(Attributes::new(shared.metadata(stat, dev))),
        })
    }

    pub(super) fn is_kind_of(&self, stat: &HostStat) -> bool {
        self.kind == kind_of(stat.kind)
    }

    fn of(inode: &dyn Inode) -> SysResult<&Self> {
        inode.as_any().downcast_ref().ok_or(Errno::EXDEV)
    }

    pub(super) fn is_root(&self) -> bool {
        self.key == self.shared.root_key
    }

    pub(super) fn check_writable(&self) -> SysResult<()> {
        if self.shared.options.access == HostAccess::ReadOnly { Err(Errno::EROFS) } else { Ok(()) }
    }

    /// Has attributes asked for anew at the next look.
    pub(super) fn changed(&self) {
        let mut attributes = self.attributes.lock();
        attributes.known = None;
        attributes.changes = attributes.changes.wrapping_add(1);
    }

    /// As [`Self::changed`], where owner, group and mode stay: after a write, or when names in a directory change.
    pub(super) fn touched(&self) {
        let mut attributes = self.attributes.lock();
        attributes.is_touched = true;
        attributes.changes = attributes.changes.wrapping_add(1);
    }

    /// Whether what is known of the attributes needs no look at the host.
    fn may_keep_attributes(&self) -> bool {
        self.shared.is_exclusive() || self.place.read().is_none() && !self.is_root()
    }

    /// After its name `name` in `parent` went.
    fn name_removed(&self, parent: &Self, name: &[u8]) {
        self.changed();
        let mut place = self.place.write();
        if place.as_ref().is_some_and(|place| std::ptr::eq(&*place.parent, parent) && *place.name == *name) {
            let old = place.take();
            drop(place);
            drop(old);
        }
    }

    fn set_place(&self, parent: &Self, name: &[u8]) {
        let Some(parent) = parent.me.upgrade() else { return };
        let old = self.place.write().replace(Place { parent, name: Arc::from(name) });
        drop(old);
    }

    /// The node for what lies under a name here.
    fn intern_child(&self, name: &[u8], stat: &HostStat) -> SysResult<Arc<Self>> {
        let me = self.me.upgrade().ok_or(Errno::ESTALE)?;
        let shared = Arc::clone(&self.shared);
        let child = shared.intern(stat, || Self::new(&shared, stat, Some((me, name))));
        let lost = !self.shared.is_exclusive() || child.place.read().is_none();
        if lost && !child.is_root() {
            child.set_place(self, name);
        }
        if !self.shared.is_exclusive() {
            *child.attributes.lock() = Attributes::new(self.shared.metadata(stat, child.dev));
        }
        Ok(child)
    }

    /// The node under a name that one of our operations is about to touch.
    fn known_child(&self, name: &[u8]) -> SysResult<Arc<Self>> {
        let stat = self.node()?.stat_child(Name::new(name)?)?;
        self.intern_child(name, &stat)
    }

    fn directory(&self) -> SysResult<Arc<Node>> {
        if self.kind == FileKind::Directory { self.node() } else { Err(Errno::ENOTDIR) }
    }

    pub(super) fn ino(&self) -> u64 {
        self.key.1
    }

    /// The number of "..": the parent's, or its own at the root.
    pub(super) fn parent_ino(&self) -> u64 {
        self.place.read().as_ref().map_or(self.ino(), |place| place.parent.ino())
    }

    fn make(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<Self>> {
        self.check_writable()?;
        let directory = self.directory()?;
        let (host_name, new) = (Name::new(name)?, self.shared.new_file(node)?);
        match node.content {
            NewContent::Regular => {
                let (file, stat) = directory.create(host_name, new)?;
                self.touched();
                let child = self.intern_child(name, &stat)?;
                child.keep(|handles| handles.write = Some(file));
                return Ok(child);
            }
            NewContent::Directory => {
                let (node, stat) = directory.make_dir(host_name, new)?;
                self.touched();
                let child = self.intern_child(name, &stat)?;
                child.keep(|handles| handles.node = Some(Arc::new(node)));
                return Ok(child);
            }
            NewContent::Symlink(target) => directory.make_symlink(host_name, target, new)?,
            NewContent::Fifo => directory.make_special(host_name, Special::Fifo, new)?,
            NewContent::Socket => directory.make_special(host_name, Special::Socket, new)?,
            NewContent::CharDevice(0) => directory.make_special(host_name, Special::Whiteout, new)?,
            // A device node on the host would be one for the host's programs as well.
            NewContent::CharDevice(_) | NewContent::BlockDevice(_) => return Err(Errno::EPERM),
        }
        self.touched();
        self.intern_child(name, &directory.stat_child(host_name)?)
    }

    fn change(&self, change: &SetAttributes) -> SysResult<()> {
        if let Some(size) = change.size {
            self.writer()?.set_len(size)?;
        }
        let (owner, times) = (change.uid.or(change.gid).is_some(), change.atime.or(change.mtime).is_some());
        if !owner && !times && change.mode.is_none() {
            return Ok(());
        }
        let node = self.node()?;
        if owner {
            let (uid, gid) = self.shared.host_ids(change.uid, change.gid)?;
            node.set_owner(uid, gid)?;
        }
        // After the owner: the host drops set-id bits when that changes.
        if let Some(mode) = change.mode {
            node.set_mode(mode)?;
        }
        if times { node.set_times(change.atime, change.mtime) } else { Ok(()) }
    }

    /// Removes the name of a node that is no directory.
    fn remove(&self, name: &[u8], child: &Self) -> SysResult<()> {
        child.prepare_removal();
        self.directory()?.unlink(Name::new(name)?)?;
        child.name_removed(self, name);
        self.touched();
        Ok(())
    }

    fn move_name(
        &self,
        (name, source): (&[u8], &Self),
        to: &Self,
        (new_name, target): (&[u8], Option<&Self>),
        mode: RenameMode,
    ) -> SysResult<()> {
        let how = match mode {
            RenameMode::Replace => Rename::Replace,
            RenameMode::NoReplace => Rename::NoReplace,
            RenameMode::Exchange => Rename::Exchange,
        };
        if let (Some(target), RenameMode::Replace) = (target, mode) {
            target.prepare_removal();
        }
        self.directory()?.rename(Name::new(name)?, &*to.directory()?, Name::new(new_name)?, how)?;
        match (target, mode) {
            (Some(target), RenameMode::Exchange) => {
                target.set_place(self, name);
                target.changed();
            }
            (Some(target), _) => target.name_removed(to, new_name),
            (None, _) => {}
        }
        source.set_place(to, new_name);
        for inode in [source, self, to] {
            inode.touched();
        }
        Ok(())
    }
}

impl Inode for HostInode {
    fn kind(&self) -> FileKind {
        self.kind
    }

    fn metadata(&self) -> SysResult<Metadata> {
        let may_keep = self.may_keep_attributes();
        let attributes = self.attributes.lock();
        if let Some(known) = attributes.known.filter(|_| may_keep && !attributes.is_touched) {
            return Ok(known);
        }
        let changes = attributes.changes;
        drop(attributes);
        let handles = self.handles.lock();
        let (node, file) = (handles.node.clone(), handles.read.clone().or_else(|| handles.write.clone()));
        drop(handles);
        let stat = match (node, file) {
            (Some(node), _) => node.stat()?,
            (None, Some(file)) => file.stat()?,
            (None, None) if self.is_root() => self.shared.root.stat()?,
            (None, None) => {
                let (parent, name) = self.parent_and_name()?;
                parent.stat_child(Name::new(&name)?)?
            }
        };
        if (stat.dev, stat.ino) != self.key {
            return Err(Errno::ESTALE);
        }
        let metadata = self.shared.metadata(&stat, self.dev);
        let mut attributes = self.attributes.lock();
        if attributes.changes == changes {
            (attributes.known, attributes.is_touched) = (Some(metadata), false);
        }
        Ok(metadata)
    }

    fn lasting_metadata(&self) -> SysResult<Metadata> {
        let known = self.attributes.lock().known;
        match known.filter(|_| self.may_keep_attributes()) {
            Some(known) => Ok(known),
            None => self.metadata(),
        }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn set_attributes(&self, change: &SetAttributes) -> SysResult<()> {
        self.check_writable()?;
        let done = self.change(change);
        // Part of it may be done when the rest fails.
        if change.uid.or(change.gid).or(change.mode).is_some() {
            self.changed()
        } else {
            self.touched()
        }
        done
    }

    fn lookup(&self, name: &[u8], _who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
        let stat = self.directory()?.stat_child(Name::new(name)?)?;
        Ok(self.intern_child(name, &stat)?)
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        Ok(self.make(name, node)?)
    }

    fn create_unnamed(&self, node: &NewNode<'_>) -> SysResult<Arc<dyn Inode>> {
        self.check_writable()?;
        let new = self.shared.new_file(node)?;
        let file = self.directory()?.create_unnamed(new)?;
        let stat = file.stat()?;
        let inode = self.shared.intern(&stat, || Self::new(&self.shared, &stat, None));
        let path_node = Arc::new(Node::of_file(&file));
        inode.keep(|handles| {
            handles.pinned = true;
            handles.node = Some(path_node);
            handles.read = Some(file.clone());
            handles.write = Some(file);
        });
        Ok(inode)
    }

    fn link(&self, name: &[u8], target: &dyn Inode) -> SysResult<()> {
        self.check_writable()?;
        let target = Self::of(target)?;
        let (here, name_here) = (self.directory()?, Name::new(name)?);
        let place = target.place.read().clone();
        match place {
            Some(place) => place.parent.node()?.link(Name::new(&place.name)?, &here, name_here)?,
            None => {
                let file = target.handles.lock().write.clone().ok_or(Errno::ENOENT)?;
                Node::link_unnamed(&file, &here, name_here)?;
                target.set_place(self, name);
            }
        }
        target.changed();
        self.touched();
        Ok(())
    }

    fn unlink(&self, name: &[u8]) -> SysResult<()> {
        self.check_writable()?;
        let child = self.known_child(name)?;
        self.remove(name, &child)
    }

    fn unlink_known(&self, name: &[u8], child: &dyn Inode) -> SysResult<()> {
        if !self.shared.is_exclusive() {
            return self.unlink(name);
        }
        self.check_writable()?;
        self.remove(name, Self::of(child)?)
    }

    fn rmdir(&self, name: &[u8]) -> SysResult<()> {
        self.check_writable()?;
        let child = self.known_child(name)?;
        child.prepare_removal();
        self.directory()?.remove_dir(Name::new(name)?)?;
        child.name_removed(self, name);
        self.touched();
        Ok(())
    }

    fn rename(
        &self,
        name: &[u8],
        new_parent: &dyn Inode,
        new_name: &[u8],
        mode: RenameMode,
    ) -> SysResult<()> {
        self.check_writable()?;
        let to = Self::of(new_parent)?;
        let source = self.known_child(name)?;
        let target = match to.known_child(new_name) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(other) => return Err(other),
        };
        self.move_name((name, &source), to, (new_name, target.as_deref()), mode)
    }

    fn rename_known(
        &self,
        source: (&[u8], &dyn Inode),
        new_parent: &dyn Inode,
        target: (&[u8], Option<&dyn Inode>),
        mode: RenameMode,
    ) -> SysResult<()> {
        if !self.shared.is_exclusive() {
            return self.rename(source.0, new_parent, target.0, mode);
        }
        self.check_writable()?;
        let known = target.1.map(Self::of).transpose()?;
        self.move_name((source.0, Self::of(source.1)?), Self::of(new_parent)?, (target.0, known), mode)
    }

    fn read_link(&self, _who: &dyn Caller) -> SysResult<LinkTarget> {
        if self.kind != FileKind::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = self.target.get() {
            return Ok(LinkTarget::Path(target.to_vec()));
        }
        let (parent, name) = self.parent_and_name()?;
        let target = parent.read_link_child(Name::new(&name)?)?;
        if self.shared.is_exclusive() {
            // Another thread may have been first; it read the same.
            let _first = self.target.set(Box::from(target.as_slice()));
        }
        Ok(LinkTarget::Path(target))
    }

    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let me = self.me.upgrade().ok_or(Errno::ESTALE)?;
        match self.kind {
            FileKind::Regular => {
                let file = if flags.writable() { self.writer()? } else { self.reader()? };
                Ok(Arc::new(HostFile::new(me, file, flags)))
            }
            FileKind::Directory => Ok(Arc::new(HostDir::new(me, self.node()?.list()?))),
            FileKind::Symlink => Err(Errno::ELOOP),
            _ => self.special.open(&self.shared.devices, self, flags, who),
        }
    }

    fn get_xattr(&self, name: &[u8]) -> SysResult<Vec<u8>> {
        // Others are refused without a look at the host.
        let is_known = name.starts_with(b"user.") || name == b"security.capability";
        if is_known { self.xattr_file()?.get_xattr(name) } else { Err(Errno::EOPNOTSUPP) }
    }

    fn set_xattr(&self, name: &[u8], value: &[u8], flags: u32) -> SysResult<()> {
        self.check_writable()?;
        self.xattr_file()?.set_xattr(name, value, flags)?;
        self.changed();
        Ok(())
    }

    fn list_xattr(&self) -> SysResult<Vec<u8>> {
        match self.xattr_file() {
            Ok(file) => file.list_xattr(),
            Err(Errno::EOPNOTSUPP) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    fn remove_xattr(&self, name: &[u8]) -> SysResult<()> {
        self.check_writable()?;
        self.xattr_file()?.remove_xattr(name)?;
        self.changed();
        Ok(())
    }
}

impl Drop for HostInode {
    fn drop(&mut self) {
        self.shared.forget(self.key);
        // A chain of parents can be longer than the stack is deep.
        let mut next = self.place.get_mut().take();
        while let Some(place) = next {
            next = Arc::into_inner(place.parent).and_then(|mut parent| parent.place.get_mut().take());
        }
    }
}
