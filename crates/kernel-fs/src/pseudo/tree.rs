//! A tree of directories from a list of paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel_vfs::inode::{Inode, LinkTarget};

use super::dir::{Children, StaticDir};
use super::file::{Content, PseudoFile};
use super::{Fixed, Instance, PseudoLink, ROOT_INO, child_ino};

enum Node {
    Dir(Nodes),
    File { mode: u32, content: Arc<dyn Content> },
    Link(String),
    Made(Arc<dyn Inode>),
}

type Nodes = BTreeMap<String, Node>;

/// Collects files by path (no leading slash); directories appear as they are needed, mode 0555.
#[derive(Default)]
pub(crate) struct TreeBuilder {
    root: Nodes,
}

impl TreeBuilder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn put(&mut self, path: &str, node: Node) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(nodes) = self.dir_nodes(dir) {
            nodes.insert(name.to_owned(), node);
        }
    }

    fn dir_nodes(&mut self, dir: &str) -> Option<&mut Nodes> {
        let mut nodes = &mut self.root;
        for name in dir.split('/').filter(|name| !name.is_empty()) {
            let entry = nodes.entry(name.to_owned()).or_insert_with(|| Node::Dir(Nodes::new()));
            let Node::Dir(below) = entry else { return None };
            nodes = below;
        }
        Some(nodes)
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, path: &str, mode: u32, content: Arc<dyn Content>) {
        self.put(path, Node::File { mode, content });
    }

    /// Adds a file that never changes, mode 0444.
    pub(crate) fn fixed(&mut self, path: &str, text: impl Into<Vec<u8>>) {
        self.file(path, 0o444, Arc::new(Fixed(text.into())));
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.put(path, Node::Link(target.to_owned()));
    }

    /// Adds an empty directory.
    pub(crate) fn directory(&mut self, path: &str) {
        let _made_or_there = self.dir_nodes(path);
    }

    /// Adds an inode of the filesystem's own.
    pub(crate) fn inode(&mut self, path: &str, inode: Arc<dyn Inode>) {
        self.put(path, Node::Made(inode));
    }

    /// The root directory.
    pub(crate) fn build(self, instance: &Instance) -> StaticDir {
        build(self.root, instance, ROOT_INO, ROOT_INO)
    }

    /// A directory `ino` for use below `parent`.
    pub(crate) fn build_at(self, instance: &Instance, ino: u64, parent: u64) -> StaticDir {
        build(self.root, instance, ino, parent)
    }
}

fn build(nodes: Nodes, instance: &Instance, ino: u64, parent: u64) -> StaticDir {
    let entry = |(name, node): (String, Node)| {
        let child = child_ino(ino, name.as_bytes());
        let inode: Arc<dyn Inode> = match node {
            Node::Dir(below) => Arc::new(build(below, instance, child, ino)),
            Node::File { mode, content } => PseudoFile::new(instance.id(child, mode), content),
            Node::Made(inode) => inode,
            Node::Link(target) => {
                let mut id = instance.id(child, 0o777);
                id.size = 0;
                PseudoLink::new(id, move |_| Ok(LinkTarget::Path(target.clone().into_bytes())))
            }
        };
        (name.into_bytes(), inode)
    };
    let children: Children = nodes.into_iter().map(entry).collect();
    StaticDir::new(instance.id(ino, 0o555), parent, children)
}
