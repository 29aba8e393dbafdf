//! Mappings and the ends of what they map: files of every kind that shrink below a mapping, calls on the pages behind
//! the end, /dev/zero, and what /proc says of a mapping.

use std::fs::{File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::ptr::NonNull;

use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, in_child};
use integration::{checks, raw};
use nix::errno::Errno;
use nix::libc::c_void;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, MsFlags, ProtFlags, mmap, mprotect, msync, munmap};
use nix::unistd::pipe;

fn main() -> ExitCode {
    guest::main(checks![
        file_that_shrinks_takes_its_pages_along,
        private_copy_outlives_the_end_and_the_rest_does_not,
        pages_come_back_empty,
        calls_on_pages_behind_the_end_get_efault,
        programs_end_where_they_end,
        shared_memory_ends_with_its_last_page,
        punched_hole_reads_as_zeros,
        zeros_for_reading_stay_so,
        zeros_are_private_or_shared,
        msync_checks_flags_before_addresses,
        query_finds_a_mapping,
    ])
}

const PAGE: usize = 4096;
const READ: ProtFlags = ProtFlags::PROT_READ;
const RW: ProtFlags = READ.union(ProtFlags::PROT_WRITE);
const SHARED: MapFlags = MapFlags::MAP_SHARED;
const PRIVATE: MapFlags = MapFlags::MAP_PRIVATE;
const BUS: i32 = 128 + libc::SIGBUS;

/// A mapping of whole pages.
struct Map {
    start: NonNull<c_void>,
    pages: usize,
}

impl Map {
    fn of(file: &File, pages: usize, prot: ProtFlags, flags: MapFlags) -> Result<Self, Errno> {
        let length = NonZeroUsize::new(pages * PAGE).expect("not zero");
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = unsafe { mmap(None, length, prot, flags, file, 0) }?;
        Ok(Self { start, pages })
    }

    fn at(&self, page: usize) -> *mut u8 {
        assert!(page <= self.pages);
        self.start.as_ptr().cast::<u8>().wrapping_add(page * PAGE)
    }

    fn get(&self, page: usize) -> u8 {
        // SAFETY: inside the mapping; a fault is what the check is about.
        unsafe { self.at(page).read_volatile() }
    }

    fn set(&self, page: usize, value: u8) {
        // SAFETY: inside the mapping, to which nothing else refers.
        unsafe { self.at(page).write_volatile(value) }
    }

    /// How a child ends that reads a page.
    fn status(&self, page: usize) -> i32 {
        in_child(|| i32::from(self.get(page)))
    }

    fn protect(&self, prot: ProtFlags) -> Result<(), Errno> {
        // SAFETY: no reference into the mapping exists.
        unsafe { mprotect(self.start, self.pages * PAGE, prot) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: no reference into the mapping exists.
        unsafe { munmap(self.start, self.pages * PAGE) }.expect("munmap");
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path).expect("open")
}

/// Calls `check` with an empty file of every kind that can be mapped.
fn with_each_file(check: impl Fn(&File)) {
    let scratch = Scratch::new();
    check(&open(&scratch.at("f")));
    let shm = Path::new("/dev/shm").join(format!("guest-sigbus-{}", std::process::id()));
    check(&open(&shm));
    std::fs::remove_file(&shm).expect("remove");
    let memory: OwnedFd = memfd_create(c"m", MFdFlags::empty()).expect("memfd_create");
    check(&File::from(memory));
    let unnamed = std::os::unix::fs::OpenOptionsExt::custom_flags(
        OpenOptions::new().read(true).write(true),
        libc::O_TMPFILE,
    )
    .open(scratch.dir());
    check(&unnamed.expect("O_TMPFILE"));
}

fn file_that_shrinks_takes_its_pages_along() {
    with_each_file(|file| {
        file.set_len(3 * PAGE as u64).expect("set_len");
        for flags in [SHARED, PRIVATE] {
            let map = Map::of(file, 4, RW, flags).expect("mmap");
            assert_eq!((map.status(2), map.status(3)), (0, BUS));
            file.set_len(PAGE as u64 + 1).expect("set_len");
            assert_eq!((map.status(0), map.status(1), map.status(2)), (0, 0, BUS));
            file.set_len(0).expect("set_len");
            assert_eq!(map.status(0), BUS);
            file.set_len(3 * PAGE as u64).expect("set_len");
        }
    });
}

fn private_copy_outlives_the_end_and_the_rest_does_not() {
    with_each_file(|file| {
        file.set_len(2 * PAGE as u64).expect("set_len");
        let map = Map::of(file, 2, RW, PRIVATE).expect("mmap");
        map.set(0, 7);
        // A copy behind the new end goes, too (unmap_mapping_range with even_cows).
        file.set_len(0).expect("set_len");
        assert_eq!((map.status(0), map.status(1)), (BUS, BUS));
    });
}

fn pages_come_back_empty() {
    with_each_file(|file| {
        file.set_len(2 * PAGE as u64).expect("set_len");
        let map = Map::of(file, 2, RW, SHARED).expect("mmap");
        map.set(0, 5);
        map.set(1, 6);
        file.set_len(PAGE as u64).expect("set_len");
        file.set_len(2 * PAGE as u64).expect("set_len");
        assert_eq!((map.get(0), map.get(1)), (5, 0));
    });
}

fn calls_on_pages_behind_the_end_get_efault() {
    with_each_file(|file| {
        file.set_len(PAGE as u64).expect("set_len");
        let map = Map::of(file, 2, RW, SHARED).expect("mmap");
        let (reader, writer) = pipe().expect("pipe");
        let behind = map.at(1) as usize;
        assert_eq!(error_of(raw!(SYS_write, writer.as_raw_fd(), behind, 1)), Errno::EFAULT);
        assert_eq!(nix::unistd::write(&writer, b"x"), Ok(1));
        assert_eq!(error_of(raw!(SYS_read, reader.as_raw_fd(), behind, 1)), Errno::EFAULT);
        assert_eq!(error_of(raw!(SYS_stat, behind, map.at(0) as usize)), Errno::EFAULT);
        assert_eq!(raw!(SYS_write, writer.as_raw_fd(), map.at(0) as usize, 1), Ok(1));
    });
}

fn programs_end_where_they_end() {
    let program = File::open("/bin/true").expect("open");
    let pages = (program.metadata().expect("metadata").len() as usize).div_ceil(PAGE);
    for (prot, flags) in [(READ, SHARED), (READ, PRIVATE), (RW, PRIVATE)] {
        let map = Map::of(&program, pages + 1, prot, flags).expect("mmap");
        assert_eq!(map.get(0), 0x7f);
        assert_eq!((map.status(pages - 1) < 128, map.status(pages)), (true, BUS));
    }
}

fn shared_memory_ends_with_its_last_page() {
    let id = raw!(SYS_shmget, libc::IPC_PRIVATE, PAGE + 1, 0o600).expect("shmget");
    let at = raw!(SYS_shmat, id, 0, 0).expect("shmat");
    raw!(SYS_shmctl, id, libc::IPC_RMID, 0).expect("shmctl");
    let byte = |page: usize| {
        let at = (at as usize + page * PAGE) as *const u8;
        // SAFETY: a fault is what the check is about.
        in_child(|| i32::from(unsafe { at.read_volatile() }))
    };
    assert_eq!((byte(0), byte(1)), (0, 0));
    raw!(SYS_shmdt, at).expect("shmdt");
    assert_eq!(byte(0), 128 + libc::SIGSEGV);
}

fn punched_hole_reads_as_zeros() {
    with_each_file(|file| {
        file.set_len(3 * PAGE as u64).expect("set_len");
        let map = Map::of(file, 3, RW, SHARED).expect("mmap");
        (0..3).for_each(|page| map.set(page, 9));
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        match raw!(SYS_fallocate, file.as_raw_fd(), mode, PAGE, PAGE) {
            // Not every filesystem below /tmp can.
            Err(Errno::EOPNOTSUPP) => {}
            done => {
                done.expect("fallocate");
                assert_eq!([map.get(0), map.get(1), map.get(2)], [9, 0, 9]);
            }
        }
    });
}

fn zeros_for_reading_stay_so() {
    let zero = File::open("/dev/zero").expect("open");
    assert_eq!(error_of(Map::of(&zero, 1, RW, SHARED)), Errno::EACCES);
    let map = Map::of(&zero, 2, READ, SHARED).expect("mmap");
    assert_eq!((map.get(0), map.get(1)), (0, 0));
    assert_eq!(map.protect(RW), Err(Errno::EACCES));
    let map = Map::of(&zero, 1, READ, PRIVATE).expect("mmap");
    map.protect(RW).expect("mprotect");
    map.set(0, 1);
}

fn zeros_are_private_or_shared() {
    let zero = open(Path::new("/dev/zero"));
    for (flags, seen) in [(SHARED, 3), (PRIVATE, 0)] {
        let map = Map::of(&zero, 1, RW, flags).expect("mmap");
        in_child(|| {
            map.set(0, 3);
            0
        });
        assert_eq!(map.get(0), seen);
    }
}

fn msync_checks_flags_before_addresses() {
    let call = |at: usize, flags: i32| error_of(raw!(SYS_msync, at, PAGE, flags));
    for at in [PAGE, 0xffff_8000_0000_0000] {
        assert_eq!(call(at, libc::MS_SYNC | libc::MS_ASYNC), Errno::EINVAL);
        assert_eq!(call(at, 8), Errno::EINVAL);
        assert_eq!(call(at + 1, libc::MS_SYNC), Errno::EINVAL);
        assert_eq!(call(at, libc::MS_SYNC), Errno::ENOMEM);
    }
    let file: OwnedFd = memfd_create(c"m", MFdFlags::empty()).expect("memfd_create");
    let file = File::from(file);
    file.set_len(PAGE as u64).expect("set_len");
    let map = Map::of(&file, 1, RW, SHARED).expect("mmap");
    // SAFETY: the mapping is whole.
    unsafe { msync(map.start, PAGE, MsFlags::MS_SYNC) }.expect("msync");
}

/// PROCMAP_QUERY of Linux 6.11.
const PROCMAP_QUERY: u32 = 0xc068_6611;

fn query_finds_a_mapping() {
    let maps = File::open("/proc/self/maps").expect("open");
    let program = File::open("/bin/true").expect("open");
    let map = Map::of(&program, 1, READ, SHARED).expect("mmap");
    let mut name = [0_u8; 128];
    let query = |address: usize, flags: u64, name: &mut [u8]| {
        let mut words = [0_u64; 13];
        (words[0], words[1], words[2]) = (104, flags, address as u64);
        (words[10], words[11]) = (name.len() as u64, name.as_mut_ptr() as u64);
        raw!(SYS_ioctl, maps.as_raw_fd(), PROCMAP_QUERY, words.as_mut_ptr()).map(|_| words)
    };
    let words = match query(map.at(0) as usize + 5, 0, &mut name) {
        // A kernel before 6.11.
        Err(Errno::ENOTTY) => return,
        found => found.expect("PROCMAP_QUERY"),
    };
    let start = map.at(0) as u64;
    // Bounds; readable and shared; the page, offset and inode.
    assert_eq!(words[3..8], [start, start + PAGE as u64, 9, PAGE as u64, 0]);
    let inode = std::os::unix::fs::MetadataExt::ino(&program.metadata().expect("metadata"));
    assert_eq!(words[8], inode);
    let shown = &name[..words[10] as u32 as usize];
    assert!(shown.ends_with(b"/true\0"), "{shown:?}");
    // Four mappings of files that may be written: none covers this.
    assert_eq!(error_of(query(map.at(0) as usize, 2, &mut name)), Errno::ENOENT);
    assert_eq!(error_of(query(0, 0, &mut name)), Errno::ENOENT);
    assert_eq!(error_of(query(0, 0x40, &mut name)), Errno::EINVAL);
    assert_eq!(error_of(query(start as usize, 0, &mut name[..3])), Errno::ENAMETOOLONG);
    assert!(query(0, 0x10, &mut name).expect("the next")[3] > 0);
}
