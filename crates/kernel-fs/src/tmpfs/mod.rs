//! A filesystem in memory: /tmp, /dev/shm, the writable layer of an overlay, and the base of /dev.
//!
//! [`Tmpfs`] is the instance, [`inode::TmpInode`] a node, [`data::Data`] the bytes of a regular file: pages
//! in the supervisor until the file is first mapped, and a memfd from then on, so that mappings and
//! read(2) see the same bytes. Size and number of nodes are bounded, and the size of all instances together ([`budget`]).
//!
//! Lock order: `Directory` of a parent → `TmpInode.attributes`; `Data` → `TmpInode.attributes`. No two
//! directories are locked at once.

pub mod budget;
mod contents;
pub mod data;
mod directory;
mod file;
pub mod inode;
#[cfg(test)]
mod tests;
mod xattr;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::fs::StatFs;
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_vfs::anon::next_dev;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::{Inode, NewContent, NewNode, SuperBlock};
use platform_api::{Clock, Platform};

pub use self::inode::{TmpInode, path_to};

/// Bytes in a page.
pub const PAGE_SIZE: u64 = 4096;
/// TMPFS_MAGIC of include/uapi/linux/magic.h.
const TMPFS_MAGIC: i64 = 0x0102_1994;
/// Bytes without a `size` option.
const DEFAULT_SIZE: u64 = 2 << 30;
/// Nodes without a `nr_inodes` option.
const DEFAULT_INODES: u64 = 1 << 20;

/// Mount options (tmpfs(5)).
#[derive(Clone, Debug)]
pub struct TmpfsOptions {
    /// Most bytes of data.
    pub size: u64,
    /// Most nodes.
    pub inodes: u64,
    /// Mode and owner of the root directory.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Name of the filesystem's type: "tmpfs", "devtmpfs".
    pub fs_type: &'static str,
}

impl Default for TmpfsOptions {
    fn default() -> Self {
        Self { size: DEFAULT_SIZE, inodes: DEFAULT_INODES, mode: 0o1777, uid: 0, gid: 0, fs_type: "tmpfs" }
    }
}

impl TmpfsOptions {
    /// From the data of mount(2), such as "size=64k,mode=755,nr_inodes=100". EINVAL for what is unknown.
    pub fn parse(text: &str) -> SysResult<Self> {
        Self::default().with(text)
    }

    /// These, changed by such a text.
    pub fn with(mut self, text: &str) -> SysResult<Self> {
        let options = &mut self;
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            match key {
                "size" => options.size = parse_size(value)?,
                "nr_blocks" => options.size = parse_size(value)?.saturating_mul(PAGE_SIZE),
                "nr_inodes" => options.inodes = parse_size(value)?,
                "mode" => options.mode = u32::from_str_radix(value, 8).map_err(|_| Errno::EINVAL)? & 0o7777,
                "uid" => options.uid = value.parse().map_err(|_| Errno::EINVAL)?,
                "gid" => options.gid = value.parse().map_err(|_| Errno::EINVAL)?,
                // Without meaning here: huge pages, NUMA policy, 64-bit inode numbers, swap.
                "huge" | "mpol" | "inode32" | "inode64" | "noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        // 0 means no limit to Linux; here it means the default.
        if options.size == 0 {
            options.size = DEFAULT_SIZE;
        }
        if options.inodes == 0 {
            options.inodes = DEFAULT_INODES;
        }
        Ok(self)
    }
}

/// A number with k, m, g or %: memparse of Linux. A percentage is one of the default size.
fn parse_size(text: &str) -> SysResult<u64> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        Some(b'%') => (&text[..text.len() - 1], DEFAULT_SIZE * 2 / 100),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_mul(factor).ok_or(Errno::EINVAL)
}

/// What all nodes of an instance share: limits, clock, device table.
pub(crate) struct Shared {
    options: TmpfsOptions,
    dev: u64,
    platform: Arc<dyn Platform>,
    devices: Arc<DeviceRegistry>,
    used_pages: AtomicU64,
    used_inodes: AtomicU64,
    next_ino: AtomicU64,
}

impl Shared {
    fn now(&self) -> Timespec {
        Timespec::from_ns(self.platform.now_ns(Clock::Realtime))
    }

    fn max_pages(&self) -> u64 {
        self.options.size.div_ceil(PAGE_SIZE)
    }

    /// Takes pages from the budget; ENOSPC.
    fn charge(&self, pages: u64) -> SysResult<()> {
        let before = self.used_pages.fetch_add(pages, Ordering::Relaxed);
        if before.saturating_add(pages) > self.max_pages() {
            self.used_pages.fetch_sub(pages, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        budget::ALL.take(pages).inspect_err(|_| {
            self.used_pages.fetch_sub(pages, Ordering::Relaxed);
        })
    }

    fn uncharge(&self, pages: u64) {
        self.used_pages.fetch_sub(pages, Ordering::Relaxed);
        budget::ALL.give_back(pages);
    }

    /// A number for a new node; ENOSPC when there are too many.
    fn new_ino(&self) -> SysResult<u64> {
        if self.used_inodes.fetch_add(1, Ordering::Relaxed) >= self.options.inodes {
            self.used_inodes.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::ENOSPC);
        }
        Ok(self.next_ino.fetch_add(1, Ordering::Relaxed))
    }

    fn drop_ino(&self) {
        self.used_inodes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One instance.
pub struct Tmpfs {
    shared: Arc<Shared>,
    root: Arc<TmpInode>,
}

impl Tmpfs {
    /// An empty instance.
    pub fn new(
        options: TmpfsOptions,
        platform: Arc<dyn Platform>,
        devices: Arc<DeviceRegistry>,
    ) -> SysResult<Arc<Self>> {
        let (mode, uid, gid) = (options.mode, options.uid, options.gid);
        let shared = Arc::new(Shared {
            options,
            dev: next_dev(),
            platform,
            devices,
            used_pages: AtomicU64::new(0),
            used_inodes: AtomicU64::new(0),
            next_ino: AtomicU64::new(1),
        });
        let node = NewNode { content: NewContent::Directory, mode, uid, gid };
        let root = TmpInode::new(&shared, &node, None)?;
        Ok(Arc::new(Self { shared, root }))
    }

    /// Its root, typed: overlays and memfd_create(2) use it.
    #[must_use]
    pub fn root_inode(&self) -> &Arc<TmpInode> {
        &self.root
    }

    /// A regular file in no directory (memfd_create(2)), charged to this instance.
    pub fn unnamed(&self, mode: u32, uid: u32, gid: u32) -> SysResult<Arc<TmpInode>> {
        let node = NewNode { content: NewContent::Regular, mode, uid, gid };
        TmpInode::new_unnamed(&self.shared, &node)
    }
}

impl SuperBlock for Tmpfs {
    fn root(&self) -> Arc<dyn Inode> {
        Arc::clone(&self.root) as Arc<dyn Inode>
    }
    fn fs_type(&self) -> &'static str {
        self.shared.options.fs_type
    }
    fn dev(&self) -> u64 {
        self.shared.dev
    }
    fn statfs(&self) -> SysResult<StatFs> {
        let (blocks, files) = (self.shared.max_pages(), self.shared.options.inodes);
        let bfree = blocks.saturating_sub(self.shared.used_pages.load(Ordering::Relaxed));
        let ffree = files.saturating_sub(self.shared.used_inodes.load(Ordering::Relaxed));
        Ok(StatFs {
            f_type: TMPFS_MAGIC,
            f_bsize: PAGE_SIZE as i64,
            f_blocks: blocks,
            f_bfree: bfree,
            f_bavail: bfree,
            f_files: files,
            f_ffree: ffree,
            f_fsid: [self.shared.dev as i32, 0],
            f_namelen: 255,
            f_frsize: PAGE_SIZE as i64,
            ..StatFs::default()
        })
    }
    fn is_exclusive(&self) -> bool {
        true
    }
    fn show_options(&self) -> String {
        let options = &self.shared.options;
        let mut text = format!("size={}k,nr_inodes={}", options.size / 1024, options.inodes);
        if options.mode != 0o1777 {
            text.push_str(&format!(",mode={:o}", options.mode));
        }
        if options.uid != 0 {
            text.push_str(&format!(",uid={}", options.uid));
        }
        if options.gid != 0 {
            text.push_str(&format!(",gid={}", options.gid));
        }
        text
    }
}

#[cfg(test)]
mod option_tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::TmpfsOptions;

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "(size|nr_inodes|nr_blocks|mode|uid|gid|huge)=.{0,12}(,.{0,9})?") {
            if let Ok(options) = TmpfsOptions::parse(&text) {
                prop_assert!(options.size > 0 && options.inodes > 0 && options.mode <= 0o7777);
            }
        }

        #[test]
        fn numbers_come_back(kib in 1u64..1 << 40, inodes in 1u64.., mode in 0u32..0o10000, uid in any::<u32>()) {
            let text = format!("size={kib}k,nr_inodes={inodes},mode={mode:o},uid={uid}");
            let options = TmpfsOptions::parse(&text).expect("well-formed");
            prop_assert_eq!((options.size, options.inodes), (kib << 10, inodes));
            prop_assert_eq!((options.mode, options.uid), (mode, uid));
        }
    }
}
