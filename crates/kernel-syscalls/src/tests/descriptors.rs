//! Descriptors: dup, close, fcntl, pipe.

use super::rig::{Ended, NOWHERE, Rig};
use abi_linux::Errno;
use abi_linux::raw::general as nr;
use platform_api::fake::BASE;

const O_CREAT_RDWR: u32 = 0o102;

#[test]
fn lowest_number_is_given_again_after_close() {
    let mut rig = Rig::new();
    assert_eq!(rig.open("/a", O_CREAT_RDWR), 0);
    assert_eq!(rig.value(nr::__NR_dup, &[0]), 1);
    assert_eq!(rig.value(nr::__NR_fcntl, &[0, 0, 10]), 10);
    assert_eq!(rig.value(nr::__NR_close, &[0]), 0);
    assert_eq!(rig.error(nr::__NR_close, &[0]), Errno::EBADF);
    assert_eq!(rig.value(nr::__NR_dup, &[10]), 0);
    assert_eq!(rig.error(nr::__NR_fcntl, &[0, 0, 5000]), Errno::EINVAL);
    assert_eq!(rig.error(nr::__NR_dup2, &[0, 5000]), Errno::EBADF);
    assert_eq!(rig.error(nr::__NR_dup3, &[0, 0, 0]), Errno::EINVAL);
    assert_eq!(rig.value(nr::__NR_dup2, &[0, 0]), 0);
}

#[test]
fn close_on_exec_belongs_to_the_descriptor() {
    let mut rig = Rig::new();
    rig.open("/a", O_CREAT_RDWR | 0o2_000_000);
    rig.value(nr::__NR_dup, &[0]);
    assert_eq!(rig.value(nr::__NR_fcntl, &[0, 1, 0]), 1);
    assert_eq!(rig.value(nr::__NR_fcntl, &[1, 1, 0]), 0);
    rig.value(nr::__NR_close_range, &[0, u64::from(u32::MAX), 4]);
    assert_eq!(rig.value(nr::__NR_fcntl, &[1, 1, 0]), 1);
    rig.value(nr::__NR_close_range, &[1, u64::from(u32::MAX), 0]);
    assert_eq!(rig.error(nr::__NR_fcntl, &[1, 1, 0]), Errno::EBADF);
    assert_eq!(rig.error(nr::__NR_close_range, &[2, 1, 0]), Errno::EINVAL);
}

#[test]
fn status_flags_belong_to_the_file() {
    let mut rig = Rig::new();
    rig.open("/a", O_CREAT_RDWR);
    rig.value(nr::__NR_dup, &[0]);
    rig.value(nr::__NR_fcntl, &[0, 4, 0o6000]);
    assert_eq!(rig.value(nr::__NR_fcntl, &[1, 3, 0]), 0o106_002);
}

#[test]
fn pipe_into_unmapped_memory_leaves_no_descriptor() {
    let mut rig = Rig::new();
    assert_eq!(rig.error(nr::__NR_pipe2, &[NOWHERE, 0]), Errno::EFAULT);
    assert_eq!(rig.error(nr::__NR_pipe2, &[BASE, 1]), Errno::EINVAL);
    assert_eq!(rig.value(nr::__NR_pipe2, &[BASE, 0o2_000_000]), 0);
    assert_eq!((rig.peek_i32(BASE), rig.peek_i32(BASE + 4)), (0, 1));
    assert_eq!(rig.value(nr::__NR_fcntl, &[0, 1032, 0]), 65536);
    assert_eq!(rig.value(nr::__NR_fcntl, &[1, 1031, 5000]), 8192);
}

#[test]
fn close_of_a_mapped_number_is_the_hosts_as_well() {
    let mut rig = Rig::new();
    let fd = rig.open("/a", O_CREAT_RDWR);
    rig.task().process.note_mapped_fd(fd as i32);
    assert_eq!(rig.call(nr::__NR_close, &[fd]), Ended::Continued);
    let fd = rig.open("/a", O_CREAT_RDWR);
    assert_eq!(rig.call(nr::__NR_close, &[fd]), Ended::Value(0));
}

#[test]
fn ioctl_counts_what_is_left_of_a_file() {
    let mut rig = Rig::new();
    let fd = rig.open("/a", O_CREAT_RDWR);
    rig.value(nr::__NR_write, &[fd, BASE, 10]);
    rig.value(nr::__NR_lseek, &[fd, 4, 0]);
    rig.value(nr::__NR_ioctl, &[fd, 0x541b, BASE]);
    assert_eq!(rig.peek_i32(BASE), 6);
    assert_eq!(rig.error(nr::__NR_ioctl, &[fd, 0x5401, BASE]), Errno::ENOTTY);
}

fn request(l_type: i16, start: i64, len: i64) -> Vec<u8> {
    let mut bytes = vec![0; 32];
    bytes[..2].copy_from_slice(&l_type.to_ne_bytes());
    bytes[8..16].copy_from_slice(&start.to_ne_bytes());
    bytes[16..24].copy_from_slice(&len.to_ne_bytes());
    bytes
}

#[test]
fn record_lock_is_seen_by_another_open_file() {
    let mut rig = Rig::new();
    let (a, b) = (rig.open("/a", O_CREAT_RDWR), rig.open("/a", O_CREAT_RDWR));
    rig.host.poke(BASE, &request(1, 10, 5));
    assert_eq!(rig.value(nr::__NR_fcntl, &[a, 6, BASE]), 0);
    rig.host.poke(BASE, &request(0, 14, 100));
    assert_eq!(rig.error(nr::__NR_fcntl, &[b, 37, BASE]), Errno::EAGAIN);
    assert_eq!(rig.value(nr::__NR_fcntl, &[b, 36, BASE]), 0);
    assert_eq!((rig.peek_i32(BASE) & 0xffff, rig.peek_i32(BASE + 8), rig.peek_i32(BASE + 24)), (1, 10, 1));
    assert_eq!(rig.peek_i32(BASE + 16), 5);
    rig.value(nr::__NR_close, &[b]);
    let b = rig.open("/a", O_CREAT_RDWR);
    rig.host.poke(BASE, &request(0, 14, -4));
    assert_eq!(rig.value(nr::__NR_fcntl, &[b, 37, BASE]), 0, "a close gave the process's locks back");
    rig.host.poke(BASE, &request(0, 3, -4));
    assert_eq!(rig.error(nr::__NR_fcntl, &[b, 6, BASE]), Errno::EINVAL);
}

#[test]
fn flock_waits_for_the_other_open_file() {
    let mut rig = Rig::new();
    let (a, b) = (rig.open("/a", O_CREAT_RDWR), rig.open("/a", O_CREAT_RDWR));
    assert_eq!(rig.value(nr::__NR_flock, &[a, 2]), 0);
    assert_eq!(rig.error(nr::__NR_flock, &[b, 5]), Errno::EAGAIN);
    assert_eq!(rig.error(nr::__NR_flock, &[b, 0]), Errno::EINVAL);
    let call = rig.start(nr::__NR_flock, &[b, 1]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    drop(rig.task().process.files.remove(kernel_base::reg::Fd(a as i32)).unwrap());
    rig.drain();
    assert_eq!(rig.ended(call), Ended::Value(0));
}
