use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::fs::OpenFlags;
use host_files::Node;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::file::Mapping;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::ops::RenameFlags;
use kernel_vfs::walk::WalkFlags;

use super::{HostAccess, HostFs, HostFsOptions, Sharing};
use crate::fs_test::Rig;
use crate::io_test::FakeCaller;

fn rig(dir: &std::path::Path, options: HostFsOptions) -> Rig {
    let root = Node::open_root(dir).unwrap();
    let superblock =
        HostFs::new(root, options, Arc::new(DeviceRegistry::new())).unwrap() as Arc<dyn SuperBlock>;
    Rig::on(FakeCaller::new(), &superblock)
}

fn writable(sharing: Sharing) -> HostFsOptions {
    HostFsOptions { sharing, access: HostAccess::ReadWrite, owners: None, max_handles: 4 }
}

#[test]
fn reads_what_the_host_has() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::write(dir.path().join("d/f"), b"host").unwrap();
    std::os::unix::fs::symlink("d/f", dir.path().join("l")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("out")).unwrap();
    let rig = rig(dir.path(), HostFsOptions::default());
    assert_eq!(rig.get("/l").unwrap(), b"host");
    assert_eq!(rig.get("/out"), Err(Errno::ENOENT), "an absolute link stays inside");
    assert_eq!(rig.list("/").unwrap(), ["d", "l", "out"]);
    assert_eq!(rig.stat("/d/f").unwrap().size, 4);
    assert_eq!(rig.put("/new", b""), Err(Errno::EROFS));
    assert_eq!(rig.put("/d/f", b""), Err(Errno::EROFS));
    let file = rig.open("/d/f", OpenFlags::empty()).unwrap();
    assert!(matches!(file.ops.mapping(false, true), Ok(Mapping::Host(_))));
    assert!(file.ops.mapping(true, false).is_err());
}

#[test]
fn exclusive_caches_and_shared_asks_again() {
    let dir = tempfile::tempdir().unwrap();
    let exclusive = rig(dir.path(), HostFsOptions::default());
    let shared = rig(dir.path(), HostFsOptions { sharing: Sharing::Shared, ..HostFsOptions::default() });
    for rig in [&exclusive, &shared] {
        assert_eq!(rig.find("/f").err(), Some(Errno::ENOENT));
    }
    std::fs::write(dir.path().join("f"), b"1").unwrap();
    assert_eq!(exclusive.find("/f").err(), Some(Errno::ENOENT));
    assert_eq!(shared.stat("/f").unwrap().size, 1);
    std::fs::write(dir.path().join("f"), b"22").unwrap();
    assert_eq!(shared.stat("/f").unwrap().size, 2);
    std::fs::remove_file(dir.path().join("f")).unwrap();
    assert_eq!(shared.find("/f").err(), Some(Errno::ENOENT));
}

#[test]
fn changes_reach_the_host() {
    for sharing in [Sharing::Exclusive, Sharing::Shared] {
        let dir = tempfile::tempdir().unwrap();
        let rig = rig(dir.path(), writable(sharing));
        rig.mkdir("/a").unwrap();
        rig.put("/a/f", b"one").unwrap();
        assert_eq!(std::fs::read(dir.path().join("a/f")).unwrap(), b"one");
        assert_eq!(rig.stat("/a/f").unwrap().mode, 0o100_644);
        rig.cx().rename(None, b"/a", None, b"/b", RenameFlags::empty()).unwrap();
        assert_eq!(rig.get("/b/f").unwrap(), b"one");
        rig.cx().link(None, b"/b/f", WalkFlags::NOFOLLOW, None, b"/g").unwrap();
        assert_eq!(rig.stat("/b/f").unwrap().nlink, 2);
        let append = rig.open("/g", OpenFlags::WRONLY | OpenFlags::APPEND).unwrap();
        assert_eq!(append.ops.write(append.io(&rig.caller, 0), b"two"), Ok((3, 6)));
        assert_eq!(rig.stat("/b/f").unwrap().size, 6, "hard links share attributes");
        rig.cx().chmod(&rig.find("/g").unwrap(), 0o600).unwrap();
        assert_eq!(rig.stat("/b/f").unwrap().mode, 0o100_600);
        rig.cx().symlink(b"nowhere", None, b"/s").unwrap();
        assert_eq!(rig.cx().readlink(&rig.find("/s").unwrap()).unwrap(), b"nowhere");
        rig.cx().unlink(None, b"/g").unwrap();
        rig.cx().unlink(None, b"/b/f").unwrap();
        rig.cx().rmdir(None, b"/b").unwrap();
        assert_eq!(rig.list("/").unwrap(), ["s"]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_open_file_outlives_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path(), writable(Sharing::Exclusive));
    rig.put("/f", b"12345").unwrap();
    let file = rig.open("/f", OpenFlags::RDWR).unwrap();
    rig.cx().unlink(None, b"/f").unwrap();
    for n in 0..20 {
        rig.put(&format!("/other{n}"), b"x").unwrap();
    }
    assert_eq!(file.inode.metadata().unwrap().nlink, 0);
    rig.cx().set_size(&file.path, 2).unwrap();
    assert_eq!(file.inode.metadata().unwrap().size, 2);
    let again = rig.cx().open_place(file.path.clone(), OpenFlags::empty()).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(again.ops.read(again.io(&rig.caller, 0), &mut bytes), Ok(2));
}

#[test]
fn special_files_of_the_host_stay_closed() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path(), writable(Sharing::Exclusive));
    rig.cx().mknod(None, b"/p", abi_linux::fs::S_IFIFO | 0o644, 0).unwrap();
    assert_eq!(rig.open("/p", OpenFlags::empty()).err(), Some(Errno::ENXIO));
    let device = rig.cx().mknod(None, b"/null", abi_linux::fs::S_IFCHR | 0o666, abi_linux::fs::makedev(1, 3));
    assert_eq!(device, Err(Errno::EPERM));
}

#[test]
fn deep_directories_reopen_after_eviction() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = rig(dir.path(), writable(Sharing::Exclusive));
    let mut path = String::new();
    for n in 0..40 {
        path.push_str(&format!("/{}{n}", "long-directory-name-".repeat(10)));
        rig.mkdir(&path[path.rfind('/').map_or(0, |at| at + 1)..]).unwrap();
        rig.cwd = rig.find(&path[path.rfind('/').map_or(0, |at| at + 1)..]).unwrap();
    }
    rig.put("f", b"deep").unwrap();
    for n in 0..20 {
        rig.put(&format!("/x{n}"), b"").unwrap();
    }
    assert_eq!(rig.get("f").unwrap(), b"deep");
    assert_eq!(rig.list(".").unwrap(), ["f"]);
}

#[test]
fn unnamed_files_work() {
    let dir = tempfile::tempdir().unwrap();
    let rig = rig(dir.path(), writable(Sharing::Exclusive));
    let file = rig.open("/", OpenFlags::TMPFILE | OpenFlags::RDWR).unwrap();
    file.ops.write(file.io(&rig.caller, 0), b"t").unwrap();
    assert_eq!(file.inode.metadata().unwrap().size, 1);
    assert!(rig.list("/").unwrap().is_empty());
}
