//! Copying a lower file into the upper layer before its first change.

use std::sync::Arc;

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_vfs::copy;
use kernel_vfs::file::Io;
use kernel_vfs::inode::{FileKind, Inode, Metadata, SetAttributes};

use super::inode::OverlayInode;
use super::kernel::KernelCaller;
use super::{Layer, directory};

/// Bytes copied at a time.
const CHUNK: usize = 256 << 10;

/// How much of the data is wanted: a file about to be truncated need not be copied whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    All,
    UpTo(u64),
}

impl OverlayInode {
    /// Makes sure that it has an upper file, and all its ancestors upper directories. Returns that file.
    pub(super) fn copy_up(&self, extent: Extent) -> SysResult<Arc<dyn Inode>> {
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        let mut missing = Vec::new();
        let mut next = self.parent();
        while let Some(parent) = next {
            if parent.upper().is_some() {
                break;
            }
            next = parent.parent();
            missing.push(parent);
        }
        for ancestor in missing.iter().rev() {
            ancestor.copy_up_itself(Extent::All)?;
        }
        self.copy_up_itself(extent)
    }

    /// Copies up a node whose parent has an upper directory, or that has no name any more.
    fn copy_up_itself(&self, extent: Extent) -> SysResult<Arc<dyn Inode>> {
        let _one_at_a_time = self.copying();
        if let Some(upper) = self.upper() {
            return Ok(upper);
        }
        let lower = self.lower().ok_or(Errno::ESTALE)?;
        let metadata = lower.metadata()?;
        let upper = match self.place() {
            Some((parent, name)) => {
                let dir = parent.upper().ok_or(Errno::ESTALE)?;
                let before = dir.metadata()?;
                let upper = self.copy_named(&lower, &metadata, &dir, &name, extent)?;
                // The directory's own times are not the guest's doing.
                let times = SetAttributes {
                    atime: Some(before.atime),
                    mtime: Some(before.mtime),
                    ..SetAttributes::default()
                };
                dir.set_attributes(&times)?;
                upper
            }
            None => self.copy_unnamed(&lower, &metadata, &self.shared().upper.root(), extent)?,
        };
        self.set_upper(&upper)?;
        if self.kind() != FileKind::Directory && metadata.nlink > 1 {
            let key = (Layer::Lower, metadata.dev, metadata.ino);
            self.shared().copies.lock().insert(key, Arc::clone(&upper));
        }
        Ok(upper)
    }

    fn copy_named(
        &self,
        lower: &Arc<dyn Inode>,
        metadata: &Metadata,
        dir: &Arc<dyn Inode>,
        name: &[u8],
        extent: Extent,
    ) -> SysResult<Arc<dyn Inode>> {
        if self.kind() == FileKind::Regular {
            // Under its name only when complete.
            match self.copy_unnamed(lower, metadata, dir, extent) {
                Ok(copy) => {
                    dir.link(name, &*copy)?;
                    return Ok(copy);
                }
                Err(Errno::EOPNOTSUPP) => {}
                Err(other) => return Err(other),
            }
        }
        let target = copy::link_target(&**lower, &KernelCaller(&self.shared().platform))?;
        let copy = dir.create(name, &copy::node_like(self.kind(), metadata, &target))?;
        let filled =
            if self.kind() == FileKind::Regular { self.copy_data(lower, &*copy, extent) } else { Ok(()) };
        if let Err(error) = filled {
            dir.unlink(name)?;
            return Err(error);
        }
        copy_attributes(lower, metadata, &*copy)?;
        Ok(copy)
    }

    fn copy_unnamed(
        &self,
        lower: &Arc<dyn Inode>,
        metadata: &Metadata,
        dir: &Arc<dyn Inode>,
        extent: Extent,
    ) -> SysResult<Arc<dyn Inode>> {
        if self.kind() != FileKind::Regular {
            return Err(Errno::ESTALE);
        }
        let copy = dir.create_unnamed(&copy::node_like(FileKind::Regular, metadata, &[]))?;
        self.copy_data(lower, &*copy, extent)?;
        copy_attributes(lower, metadata, &*copy)?;
        Ok(copy)
    }

    /// Copies the bytes; runs of zeros become holes.
    fn copy_data(&self, lower: &Arc<dyn Inode>, copy: &dyn Inode, extent: Extent) -> SysResult<()> {
        let who = KernelCaller(&self.shared().platform);
        let from = lower.open(OpenFlags::empty(), &who)?;
        let to = copy.open(OpenFlags::RDWR, &who)?;
        let mut buf = vec![0; CHUNK];
        let mut offset = 0u64;
        loop {
            let wanted = match extent {
                Extent::All => CHUNK,
                Extent::UpTo(end) => usize::try_from(end.saturating_sub(offset)).unwrap_or(CHUNK).min(CHUNK),
            };
            let got = from.read(Io { who: &who, offset, flags: OpenFlags::empty() }, &mut buf[..wanted])?;
            if got == 0 {
                break;
            }
            for piece in buf[..got].chunks(4096) {
                if piece.iter().any(|&byte| byte != 0) {
                    copy::write_all(&*to, &who, piece, offset)?;
                }
                offset += piece.len() as u64;
            }
        }
        copy.set_attributes(&SetAttributes { size: Some(offset), ..SetAttributes::default() })
    }
}

/// Attributes and times that the copy takes from the original.
pub(super) fn copy_attributes(
    lower: &Arc<dyn Inode>,
    metadata: &Metadata,
    copy: &dyn Inode,
) -> SysResult<()> {
    for name in lower.list_xattr()?.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        if directory::is_private_xattr(name) {
            continue;
        }
        match copy.set_xattr(name, &lower.get_xattr(name)?, 0) {
            Ok(()) | Err(Errno::EOPNOTSUPP) => {}
            Err(other) => return Err(other),
        }
    }
    // A link's own times and mode are of no interest, and hosts differ in what can be set.
    if copy.kind() == FileKind::Symlink {
        return Ok(());
    }
    copy.set_attributes(&SetAttributes {
        mode: Some(metadata.mode & 0o7777),
        atime: Some(metadata.atime),
        mtime: Some(metadata.mtime),
        ..SetAttributes::default()
    })
}
