//! /dev: what its devices do, and the names that a container finds there. The tree is a tmpfs, so that
//! guests may make files in it as in Linux's devtmpfs; its device nodes are opened by number through the
//! [`DeviceRegistry`].

mod memory;

use std::sync::{Arc, Weak};

use abi_linux::fs::{OpenFlags, makedev};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::sync::Mutex;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::file::FileOps;
use kernel_vfs::inode::{Inode, NewContent, NewNode};
use platform_api::Platform;

use crate::devpts::{Devpts, open_controlling};
use crate::pipe::Fifos;
use crate::tty::Pty;
use memory::MemoryDevice;

/// Character devices with a name of their own: name, major, minor, permission bits. /dev/ptmx is a link.
const CHARACTERS: [(&[u8], u32, u32, u32); 8] = [
    (b"null", 1, 3, 0o666),
    (b"zero", 1, 5, 0o666),
    (b"full", 1, 7, 0o666),
    (b"random", 1, 8, 0o666),
    (b"urandom", 1, 9, 0o666),
    (b"kmsg", 1, 11, 0o644),
    (b"tty", 5, 0, 0o666),
    (b"console", 5, 1, 0o620),
];
/// Symbolic links.
const LINKS: [(&[u8], &[u8]); 6] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
    (b"core", b"/proc/kcore"),
    (b"ptmx", b"pts/ptmx"),
];
/// Directories: mount points of devpts, mqueue and the shared-memory tmpfs.
const DIRECTORIES: [(&[u8], u32); 3] = [(b"pts", 0o755), (b"shm", 0o1777), (b"mqueue", 0o1777)];

/// Makes the names of /dev below the root of an empty tmpfs.
pub fn populate(root: &dyn Inode) -> SysResult<()> {
    let make = |name: &[u8], content: NewContent<'_>, mode: u32| {
        root.create(name, &NewNode { content, mode, uid: 0, gid: 0 }).map(|_| ())
    };
    for (name, mode) in DIRECTORIES {
        make(name, NewContent::Directory, mode)?;
    }
    for (name, major, minor, mode) in CHARACTERS {
        make(name, NewContent::CharDevice(makedev(major, minor)), mode)?;
    }
    LINKS.iter().try_for_each(|(name, target)| make(name, NewContent::Symlink(target), 0o777))
}

/// Which terminal /dev/console is; none at first.
#[derive(Default)]
pub struct Console {
    pty: Mutex<Weak<Pty>>,
}

impl Console {
    /// Makes a terminal the console.
    pub fn set(&self, pty: &Arc<Pty>) {
        *self.pty.lock() = Arc::downgrade(pty);
    }

    /// Opens it; never becomes the controlling terminal by that (tty_open). ENXIO without one.
    fn open(&self, flags: OpenFlags, who: &dyn Caller) -> SysResult<Arc<dyn FileOps>> {
        let pty = self.pty.lock().upgrade().ok_or(Errno::ENXIO)?;
        Ok(pty.open_slave(flags | OpenFlags::NOCTTY, who)?)
    }
}

/// Says how all devices of a container are opened, and fifos made.
pub fn register(
    registry: &DeviceRegistry,
    platform: &Arc<dyn Platform>,
    devpts: &Arc<Devpts>,
    console: &Arc<Console>,
) {
    registry.set_fifo_maker(Arc::new(Fifos));
    for device in MemoryDevice::all(platform) {
        let number = device.number();
        let device: Arc<dyn FileOps> = Arc::new(device);
        let open = move |_: u64, _: &dyn Inode, _: OpenFlags, _: &dyn Caller| Ok(Arc::clone(&device));
        registry.add_character(number, Arc::new(open));
    }
    let refuse = |_: u64, _: &dyn Inode, _: OpenFlags, _: &dyn Caller| Err(Errno::EPERM);
    registry.add_character(makedev(1, 11), Arc::new(refuse));
    let terminals = Arc::clone(devpts.terminals());
    let tty = move |_: u64, _: &dyn Inode, flags: OpenFlags, who: &dyn Caller| {
        open_controlling(&terminals, flags, who)
    };
    registry.add_character(makedev(5, 0), Arc::new(tty));
    let console = Arc::clone(console);
    let open_console =
        move |_: u64, _: &dyn Inode, flags: OpenFlags, who: &dyn Caller| console.open(flags, who);
    registry.add_character(makedev(5, 1), Arc::new(open_console));
    let devpts = Arc::clone(devpts);
    let ptmx = move |_: u64, _: &dyn Inode, _: OpenFlags, who: &dyn Caller| devpts.open_ptmx(who);
    registry.add_character(makedev(5, 2), Arc::new(ptmx));
}
