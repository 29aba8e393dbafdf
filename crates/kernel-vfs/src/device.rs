//! What opening a special file means: devices by number, fifos by a maker of pipes. Filesystems that hold
//! special files share one [`DeviceRegistry`]; the supervisor fills it.

use std::sync::{Arc, OnceLock};

use abi_linux::fs::OpenFlags;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::RwLock;
use rustc_hash::FxHashMap;

use crate::file::FileOps;
use crate::inode::{FileKind, Inode};

/// Opens a device. `inode` is the special file itself: its device number is `metadata().rdev`.
pub trait DeviceOpener: Send + Sync {
    /// Opens the device with number `rdev` (stat(2)'s encoding).
    fn open(
        &self,
        rdev: u64,
        inode: &dyn Inode,
        flags: OpenFlags,
        who: &dyn Caller,
    ) -> SysResult<Arc<dyn FileOps>>;
}

impl<F> DeviceOpener for F
where
    F: Fn(u64, &dyn Inode, OpenFlags, &dyn Caller) -> SysResult<Arc<dyn FileOps>> + Send + Sync,
{
    fn open(
        &self,
        rdev: u64,
        inode: &dyn Inode,
        flags: OpenFlags,
        who: &dyn Caller,
    ) -> SysResult<Arc<dyn FileOps>> {
        self(rdev, inode, flags, who)
    }
}

/// The pipe behind one fifo.
pub trait Fifo: Send + Sync {
    /// Opens an end (fifo(7)): ENXIO for a non-blocking writer without a reader. An open that has to wait
    /// returns at once, with ops whose [`FileOps::is_open_complete`] is false.
    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>>;
}

/// Makes the pipe of a fifo that is opened for the first time.
pub trait FifoMaker: Send + Sync {
    /// A fresh pipe without open ends.
    fn make(&self) -> Arc<dyn Fifo>;
}

type Openers = RwLock<FxHashMap<u64, Arc<dyn DeviceOpener>>>;

/// Devices that can be opened, by number.
#[derive(Default)]
pub struct DeviceRegistry {
    characters: Openers,
    blocks: Openers,
    fifo: OnceLock<Arc<dyn FifoMaker>>,
}

impl DeviceRegistry {
    /// A registry without devices.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says how the character device `rdev` is opened; replaces what was there.
    pub fn add_character(&self, rdev: u64, opener: Arc<dyn DeviceOpener>) {
        self.characters.write().insert(rdev, opener);
    }

    /// Forgets a character device (a pty that is gone).
    pub fn remove_character(&self, rdev: u64) {
        self.characters.write().remove(&rdev);
    }

    /// Says how the block device `rdev` is opened.
    pub fn add_block(&self, rdev: u64, opener: Arc<dyn DeviceOpener>) {
        self.blocks.write().insert(rdev, opener);
    }

    /// Says how fifos are made; the first call counts.
    pub fn set_fifo_maker(&self, maker: Arc<dyn FifoMaker>) {
        // A second maker would split the ends of a fifo between two implementations.
        let _first_wins = self.fifo.set(maker);
    }
}

/// The special part of an inode that is no regular file, directory or link. Filesystems keep one in each
/// such inode and pass `open` on.
#[derive(Default)]
pub struct SpecialNode {
    fifo: OnceLock<Arc<dyn Fifo>>,
}

impl SpecialNode {
    /// Opens the special file `inode`; ENXIO for sockets and unknown devices.
    pub fn open(
        &self,
        registry: &DeviceRegistry,
        inode: &dyn Inode,
        flags: OpenFlags,
        who: &dyn Caller,
    ) -> SysResult<Arc<dyn FileOps>> {
        let table = match inode.kind() {
            FileKind::Fifo => {
                let maker = registry.fifo.get().ok_or(Errno::ENXIO)?;
                return self.fifo.get_or_init(|| maker.make()).open(flags, who);
            }
            FileKind::CharDevice => &registry.characters,
            FileKind::BlockDevice => &registry.blocks,
            _ => return Err(Errno::ENXIO),
        };
        let rdev = inode.metadata()?.rdev;
        let opener = table.read().get(&rdev).map(Arc::clone);
        opener.ok_or(Errno::ENXIO)?.open(rdev, inode, flags, who)
    }
}
