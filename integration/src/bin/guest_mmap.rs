//! Memory maps: shared, private and anonymous; what the file sees; faults past the end; protections.

use std::fs::{self, File, OpenOptions};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::ptr::NonNull;

use integration::checks;
use integration::guest::scratch::Scratch;
use integration::guest::{self, error_of, in_child};
use nix::errno::Errno;
use nix::libc::c_void;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{
    MRemapFlags, MapFlags, MmapAdvise, MsFlags, ProtFlags, madvise, mmap, mmap_anonymous, mprotect, mremap,
    msync, munmap,
};

fn main() -> ExitCode {
    guest::main(checks![
        shared_write_is_seen_by_read,
        file_write_is_seen_by_shared_map,
        private_write_stays_private,
        two_processes_share_a_file_map,
        anonymous_shared_survives_fork,
        anonymous_private_is_copied_on_fork,
        tail_of_last_page_is_zero,
        access_past_the_end_gets_sigbus,
        truncate_takes_pages_away,
        extension_makes_pages_reachable,
        map_outlives_close_and_unlink,
        offset_must_be_page_aligned,
        map_at_offset_shows_that_part,
        zero_length_gets_einval,
        read_only_file_cannot_be_mapped_shared_writable,
        write_only_file_cannot_be_mapped,
        directory_gets_enodev,
        bad_descriptor_gets_ebadf,
        munmap_then_touch_gets_sigsegv,
        munmap_of_a_middle_splits,
        mprotect_revokes_and_grants,
        execute_permission_runs_code,
        fixed_replaces_and_noreplace_refuses,
        mremap_grows_and_keeps,
        dontneed_zeroes_anonymous_pages,
        private_dontneed_shows_the_file_again,
        memfd_maps_and_seals,
        dev_zero_maps,
        program_file_maps_executable,
        proc_self_maps_names_the_file,
        mapping_of_a_tmp_file_of_many_pages,
    ])
}

const PAGE: usize = 4096;
const RW: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// A mapping that checks read and write through volatile accesses, since others change it.
struct Map {
    start: NonNull<c_void>,
    length: usize,
}

impl Map {
    fn of(file: &File, length: usize, prot: ProtFlags, flags: MapFlags, offset: i64) -> nix::Result<Self> {
        let size = NonZeroUsize::new(length).ok_or(Errno::EINVAL)?;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = unsafe { mmap(None, size, prot, flags, file, offset) }?;
        Ok(Self { start, length })
    }

    fn anonymous(length: usize, flags: MapFlags) -> Self {
        let size = NonZeroUsize::new(length).expect("not zero");
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = unsafe { mmap_anonymous(None, size, RW, flags) }.expect("mmap");
        Self { start, length }
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.start.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    fn get(&self, offset: usize) -> u8 {
        assert!(offset < self.length);
        // SAFETY: inside the mapping; a fault is what the check is about.
        unsafe { self.at(offset).read_volatile() }
    }

    fn set(&self, offset: usize, value: u8) {
        assert!(offset < self.length);
        // SAFETY: inside the mapping, to which only this and the other side of the check refer.
        unsafe { self.at(offset).write_volatile(value) }
    }

    fn page(&self, number: usize) -> NonNull<c_void> {
        NonNull::new(self.at(number * PAGE).cast()).expect("not null")
    }

    fn protect(&self, prot: ProtFlags) {
        // SAFETY: no reference into the mapping exists.
        unsafe { mprotect(self.start, self.length, prot) }.expect("mprotect");
    }

    fn unmap(&self, first_page: usize, pages: usize) {
        // SAFETY: no reference into the mapping exists.
        unsafe { munmap(self.page(first_page), pages * PAGE) }.expect("munmap");
    }
}

fn file(scratch: &Scratch, size: usize) -> File {
    let path = scratch.file("f", vec![b'a'; size]);
    OpenOptions::new().read(true).write(true).open(path).expect("open")
}

fn byte_at(file: &File, offset: u64) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("pread");
    byte[0]
}

fn shared_write_is_seen_by_read() {
    let scratch = Scratch::new();
    let file = file(&scratch, 2 * PAGE);
    let map = Map::of(&file, 2 * PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    map.set(5000, b'Z');
    assert_eq!(byte_at(&file, 5000), b'Z');
    assert_eq!(fs::read(scratch.at("f")).expect("read")[5000], b'Z');
    // SAFETY: the whole mapping.
    unsafe { msync(map.start, map.length, MsFlags::MS_SYNC) }.expect("msync");
}

fn file_write_is_seen_by_shared_map() {
    let scratch = Scratch::new();
    let file = file(&scratch, PAGE);
    let map = Map::of(&file, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, 0).expect("mmap");
    assert_eq!(map.get(100), b'a');
    file.write_all_at(b"W", 100).expect("pwrite");
    assert_eq!(map.get(100), b'W');
}

fn private_write_stays_private() {
    let scratch = Scratch::new();
    let file = file(&scratch, PAGE);
    let map = Map::of(&file, PAGE, RW, MapFlags::MAP_PRIVATE, 0).expect("mmap");
    map.set(0, b'P');
    assert_eq!((map.get(0), byte_at(&file, 0)), (b'P', b'a'));
    let again = Map::of(&file, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, 0).expect("mmap");
    assert_eq!(again.get(0), b'a');
}

fn two_processes_share_a_file_map() {
    let scratch = Scratch::new();
    let file = file(&scratch, PAGE);
    let map = Map::of(&file, PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    let status = in_child(|| {
        let file = OpenOptions::new().read(true).write(true).open(scratch.at("f")).expect("open");
        Map::of(&file, PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap").set(9, b'C');
        0
    });
    assert_eq!((status, map.get(9)), (0, b'C'));
}

fn anonymous_shared_survives_fork() {
    let map = Map::anonymous(PAGE, MapFlags::MAP_SHARED);
    assert_eq!(
        in_child(|| {
            map.set(3, 42);
            0
        }),
        0
    );
    assert_eq!(map.get(3), 42);
}

fn anonymous_private_is_copied_on_fork() {
    let map = Map::anonymous(PAGE, MapFlags::MAP_PRIVATE);
    map.set(0, 1);
    assert_eq!(
        in_child(|| {
            map.set(0, 2);
            i32::from(map.get(0) != 2)
        }),
        0
    );
    assert_eq!(map.get(0), 1);
}

fn tail_of_last_page_is_zero() {
    let scratch = Scratch::new();
    let map =
        Map::of(&file(&scratch, 10), PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, 0).expect("mmap");
    assert_eq!((map.get(9), map.get(10), map.get(4095)), (b'a', 0, 0));
}

fn access_past_the_end_gets_sigbus() {
    let scratch = Scratch::new();
    for flags in [MapFlags::MAP_SHARED, MapFlags::MAP_PRIVATE] {
        let map = Map::of(&file(&scratch, 10), 2 * PAGE, ProtFlags::PROT_READ, flags, 0).expect("mmap");
        assert_eq!(in_child(|| i32::from(map.get(PAGE))), 128 + libc::SIGBUS);
    }
}

fn truncate_takes_pages_away() {
    let scratch = Scratch::new();
    let file = file(&scratch, 3 * PAGE);
    let map = Map::of(&file, 3 * PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    assert_eq!(map.get(2 * PAGE), b'a');
    file.set_len(PAGE as u64).expect("ftruncate");
    assert_eq!(in_child(|| i32::from(map.get(2 * PAGE))), 128 + libc::SIGBUS);
    assert_eq!(map.get(PAGE - 1), b'a');
}

fn extension_makes_pages_reachable() {
    let scratch = Scratch::new();
    let file = file(&scratch, 10);
    let map = Map::of(&file, 2 * PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    file.set_len(2 * PAGE as u64).expect("ftruncate");
    map.set(PAGE + 1, 7);
    assert_eq!(byte_at(&file, PAGE as u64 + 1), 7);
}

fn map_outlives_close_and_unlink() {
    let scratch = Scratch::new();
    let map = Map::of(&file(&scratch, PAGE), PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    fs::remove_file(scratch.at("f")).expect("unlink");
    map.set(1, 5);
    assert_eq!((map.get(0), map.get(1)), (b'a', 5));
}

fn offset_must_be_page_aligned() {
    let scratch = Scratch::new();
    let file = file(&scratch, 2 * PAGE);
    assert_eq!(error_of(Map::of(&file, PAGE, RW, MapFlags::MAP_SHARED, 100)), Errno::EINVAL);
}

fn map_at_offset_shows_that_part() {
    let scratch = Scratch::new();
    let file = file(&scratch, 3 * PAGE);
    file.write_all_at(b"here", 2 * PAGE as u64).expect("pwrite");
    let map =
        Map::of(&file, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, 2 * PAGE as i64).expect("mmap");
    assert_eq!((map.get(0), map.get(4)), (b'h', b'a'));
}

fn zero_length_gets_einval() {
    // SAFETY: a call that maps nothing.
    let result = unsafe {
        libc::mmap(std::ptr::null_mut(), 0, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    assert_eq!((result, Errno::last()), (libc::MAP_FAILED, Errno::EINVAL));
}

fn read_only_file_cannot_be_mapped_shared_writable() {
    let scratch = Scratch::new();
    file(&scratch, PAGE);
    let file = File::open(scratch.at("f")).expect("open");
    assert_eq!(error_of(Map::of(&file, PAGE, RW, MapFlags::MAP_SHARED, 0)), Errno::EACCES);
    Map::of(&file, PAGE, RW, MapFlags::MAP_PRIVATE, 0).expect("private is fine").set(0, 1);
    // mprotect(2): nor can a read-only shared map be made writable later.
    let map = Map::of(&file, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, 0).expect("mmap");
    // SAFETY: no reference into the mapping exists.
    assert_eq!(unsafe { mprotect(map.start, PAGE, RW) }, Err(Errno::EACCES));
}

fn write_only_file_cannot_be_mapped() {
    let scratch = Scratch::new();
    file(&scratch, PAGE);
    let file = OpenOptions::new().write(true).open(scratch.at("f")).expect("open");
    assert_eq!(error_of(Map::of(&file, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, 0)), Errno::EACCES);
    assert_eq!(error_of(Map::of(&file, PAGE, ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, 0)), Errno::EACCES);
}

fn directory_gets_enodev() {
    let dir = File::open("/tmp").expect("open");
    assert_eq!(error_of(Map::of(&dir, PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, 0)), Errno::ENODEV);
    let (reader, _writer) = nix::unistd::pipe().expect("pipe");
    assert_eq!(
        error_of(Map::of(&File::from(reader), PAGE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, 0)),
        Errno::ENODEV
    );
}

fn bad_descriptor_gets_ebadf() {
    for number in [900, -1, i32::MAX] {
        // SAFETY: a call that maps nothing.
        let result =
            unsafe { libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_PRIVATE, number, 0) };
        assert_eq!((result, Errno::last()), (libc::MAP_FAILED, Errno::EBADF));
    }
}

fn munmap_then_touch_gets_sigsegv() {
    let map = Map::anonymous(PAGE, MapFlags::MAP_PRIVATE);
    map.unmap(0, 1);
    assert_eq!(in_child(|| i32::from(map.get(0))), 128 + libc::SIGSEGV);
}

fn munmap_of_a_middle_splits() {
    let map = Map::anonymous(3 * PAGE, MapFlags::MAP_PRIVATE);
    map.set(2 * PAGE, 8);
    map.unmap(1, 1);
    assert_eq!((map.get(0), map.get(2 * PAGE)), (0, 8));
    assert_eq!(in_child(|| i32::from(map.get(PAGE))), 128 + libc::SIGSEGV);
}

fn mprotect_revokes_and_grants() {
    let map = Map::anonymous(PAGE, MapFlags::MAP_PRIVATE);
    map.set(0, 1);
    map.protect(ProtFlags::PROT_READ);
    assert_eq!(map.get(0), 1);
    assert_eq!(
        in_child(|| {
            map.set(0, 2);
            0
        }),
        128 + libc::SIGSEGV
    );
    map.protect(ProtFlags::PROT_NONE);
    assert_eq!(in_child(|| i32::from(map.get(0))), 128 + libc::SIGSEGV);
    map.protect(RW);
    map.set(0, 3);
    assert_eq!(map.get(0), 3);
}

fn execute_permission_runs_code() {
    let map = Map::anonymous(PAGE, MapFlags::MAP_PRIVATE);
    // mov eax, 42; ret
    for (n, byte) in [0xb8, 42, 0, 0, 0, 0xc3].into_iter().enumerate() {
        map.set(n, byte);
    }
    // SAFETY: the page holds a function of this type.
    let function = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn() -> i32>(map.start.as_ptr()) };
    assert_eq!(in_child(function_call(function)), 128 + libc::SIGSEGV);
    map.protect(ProtFlags::PROT_READ | ProtFlags::PROT_EXEC);
    assert_eq!(function(), 42);
}

fn function_call(function: extern "C" fn() -> i32) -> impl FnOnce() -> i32 {
    move || function()
}

fn fixed_replaces_and_noreplace_refuses() {
    let map = Map::anonymous(2 * PAGE, MapFlags::MAP_PRIVATE);
    map.set(PAGE, 1);
    let at = NonZeroUsize::new(map.page(1).as_ptr() as usize);
    let size = NonZeroUsize::new(PAGE).expect("not zero");
    // SAFETY: refused, since the page is mapped.
    let refused =
        unsafe { mmap_anonymous(at, size, RW, MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED_NOREPLACE) };
    assert_eq!(error_of(refused), Errno::EEXIST);
    // SAFETY: it replaces a page of this check's own.
    unsafe { mmap_anonymous(at, size, RW, MapFlags::MAP_PRIVATE | MapFlags::MAP_FIXED) }.expect("mmap");
    assert_eq!(map.get(PAGE), 0);
}

fn mremap_grows_and_keeps() {
    let map = Map::anonymous(PAGE, MapFlags::MAP_PRIVATE);
    map.set(17, 99);
    // SAFETY: no reference into the mapping exists, and the old address is not used again.
    let start =
        unsafe { mremap(map.start, PAGE, 64 * PAGE, MRemapFlags::MREMAP_MAYMOVE, None) }.expect("mremap");
    let grown = Map { start, length: 64 * PAGE };
    grown.set(63 * PAGE, 1);
    assert_eq!((grown.get(17), grown.get(PAGE)), (99, 0));
}

fn dontneed_zeroes_anonymous_pages() {
    let map = Map::anonymous(2 * PAGE, MapFlags::MAP_PRIVATE);
    map.set(0, 1);
    map.set(PAGE, 2);
    // SAFETY: no reference into the mapping exists.
    unsafe { madvise(map.page(1), PAGE, MmapAdvise::MADV_DONTNEED) }.expect("madvise");
    assert_eq!((map.get(0), map.get(PAGE)), (1, 0));
}

fn private_dontneed_shows_the_file_again() {
    let scratch = Scratch::new();
    let map = Map::of(&file(&scratch, PAGE), PAGE, RW, MapFlags::MAP_PRIVATE, 0).expect("mmap");
    map.set(0, 1);
    // SAFETY: no reference into the mapping exists.
    unsafe { madvise(map.start, PAGE, MmapAdvise::MADV_DONTNEED) }.expect("madvise");
    assert_eq!(map.get(0), b'a');
}

fn memfd_maps_and_seals() {
    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    let file = File::from(memfd_create("name", MFdFlags::MFD_ALLOW_SEALING).expect("memfd_create"));
    file.set_len(PAGE as u64).expect("ftruncate");
    let map = Map::of(&file, PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    map.set(0, 1);
    assert_eq!(byte_at(&file, 0), 1);
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)).expect("seal");
    assert_eq!(file.set_len(0).expect_err("sealed").raw_os_error(), Some(libc::EPERM));
    assert_eq!(fcntl(&file, FcntlArg::F_GET_SEALS), Ok(libc::F_SEAL_SHRINK | libc::F_SEAL_GROW));
    let name =
        fs::read_link(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file))).expect("readlink");
    assert!(name.to_string_lossy().contains("memfd:name"), "{name:?}");
}

fn dev_zero_maps() {
    let zero = OpenOptions::new().read(true).write(true).open("/dev/zero").expect("open");
    let map = Map::of(&zero, PAGE, RW, MapFlags::MAP_PRIVATE, 0).expect("mmap");
    map.set(0, 1);
    assert_eq!((map.get(0), map.get(1)), (1, 0));
}

fn program_file_maps_executable() {
    let program = File::open("/proc/self/exe").expect("open");
    let map = Map::of(&program, PAGE, ProtFlags::PROT_READ | ProtFlags::PROT_EXEC, MapFlags::MAP_PRIVATE, 0)
        .expect("mmap");
    assert_eq!((map.get(0), map.get(1)), (0x7f, b'E'));
}

fn proc_self_maps_names_the_file() {
    let scratch = Scratch::new();
    let map = Map::of(&file(&scratch, PAGE), PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    let maps = fs::read_to_string("/proc/self/maps").expect("maps");
    let start = format!("{:x}-", map.start.as_ptr() as usize);
    let line = maps.lines().find(|line| line.starts_with(&start)).expect("the mapping is listed");
    assert!(
        line.contains(" rw-s 00000000 ") && line.ends_with(scratch.at("f").to_str().expect("ASCII")),
        "{line}"
    );
    assert!(maps.contains("[stack]") && maps.contains("[vdso]"));
}

fn mapping_of_a_tmp_file_of_many_pages() {
    let scratch = Scratch::new();
    let file = file(&scratch, 0);
    let pages = 2000;
    file.set_len((pages * PAGE) as u64).expect("ftruncate");
    let map = Map::of(&file, pages * PAGE, RW, MapFlags::MAP_SHARED, 0).expect("mmap");
    for page in (0..pages).step_by(7) {
        map.set(page * PAGE + 1, (page % 250) as u8 + 1);
    }
    let bytes = fs::read(scratch.at("f")).expect("read");
    assert!(
        (0..pages)
            .all(|page| bytes[page * PAGE + 1] == if page % 7 == 0 { (page % 250) as u8 + 1 } else { 0 })
    );
}
