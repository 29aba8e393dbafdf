use abi_linux::Errno;
use kernel_base::reg::Fd;

use super::FdTable;
use crate::scene::file;

#[test]
fn lowest_free_number_is_taken() {
    let table = FdTable::new();
    for want in 0..4 {
        assert_eq!(table.insert(file(), false, 100), Ok(Fd(want)));
    }
    assert!(table.remove(Fd(1)).is_ok());
    assert_eq!(table.insert_from(file(), false, 2, 100), Ok(Fd(4)));
    assert_eq!(table.insert(file(), false, 100), Ok(Fd(1)));
    assert_eq!(table.insert(file(), false, 100), Ok(Fd(5)));
}

#[test]
fn limits_are_kept() {
    let table = FdTable::new();
    assert_eq!(table.insert(file(), false, 1), Ok(Fd(0)));
    assert_eq!(table.insert(file(), false, 1), Err(Errno::EMFILE));
    assert_eq!(table.insert(file(), false, 0), Err(Errno::EMFILE));
    assert_eq!(table.insert_from(file(), false, 5, 5), Err(Errno::EINVAL));
    assert_eq!(table.replace(Fd(5), file(), false, 5).err(), Some(Errno::EBADF));
    assert_eq!(table.replace(Fd(-1), file(), false, 5).err(), Some(Errno::EBADF));
    assert_eq!(table.remove(Fd(i32::MAX)).err(), Some(Errno::EBADF));
}

#[test]
fn exec_closes_what_is_marked() {
    let table = FdTable::new();
    table.insert(file(), true, 9).unwrap();
    table.insert(file(), false, 9).unwrap();
    let copy = table.duplicate();
    assert_eq!(table.remove_cloexec().len(), 1);
    assert_eq!((table.list().len(), copy.list().len()), (1, 2));
    table.set_cloexec_range(0, u32::MAX);
    assert_eq!(table.remove_cloexec().len(), 1);
    assert_eq!(copy.remove_range(1, u32::MAX).len(), 1);
    assert_eq!(copy.leave().len(), 1);
}
