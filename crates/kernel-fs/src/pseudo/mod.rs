//! Filesystems whose files are made up when they are read: the common part of /proc and /sys.
//!
//! [`Content`] says what a file holds; [`file::PseudoFile`] is its inode, and reads of it serve one
//! generated buffer by offset until the reader comes back to offset 0 (Linux's seq_file). Directories are
//! [`dir::StaticDir`], built from a list of paths by [`tree::TreeBuilder`], or of their filesystem's own
//! making with [`dir::DirOps`] as open file. Inode numbers are hashes of the path, hence stable.
//!
//! Lock order: `file::SeqFile.content` is a leaf; nothing is generated while it is held.

pub(crate) mod dir;
pub(crate) mod file;
pub(crate) mod link;
pub(crate) mod tree;

use std::fmt::{self, Write};

use abi_linux::SysResult;
use abi_linux::time::Timespec;
use kernel_base::caller::Caller;
use kernel_vfs::inode::{FileKind, Metadata};

pub(crate) use dir::{DirOps, Listed, StaticDir};
pub(crate) use file::{Content, PseudoFile, Refresh};
pub(crate) use link::PseudoLink;
pub(crate) use tree::TreeBuilder;

/// Inode number of a filesystem's root.
pub(crate) const ROOT_INO: u64 = 1;

/// Most bytes that one file is generated from: each read of a host file, each write of a guest.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// What all inodes of one filesystem instance share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instance {
    pub(crate) dev: u64,
    /// All timestamps of what has no birth of its own.
    pub(crate) born: Timespec,
    /// `st_size` of files: 0 in /proc, a page in /sys.
    pub(crate) file_size: u64,
}

impl Instance {
    /// Attributes of an inode that root owns.
    pub(crate) fn id(&self, ino: u64, mode: u32) -> Id {
        Id { dev: self.dev, ino, mode, uid: 0, gid: 0, time: self.born, size: self.file_size }
    }
}

/// What stat(2) tells of one inode, apart from its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) time: Timespec,
    pub(crate) size: u64,
}

impl Id {
    /// The attributes of an inode of that kind.
    pub(crate) fn metadata(&self, kind: FileKind, nlink: u32) -> Metadata {
        Metadata {
            dev: self.dev,
            ino: self.ino,
            mode: kind.mode_bits() | self.mode,
            nlink,
            uid: self.uid,
            gid: self.gid,
            size: if kind == FileKind::Directory { 0 } else { self.size },
            block_size: 1024,
            atime: self.time,
            mtime: self.time,
            ctime: self.time,
            ..Metadata::default()
        }
    }

    /// The attributes of an entry of this directory, with the same owner.
    pub(crate) fn child(&self, name: &[u8], mode: u32) -> Self {
        Self { ino: child_ino(self.ino, name), mode, ..*self }
    }
}

/// The inode number of a name below a directory: FNV-1a over the parent's number and the name, cut to 47
/// bits so that programs with signed or double-precision numbers print it.
pub(crate) fn child_ino(parent: u64, name: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for &byte in parent.to_le_bytes().iter().chain(name) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash >> 17).max(ROOT_INO + 1)
}

/// Appends formatted text.
pub(crate) fn append(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    struct Bytes<'a>(&'a mut Vec<u8>);
    impl Write for Bytes<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend_from_slice(text.as_bytes());
            Ok(())
        }
    }
    // A Vec takes all text, and the values printed here are numbers and strings, which do not fail.
    let _infallible = Bytes(out).write_fmt(text);
}

/// `text!(out, "format", …)` appends to a `Vec<u8>`.
macro_rules! text {
    ($out:expr, $($format:tt)*) => { $crate::pseudo::append($out, format_args!($($format)*)) };
}
pub(crate) use text;

/// A file that never changes.
pub(crate) struct Fixed(pub(crate) Vec<u8>);

impl Content for Fixed {
    fn generate(&self, _who: &dyn Caller) -> SysResult<Vec<u8>> {
        Ok(self.0.clone())
    }
}
