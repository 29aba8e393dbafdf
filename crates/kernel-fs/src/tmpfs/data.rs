//! The bytes of a regular file: pages in the supervisor, or a memfd once it has been mapped.

use std::collections::BTreeMap;

use abi_linux::{Errno, SysResult};
use host_files::{Allocate, MemFile, SeekKind};
use kernel_vfs::file::Mapping;

use super::{PAGE_SIZE, Shared};

/// One page.
type Page = Box<[u8; PAGE_SIZE as usize]>;

enum Store {
    /// Pages that were written; the others read as zeros.
    Pages(BTreeMap<u64, Page>),
    /// The file was mapped: the host keeps its pages.
    Mapped(MemFile),
}

/// The bytes of a file, and what it was charged for.
pub struct Data {
    store: Store,
    size: u64,
    /// Pages taken from the instance's budget.
    charged: u64,
}

/// What a mapping may ever be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapAccess {
    Read,
    Write,
}

/// The part of `len` bytes at `offset` that lies in its first page: the page's number, where in it, how
/// many bytes.
fn first_piece(offset: u64, len: usize) -> (u64, usize, usize) {
    let within = (offset % PAGE_SIZE) as usize;
    (offset / PAGE_SIZE, within, len.min(PAGE_SIZE as usize - within))
}

impl Data {
    pub(super) fn new() -> Self {
        Self { store: Store::Pages(BTreeMap::new()), size: 0, charged: 0 }
    }

    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes in use, in pages.
    pub(super) fn pages(&self) -> u64 {
        self.charged
    }

    /// Reads; 0 at and beyond the end.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> SysResult<usize> {
        let left = self.size.saturating_sub(offset);
        let len = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buf = &mut buf[..len];
        let pages = match &self.store {
            Store::Mapped(file) => return file.data().read_at(buf, offset),
            Store::Pages(pages) => pages,
        };
        let mut done = 0;
        while done < len {
            let (number, within, piece) = first_piece(offset + done as u64, len - done);
            let to = &mut buf[done..done + piece];
            match pages.get(&number) {
                Some(page) => to.copy_from_slice(&page[within..within + piece]),
                None => to.fill(0),
            }
            done += piece;
        }
        Ok(len)
    }

    /// Writes; less than asked when space runs out, ENOSPC when none is left, EFBIG beyond the largest
    /// file.
    pub(super) fn write(&mut self, shared: &Shared, buf: &[u8], offset: u64) -> SysResult<usize> {
        let end =
            offset.checked_add(buf.len() as u64).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
        let done = match &mut self.store {
            Store::Mapped(file) => {
                let grown = end.div_ceil(PAGE_SIZE).saturating_sub(self.size.div_ceil(PAGE_SIZE));
                let grown = grown.min(buf.len() as u64 / PAGE_SIZE + 1);
                shared.charge(grown)?;
                self.charged += grown;
                file.data().write_at(buf, offset)?
            }
            Store::Pages(pages) => {
                let mut done = 0;
                while done < buf.len() {
                    let (number, within, piece) = first_piece(offset + done as u64, buf.len() - done);
                    if let std::collections::btree_map::Entry::Vacant(vacant) = pages.entry(number) {
                        match shared.charge(1) {
                            Ok(()) => self.charged += 1,
                            Err(_) if done > 0 => break,
                            Err(full) => return Err(full),
                        }
                        vacant.insert(Box::new([0; PAGE_SIZE as usize]));
                    }
                    if let Some(page) = pages.get_mut(&number) {
                        page[within..within + piece].copy_from_slice(&buf[done..done + piece]);
                    }
                    done += piece;
                }
                done
            }
        };
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    /// Sets the length; what is cut off reads as zeros when the file grows again.
    pub(super) fn set_size(&mut self, shared: &Shared, size: u64) -> SysResult<()> {
        match &mut self.store {
            Store::Mapped(file) => {
                file.data().set_len(size)?;
                let kept = self.charged.min(size.div_ceil(PAGE_SIZE));
                shared.uncharge(self.charged - kept);
                self.charged = kept;
            }
            Store::Pages(pages) if size < self.size => {
                let cut = pages.split_off(&size.div_ceil(PAGE_SIZE)).len() as u64;
                shared.uncharge(cut);
                self.charged -= cut;
                let (number, within, _) = first_piece(size, 0);
                if let Some(page) = pages.get_mut(&number) {
                    page[within..].fill(0);
                }
            }
            Store::Pages(_) => {}
        }
        self.size = size;
        Ok(())
    }

    /// Replaces bytes by zeros, and whole pages by holes.
    pub(super) fn punch(&mut self, shared: &Shared, offset: u64, len: u64) -> SysResult<()> {
        let end = offset.saturating_add(len);
        let pages = match &mut self.store {
            Store::Mapped(file) => return file.data().allocate(Allocate::PunchHole, offset, len),
            Store::Pages(pages) => pages,
        };
        let touched: Vec<u64> =
            pages.range(offset / PAGE_SIZE..end.div_ceil(PAGE_SIZE)).map(|(&n, _)| n).collect();
        for number in touched {
            let begin = number * PAGE_SIZE;
            let from = offset.saturating_sub(begin).min(PAGE_SIZE) as usize;
            let to = end.saturating_sub(begin).min(PAGE_SIZE) as usize;
            if from == 0 && to == PAGE_SIZE as usize {
                pages.remove(&number);
                shared.uncharge(1);
                self.charged -= 1;
            } else if let Some(page) = pages.get_mut(&number) {
                page[from..to].fill(0);
            }
        }
        Ok(())
    }

    /// Makes sure that writes in a range find space (fallocate(2)).
    pub(super) fn reserve(&mut self, shared: &Shared, offset: u64, len: u64) -> SysResult<()> {
        let end = offset.checked_add(len).filter(|&end| end <= i64::MAX as u64).ok_or(Errno::EFBIG)?;
        let (first, last) = (offset / PAGE_SIZE, end.div_ceil(PAGE_SIZE));
        let pages = match &mut self.store {
            Store::Mapped(file) => {
                let grown = last.saturating_sub(self.size.div_ceil(PAGE_SIZE).max(first));
                shared.charge(grown)?;
                self.charged += grown;
                return file.data().allocate(Allocate::KeepSize, offset, len);
            }
            Store::Pages(pages) => pages,
        };
        let missing = (last - first) - pages.range(first..last).count() as u64;
        shared.charge(missing)?;
        self.charged += missing;
        for number in first..last {
            pages.entry(number).or_insert_with(|| Box::new([0; PAGE_SIZE as usize]));
        }
        Ok(())
    }

    /// SEEK_DATA and SEEK_HOLE.
    pub(super) fn seek(&self, kind: SeekKind, offset: u64) -> SysResult<u64> {
        if offset >= self.size {
            return Err(Errno::ENXIO);
        }
        let pages = match &self.store {
            Store::Mapped(file) => return file.data().seek(kind, offset),
            Store::Pages(pages) => pages,
        };
        let first = offset / PAGE_SIZE;
        match kind {
            SeekKind::Data => {
                let (&number, _) = pages.range(first..).next().ok_or(Errno::ENXIO)?;
                let at = (number * PAGE_SIZE).max(offset);
                if at < self.size { Ok(at) } else { Err(Errno::ENXIO) }
            }
            SeekKind::Hole => {
                let mut number = first;
                for (&present, _) in pages.range(first..) {
                    if present != number {
                        break;
                    }
                    number += 1;
                }
                Ok((number * PAGE_SIZE).max(offset).min(self.size))
            }
        }
    }

    /// F_SEAL_WRITE: EBUSY while a shared writable mapping exists, which the host knows.
    pub(super) fn seal_writing(&self) -> SysResult<()> {
        match &self.store {
            Store::Mapped(file) => file.seal_writing(),
            Store::Pages(_) => Ok(()),
        }
    }

    /// What to map; from now on the host keeps the bytes.
    pub(super) fn mapping(&mut self, access: MapAccess) -> SysResult<Mapping> {
        if let Store::Pages(pages) = &mut self.store {
            let file = MemFile::new()?;
            file.data().set_len(self.size)?;
            for (&number, page) in pages.iter() {
                let offset = number * PAGE_SIZE;
                let len = self.size.saturating_sub(offset).min(PAGE_SIZE) as usize;
                if len > 0 && file.data().write_at(&page[..len], offset)? != len {
                    return Err(Errno::EIO);
                }
            }
            self.store = Store::Mapped(file);
        }
        let Store::Mapped(file) = &self.store else { return Err(Errno::ENODEV) };
        let fd = match access {
            MapAccess::Write => file.data().mapping_fd(),
            MapAccess::Read => file.read_only_fd(),
        };
        Ok(Mapping::Memory { fd, label: file.label() })
    }
}
