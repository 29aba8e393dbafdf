use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::fs::OpenFlags;
use kernel_vfs::file::{Mapping, Whence};
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::mount::{Depth, MountFlags, Unmount};
use kernel_vfs::ops::{RenameFlags, SetTime, Times};
use kernel_vfs::walk::WalkFlags;

use super::TmpfsOptions;
use crate::fs_test::{Rig, tmpfs};

fn rename(rig: &Rig, from: &str, to: &str) -> Result<(), Errno> {
    rig.cx().rename(None, from.as_bytes(), None, to.as_bytes(), RenameFlags::empty())
}

#[test]
fn a_file_keeps_what_was_written() {
    let rig = Rig::new();
    rig.put("/a", b"hello").unwrap();
    assert_eq!(rig.get("a").unwrap(), b"hello");
    let stat = rig.stat("/a").unwrap();
    assert_eq!((stat.size, stat.mode, stat.nlink, stat.blocks), (5, 0o100_644, 1, 8));
    rig.put("/a", b"x").unwrap();
    assert_eq!(rig.get("/a").unwrap(), b"x");
}

#[test]
fn walk_follows_links_and_dots() {
    let rig = Rig::new();
    rig.mkdir("/d").unwrap();
    rig.mkdir("/d/e").unwrap();
    rig.put("/d/e/f", b"1").unwrap();
    rig.cx().symlink(b"d/e", None, b"/l").unwrap();
    rig.cx().symlink(b"/l/f", None, b"/d/abs").unwrap();
    rig.cx().symlink(b"loop", None, b"/loop").unwrap();
    for path in ["/l/f", "/d/abs", "d/./e/../e//f", "/../../l/../e/f", "/d/e/../../d/abs"] {
        assert_eq!(rig.get(path).as_deref(), Ok(&b"1"[..]), "{path}");
    }
    assert_eq!(rig.get("/loop"), Err(Errno::ELOOP));
    assert_eq!(rig.get("/l/f/"), Err(Errno::ENOTDIR));
    assert_eq!(rig.get("/l/f/x"), Err(Errno::ENOTDIR));
    assert_eq!(rig.get("/none/x"), Err(Errno::ENOENT));
    assert_eq!(rig.get(""), Err(Errno::ENOENT));
    assert_eq!(rig.get(&format!("/{}", "n".repeat(256))), Err(Errno::ENAMETOOLONG));
    assert_eq!(rig.get(&"./".repeat(3000)), Err(Errno::ENAMETOOLONG));
    assert_eq!(rig.open("/l", OpenFlags::NOFOLLOW).err(), Some(Errno::ELOOP));
    assert!(rig.open("/l", OpenFlags::NOFOLLOW | OpenFlags::PATH).is_ok());
    assert!(rig.open("/l/", OpenFlags::NOFOLLOW).is_ok());
}

#[test]
fn resolve_flags_confine_a_walk() {
    let rig = Rig::new();
    rig.mkdir("/d").unwrap();
    rig.put("/x", b"1").unwrap();
    rig.cx().symlink(b"/x", None, b"/d/l").unwrap();
    let d = rig.find("/d").unwrap();
    let open = |path: &[u8], walk| rig.cx().open(Some(&d), path, OpenFlags::empty(), 0, walk).map(drop);
    assert_eq!(open(b"../x", WalkFlags::BENEATH), Err(Errno::EXDEV));
    assert_eq!(open(b"l", WalkFlags::BENEATH), Err(Errno::EXDEV));
    assert_eq!(open(b"l", WalkFlags::NO_SYMLINKS), Err(Errno::ELOOP));
    assert_eq!(open(b"../x", WalkFlags::IN_ROOT), Err(Errno::ENOENT));
    assert_eq!(open(b"../x", WalkFlags::empty()), Ok(()));
}

#[test]
fn open_flags_are_checked() {
    let rig = Rig::new();
    let (create, write) = (OpenFlags::CREAT, OpenFlags::WRONLY);
    rig.mkdir("/d").unwrap();
    rig.put("/f", b"").unwrap();
    rig.cx().symlink(b"/made", None, b"/dangling").unwrap();
    let error = |path, flags| rig.open(path, flags).err();
    assert_eq!(error("/f", create | OpenFlags::EXCL), Some(Errno::EEXIST));
    assert_eq!(error("/dangling", create | OpenFlags::EXCL), Some(Errno::EEXIST));
    assert_eq!(error("/d", write), Some(Errno::EISDIR));
    assert_eq!(error("/d", create), Some(Errno::EISDIR));
    assert_eq!(error("/new/", create), Some(Errno::EISDIR));
    assert_eq!(error("/f", OpenFlags::DIRECTORY), Some(Errno::ENOTDIR));
    assert_eq!(error("/d", create | OpenFlags::DIRECTORY), Some(Errno::EINVAL));
    assert_eq!(error("/dangling", create | write), None);
    assert!(rig.stat("/made").is_ok());
    let path_only = rig.open("/f", OpenFlags::PATH | write).unwrap();
    assert_eq!(path_only.check_readable(), Err(Errno::EBADF));
}

#[test]
fn unnamed_file_can_be_linked() {
    let rig = Rig::new();
    let flags = OpenFlags::TMPFILE | OpenFlags::RDWR;
    let file = rig.open("/", flags).unwrap();
    assert_eq!(file.inode.metadata().unwrap().nlink, 0);
    assert!(file.path.display(&rig.namespace.root()).ends_with(b" (deleted)"));
    file.ops.write(file.io(&rig.caller, 0), b"t").unwrap();
    rig.cx().link(Some(&file.path), b"", WalkFlags::EMPTY_PATH, None, b"/named").unwrap_err();
    let mut creds = rig.creds.clone();
    creds.effective = kernel_base::cred::CapSet::ALL;
    let cx = kernel_vfs::walk::WalkContext { creds: &creds, ..rig.cx() };
    cx.link(Some(&file.path), b"", WalkFlags::EMPTY_PATH, None, b"/named").unwrap();
    assert_eq!(rig.get("/named").unwrap(), b"t");
}

#[test]
fn permission_bits_and_sticky_directories() {
    let mut rig = Rig::new();
    rig.mkdir("/private").unwrap();
    rig.put("/private/f", b"secret").unwrap();
    rig.cx().chmod(&rig.find("/private").unwrap(), 0o700).unwrap();
    rig.mkdir("/tmp").unwrap();
    rig.cx().chmod(&rig.find("/tmp").unwrap(), 0o1777).unwrap();
    rig.put("/tmp/roots", b"").unwrap();
    rig.become_user(1000);
    assert_eq!(rig.get("/private/f"), Err(Errno::EACCES));
    assert_eq!(rig.put("/x", b""), Err(Errno::EACCES));
    assert_eq!(rig.cx().unlink(None, b"/tmp/roots"), Err(Errno::EPERM));
    assert_eq!(rename(&rig, "/tmp/roots", "/tmp/mine"), Err(Errno::EPERM));
    rig.put("/tmp/own", b"1").unwrap();
    assert_eq!(rig.stat("/tmp/own").unwrap().uid, 1000);
    let own = rig.find("/tmp/own").unwrap();
    rig.cx().chmod(&own, 0o4755).unwrap();
    assert_eq!(rig.cx().chown(&own, Some(0), None), Err(Errno::EPERM));
    assert_eq!(rig.cx().chown(&own, Some(1000), Some(1000)), Ok(()));
    assert_eq!(rig.stat("/tmp/own").unwrap().mode & 0o7777, 0o755, "chown clears set-user-id");
    assert_eq!(rig.cx().unlink(None, b"/tmp/own"), Ok(()));
}

#[test]
fn rename_keeps_linux_rules() {
    let rig = Rig::new();
    for dir in ["/a", "/a/b", "/full", "/full/x", "/empty"] {
        rig.mkdir(dir).unwrap();
    }
    rig.put("/f", b"f").unwrap();
    rig.put("/g", b"g").unwrap();
    assert_eq!(rename(&rig, "/a", "/a/b/c"), Err(Errno::EINVAL));
    assert_eq!(rename(&rig, "/a/b", "/a"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename(&rig, "/a", "/full"), Err(Errno::ENOTEMPTY));
    assert_eq!(rename(&rig, "/a", "/f"), Err(Errno::ENOTDIR));
    assert_eq!(rename(&rig, "/f", "/a"), Err(Errno::EISDIR));
    assert_eq!(rename(&rig, "/f", "/f/"), Err(Errno::ENOTDIR));
    assert_eq!(rename(&rig, "/.", "/q"), Err(Errno::EBUSY));
    let noreplace = rig.cx().rename(None, b"/f", None, b"/g", RenameFlags::NOREPLACE);
    assert_eq!(noreplace, Err(Errno::EEXIST));
    rig.cx().rename(None, b"/f", None, b"/g", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(rig.get("/f").unwrap(), b"g");
    let open = rig.open("/a/b", OpenFlags::DIRECTORY).unwrap();
    rename(&rig, "/a", "/empty").unwrap();
    assert_eq!(open.path.display(&rig.namespace.root()), b"/empty/b");
    assert_eq!(rig.find("/a").err(), Some(Errno::ENOENT));
    assert_eq!(rig.stat("/").unwrap().nlink, 2 + 2);
    rename(&rig, "/f", "/g").unwrap();
    assert_eq!(rig.get("/g").unwrap(), b"g");
}

#[test]
fn hard_links_share_and_count() {
    let rig = Rig::new();
    rig.put("/f", b"1").unwrap();
    rig.cx().link(None, b"/f", WalkFlags::NOFOLLOW, None, b"/g").unwrap();
    assert_eq!(rig.stat("/g").unwrap().nlink, 2);
    assert_eq!(rename(&rig, "/f", "/g"), Ok(()), "same file: nothing happens");
    assert!(rig.find("/f").is_ok());
    rig.cx().unlink(None, b"/f").unwrap();
    assert_eq!(rig.stat("/g").unwrap().nlink, 1);
    assert_eq!(rig.cx().link(None, b"/", WalkFlags::NOFOLLOW, None, b"/h"), Err(Errno::EPERM));
}

#[test]
fn removal_rules_and_deleted_paths() {
    let rig = Rig::new();
    rig.mkdir("/d").unwrap();
    rig.put("/d/f", b"still").unwrap();
    assert_eq!(rig.cx().rmdir(None, b"/d"), Err(Errno::ENOTEMPTY));
    assert_eq!(rig.cx().unlink(None, b"/d"), Err(Errno::EISDIR));
    assert_eq!(rig.cx().rmdir(None, b"/d/f"), Err(Errno::ENOTDIR));
    assert_eq!(rig.cx().rmdir(None, b"/d/."), Err(Errno::EINVAL));
    assert_eq!(rig.cx().rmdir(None, b"/d/.."), Err(Errno::ENOTEMPTY));
    let file = rig.open("/d/f", OpenFlags::empty()).unwrap();
    rig.cx().unlink(None, b"/d/f").unwrap();
    assert_eq!(file.path.display(&rig.namespace.root()), b"/d/f (deleted)");
    let mut bytes = [0; 5];
    assert_eq!(file.ops.read(file.io(&rig.caller, 0), &mut bytes), Ok(5));
    let dir = rig.open("/d", OpenFlags::DIRECTORY).unwrap();
    rig.cx().rmdir(None, b"/d").unwrap();
    assert_eq!(dir.path.display_cwd(&rig.namespace.root()), Err(Errno::ENOENT));
    let made =
        rig.cx().open(Some(&dir.path), b"x", OpenFlags::CREAT | OpenFlags::RDWR, 0o600, WalkFlags::empty());
    assert_eq!(made.err(), Some(Errno::ENOENT));
}

#[test]
fn directory_positions_hold_while_entries_go() {
    let rig = Rig::new();
    for n in 0..20 {
        rig.put(&format!("/f{n:02}"), b"").unwrap();
    }
    let dir = rig.open("/", OpenFlags::DIRECTORY).unwrap();
    let mut seen = Vec::new();
    let mut position = 0;
    loop {
        let mut one = None;
        dir.ops
            .read_dir(&rig.caller, position, &mut |entry| {
                one.is_none() && {
                    one = Some((entry.name.to_vec(), entry.next));
                    true
                }
            })
            .unwrap();
        let Some((name, next)) = one else { break };
        if name.starts_with(b"f") {
            rig.cx().unlink(None, &name).unwrap();
        }
        seen.push(name);
        position = next;
    }
    assert_eq!(seen.len(), 22);
    assert!(rig.list("/").unwrap().is_empty());
}

#[test]
fn sparse_files_and_truncation() {
    let rig = Rig::new();
    let file = rig.open("/s", OpenFlags::RDWR | OpenFlags::CREAT).unwrap();
    file.ops.write(file.io(&rig.caller, 1 << 30), b"end").unwrap();
    let stat = rig.stat("/s").unwrap();
    assert_eq!((stat.size, stat.blocks), ((1 << 30) + 3, 8));
    assert_eq!(file.ops.seek(Whence::Data, 0), Ok(1 << 30));
    assert_eq!(file.ops.seek(Whence::Hole, 0), Ok(0));
    let mut bytes = [1; 4];
    assert_eq!(file.ops.read(file.io(&rig.caller, 8190), &mut bytes), Ok(4));
    assert_eq!(bytes, [0; 4]);
    file.ops.write(file.io(&rig.caller, 0), b"0123456789").unwrap();
    rig.cx().truncate(None, b"/s", 4).unwrap();
    rig.cx().truncate(None, b"/s", 8).unwrap();
    assert_eq!(rig.get("/s").unwrap(), b"0123\0\0\0\0");
    assert_eq!(rig.cx().truncate(None, b"/", 0), Err(Errno::EISDIR));
    assert_eq!(file.ops.write(file.io(&rig.caller, u64::MAX - 1), b"xx"), Err(Errno::EFBIG));
}

#[test]
fn a_mapped_file_goes_on_with_its_bytes() {
    let rig = Rig::new();
    rig.put("/m", b"before").unwrap();
    let file = rig.open("/m", OpenFlags::RDWR).unwrap();
    let Ok(Mapping::Memory { fd, .. }) = file.ops.mapping(true, false) else { panic!("no descriptor") };
    let mut bytes = [0; 16];
    assert_eq!(rustix::io::pread(&fd, &mut bytes, 0), Ok(6));
    assert_eq!(&bytes[..6], b"before");
    rustix::io::pwrite(&fd, b"AFTER!", 0).unwrap();
    assert_eq!(rig.get("/m").unwrap(), b"AFTER!");
    file.ops.write(file.io(&rig.caller, 6), b"more").unwrap();
    assert_eq!(rig.stat("/m").unwrap().size, 10);
    let Ok(Mapping::Memory { fd: read_only, .. }) = file.ops.mapping(false, false) else {
        panic!("no descriptor")
    };
    assert!(rustix::io::pwrite(&read_only, b"x", 0).is_err());
}

#[test]
fn limits_answer_enospc_and_give_back() {
    let caller = crate::io_test::FakeCaller::new();
    let options = TmpfsOptions { size: 8192, inodes: 3, ..TmpfsOptions::default() };
    let superblock = tmpfs(&caller, options) as Arc<dyn SuperBlock>;
    let rig = Rig::on(caller, &superblock);
    let file = rig.open("/f", OpenFlags::RDWR | OpenFlags::CREAT).unwrap();
    assert_eq!(file.ops.write(file.io(&rig.caller, 0), &[1; 10000]), Ok((8192, 8192)));
    assert_eq!(file.ops.write(file.io(&rig.caller, 8192), b"x"), Err(Errno::ENOSPC));
    rig.put("/g", b"").unwrap();
    assert_eq!(rig.put("/h", b""), Err(Errno::ENOSPC));
    drop(file);
    rig.cx().unlink(None, b"/f").unwrap();
    let free = superblock.statfs().unwrap();
    assert_eq!((free.f_bfree, free.f_ffree), (2, 1));
}

#[test]
fn mounts_cross_and_keep_their_rules() {
    let rig = Rig::new();
    rig.mkdir("/m").unwrap();
    rig.put("/m/hidden", b"").unwrap();
    let other = tmpfs(&rig.caller, TmpfsOptions::default()) as Arc<dyn SuperBlock>;
    let at = rig.find("/m").unwrap();
    rig.namespace.mount(&other, b"tmpfs", MountFlags::NODEV, &at).unwrap();
    assert_eq!(rig.find("/m/hidden").err(), Some(Errno::ENOENT));
    rig.put("/m/f", b"in").unwrap();
    assert_eq!(rig.find("/m/..").unwrap().display(&rig.namespace.root()), b"/");
    assert_eq!(rig.find("/m/f").unwrap().display(&rig.namespace.root()), b"/m/f");
    assert_eq!(rig.cx().rmdir(None, b"/m"), Err(Errno::EBUSY));
    assert_eq!(rename(&rig, "/m/f", "/f"), Err(Errno::EXDEV));
    rig.mkdir("/b").unwrap();
    let bound = rig.namespace.bind(&rig.find("/m").unwrap(), &rig.find("/b").unwrap(), Depth::One).unwrap();
    bound.set_flags(MountFlags::RDONLY);
    assert_eq!(rig.get("/b/f").unwrap(), b"in");
    assert_eq!(rig.put("/b/f", b""), Err(Errno::EROFS));
    assert_eq!(rig.put("/b/new", b""), Err(Errno::EROFS));
    assert_eq!(rig.namespace.list().len(), 3);
    let busy = rig.open("/m/f", OpenFlags::empty()).unwrap();
    assert_eq!(rig.namespace.unmount(rig.find("/m").unwrap(), Unmount::IfUnused), Err(Errno::EBUSY));
    drop(busy);
    assert_eq!(rig.namespace.unmount(rig.find("/m").unwrap(), Unmount::IfUnused), Ok(()));
    assert!(rig.find("/m/hidden").is_ok());
    assert_eq!(rig.get("/b/f").unwrap(), b"in");
}

#[test]
fn chroot_bounds_dot_dot() {
    let rig = Rig::new();
    rig.mkdir("/jail").unwrap();
    rig.put("/jail/f", b"1").unwrap();
    rig.put("/secret", b"2").unwrap();
    let jail = rig.find("/jail").unwrap();
    let cx = kernel_vfs::walk::WalkContext { root: &jail, cwd: &jail, ..rig.cx() };
    assert!(cx.resolve(None, b"/../../f", WalkFlags::empty()).is_ok());
    assert_eq!(cx.resolve(None, b"/../secret", WalkFlags::empty()).err(), Some(Errno::ENOENT));
}

#[test]
fn times_follow_utimensat() {
    let mut rig = Rig::new();
    rig.put("/f", b"").unwrap();
    let file = rig.find("/f").unwrap();
    let at = abi_linux::time::Timespec { tv_sec: 5, tv_nsec: 6 };
    rig.cx().set_times(&file, Times { atime: SetTime::Keep, mtime: SetTime::At(at) }).unwrap();
    assert_eq!(rig.stat("/f").unwrap().mtime, at);
    rig.become_user(1000);
    let now = Times { atime: SetTime::Now, mtime: SetTime::Now };
    assert_eq!(rig.cx().set_times(&file, now), Err(Errno::EACCES));
    assert_eq!(rig.cx().set_times(&file, Times { atime: SetTime::At(at), ..now }), Err(Errno::EPERM));
}

#[test]
fn attributes_beside_the_file() {
    let rig = Rig::new();
    rig.put("/f", b"").unwrap();
    let file = rig.find("/f").unwrap();
    rig.cx().set_xattr(&file, b"user.a", b"1", 0).unwrap();
    assert_eq!(rig.cx().set_xattr(&file, b"user.a", b"1", 1), Err(Errno::EEXIST));
    assert_eq!(rig.cx().set_xattr(&file, b"user.b", b"1", 2), Err(Errno::ENODATA));
    assert_eq!(rig.cx().get_xattr(&file, b"user.a").unwrap(), b"1");
    assert_eq!(rig.cx().list_xattr(&file).unwrap(), b"user.a\0");
    rig.cx().remove_xattr(&file, b"user.a").unwrap();
    assert_eq!(rig.cx().get_xattr(&file, b"user.a"), Err(Errno::ENODATA));
    assert_eq!(rig.cx().get_xattr(&file, b"trusted.a"), Err(Errno::ENODATA));
    assert_eq!(rig.cx().get_xattr(&file, b"bogus"), Err(Errno::EOPNOTSUPP));
}

#[test]
fn a_very_deep_tree_is_dropped_without_recursion() {
    let mut rig = Rig::new();
    for _ in 0..20_000 {
        rig.mkdir("d").unwrap();
        rig.cwd = rig.find("d").unwrap();
    }
    rig.cwd = rig.namespace.root();
    drop(rig);
}

#[test]
fn names_cached_are_bounded() {
    let rig = Rig::new();
    for n in 0..(kernel_vfs::dentry::MAX_CACHED + 5000) {
        assert_eq!(rig.find(&format!("/no{n}")).err(), Some(Errno::ENOENT));
    }
    rig.put("/no1", b"").unwrap();
    assert!(rig.find("/no1").is_ok());
}
