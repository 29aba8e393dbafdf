//! The virtual file system: inodes and open files as traits, mounts, dentries and the path walk.
//!
//! Lock order (outer first): mount tree → dentry children → inode internals → file position.
#![forbid(unsafe_code)]

pub mod anon;
pub mod busy;
pub mod copy;
pub mod dentry;
pub mod device;
pub mod file;
pub mod filesystem;
pub mod inode;
pub mod layer;
pub mod locks;
pub mod mount;
pub mod notify;
pub mod ops;
pub mod owner;
pub mod path;
pub mod permission;
pub mod walk;

pub use abi_linux::{Errno, SysResult};

#[cfg(test)]
mod vfs_test;
