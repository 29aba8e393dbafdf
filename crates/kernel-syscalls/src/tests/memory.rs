//! mmap of files, memfds and seals.

use super::rig::{Ended, Rig};
use abi_linux::Errno;
use abi_linux::raw::general as nr;
use platform_api::fake::BASE;

const READ: u64 = 1;
const WRITE: u64 = 2;
const SHARED: u64 = 1;
const PRIVATE: u64 = 2;

#[test]
fn mapped_file_is_put_at_its_own_number() {
    let mut rig = Rig::new();
    let fd = rig.open("/file", 0o102);
    let call = rig.start(nr::__NR_mmap, &[0, 4096, READ | WRITE, SHARED, fd, 0]);
    let events = rig.host.take_events();
    assert!(events.contains(&platform_api::fake::Event::Installed { call, number: fd as i32 }), "{events:?}");
    assert_eq!(rig.call(nr::__NR_close, &[fd]), Ended::Continued);
}

#[test]
fn mapping_asks_for_the_rights_of_the_open_file() {
    let mut rig = Rig::new();
    rig.open("/file", 0o102);
    let read_only = rig.open("/file", 0);
    let write_only = rig.open("/file", 1);
    let both = READ | WRITE;
    assert_eq!(rig.error(nr::__NR_mmap, &[0, 4096, both, SHARED, read_only, 0]), Errno::EACCES);
    assert_eq!(rig.call(nr::__NR_mmap, &[0, 4096, both, PRIVATE, read_only, 0]), Ended::Continued);
    assert_eq!(rig.error(nr::__NR_mmap, &[0, 4096, READ, PRIVATE, write_only, 0]), Errno::EACCES);
    assert_eq!(rig.error(nr::__NR_mmap, &[0, 4096, READ, PRIVATE, 99, 0]), Errno::EBADF);
    assert_eq!(rig.error(nr::__NR_mmap, &[0, 4096, READ, PRIVATE, read_only, 1]), Errno::EINVAL);
    rig.value(nr::__NR_pipe, &[BASE]);
    let pipe = rig.peek_i32(BASE) as u64;
    assert_eq!(rig.error(nr::__NR_mmap, &[0, 4096, READ, PRIVATE, pipe, 0]), Errno::ENODEV);
}

#[test]
fn number_of_the_loader_is_mapped_like_any_other_between_execs() {
    let mut rig = Rig::new();
    rig.open("/file", 0o102);
    rig.value(nr::__NR_dup2, &[0, 63]);
    assert_eq!(rig.call(nr::__NR_mmap, &[0, 4096, READ, PRIVATE, 63, 0]), Ended::Continued);
    // The host's table holds it, so the host closes it, too.
    assert_eq!(rig.call(nr::__NR_close, &[63]), Ended::Continued);
}

#[test]
fn seals_forbid_what_they_say() {
    let mut rig = Rig::new();
    let name = rig.text(BASE, "data");
    let fd = rig.value(nr::__NR_memfd_create, &[name, 2]);
    rig.value(nr::__NR_ftruncate, &[fd, 4096]);
    assert_eq!(rig.value(nr::__NR_fcntl, &[fd, 1033, 2]), 0);
    assert_eq!(rig.value(nr::__NR_fcntl, &[fd, 1034, 0]), 2);
    assert_eq!(rig.error(nr::__NR_ftruncate, &[fd, 0]), Errno::EPERM);
    let plain = rig.value(nr::__NR_memfd_create, &[name, 0]);
    assert_eq!(rig.error(nr::__NR_fcntl, &[plain, 1033, 2]), Errno::EPERM);
    assert_eq!(rig.error(nr::__NR_memfd_create, &[name, 0x8000_0000]), Errno::EINVAL);
}
