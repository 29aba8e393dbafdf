use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::fs::OpenFlags;
use host_files::Node;
use kernel_vfs::device::DeviceRegistry;
use kernel_vfs::inode::SuperBlock;
use kernel_vfs::ops::RenameFlags;
use kernel_vfs::walk::WalkFlags;
use platform_api::Platform;
use tempfile::TempDir;

use super::OverlayFs;
use crate::fs_test::{Rig, tmpfs};
use crate::hostfs::{HostAccess, HostFs, HostFsOptions, Sharing};
use crate::io_test::FakeCaller;
use crate::tmpfs::TmpfsOptions;

fn hostfs(dir: &TempDir, access: HostAccess) -> Arc<dyn SuperBlock> {
    let options = HostFsOptions { sharing: Sharing::Exclusive, access, owners: None, max_handles: 8 };
    let root = Node::open_root(dir.path()).unwrap();
    HostFs::new(root, options, Arc::new(DeviceRegistry::new())).unwrap()
}

/// A lower directory with files, and an overlay over it in memory and one with an upper host directory.
fn rigs() -> (TempDir, TempDir, [Rig; 2]) {
    let (lower, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |path: &str| lower.path().join(path);
    std::fs::create_dir_all(at("dir/sub")).unwrap();
    std::fs::write(at("dir/f"), b"lower").unwrap();
    std::fs::write(at("dir/sub/g"), b"g").unwrap();
    std::fs::write(at("file"), b"top").unwrap();
    std::fs::hard_link(at("file"), at("link")).unwrap();
    std::os::unix::fs::symlink("dir/f", at("sym")).unwrap();
    let make = |on_host: bool| {
        let caller = FakeCaller::new();
        let top = if on_host {
            hostfs(&upper, HostAccess::ReadWrite)
        } else {
            tmpfs(&caller, TmpfsOptions::default()) as Arc<dyn SuperBlock>
        };
        let platform = Arc::clone(&caller.platform) as Arc<dyn Platform>;
        let overlay = OverlayFs::new(hostfs(&lower, HostAccess::ReadOnly), top, platform).unwrap();
        Rig::on(caller, &(overlay as Arc<dyn SuperBlock>))
    };
    let both = [make(false), make(true)];
    (lower, upper, both)
}

/// The lower layer as it was made.
fn assert_untouched(lower: &TempDir) {
    assert_eq!(std::fs::read(lower.path().join("dir/f")).unwrap(), b"lower");
    assert_eq!(std::fs::read(lower.path().join("file")).unwrap(), b"top");
    assert_eq!(std::fs::read_dir(lower.path()).unwrap().count(), 4);
    assert_eq!(std::fs::read_dir(lower.path().join("dir")).unwrap().count(), 2);
}

#[test]
fn a_write_copies_up_and_keeps_the_number() {
    let (lower, _upper, rigs) = rigs();
    for rig in &rigs {
        let before = rig.stat("/dir/f").unwrap();
        let reader = rig.open("/dir/f", OpenFlags::empty()).unwrap();
        let writer = rig.open("/sym", OpenFlags::WRONLY | OpenFlags::APPEND).unwrap();
        writer.ops.write(writer.io(&rig.caller, 0), b"+upper").unwrap();
        assert_eq!(rig.get("/dir/f").unwrap(), b"lower+upper");
        let mut bytes = [0; 32];
        assert_eq!(reader.ops.read(reader.io(&rig.caller, 0), &mut bytes), Ok(11), "an older reader sees it");
        let after = rig.stat("/dir/f").unwrap();
        assert_eq!((before.ino, before.dev, before.mode), (after.ino, after.dev, after.mode));
        rig.put("/dir/f", b"new").unwrap();
        assert_eq!(rig.get("/dir/f").unwrap(), b"new");
        assert_eq!(rig.list("/dir").unwrap(), ["f", "sub"]);
    }
    assert_untouched(&lower);
}

#[test]
fn attributes_change_only_above() {
    let (lower, _upper, rigs) = rigs();
    for rig in &rigs {
        let dir_time = rig.stat("/dir").unwrap().mtime;
        rig.cx().chmod(&rig.find("/dir/f").unwrap(), 0o600).unwrap();
        assert_eq!(rig.stat("/dir/f").unwrap().mode, 0o100_600);
        assert_eq!(rig.get("/dir/f").unwrap(), b"lower");
        assert_eq!(rig.stat("/dir").unwrap().mtime, dir_time);
        rig.cx().truncate(None, b"/dir/f", 2).unwrap();
        assert_eq!(rig.get("/dir/f").unwrap(), b"lo");
        rig.cx().set_xattr(&rig.find("/dir/sub/g").unwrap(), b"user.k", b"v", 0).unwrap();
        assert_eq!(rig.cx().list_xattr(&rig.find("/dir/sub/g").unwrap()).unwrap(), b"user.k\0");
    }
    assert_untouched(&lower);
}

#[test]
fn removed_names_stay_removed_and_can_be_made_again() {
    let (lower, _upper, rigs) = rigs();
    for rig in &rigs {
        assert_eq!(rig.cx().rmdir(None, b"/dir/sub"), Err(Errno::ENOTEMPTY));
        rig.cx().unlink(None, b"/dir/sub/g").unwrap();
        rig.cx().rmdir(None, b"/dir/sub").unwrap();
        rig.cx().unlink(None, b"/dir/f").unwrap();
        assert_eq!(rig.find("/dir/f").err(), Some(Errno::ENOENT));
        assert!(rig.list("/dir").unwrap().is_empty());
        rig.mkdir("/dir/sub").unwrap();
        assert!(rig.list("/dir/sub").unwrap().is_empty(), "the new directory is opaque");
        rig.put("/dir/f", b"again").unwrap();
        assert_eq!(rig.get("/dir/f").unwrap(), b"again");
        rig.cx().unlink(None, b"/dir/f").unwrap();
        rig.cx().rmdir(None, b"/dir/sub").unwrap();
        rig.cx().rmdir(None, b"/dir").unwrap();
        assert_eq!(rig.list("/").unwrap(), ["file", "link", "sym"]);
        rig.mkdir("/dir").unwrap();
        assert!(rig.list("/dir").unwrap().is_empty());
    }
    assert_untouched(&lower);
}

#[test]
fn renames_cover_the_old_name() {
    let (lower, _upper, rigs) = rigs();
    for rig in &rigs {
        let rename = |from: &[u8], to: &[u8], flags| rig.cx().rename(None, from, None, to, flags);
        rename(b"/dir/f", b"/moved", RenameFlags::empty()).unwrap();
        assert_eq!(rig.get("/moved").unwrap(), b"lower");
        assert_eq!(rig.find("/dir/f").err(), Some(Errno::ENOENT));
        assert_eq!(rig.list("/dir").unwrap(), ["sub"]);
        assert_eq!(rename(b"/dir", b"/dir2", RenameFlags::empty()), Err(Errno::EXDEV));
        rig.mkdir("/own").unwrap();
        rig.put("/own/x", b"x").unwrap();
        rig.cx().unlink(None, b"/dir/sub/g").unwrap();
        rename(b"/own", b"/dir/sub", RenameFlags::empty()).unwrap();
        assert_eq!(rig.list("/dir/sub").unwrap(), ["x"]);
        rename(b"/moved", b"/dir/sub/x", RenameFlags::EXCHANGE).unwrap();
        assert_eq!(rig.get("/moved").unwrap(), b"x");
        rename(b"/moved", b"/dir/f", RenameFlags::NOREPLACE).unwrap();
        assert_eq!(rig.get("/dir/f").unwrap(), b"x");
    }
    assert_untouched(&lower);
}

#[test]
fn links_share_a_copy() {
    let (lower, _upper, rigs) = rigs();
    for rig in &rigs {
        rig.put("/file", b"changed").unwrap();
        assert_eq!(rig.get("/link").unwrap(), b"changed", "lower hard links stay one file");
        rig.cx().link(None, b"/dir/f", WalkFlags::NOFOLLOW, None, b"/third").unwrap();
        assert_eq!(rig.stat("/third").unwrap().ino, rig.stat("/dir/f").unwrap().ino);
        assert_eq!(rig.stat("/third").unwrap().nlink, 2);
    }
    assert_untouched(&lower);
}

#[test]
fn listed_numbers_are_those_of_stat() {
    let (_lower, _upper, rigs) = rigs();
    for rig in &rigs {
        rig.put("/dir/new", b"").unwrap();
        rig.put("/dir/f", b"").unwrap();
        let dir = rig.open("/", OpenFlags::DIRECTORY).unwrap();
        let mut listed = Vec::new();
        let mut note = |entry: kernel_vfs::file::DirEntry<'_>| {
            listed.push((String::from_utf8_lossy(entry.name).into_owned(), entry.ino));
            true
        };
        dir.ops.read_dir(&rig.caller, 0, &mut note).unwrap();
        let dir = rig.open("/dir", OpenFlags::DIRECTORY).unwrap();
        let mut note = |entry: kernel_vfs::file::DirEntry<'_>| {
            listed.push((format!("dir/{}", String::from_utf8_lossy(entry.name)), entry.ino));
            true
        };
        dir.ops.read_dir(&rig.caller, 0, &mut note).unwrap();
        for (name, ino) in listed {
            let (metadata, _) = rig.cx().stat(None, name.as_bytes(), WalkFlags::NOFOLLOW).unwrap();
            assert_eq!(metadata.ino, ino, "{name}");
        }
    }
}

#[test]
fn an_unlinked_lower_file_can_still_be_changed() {
    let (lower, _upper, rigs) = rigs();
    for rig in &rigs {
        let file = rig.open("/dir/f", OpenFlags::empty()).unwrap();
        rig.cx().unlink(None, b"/dir/f").unwrap();
        rig.cx().chmod(&file.path, 0o700).unwrap();
        assert_eq!(file.inode.metadata().unwrap().mode & 0o777, 0o700);
    }
    assert_untouched(&lower);
}
