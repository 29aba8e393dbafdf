//! PROCMAP_QUERY: one mapping of /proc/pid/maps as a structure (fs/proc/task_mmu.c do_procmap_query, Linux v6.18).

use abi_linux::fs::makedev;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(super) const PROCMAP_QUERY: u32 = 0xc068_6611;

const READABLE: u64 = 1;
const WRITABLE: u64 = 2;
const EXECUTABLE: u64 = 4;
const SHARED: u64 = 8;
const COVERING_OR_NEXT: u64 = 0x10;
const FILE_BACKED: u64 = 0x20;
const KNOWN: u64 = READABLE | WRITABLE | EXECUTABLE | SHARED | COVERING_OR_NEXT | FILE_BACKED;
/// Up to and with `query_addr`.
const LEAST: usize = 24;
const PAGE_SIZE: u64 = 4096;

/// `struct procmap_query`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// A line of the list.
struct Line<'a> {
    start: u64,
    end: u64,
    flags: u64,
    offset: u64,
    device: (u32, u32),
    inode: u64,
    name: &'a [u8],
}

impl<'a> Line<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(6, |&byte| byte == b' ');
        let (range, perms) = (words.next()?, words.next()?);
        let (offset, device, inode) = (words.next()?, words.next()?, words.next()?);
        let name = words.next().unwrap_or_default().trim_ascii_start();
        let (start, end) = pair(range, b'-')?;
        let (major, minor) = pair(device, b':')?;
        let flags = [READABLE, WRITABLE, EXECUTABLE, SHARED]
            .into_iter()
            .zip(perms)
            .filter(|(_, letter)| matches!(letter, b'r' | b'w' | b'x' | b's'))
            .fold(0, |all, (flag, _)| all | flag);
        let inode = std::str::from_utf8(inode).ok()?.parse().ok()?;
        let device = (u32::try_from(major).ok()?, u32::try_from(minor).ok()?);
        Some(Self { start, end, flags, offset: hex(offset)?, device, inode, name })
    }

    /// Whether it is what a query is about (query_matching_vma).
    fn matches(&self, query: &Query) -> bool {
        let wanted = query.query_flags;
        let permissions = wanted & (READABLE | WRITABLE | EXECUTABLE | SHARED);
        let begins_in_time = wanted & COVERING_OR_NEXT != 0 || self.start <= query.query_addr;
        let is_file = makedev(self.device.0, self.device.1) != 0 || self.inode != 0;
        self.end > query.query_addr
            && begins_in_time
            && permissions & !self.flags == 0
            && (wanted & FILE_BACKED == 0 || is_file)
    }
}

fn hex(word: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()
}

fn pair(word: &[u8], between: u8) -> Option<(u64, u64)> {
    let mut words = word.splitn(2, |&byte| byte == between);
    Some((hex(words.next()?)?, hex(words.next()?)?))
}

fn find<'a>(list: &'a [u8], query: &Query) -> SysResult<Line<'a>> {
    let mut lines = list.split(|&byte| byte == b'\n').filter_map(Line::parse);
    // The first that ends behind the address may be none that covers it.
    let is_covered =
        |line: &Line<'_>| query.query_flags & COVERING_OR_NEXT != 0 || line.start <= query.query_addr;
    let found = lines.find(|line| line.matches(query) || line.end > query.query_addr && !is_covered(line));
    found.filter(|line| line.matches(query)).ok_or(Errno::ENOENT)
}

fn check(query: &Query) -> SysResult<()> {
    let is_whole = |size: u32, at: u64| (size != 0) == (at != 0);
    let whole = is_whole(query.vma_name_size, query.vma_name_addr)
        && is_whole(query.build_id_size, query.build_id_addr);
    if query.query_flags & !KNOWN != 0 || !whole { Err(Errno::EINVAL) } else { Ok(()) }
}

/// Answers the query at `at` from the text of the file. Nothing has a build id.
pub(super) fn answer(list: &[u8], who: &dyn Caller, at: u64) -> SysResult<()> {
    let size: u64 = who.mem().read(UserRef::new(at))?;
    let size = usize::try_from(size).ok().filter(|&size| size <= PAGE_SIZE as usize).ok_or(Errno::E2BIG)?;
    let query: Query = who.mem().read_sized(at, size, LEAST)?;
    check(&query)?;
    let line = find(list, &query)?;
    let mut name = line.name.to_vec();
    if !name.is_empty() {
        name.push(0);
    }
    if query.vma_name_size != 0 && name.len() > query.vma_name_size as usize {
        return Err(Errno::ENAMETOOLONG);
    }
    let answer = Query {
        vma_start: line.start,
        vma_end: line.end,
        vma_flags: line.flags,
        vma_page_size: PAGE_SIZE,
        vma_offset: line.offset,
        inode: line.inode,
        dev_major: line.device.0,
        dev_minor: line.device.1,
        vma_name_size: if query.vma_name_size == 0 { 0 } else { name.len() as u32 },
        build_id_size: 0,
        ..query
    };
    if query.vma_name_size != 0 {
        who.mem().write_bytes(query.vma_name_addr, &name)?;
    }
    let bytes = answer.as_bytes();
    who.mem().write_bytes(at, bytes.get(..size.min(bytes.len())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{COVERING_OR_NEXT, FILE_BACKED, Query, SHARED, WRITABLE, find};
    use abi_linux::Errno;
    use proptest::prelude::{any, proptest};

    const LIST: &[u8] = b"1000-3000 r-xp 00001000 08:01 77   /bin/x y\n\
        5000-6000 rw-p 00000000 00:00 0 \n9000-a000 rw-s 00000000 00:05 9    /dev/zero (deleted)\n";

    fn start_of(addr: u64, flags: u64) -> Result<u64, Errno> {
        let query = Query { query_addr: addr, query_flags: flags, ..Query::default() };
        find(LIST, &query).map(|line| line.start)
    }

    #[test]
    fn mapping_covers_the_address_or_comes_next() {
        assert_eq!(start_of(0x1000, 0), Ok(0x1000));
        assert_eq!(start_of(0x2fff, 0), Ok(0x1000));
        assert_eq!(start_of(0x3000, 0), Err(Errno::ENOENT));
        assert_eq!(start_of(0x3000, COVERING_OR_NEXT), Ok(0x5000));
        assert_eq!(start_of(0, COVERING_OR_NEXT | WRITABLE), Ok(0x5000));
        assert_eq!(start_of(0, COVERING_OR_NEXT | SHARED), Ok(0x9000));
        assert_eq!(start_of(0x3000, COVERING_OR_NEXT | FILE_BACKED), Ok(0x9000));
        assert_eq!(start_of(0x5000, FILE_BACKED), Err(Errno::ENOENT));
        assert_eq!(start_of(0xa000, COVERING_OR_NEXT), Err(Errno::ENOENT));
        let query = Query { query_addr: 0x1000, ..Query::default() };
        assert_eq!(find(LIST, &query).unwrap().name, b"/bin/x y");
    }

    proptest! {
        #[test]
        fn any_list_is_read(list in any::<Vec<u8>>(), addr in any::<u64>(), flags in 0u64..64) {
            let _ = find(&list, &Query { query_addr: addr, query_flags: flags, ..Query::default() });
        }
    }
}
