//! Dentries: names in directories, with what they lead to, cached.

/// A name below a parent.
pub struct Dentry {
    name: Box<[u8]>,
}

impl Dentry {
    /// Its last component.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}
