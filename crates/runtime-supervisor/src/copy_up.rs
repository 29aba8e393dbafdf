//! What the mount option `tmpcopyup` asks for: a new tmpfs begins as a copy of the directory that it covers.

use std::sync::Arc;

use abi_linux::SysResult;
use abi_linux::fs::OpenFlags;
use kernel_base::caller::Caller;
use kernel_vfs::copy;
use kernel_vfs::file::Io;
use kernel_vfs::inode::{FileKind, Inode};

/// Bytes copied at a time.
const CHUNK: usize = 64 << 10;

/// Copies what is below the directory `from` into the empty `to`, whose limits hold: ENOSPC.
pub(crate) fn copy_tree(from: Arc<dyn Inode>, to: Arc<dyn Inode>, who: &dyn Caller) -> SysResult<()> {
    let mut directories = vec![(from, to)];
    while let Some((from, to)) = directories.pop() {
        for name in names(&*from, who)? {
            let source = from.lookup(&name, who)?;
            let copy = copy_one(&*source, &name, &*to, who)?;
            if source.kind() == FileKind::Directory {
                directories.push((source, copy));
            }
        }
    }
    Ok(())
}

fn names(dir: &dyn Inode, who: &dyn Caller) -> SysResult<Vec<Vec<u8>>> {
    let (mut all, mut position) = (Vec::new(), 0);
    let open = dir.open(OpenFlags::DIRECTORY, who)?;
    loop {
        let before = position;
        open.read_dir(who, position, &mut |entry| {
            if !matches!(entry.name, b"." | b"..") {
                all.push(entry.name.to_vec());
            }
            position = entry.next;
            true
        })?;
        if position == before {
            return Ok(all);
        }
    }
}

fn copy_one(source: &dyn Inode, name: &[u8], to: &dyn Inode, who: &dyn Caller) -> SysResult<Arc<dyn Inode>> {
    let target = copy::link_target(source, who)?;
    let copy = to.create(name, &copy::node_like(source.kind(), &source.metadata()?, &target))?;
    if source.kind() == FileKind::Regular {
        copy_data(source, &*copy, who)?;
    }
    Ok(copy)
}

fn copy_data(source: &dyn Inode, copy: &dyn Inode, who: &dyn Caller) -> SysResult<()> {
    let (from, to) = (source.open(OpenFlags::empty(), who)?, copy.open(OpenFlags::WRONLY, who)?);
    let (mut buffer, mut offset) = (vec![0; CHUNK], 0u64);
    loop {
        let got = from.read(Io { who, offset, flags: OpenFlags::empty() }, &mut buffer)?;
        let piece = buffer.get(..got).unwrap_or_default();
        if piece.is_empty() {
            return Ok(());
        }
        copy::write_all(&*to, who, piece, offset)?;
        offset += piece.len() as u64;
    }
}
