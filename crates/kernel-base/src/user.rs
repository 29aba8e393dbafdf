//! Guest pointers and guest memory.
//!
//! A pointer is a number that a guest alleges; [`GuestMem`] copies through it, checked and bounded, and
//! never gives a reference into guest memory: the guest may change it at any moment, so each location is
//! read once.

use std::marker::PhantomData;

use abi_linux::fs::{IoVec, PATH_MAX};
use abi_linux::{Errno, SysResult};
use platform_api::{HostTid, Platform, Range};
use smallvec::SmallVec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::reg::FromReg;

/// First address that is not a guest's (x86_64 TASK_SIZE_MAX with four-level page tables).
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// Most pieces in one vector (include/uapi/linux/uio.h UIO_MAXIOV).
pub const UIO_MAXIOV: usize = 1024;
/// Most bytes one read or write moves (include/linux/fs.h MAX_RW_COUNT).
pub const MAX_RW_COUNT: usize = 0x7fff_f000;

/// Address of a `T`, or of an array of them.
#[derive(Debug)]
pub struct UserRef<T>(u64, PhantomData<fn() -> T>);

impl<T> Clone for UserRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for UserRef<T> {}

impl<T> UserRef<T> {
    /// From an address.
    #[must_use]
    pub const fn new(addr: u64) -> Self {
        Self(addr, PhantomData)
    }
    /// The address.
    #[must_use]
    pub const fn addr(self) -> u64 {
        self.0
    }
    /// Whether the address is 0.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
    /// `None` for address 0: an optional argument.
    #[must_use]
    pub fn non_null(self) -> Option<Self> {
        (!self.is_null()).then_some(self)
    }
}

impl<T> FromReg for UserRef<T> {
    fn from_reg(reg: u64) -> Self {
        Self::new(reg)
    }
}

/// Address of bytes whose length is another argument.
pub type UserBytes = UserRef<u8>;

/// Address of a NUL-terminated string.
#[derive(Clone, Copy, Debug)]
pub struct UserCStr(pub u64);

impl FromReg for UserCStr {
    fn from_reg(reg: u64) -> Self {
        Self(reg)
    }
}

/// The memory of one guest thread.
#[derive(Clone, Copy)]
pub struct GuestMem<'a> {
    platform: &'a dyn Platform,
    tid: HostTid,
}

impl<'a> GuestMem<'a> {
    /// The memory that thread `tid` sees.
    #[must_use]
    pub fn new(platform: &'a dyn Platform, tid: HostTid) -> Self {
        Self { platform, tid }
    }

    fn check(addr: u64, len: usize) -> SysResult<()> {
        let end = addr.checked_add(len as u64).ok_or(Errno::EFAULT)?;
        if end > TASK_SIZE { Err(Errno::EFAULT) } else { Ok(()) }
    }

    /// Reads exactly `buf.len()` bytes, or EFAULT.
    pub fn read_bytes(&self, addr: u64, buf: &mut [u8]) -> SysResult<()> {
        if self.read_partial(addr, buf)? == buf.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Reads up to the first unreadable page; EFAULT if nothing could be read.
    pub fn read_partial(&self, addr: u64, buf: &mut [u8]) -> SysResult<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        Self::check(addr, buf.len())?;
        self.platform.read_memory(self.tid, &[Range { addr, len: buf.len() }], buf)
    }

    /// Writes all of `buf`, or EFAULT; some of it may have been written then.
    pub fn write_bytes(&self, addr: u64, buf: &[u8]) -> SysResult<()> {
        if buf.is_empty() {
            return Ok(());
        }
        Self::check(addr, buf.len())?;
        let n = self.platform.write_memory(self.tid, &[Range { addr, len: buf.len() }], buf)?;
        if n == buf.len() { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Reads one structure.
    pub fn read<T: FromBytes + IntoBytes>(&self, at: UserRef<T>) -> SysResult<T> {
        let mut value = T::new_zeroed();
        self.read_bytes(at.addr(), value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes one structure.
    pub fn write<T: IntoBytes + Immutable>(&self, at: UserRef<T>, value: &T) -> SysResult<()> {
        self.write_bytes(at.addr(), value.as_bytes())
    }

    /// Reads `count` structures; `max` bounds what is allocated (E-number of the caller's choice beyond).
    pub fn read_array<T: FromBytes + IntoBytes + Clone>(
        &self,
        at: UserRef<T>,
        count: usize,
    ) -> SysResult<Vec<T>> {
        let mut values = vec![T::new_zeroed(); count];
        for_each_bytes(&mut values, |bytes| self.read_bytes(at.addr(), bytes))?;
        Ok(values)
    }

    /// Writes a slice of structures.
    pub fn write_array<T: IntoBytes + Immutable>(&self, at: UserRef<T>, values: &[T]) -> SysResult<()> {
        self.write_bytes(at.addr(), values.as_bytes())
    }

    /// Reads a NUL-terminated string of at most `max` bytes with its NUL; `too_long` otherwise. The NUL is
    /// not part of the result. Reads to the next page border first, so one host call nearly always does.
    pub fn read_cstr(&self, at: UserCStr, max: usize, too_long: Errno) -> SysResult<Vec<u8>> {
        let mut out = Vec::new();
        let mut chunk = [0u8; 512];
        let mut addr = at.0;
        while out.len() < max {
            let to_page = 4096 - (addr & 4095) as usize;
            let want = to_page.min(max - out.len()).min(chunk.len());
            let piece = &mut chunk[..want];
            let got = self.read_partial(addr, piece)?;
            let piece = &piece[..got];
            if let Some(nul) = piece.iter().position(|&b| b == 0) {
                out.extend_from_slice(&piece[..nul]);
                return Ok(out);
            }
            out.extend_from_slice(piece);
            addr = addr.checked_add(got as u64).ok_or(Errno::EFAULT)?;
        }
        Err(too_long)
    }

    /// Reads a path: ENAMETOOLONG beyond PATH_MAX (fs/namei.c getname_flags).
    pub fn read_path(&self, at: UserCStr) -> SysResult<Vec<u8>> {
        self.read_cstr(at, PATH_MAX, Errno::ENAMETOOLONG)
    }

    /// Reads and checks an I/O vector as import_iovec does (lib/iov_iter.c, Linux v6.18): EINVAL for a count
    /// over UIO_MAXIOV or a negative length, total capped at MAX_RW_COUNT.
    pub fn read_iovec(&self, at: UserRef<IoVec>, count: usize) -> SysResult<Pieces> {
        if count > UIO_MAXIOV {
            return Err(Errno::EINVAL);
        }
        let raw = self.read_array(at, count)?;
        // Linux looks at all lengths before it looks at an address.
        if raw.iter().any(|piece: &IoVec| piece.len > i64::MAX as u64) {
            return Err(Errno::EINVAL);
        }
        let mut pieces = SmallVec::with_capacity(count.min(8));
        let mut total = 0usize;
        for piece in raw {
            let len = (piece.len as usize).min(MAX_RW_COUNT - total);
            Self::check(piece.base, len)?;
            if len > 0 {
                pieces.push(Range { addr: piece.base, len });
                total += len;
            }
        }
        Ok(Pieces { pieces, total })
    }

    /// One piece of `len` bytes, capped at MAX_RW_COUNT, as read(2) and write(2) take it.
    pub fn single(&self, addr: u64, len: usize) -> SysResult<Pieces> {
        let len = len.min(MAX_RW_COUNT);
        Self::check(addr, len)?;
        let mut pieces = SmallVec::new();
        if len > 0 {
            pieces.push(Range { addr, len });
        }
        Ok(Pieces { pieces, total: len })
    }

    /// Copies from the pieces, starting `skip` bytes in, as much as fits `local`.
    pub fn gather(&self, from: &Pieces, skip: usize, local: &mut [u8]) -> SysResult<usize> {
        let ranges = from.window(skip, local.len());
        let len: usize = ranges.iter().map(|r| r.len).sum();
        if len == 0 {
            return Ok(0);
        }
        self.platform.read_memory(self.tid, &ranges, &mut local[..len])
    }

    /// Copies `local` to the pieces, starting `skip` bytes in.
    pub fn scatter(&self, to: &Pieces, skip: usize, local: &[u8]) -> SysResult<usize> {
        let ranges = to.window(skip, local.len());
        let len: usize = ranges.iter().map(|r| r.len).sum();
        if len == 0 {
            return Ok(0);
        }
        self.platform.write_memory(self.tid, &ranges, &local[..len])
    }
}

/// The pieces of guest memory that one call reads or writes, checked and bounded.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    pieces: SmallVec<[Range; 2]>,
    total: usize,
}

impl Pieces {
    /// A single piece.
    #[must_use]
    pub fn one(piece: Range) -> Self {
        Self { pieces: SmallVec::from_slice(&[piece]), total: piece.len }
    }

    /// Bytes in all pieces together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Range> {
        self.pieces.iter()
    }

    /// The first piece.
    #[must_use]
    pub fn first(&self) -> Option<Range> {
        self.pieces.first().copied()
    }

    fn window(&self, mut skip: usize, mut len: usize) -> SmallVec<[Range; 2]> {
        let mut out = SmallVec::new();
        for piece in &self.pieces {
            if skip >= piece.len {
                skip -= piece.len;
                continue;
            }
            let take = (piece.len - skip).min(len);
            if take == 0 {
                break;
            }
            out.push(Range { addr: piece.addr + skip as u64, len: take });
            skip = 0;
            len -= take;
        }
        out
    }
}

fn for_each_bytes<T: FromBytes + IntoBytes>(
    values: &mut [T],
    mut f: impl FnMut(&mut [u8]) -> SysResult<()>,
) -> SysResult<()> {
    f(values.as_mut_bytes())
}
