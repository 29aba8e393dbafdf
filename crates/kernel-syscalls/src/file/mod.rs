//! Files by name and by descriptor: open(2), stat(2), access(2), getdents(2), truncate(2), statfs(2).

pub(crate) mod access;
pub(crate) mod dirents;
pub(crate) mod handle;
pub(crate) mod open;
pub(crate) mod size;
pub(crate) mod stat;
pub(crate) mod statfs;
pub(crate) mod statx;
