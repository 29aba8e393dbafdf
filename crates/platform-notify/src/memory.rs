//! Guest memory by process_vm_readv(2) and process_vm_writev(2).
//!
//! The manual promises partial transfers only at the granularity of whole pieces. Linux v6.18
//! mm/process_vm_access.c:process_vm_rw_single_vec does it by pages; but it pins many at once, so after a short
//! count we go on page by page, until a page fails for itself. Then the count is exact on any version.

use abi_linux::{Errno, SysResult};
use host_sys::memory::{self, MAX_PIECES, Piece, piece};
use platform_api::{HostTid, Range};

const PAGE: u64 = 4096;

/// Pieces of one call that need no allocation.
const INLINE_PIECES: usize = 8;

/// What is left of a list of ranges, cut to the local buffer's length.
struct Cursor<'a> {
    ranges: &'a [Range],
    /// Bytes done of the first range.
    offset: usize,
    /// Bytes of the local buffer that are left.
    left: usize,
}

impl Cursor<'_> {
    /// Fills `pieces` from the front; gives how many, and their bytes. With `one_page` it is a single piece that
    /// ends at a page border.
    fn take(&mut self, pieces: &mut [Piece], one_page: bool) -> (usize, usize) {
        let (mut count, mut bytes, mut offset, mut left) = (0, 0, self.offset, self.left);
        for range in self.ranges {
            if count == pieces.len() || left == 0 {
                break;
            }
            let addr = range.addr.wrapping_add(offset as u64);
            let mut len = range.len.saturating_sub(offset).min(left);
            if one_page {
                len = len.min((PAGE - addr % PAGE) as usize);
            }
            offset = 0;
            if len == 0 {
                continue;
            }
            if let Some(slot) = pieces.get_mut(count) {
                *slot = piece(addr, len);
            }
            (count, bytes, left) = (count + 1, bytes + len, left - len);
            if one_page {
                break;
            }
        }
        (count, bytes)
    }

    /// Steps over bytes that were copied.
    fn advance(&mut self, mut bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        while let Some((first, rest)) = self.ranges.split_first() {
            let here = first.len.saturating_sub(self.offset);
            if bytes < here {
                self.offset += bytes;
                return;
            }
            bytes -= here;
            self.offset = 0;
            self.ranges = rest;
        }
    }
}

/// Runs `copy(pieces, done)` over the ranges until all is copied or a page fails.
fn transfer(
    ranges: &[Range],
    local_len: usize,
    mut copy: impl FnMut(&[Piece], usize, usize) -> SysResult<usize>,
) -> SysResult<usize> {
    let mut cursor = Cursor { ranges, offset: 0, left: local_len };
    let mut few = [piece(0, 0); INLINE_PIECES];
    let mut many = Vec::new();
    let pieces: &mut [Piece] = if ranges.len() <= INLINE_PIECES {
        &mut few
    } else {
        many.resize(ranges.len().min(MAX_PIECES), piece(0, 0));
        &mut many
    };
    let (mut done, mut one_page) = (0, false);
    loop {
        let (count, bytes) = cursor.take(pieces, one_page);
        if bytes == 0 {
            return Ok(done);
        }
        let copied = match copy(pieces.get(..count).unwrap_or_default(), done, bytes) {
            Ok(copied) => copied.min(bytes),
            Err(Errno::EFAULT) => 0,
            // No mm any more, or one that is being replaced: as good as gone.
            Err(Errno::EPERM) if done == 0 => return Err(Errno::ESRCH),
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(done),
        };
        done += copied;
        cursor.advance(copied);
        if copied < bytes {
            if one_page {
                return if done == 0 { Err(Errno::EFAULT) } else { Ok(done) };
            }
            one_page = true;
        }
    }
}

/// Reads guest memory; the count before the first bad page, EFAULT when that is none.
pub(crate) fn read(tid: HostTid, ranges: &[Range], local: &mut [u8]) -> SysResult<usize> {
    let len = local.len();
    transfer(ranges, len, |pieces, done, bytes| {
        let part = local.get_mut(done..done.saturating_add(bytes)).unwrap_or_default();
        memory::read(tid, pieces, part)
    })
}

/// Writes guest memory, as [`read`] reads it.
pub(crate) fn write(tid: HostTid, ranges: &[Range], local: &[u8]) -> SysResult<usize> {
    transfer(ranges, local.len(), |pieces, done, bytes| {
        let part = local.get(done..done.saturating_add(bytes)).unwrap_or_default();
        memory::write(tid, pieces, part)
    })
}

#[cfg(test)]
mod tests {
    use super::{read, transfer, write};
    use abi_linux::Errno;
    use platform_api::Range;

    /// Copies that fail from byte `bad` of one address space on.
    fn run(ranges: &[(u64, usize)], local: usize, bad: u64) -> Result<usize, Errno> {
        let ranges: Vec<Range> = ranges.iter().map(|&(addr, len)| Range { addr, len }).collect();
        transfer(&ranges, local, |pieces, _, _| {
            let mut copied = 0;
            for piece in pieces {
                let start = piece.iov_base.addr() as u64;
                // Whole pieces only, as the manual has it.
                if start + piece.iov_len as u64 > bad {
                    return if copied == 0 { Err(Errno::EFAULT) } else { Ok(copied) };
                }
                copied += piece.iov_len;
            }
            Ok(copied)
        })
    }

    #[test]
    fn partial_count_stops_at_the_bad_page() {
        assert_eq!(run(&[(0x1000, 0x3000)], 0x3000, 0x3000), Ok(0x2000));
        assert_eq!(run(&[(0x1800, 0x3000)], 0x3000, 0x3000), Ok(0x1800));
        assert_eq!(run(&[(0x1000, 16), (0x2ff0, 32)], 48, 0x3000), Ok(32));
        assert_eq!(run(&[(0x3000, 1)], 1, 0x3000), Err(Errno::EFAULT));
    }

    #[test]
    fn local_buffer_limits_the_copy() {
        assert_eq!(run(&[(0x1000, 100), (0x2000, 100)], 150, u64::MAX), Ok(150));
        assert_eq!(run(&[(0x1000, 0), (0x2000, 0)], 10, 0), Ok(0));
        assert_eq!(run(&[], 10, 0), Ok(0));
    }

    #[test]
    fn many_pieces_are_copied_in_order() {
        let text: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        let base = text.as_ptr().addr() as u64;
        let ranges: Vec<Range> = (0..3000).rev().map(|n| Range { addr: base + n, len: 1 }).collect();
        let mut out = vec![0; 3000];
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        assert_eq!(read(me, &ranges, &mut out), Ok(3000));
        assert!(out.iter().rev().eq(text.iter()));
    }

    #[test]
    fn bad_addresses_are_efault_and_dead_threads_esrch() {
        let me = i32::try_from(std::process::id()).unwrap_or(0);
        for addr in [0, 0x8000_0000_0000, u64::MAX - 4095, 0xffff_8000_0000_0000] {
            let range = [Range { addr, len: 8 }];
            assert_eq!(read(me, &range, &mut [0; 8]), Err(Errno::EFAULT), "{addr:#x}");
            assert_eq!(write(me, &range, &[0; 8]), Err(Errno::EFAULT), "{addr:#x}");
        }
        assert_eq!(read(i32::MAX, &[Range { addr: 4096, len: 8 }], &mut [0; 8]), Err(Errno::ESRCH));
    }
}
