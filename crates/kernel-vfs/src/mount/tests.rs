//! Propagation, locked mounts, and the moves of roots, on filesystems that have every name.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user_ns::UserNamespace;
use platform_api::fake::FakePlatform;

use super::{Depth, Mount, MountFlags, MountNamespace, Propagation, Unmount};
use crate::inode::SuperBlock;
use crate::path::Path;
use crate::vfs_test::{FreshFs, Nobody};
use crate::walk::{WalkContext, WalkFlags};

struct Scene {
    namespace: Arc<MountNamespace>,
    root: Path,
}

fn filesystem(number: u64) -> Arc<dyn SuperBlock> {
    Arc::new(FreshFs(number))
}

impl Scene {
    fn new() -> Self {
        Self::of(MountNamespace::new(Mount::of(&filesystem(1), b"root", MountFlags::empty())))
    }

    fn of(namespace: Arc<MountNamespace>) -> Self {
        let root = namespace.root();
        Self { namespace, root }
    }

    fn find(&self, path: &str) -> Path {
        let who = Nobody(FakePlatform::new(0));
        let creds = Credentials::new(0, 0, CapSet::ALL);
        let cx = WalkContext { root: &self.root, cwd: &self.root, creds: &creds, who: &who, umask: 0 };
        cx.resolve(None, path.as_bytes(), WalkFlags::empty()).expect("every name is there")
    }

    /// Number of the filesystem that shows at a path.
    fn at(&self, path: &str) -> u64 {
        self.find(path).inode().metadata().expect("a fresh directory").ino
    }

    fn mount(&self, number: u64, path: &str) {
        let at = self.find(path);
        self.namespace.mount(&filesystem(number), b"fs", MountFlags::empty(), &at).expect("mounted");
    }

    fn bind(&self, from: &str, to: &str) -> SysResult<()> {
        self.namespace.bind(&self.find(from), &self.find(to), Depth::Recursive).map(drop)
    }

    fn make(&self, path: &str, to: Propagation) {
        self.namespace.set_propagation(&self.find(path), to, Depth::One).expect("the root of a mount");
    }

    fn unmount(&self, path: &str, how: Unmount) -> SysResult<()> {
        self.namespace.unmount(self.find(path), how)
    }
}

#[test]
fn peers_tell_each_other_of_mounts_and_unmounts() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.make("/a", Propagation::Shared);
    scene.bind("/a", "/b").unwrap();
    scene.mount(3, "/b/x");
    assert_eq!((scene.at("/a/x"), scene.at("/b/x")), (3, 3));
    scene.unmount("/a/x", Unmount::IfUnused).unwrap();
    assert_eq!((scene.at("/a/x"), scene.at("/b/x")), (2, 2));
}

#[test]
fn slaves_hear_and_do_not_tell() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.make("/a", Propagation::Shared);
    scene.bind("/a", "/b").unwrap();
    scene.make("/b", Propagation::Slave);
    assert_eq!(scene.find("/b").mount.master_group(), scene.find("/a").mount.peer_group());
    scene.mount(3, "/a/x");
    scene.mount(4, "/b/y");
    assert_eq!((scene.at("/b/x"), scene.at("/a/y")), (3, 2));
    // A slave that is shared tells its own peers.
    scene.make("/b", Propagation::Shared);
    scene.bind("/b", "/c").unwrap();
    scene.mount(5, "/a/z");
    assert_eq!((scene.at("/b/z"), scene.at("/c/z")), (5, 5));
    assert!(
        scene.find("/c/z").mount.master_group().is_some() || scene.find("/c/z").mount.peer_group().is_some()
    );
    scene.unmount("/a/z", Unmount::Detach).unwrap();
    assert_eq!((scene.at("/b/z"), scene.at("/c/z")), (2, 2));
}

#[test]
fn slaves_of_a_group_that_ends_hear_its_master() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.make("/a", Propagation::Shared);
    scene.bind("/a", "/b").unwrap();
    scene.make("/b", Propagation::Slave);
    scene.make("/b", Propagation::Shared);
    scene.bind("/b", "/c").unwrap();
    scene.make("/c", Propagation::Slave);
    scene.make("/b", Propagation::Private);
    assert_eq!(scene.find("/c").mount.master_group(), scene.find("/a").mount.peer_group());
    scene.mount(3, "/a/x");
    assert_eq!((scene.at("/b/x"), scene.at("/c/x")), (2, 3));
}

#[test]
fn private_and_unbindable_mounts_stay_by_themselves() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.bind("/a", "/b").unwrap();
    scene.mount(3, "/a/x");
    assert_eq!(scene.at("/b/x"), 2);
    scene.make("/a/x", Propagation::Unbindable);
    assert_eq!(scene.bind("/a/x", "/c"), Err(Errno::EINVAL));
    scene.bind("/a", "/d").unwrap();
    assert_eq!(scene.at("/d/x"), 2, "left out");
}

#[test]
fn a_mount_is_received_below_what_is_there() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.make("/a", Propagation::Shared);
    scene.bind("/a", "/b").unwrap();
    scene.make("/b", Propagation::Slave);
    scene.mount(3, "/b/x");
    scene.mount(4, "/a/x");
    assert_eq!((scene.at("/a/x"), scene.at("/b/x")), (4, 3));
    scene.unmount("/b/x", Unmount::IfUnused).unwrap();
    assert_eq!(scene.at("/b/x"), 4);
    scene.mount(5, "/b/x");
    scene.unmount("/a/x", Unmount::IfUnused).unwrap();
    assert_eq!(scene.at("/b/x"), 5, "what covers it stays");
}

#[test]
fn a_new_namespace_is_a_peer_and_a_lesser_one_a_locked_slave() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.make("/a", Propagation::Shared);
    scene.find("/a").mount.set_flags(MountFlags::NOSUID);
    let (equal, _) = scene.namespace.duplicate(UserNamespace::initial()).unwrap();
    let user = Credentials::new(1000, 1000, CapSet::EMPTY);
    let lesser_ns = UserNamespace::create(&user).unwrap().user_ns;
    let (lesser, _) = scene.namespace.duplicate(&lesser_ns).unwrap();
    let (equal, lesser) = (Scene::of(equal), Scene::of(lesser));
    equal.mount(3, "/a/x");
    assert_eq!((scene.at("/a/x"), lesser.at("/a/x")), (3, 3));
    lesser.mount(4, "/a/y");
    assert_eq!(scene.at("/a/y"), 2);
    assert_eq!(lesser.unmount("/a", Unmount::Detach), Err(Errno::EINVAL), "locked");
    let weaker =
        lesser.namespace.change_flags(&lesser.find("/a"), Depth::One, |flags| flags - MountFlags::NOSUID);
    assert_eq!(weaker, Err(Errno::EPERM));
    assert_eq!(
        lesser.namespace.bind(&lesser.find("/"), &lesser.find("/c"), Depth::One).err(),
        Some(Errno::EINVAL)
    );
}

#[test]
fn used_and_covered_mounts_are_busy() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    let held = scene.find("/a/inside");
    assert_eq!(scene.unmount("/a", Unmount::IfUnused), Err(Errno::EBUSY));
    drop(held);
    scene.mount(3, "/a/x");
    assert_eq!(scene.unmount("/a", Unmount::IfUnused), Err(Errno::EBUSY));
    scene.unmount("/a/x", Unmount::IfUnused).unwrap();
    assert_eq!(scene.unmount("/a", Unmount::Expire), Err(Errno::EAGAIN));
    scene.unmount("/a", Unmount::Expire).unwrap();
    assert_eq!(scene.unmount("/a", Unmount::IfUnused), Err(Errno::EINVAL));
}

#[test]
fn roots_are_exchanged_even_at_one_place() {
    let mut scene = Scene::new();
    scene.mount(2, "/new");
    let (old, new) = (scene.root.clone(), scene.find("/new"));
    assert_eq!(scene.namespace.pivot_root(&old, &old, &new), Err(Errno::EBUSY));
    // bwrap and runc: pivot_root(".", "."), then umount2(".", MNT_DETACH).
    scene.namespace.pivot_root(&old, &new, &new).unwrap();
    scene.root = new.clone();
    assert_eq!((scene.at("/"), scene.namespace.root().mount.id()), (2, old.mount.id()));
    scene.namespace.unmount(new.top(), Unmount::Detach).unwrap();
    assert_eq!(scene.namespace.root().mount.id(), new.mount.id());
}

#[test]
fn mounts_move_but_not_below_themselves_or_from_shared_parents() {
    let scene = Scene::new();
    scene.mount(2, "/a");
    scene.mount(3, "/a/x");
    let move_to = |from: &str, to: &str| scene.namespace.move_mount(&scene.find(from), &scene.find(to));
    assert_eq!(move_to("/a", "/a/x/y"), Err(Errno::ELOOP));
    assert_eq!(move_to("/a/none", "/b"), Err(Errno::EINVAL));
    move_to("/a/x", "/b").unwrap();
    assert_eq!((scene.at("/a/x"), scene.at("/b")), (2, 3));
    scene.mount(4, "/a/y");
    scene.make("/a", Propagation::Shared);
    assert_eq!(move_to("/a/y", "/c"), Err(Errno::EINVAL));
}
