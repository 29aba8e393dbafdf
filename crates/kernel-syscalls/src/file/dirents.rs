//! getdents64(2) and getdents(2) (fs/readdir.c, Linux v6.18).

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_vfs::file::DirEntry;
use kernel_vfs::inode::FileKind;

use crate::cx::{Cx, SCRATCH_LEN, with_scratch};

/// How an entry lies in the guest's buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `struct linux_dirent`: the type is the record's last byte.
    Old,
    /// `struct linux_dirent64`.
    New,
}

/// Bytes before the name: ino, off, reclen; the new layout has the type there as well.
const HEAD_OLD: usize = 18;
const HEAD_NEW: usize = 19;

impl Layout {
    fn record_len(self, name: &[u8]) -> usize {
        let bare = match self {
            Self::Old => HEAD_OLD + name.len() + 2,
            Self::New => HEAD_NEW + name.len() + 1,
        };
        bare.next_multiple_of(8)
    }

    fn write(self, entry: &DirEntry<'_>, record: &mut [u8]) {
        let len = record.len();
        let d_type = entry.kind.d_type();
        record.fill(0);
        let head = if self == Self::Old { HEAD_OLD } else { HEAD_NEW };
        let fields = entry.ino.to_ne_bytes().into_iter().chain(entry.next.to_ne_bytes());
        let bytes = fields.chain((len as u16).to_ne_bytes()).chain([d_type]).take(head);
        let bytes = bytes.chain(entry.name.iter().copied());
        record.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        if let (Self::Old, Some(last)) = (self, record.last_mut()) {
            *last = d_type;
        }
    }
}

/// Fills a buffer with records.
struct Filler<'a> {
    layout: Layout,
    buffer: &'a mut [u8],
    used: usize,
    /// Where to go on after what was taken.
    next: Option<u64>,
    too_small: bool,
}

impl Filler<'_> {
    /// Adds an entry; whether there was room.
    fn add(&mut self, entry: &DirEntry<'_>) -> bool {
        let len = self.layout.record_len(entry.name);
        let Some(record) = self.buffer.get_mut(self.used..self.used + len) else {
            self.too_small = self.used == 0;
            return false;
        };
        self.layout.write(entry, record);
        self.used += len;
        self.next = Some(entry.next);
        true
    }
}

fn read_entries(cx: &Cx, fd: Fd, buf: u64, count: u32, layout: Layout) -> SysResult<usize> {
    let file = cx.file(fd)?;
    if file.inode.kind() != FileKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if file.path.dentry.is_deleted() {
        return Err(Errno::ENOENT);
    }
    with_scratch((count as usize).min(SCRATCH_LEN), |scratch| {
        let mut filler = Filler { layout, buffer: scratch, used: 0, next: None, too_small: false };
        let start = *file.position();
        let read = file.ops.read_dir(&*cx.task, start, &mut |entry| filler.add(&entry));
        file.accessed();
        let Filler { used, next, too_small, buffer, .. } = filler;
        if used == 0 {
            read?;
            return if too_small { Err(Errno::EINVAL) } else { Ok(0) };
        }
        cx.mem().write_bytes(buf, buffer.get(..used).ok_or(Errno::EIO)?)?;
        if let Some(next) = next {
            *file.position() = next;
        }
        Ok(used)
    })
}

/// getdents64(2).
pub(crate) fn sys_getdents64(cx: &Cx, fd: Fd, buf: u64, count: u32) -> SysResult<usize> {
    read_entries(cx, fd, buf, count, Layout::New)
}

/// getdents(2).
pub(crate) fn sys_getdents(cx: &Cx, fd: Fd, buf: u64, count: u32) -> SysResult<usize> {
    read_entries(cx, fd, buf, count, Layout::Old)
}

#[cfg(test)]
mod tests {
    use super::{DirEntry, FileKind, Filler, Layout};

    fn entry(name: &[u8]) -> DirEntry<'_> {
        DirEntry { name, ino: 7, kind: FileKind::Directory, next: 9 }
    }

    #[test]
    fn records_are_aligned_and_say_their_length() {
        let mut buffer = [0xff; 64];
        let mut filler =
            Filler { layout: Layout::New, buffer: &mut buffer, used: 0, next: None, too_small: false };
        assert!(filler.add(&entry(b"abcd")));
        assert!(filler.add(&entry(b"abcde")));
        assert!(!filler.add(&entry(b"x")));
        assert_eq!((filler.used, filler.next, filler.too_small), (56, Some(9), false));
        assert_eq!(buffer[16..24], [24, 0, 4, b'a', b'b', b'c', b'd', 0]);
        assert_eq!(buffer[40..42], [32, 0]);
    }

    #[test]
    fn old_records_keep_the_type_in_their_last_byte() {
        let mut buffer = [0xff; 24];
        let mut filler =
            Filler { layout: Layout::Old, buffer: &mut buffer, used: 0, next: None, too_small: false };
        assert!(filler.add(&entry(b"abcd")));
        assert_eq!(buffer[16..24], [24, 0, b'a', b'b', b'c', b'd', 0, 4]);
    }

    #[test]
    fn first_entry_that_does_not_fit_is_remembered() {
        let mut buffer = [0; 16];
        let mut filler =
            Filler { layout: Layout::New, buffer: &mut buffer, used: 0, next: None, too_small: false };
        assert!(!filler.add(&entry(b"a")));
        assert!(filler.too_small);
    }
}
