//! Epolls that watch epolls: no cycles, no deep chains, no wide fans (fs/eventpoll.c ep_loop_check and
//! reverse_path_check), so that a wake-up through them ends soon.

use std::collections::HashSet;
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_vfs::file::File;

use super::Epoll;

/// Longest chain of epolls (EP_MAX_NESTS).
const MAX_NESTS: usize = 4;
/// Most epolls that watch one epoll. Linux counts paths by their length (path_limits).
const MAX_PARENTS: usize = 100;

/// Serialises what changes the graph of epolls (epnested_mutex).
static NESTING: Mutex<()> = Mutex::new(());

/// Runs `insert`, which makes `parent` watch `child`, if the graph stays sound.
pub(super) fn add(parent: &Epoll, child: &Epoll, insert: impl FnOnce() -> SysResult<()>) -> SysResult<()> {
    let _nesting = NESTING.lock();
    let mut seen = HashSet::new();
    let below = depth_below(child, parent, &mut seen, 1)?;
    seen.clear();
    let above = height_above(parent, &mut seen, 1)?;
    if below + above > MAX_NESTS + 1 {
        return Err(Errno::ELOOP);
    }
    let mut parents = child.parents.lock();
    parents.retain(|known| known.strong_count() > 0);
    let known = parents.iter().any(|known| std::ptr::eq(known.as_ptr(), parent));
    if !known && parents.len() >= MAX_PARENTS {
        return Err(Errno::EINVAL);
    }
    drop(parents);
    insert()?;
    if !known {
        child.parents.lock().push(Weak::clone(&parent.me));
    }
    Ok(())
}

/// Epolls that `epoll` watches. Their files are kept alive by the result: none is dropped below a lock.
fn children(epoll: &Epoll) -> Vec<Arc<File>> {
    let files: Vec<Weak<File>> =
        epoll.state.lock().items.values().map(|item| Weak::clone(&item.file)).collect();
    files.iter().filter_map(Weak::upgrade).filter(|file| Epoll::of(file).is_ok()).collect()
}

/// Length of the longest chain that begins with `epoll`; ELOOP when it is too long or comes to `target`.
fn depth_below(
    epoll: &Epoll,
    target: &Epoll,
    seen: &mut HashSet<(usize, usize)>,
    depth: usize,
) -> SysResult<usize> {
    if std::ptr::eq(epoll, target) || depth > MAX_NESTS {
        return Err(Errno::ELOOP);
    }
    let mut longest = 1;
    for file in children(epoll) {
        let child = Epoll::of(&file)?;
        // A node reached by a shorter way before may be deeper now, so only equal depths are skipped.
        if seen.insert((std::ptr::from_ref(child).addr(), depth)) {
            longest = longest.max(1 + depth_below(child, target, seen, depth + 1)?);
        }
    }
    Ok(longest)
}

/// Length of the longest chain of watchers that ends with `epoll`.
fn height_above(epoll: &Epoll, seen: &mut HashSet<(usize, usize)>, height: usize) -> SysResult<usize> {
    if height > MAX_NESTS {
        return Err(Errno::ELOOP);
    }
    let parents: Vec<Arc<Epoll>> = epoll.parents.lock().iter().filter_map(Weak::upgrade).collect();
    let mut longest = 1;
    for parent in parents {
        let watches = |file: &Arc<File>| Epoll::of(file).is_ok_and(|child| std::ptr::eq(child, epoll));
        if seen.insert((Arc::as_ptr(&parent).addr(), height)) && children(&parent).iter().any(watches) {
            longest = longest.max(1 + height_above(&parent, seen, height + 1)?);
        }
    }
    Ok(longest)
}
