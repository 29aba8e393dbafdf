//! Guest paths of mapped files in memory, for /proc/pid/maps: the host knows such a file by a label alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use kernel_base::sync::Mutex;
use kernel_vfs::dentry::Dentry;
use kernel_vfs::mount::Mount;
use kernel_vfs::path::Path;

/// Most names kept; the oldest go first, and their mappings are shown without one.
const MAX_NAMES: usize = 4096;

struct Place {
    mount: Weak<Mount>,
    dentry: Weak<Dentry>,
}

/// Where files in memory were when they were mapped, by label. Keeps none of them alive.
#[derive(Default)]
pub struct MappedFiles {
    places: Mutex<BTreeMap<u64, Place>>,
}

impl MappedFiles {
    /// The file with this label is being mapped; `path` is where it was opened.
    pub fn note(&self, label: u64, path: &Path) {
        let place = Place { mount: Arc::downgrade(&path.mount), dentry: Arc::downgrade(&path.dentry) };
        let mut places = self.places.lock();
        places.insert(label, place);
        if places.len() > MAX_NAMES {
            places.retain(|_, place| place.dentry.strong_count() > 0);
        }
        if places.len() > MAX_NAMES {
            places.pop_first();
        }
    }

    /// Where the file with this label is, while it exists.
    #[must_use]
    pub fn path(&self, label: u64) -> Option<Path> {
        let places = self.places.lock();
        let place = places.get(&label)?;
        Some(Path::new(place.mount.upgrade()?, place.dentry.upgrade()?))
    }
}
