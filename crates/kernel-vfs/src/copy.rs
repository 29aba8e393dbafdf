//! What it takes to make a file like another: for overlays and for whole trees.

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;

use crate::file::{FileOps, Io};
use crate::inode::{FileKind, Inode, LinkTarget, Metadata, NewContent, NewNode};

/// A new node of the kind, mode and owner of another; `target` is that of a symbolic link.
#[must_use]
pub fn node_like<'a>(kind: FileKind, metadata: &Metadata, target: &'a [u8]) -> NewNode<'a> {
    let content = match kind {
        FileKind::Regular => NewContent::Regular,
        FileKind::Directory => NewContent::Directory,
        FileKind::Symlink => NewContent::Symlink(target),
        FileKind::Fifo => NewContent::Fifo,
        FileKind::Socket => NewContent::Socket,
        FileKind::CharDevice => NewContent::CharDevice(metadata.rdev),
        FileKind::BlockDevice => NewContent::BlockDevice(metadata.rdev),
    };
    NewNode { content, mode: metadata.mode & 0o7777, uid: metadata.uid, gid: metadata.gid }
}

/// The target of a symbolic link, and nothing of what is none. EOPNOTSUPP for a magic link, which has no target to copy.
pub fn link_target(inode: &dyn Inode, who: &dyn Caller) -> SysResult<Vec<u8>> {
    if inode.kind() != FileKind::Symlink {
        return Ok(Vec::new());
    }
    match inode.read_link(who)? {
        LinkTarget::Path(target) => Ok(target),
        LinkTarget::Magic { .. } => Err(Errno::EOPNOTSUPP),
    }
}

/// Writes all of `bytes` at `offset`. ENOSPC where a write takes nothing.
pub fn write_all(to: &dyn FileOps, who: &dyn Caller, mut bytes: &[u8], mut offset: u64) -> SysResult<()> {
    while !bytes.is_empty() {
        let (written, _) = to.write(Io { who, offset, flags: OpenFlags::empty() }, bytes)?;
        if written == 0 {
            return Err(Errno::ENOSPC);
        }
        bytes = bytes.get(written..).unwrap_or_default();
        offset += written as u64;
    }
    Ok(())
}
