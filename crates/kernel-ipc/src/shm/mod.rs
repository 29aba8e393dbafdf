//! Shared memory (shmget(2), shmctl(2); ipc/shm.c, Linux v6.18).
//!
//! A [`Segment`] is a memfd of the supervisor's, made when it is first attached, which the host maps into
//! guests. Its bytes begin at [`SHM_MAP_OFFSET`]: mmap(2) at that offset is what the filter lets through
//! for shmat(2). munmap(2) of an attachment is the host's alone, and not counted.

mod attach;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_linux::{Errno, SysResult};
pub use host_files::MemFile;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;
use kernel_base::tunable::Tunable;
use kernel_vfs::anon::{AnonAttributes, AnonInode, AnonKind, anon_path};
use kernel_vfs::inode::FileKind;
use kernel_vfs::path::Path;

use crate::ids::{Ids, Key, Object};
use crate::perm::{Actor, Perm};

pub use attach::{Attachment, Attachments};

/// Bytes in a page, and what addresses of attachments are multiples of (SHMLBA).
pub const PAGE_SIZE: u64 = 4096;
/// Where a segment's bytes begin in its memfd: "PALISHM" in pages. See the row of mmap in the table.
pub const SHM_MAP_OFFSET: u64 = 0x5041_4c49_5348_4000;
/// Largest segment: what is left of the largest file.
const MAX_SIZE: u64 = i64::MAX as u64 - SHM_MAP_OFFSET - PAGE_SIZE;

const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;
const SHM_HUGETLB: u32 = 0o4000;

struct State {
    perm: Perm,
    atime: i64,
    dtime: i64,
    ctime: i64,
    lpid: i32,
    attached: u64,
    memory: Option<MemFile>,
    path: Option<Path>,
}

/// A segment.
pub struct Segment {
    id: i32,
    /// As asked for; mappings are whole pages.
    size: u64,
    cpid: i32,
    state: Mutex<State>,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub id: i32,
    pub perm: Perm,
    pub size: u64,
    pub atime: i64,
    pub dtime: i64,
    pub ctime: i64,
    pub cpid: i32,
    pub lpid: i32,
    pub attached: u64,
}

impl Object for Segment {
    type Status = Status;

    fn perm(&self) -> Perm {
        self.state.lock().perm
    }

    fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            id: self.id,
            perm: state.perm,
            size: self.size,
            atime: state.atime,
            dtime: state.dtime,
            ctime: state.ctime,
            cpid: self.cpid,
            lpid: state.lpid,
            attached: state.attached,
        }
    }
}

impl Segment {
    /// Bytes of a mapping of it.
    #[must_use]
    pub const fn mapped_size(&self) -> u64 {
        self.size.next_multiple_of(PAGE_SIZE)
    }

    /// The memfd that holds its bytes.
    pub fn memory(&self) -> SysResult<MemFile> {
        let mut state = self.state.lock();
        if let Some(memory) = &state.memory {
            return Ok(memory.clone());
        }
        let memory = MemFile::new()?;
        memory.data().set_len(SHM_MAP_OFFSET + self.mapped_size())?;
        Ok(state.memory.insert(memory).clone())
    }

    /// Its place in lists of mappings: `/SYSV0000002a`.
    pub fn path(&self) -> Path {
        let mut state = self.state.lock();
        let Some(path) = &state.path else {
            let attributes = AnonAttributes { mode: 0o600, uid: 0, gid: 0, now_ns: 0 };
            let inode = AnonInode::new(AnonKind::Memory, FileKind::Regular, attributes);
            let text = format!("/SYSV{:08x}", state.perm.key);
            let path = anon_path(AnonKind::Memory, text.as_bytes(), Arc::new(inode));
            return state.path.insert(path).clone();
        };
        path.clone()
    }

    /// EACCES unless the actor may attach it so.
    pub fn check(&self, who: &Actor<'_>, wanted: u32) -> SysResult<()> {
        self.state.lock().perm.check(who, wanted)
    }
}

/// Limits and totals of SHM_INFO and IPC_INFO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub segments: usize,
    pub pages: u64,
    pub highest: i32,
}

/// All segments of a namespace.
pub struct Segments {
    pub ids: Ids<Segment>,
    /// Pages of all segments together.
    pages: AtomicU64,
    /// kernel.shmmax: bytes of a segment.
    pub shmmax: Tunable,
    /// kernel.shmall: pages of all.
    pub shmall: Tunable,
    /// kernel.shmmni: segments.
    pub shmmni: Tunable,
}

impl Default for Segments {
    fn default() -> Self {
        // include/uapi/linux/shm.h.
        const HUGE: u64 = u64::MAX - (1 << 24);
        Self {
            ids: Ids::default(),
            pages: AtomicU64::new(0),
            shmmax: Tunable::new(HUGE, 0, u64::MAX),
            shmall: Tunable::new(HUGE, 0, u64::MAX),
            shmmni: Tunable::new(4096, 0, crate::ids::IPCMNI),
        }
    }
}

impl Segments {
    /// shmget(2).
    pub fn get(&self, key: Key, size: u64, flags: u32, who: &Actor<'_>) -> SysResult<i32> {
        let admits = |segment: &Segment| if segment.size < size { Err(Errno::EINVAL) } else { Ok(()) };
        self.ids.get(key, flags, who, self.shmmni.get(), admits, |created| {
            if size == 0 || size > self.shmmax.get() {
                return Err(Errno::EINVAL);
            }
            if flags & SHM_HUGETLB != 0 || size > MAX_SIZE {
                return Err(Errno::ENOMEM);
            }
            let pages = size.div_ceil(PAGE_SIZE);
            if self.pages.load(Ordering::Relaxed).saturating_add(pages) > self.shmall.get() {
                return Err(Errno::ENOSPC);
            }
            self.pages.fetch_add(pages, Ordering::Relaxed);
            let state = State {
                perm: created.perm,
                atime: 0,
                dtime: 0,
                ctime: who.now_s,
                lpid: 0,
                attached: 0,
                memory: None,
                path: None,
            };
            Ok(Segment { id: created.id, size, cpid: who.pid, state: Mutex::new(state) })
        })
    }

    /// IPC_SET.
    pub fn set(&self, id: i32, (uid, gid, mode): (u32, u32, u32), who: &Actor<'_>) -> SysResult<()> {
        let segment = self.ids.find(id)?;
        let mut state = segment.state.lock();
        state.perm.check_owner(who)?;
        state.perm.set(uid, gid, mode)?;
        state.ctime = who.now_s;
        Ok(())
    }

    /// IPC_RMID: at once, or when nobody has it attached any more.
    pub fn remove(&self, id: i32, who: &Actor<'_>) -> SysResult<()> {
        let segment = self.ids.find(id)?;
        let mut state = segment.state.lock();
        state.perm.check_owner(who)?;
        let attached = state.attached > 0;
        if attached {
            state.perm.mode |= SHM_DEST;
            state.perm.key = 0;
        }
        drop(state);
        if attached {
            self.ids.forget_key(id);
        } else {
            self.destroy(&segment);
        }
        Ok(())
    }

    /// SHM_LOCK and SHM_UNLOCK. The host's pages are not locked: they are not swapped either.
    pub fn set_locked(&self, id: i32, locked: Locked, who: &Actor<'_>, may_lock: bool) -> SysResult<()> {
        let segment = self.ids.find(id)?;
        let mut state = segment.state.lock();
        if !who.creds.has(Cap::IPC_LOCK) {
            if who.creds.euid != state.perm.uid && who.creds.euid != state.perm.cuid {
                return Err(Errno::EPERM);
            }
            if locked == Locked::Yes && !may_lock {
                return Err(Errno::EPERM);
            }
        }
        match locked {
            Locked::Yes => state.perm.mode |= SHM_LOCKED,
            Locked::No => state.perm.mode &= !SHM_LOCKED,
        }
        Ok(())
    }

    /// For SHM_INFO and IPC_INFO.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let (segments, highest) = self.ids.count_and_highest();
        Totals { segments, pages: self.pages.load(Ordering::Relaxed), highest }
    }

    fn destroy(&self, segment: &Segment) {
        if self.ids.remove(segment.id) {
            self.pages.fetch_sub(segment.size.div_ceil(PAGE_SIZE), Ordering::Relaxed);
        }
    }
}

/// SHM_LOCK or SHM_UNLOCK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    Yes,
    No,
}
