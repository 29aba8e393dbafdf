//! Resource limits (getrlimit(2)). Those that concern memory and time are the host's as well.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::cred::{Cap, Credentials};
use kernel_base::sync::Mutex;

use crate::task::Task;

/// Highest RLIMIT_NOFILE (fs/file.c sysctl_nr_open).
pub const NR_OPEN: u64 = 1 << 20;
/// No limit.
pub const INFINITY: u64 = u64::MAX;

/// A resource (include/uapi/asm-generic/resource.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

/// Number of resources.
pub const COUNT: usize = 16;

impl Resource {
    const ALL: [Self; COUNT] = [
        Self::Cpu,
        Self::Fsize,
        Self::Data,
        Self::Stack,
        Self::Core,
        Self::Rss,
        Self::Nproc,
        Self::Nofile,
        Self::Memlock,
        Self::As,
        Self::Locks,
        Self::Sigpending,
        Self::Msgqueue,
        Self::Nice,
        Self::Rtprio,
        Self::Rttime,
    ];

    /// From a guest's number; EINVAL outside the list.
    pub fn new(number: u32) -> SysResult<Self> {
        Self::ALL.get(number as usize).copied().ok_or(Errno::EINVAL)
    }

    /// Whether the host enforces it on the guest's process: its own memory, time and signals. (Not RLIMIT_CORE:
    /// guests leave no core files. RLIMIT_NICE and RLIMIT_RTPRIO stay 0 there.)
    #[must_use]
    pub fn is_hosts(self) -> bool {
        matches!(self, Self::Cpu | Self::Data | Self::Stack | Self::As | Self::Memlock | Self::Sigpending)
    }
}

/// Soft and hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub soft: u64,
    pub hard: u64,
}

impl Task {
    /// prlimit(2): the limit of process `pid` (0: the caller's) before `new` takes its place.
    pub fn limit(&self, pid: i32, resource: u32, new: Option<Limit>) -> SysResult<Limit> {
        let target = match pid {
            0 => Arc::clone(&self.process),
            _ => self.kernel().process(pid).ok_or(Errno::ESRCH)?,
        };
        let credentials = self.credentials();
        if !Arc::ptr_eq(&target, &self.process) && !may_limit(&credentials, &target.credentials()) {
            return Err(Errno::EPERM);
        }
        let resource = Resource::new(resource)?;
        let old = target.limits.get(resource);
        let Some(new) = new else { return Ok(old) };
        target.limits.set(resource, new, &credentials)?;
        if resource.is_hosts() {
            let host = &self.kernel().platform;
            let done = host.set_limit(target.tgid, resource as u32, new.soft, new.hard);
            // Of signals that wait the host may have less to give than the books say.
            if let (Err(error), false) = (done, resource == Resource::Sigpending) {
                target.limits.limits.lock()[resource as usize] = old;
                return Err(error);
            }
        }
        Ok(old)
    }
}

/// kernel/sys.c check_prlimit_permission, Linux v6.12.
fn may_limit(caller: &Credentials, target: &Credentials) -> bool {
    let same_user = [target.ruid, target.euid, target.suid] == [caller.ruid; 3];
    let same_group = [target.rgid, target.egid, target.sgid] == [caller.rgid; 3];
    same_user && same_group || caller.has_in(&target.user_ns, Cap::SYS_RESOURCE)
}

/// The limits of one process.
pub struct Limits {
    limits: Mutex<[Limit; COUNT]>,
}

impl Limits {
    /// The limits of a fresh container: Linux's own for init, with 1024 and `max_files` descriptors.
    #[must_use]
    pub fn for_init(max_files: u64) -> Self {
        let mut limits = [Limit { soft: INFINITY, hard: INFINITY }; COUNT];
        limits[Resource::Stack as usize].soft = 8 << 20;
        limits[Resource::Core as usize].soft = 0;
        limits[Resource::Nofile as usize] = Limit { soft: max_files.min(1024), hard: max_files };
        limits[Resource::Memlock as usize] = Limit { soft: 8 << 20, hard: 8 << 20 };
        limits[Resource::Msgqueue as usize] = Limit { soft: 819_200, hard: 819_200 };
        for zero in [Resource::Nice, Resource::Rtprio] {
            limits[zero as usize] = Limit { soft: 0, hard: 0 };
        }
        Self { limits: Mutex::new(limits) }
    }

    /// The limit of a resource.
    #[must_use]
    pub fn get(&self, resource: Resource) -> Limit {
        self.limits.lock()[resource as usize]
    }

    /// RLIMIT_NOFILE's soft value.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.get(Resource::Nofile).soft
    }

    /// setrlimit(2): EINVAL for soft over hard, EPERM for raising the hard limit without CAP_SYS_RESOURCE.
    pub fn set(&self, resource: Resource, new: Limit, credentials: &Credentials) -> SysResult<()> {
        if new.soft > new.hard {
            return Err(Errno::EINVAL);
        }
        let mut limits = self.limits.lock();
        let slot = &mut limits[resource as usize];
        let too_many_files = resource == Resource::Nofile && new.hard > NR_OPEN;
        if too_many_files || new.hard > slot.hard && !credentials.has(Cap::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        *slot = new;
        Ok(())
    }

    /// A copy for a child.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { limits: Mutex::new(*self.limits.lock()) }
    }
}
