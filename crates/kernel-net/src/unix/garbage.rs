//! Files in flight: counted, bounded, and collected when only queues of sockets in flight hold them
//! (the problem of net/unix/garbage.c, Linux v6.18).
//!
//! [`Rights`] are the files of one message. Every Unix socket among them is in the registry with the number
//! of messages that hold it. A socket all of whose references are such messages is a *candidate*. Taking
//! away what candidates' own queues hold leaves those that some reachable queue holds; they, and what
//! their queues hold, live. The rest is garbage, and its queues are emptied.
//!
//! Messages with files enter and leave queues below a read lock of `passing`; the collector has the write
//! lock, so a candidate cannot come back to life meanwhile. Files are dropped by [`bury`], one after the
//! other and with no lock held: a chain of sockets, each in the queue of the next, must not nest.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::{Mutex, RwLock};
use kernel_vfs::file::File;
use rustc_hash::FxHashMap;

use super::UnixSocket;
use super::queue::Message;
use crate::file::SocketFile;

/// Most files in flight in a sandbox, whoever sent them: a bound on what exists without a descriptor.
const MOST_IN_FLIGHT: usize = 1 << 16;
/// Below this many sockets in flight every close looks for garbage; above, one in so many.
const EAGER: usize = 64;

/// A Unix socket in flight.
struct InFlight {
    file: Weak<File>,
    messages: usize,
}

#[derive(Default)]
struct Registry {
    /// By address of the `File`.
    sockets: FxHashMap<usize, InFlight>,
    by_user: FxHashMap<u32, usize>,
    total: usize,
}

/// All files in flight of a namespace.
#[derive(Default)]
pub(super) struct Passing {
    pub(super) passing: RwLock<()>,
    registry: Mutex<Registry>,
    sockets: AtomicUsize,
    closes: AtomicUsize,
}

fn address_of(file: &Arc<File>) -> usize {
    Arc::as_ptr(file).addr()
}

/// The Unix socket behind a file.
pub(super) fn unix_socket(file: &File) -> Option<&UnixSocket> {
    SocketFile::of(file).ok()?.socket().as_any().downcast_ref()
}

/// The files of one message. Dropping them counts them out and closes them: not below a lock.
pub(super) struct Rights {
    files: Vec<Arc<File>>,
    user: u32,
    passing: Arc<Passing>,
}

impl Rights {
    pub(super) fn files(&self) -> &[Arc<File>] {
        &self.files
    }

    /// Takes the files out for a receiver; they are no longer in flight.
    pub(super) fn take(&mut self) -> Vec<Arc<File>> {
        let files = std::mem::take(&mut self.files);
        self.passing.count_out(&files, self.user);
        files
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        let files = self.take();
        bury(files);
    }
}

impl Passing {
    /// Counts files in: ETOOMANYREFS when the user has more in flight than it may have open
    /// (too_many_unix_fds), or the sandbox too many.
    pub(super) fn send(
        self: &Arc<Self>,
        who: &dyn Caller,
        files: Vec<Arc<File>>,
        limit: u64,
    ) -> SysResult<Rights> {
        let credentials = who.credentials();
        let user = credentials.ruid;
        let is_free = credentials.has(Cap::SYS_RESOURCE) || credentials.has(Cap::SYS_ADMIN);
        let mut registry = self.registry.lock();
        let count = registry.by_user.entry(user).or_default();
        let too_many = *count as u64 > limit && !is_free;
        if too_many || registry.total + files.len() > MOST_IN_FLIGHT {
            return Err(Errno::ETOOMANYREFS);
        }
        *registry.by_user.entry(user).or_default() += files.len();
        registry.total += files.len();
        for file in files.iter().filter(|file| unix_socket(file).is_some()) {
            let new = || InFlight { file: Arc::downgrade(file), messages: 0 };
            registry.sockets.entry(address_of(file)).or_insert_with(new).messages += 1;
        }
        self.sockets.store(registry.sockets.len(), Ordering::Relaxed);
        drop(registry);
        Ok(Rights { files, user, passing: Arc::clone(self) })
    }

    fn count_out(&self, files: &[Arc<File>], user: u32) {
        if files.is_empty() {
            return;
        }
        let mut registry = self.registry.lock();
        registry.total = registry.total.saturating_sub(files.len());
        if let Some(count) = registry.by_user.get_mut(&user) {
            *count = count.saturating_sub(files.len());
            if *count == 0 {
                registry.by_user.remove(&user);
            }
        }
        for address in files.iter().map(address_of) {
            if let Some(known) = registry.sockets.get_mut(&address) {
                known.messages = known.messages.saturating_sub(1);
                if known.messages == 0 {
                    registry.sockets.remove(&address);
                }
            }
        }
        self.sockets.store(registry.sockets.len(), Ordering::Relaxed);
    }

    /// A socket was closed, which may have left garbage.
    pub(super) fn socket_closed(&self) {
        let in_flight = self.sockets.load(Ordering::Relaxed);
        if in_flight == 0 {
            return;
        }
        let closes = self.closes.fetch_add(1, Ordering::Relaxed);
        if in_flight < EAGER || closes.is_multiple_of((in_flight / EAGER * 4).max(1)) {
            self.collect();
        }
    }

    /// Empties the queues of sockets that nobody can reach any more.
    pub(super) fn collect(&self) {
        let _exclusive = self.passing.write();
        let known: Vec<(Arc<File>, usize)> = {
            let registry = self.registry.lock();
            registry
                .sockets
                .values()
                .filter_map(|known| Some((known.file.upgrade()?, known.messages)))
                .collect()
        };
        let garbage = unreachable(&known);
        let mut dead = Vec::new();
        for at in garbage {
            if let Some(socket) = known.get(at).and_then(|(file, _)| unix_socket(file)) {
                socket.take_messages_with_files(&mut dead);
            }
        }
        drop(_exclusive);
        drop::<Vec<Message>>(dead);
        // Some may have lost their last other reference meanwhile.
        bury(known.into_iter().map(|(file, _)| file).collect());
    }
}

/// Indices of the sockets that only each other's queues hold. The list itself holds one reference to each.
fn unreachable(known: &[(Arc<File>, usize)]) -> Vec<usize> {
    let is_candidate = |file: &Arc<File>, messages: usize| Arc::strong_count(file) == messages + 1;
    let candidates: FxHashMap<usize, usize> = known
        .iter()
        .enumerate()
        .filter(|(_, (file, messages))| is_candidate(file, *messages))
        .map(|(at, (file, _))| (address_of(file), at))
        .collect();
    let children: FxHashMap<usize, Vec<usize>> = candidates
        .values()
        .map(|&at| {
            let held = known.get(at).and_then(|(file, _)| unix_socket(file)).map(UnixSocket::files_in_queue);
            let held = held.unwrap_or_default();
            (at, held.iter().filter_map(|address| candidates.get(address).copied()).collect())
        })
        .collect();
    let mut from_outside: FxHashMap<usize, usize> =
        candidates.values().map(|&at| (at, known.get(at).map_or(0, |(_, messages)| *messages))).collect();
    for child in children.values().flatten() {
        if let Some(count) = from_outside.get_mut(child) {
            *count = count.saturating_sub(1);
        }
    }
    let mut live: Vec<usize> =
        from_outside.iter().filter(|(_, count)| **count > 0).map(|(&at, _)| at).collect();
    while let Some(at) = live.pop() {
        if from_outside.remove(&at).is_some() {
            live.extend(children.get(&at).into_iter().flatten());
        }
    }
    from_outside.into_keys().collect()
}

thread_local! {
    /// Files to be dropped by whoever on this thread began to drop some.
    static GRAVE: RefCell<Option<Vec<Arc<File>>>> = const { RefCell::new(None) };
}

/// Drops files without nesting, however long the chain of sockets that hold each other.
fn bury(files: Vec<Arc<File>>) {
    if files.is_empty() {
        return;
    }
    let mut files = Some(files);
    let is_first = GRAVE.try_with(|grave| {
        let mut grave = grave.borrow_mut();
        let is_first = grave.is_none();
        grave.get_or_insert_default().extend(files.take().into_iter().flatten());
        is_first
    });
    if is_first != Ok(true) {
        return;
    }
    while let Some(file) = GRAVE.with(|grave| grave.borrow_mut().as_mut().and_then(Vec::pop)) {
        drop(file);
    }
    GRAVE.with(|grave| grave.borrow_mut().take());
}
