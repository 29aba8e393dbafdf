//! Names: links, directories, rename(2), owners, modes and times by path, and where paths begin.

pub(crate) mod at;
pub(crate) mod attributes;
pub(crate) mod cwd;
pub(crate) mod links;
pub(crate) mod nodes;
pub(crate) mod times;
