//! A place in the tree: a dentry below a mount.

use std::sync::Arc;

use crate::dentry::Dentry;
use crate::mount::Mount;

/// A dentry as seen through a mount (Linux's `struct path`).
#[derive(Clone)]
pub struct Path {
    pub mount: Arc<Mount>,
    pub dentry: Arc<Dentry>,
}
