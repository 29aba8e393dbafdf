//! select(2) and pselect(2) (fs/select.c core_sys_select, Linux v6.18).

use abi_linux::fs::Events;
use abi_linux::time::{NSEC_PER_SEC, Timespec, Timeval};
use abi_linux::{Errno, SysResult};
use kernel_base::user::UserRef;
use kernel_task::fd_table::MAX_FDS;
use smallvec::{SmallVec, smallvec};

use super::mask;
use super::pollfds::polled_file;
use super::wait::{Deadline, Interest, wait_for};
use crate::cx::Cx;

/// What each of the three sets means (POLLIN_SET, POLLOUT_SET, POLLEX_SET).
const MEANINGS: [Events; 3] = [
    Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR),
    Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

/// An fd_set, as many words as its number of bits needs.
type FdSet = SmallVec<[u64; 16]>;

fn has(set: &FdSet, fd: usize) -> bool {
    set.get(fd / 64).is_some_and(|word| word & 1 << (fd % 64) != 0)
}

/// The three sets of one call.
struct Sets {
    /// Addresses; 0 for a set that is not given.
    at: [u64; 3],
    wanted: [FdSet; 3],
    files: Vec<Interest>,
    fds: Vec<usize>,
}

impl Sets {
    fn read(cx: &Cx, count: i32, at: [u64; 3]) -> SysResult<Self> {
        let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?.min(MAX_FDS);
        let mut wanted: [FdSet; 3] = std::array::from_fn(|_| smallvec![0; count.div_ceil(64)]);
        for (set, &at) in wanted.iter_mut().zip(&at).filter(|(_, at)| **at != 0) {
            let values: Vec<u64> = cx.mem().read_array(UserRef::new(at), set.len())?;
            set.copy_from_slice(&values);
        }
        let mut sets = Self { at, wanted, files: Vec::new(), fds: Vec::new() };
        sets.find_files(cx, count)?;
        Ok(sets)
    }

    /// EBADF when a bit below `count` is no open file.
    fn find_files(&mut self, cx: &Cx, count: usize) -> SysResult<()> {
        for fd in 0..count {
            let meanings = self.wanted.iter().zip(MEANINGS).filter(|(set, _)| has(set, fd));
            let interest = meanings.fold(Events::empty(), |all, (_, meaning)| all | meaning);
            if !interest.is_empty() {
                self.files.push((polled_file(cx, fd as i32).ok_or(Errno::EBADF)?, interest));
                self.fds.push(fd);
            }
        }
        Ok(())
    }

    /// Looks at every file: the bits that are ready, and how many.
    fn look(&self) -> Option<([FdSet; 3], usize)> {
        let mut ready: [FdSet; 3] = std::array::from_fn(|at| smallvec![0; self.wanted[at].len()]);
        let mut count = 0;
        for ((file, interest), &fd) in self.files.iter().zip(&self.fds) {
            let events = file.ops.poll_for(*interest);
            for ((set, wanted), meaning) in ready.iter_mut().zip(&self.wanted).zip(MEANINGS) {
                if events.intersects(meaning)
                    && has(wanted, fd)
                    && let Some(word) = set.get_mut(fd / 64)
                {
                    *word |= 1 << (fd % 64);
                    count += 1;
                }
            }
        }
        (count > 0).then_some((ready, count))
    }

    fn write(&self, cx: &Cx, ready: &[FdSet; 3]) -> SysResult<()> {
        for (set, &at) in ready.iter().zip(&self.at).filter(|(_, at)| **at != 0) {
            cx.mem().write_array(UserRef::new(at), set)?;
        }
        Ok(())
    }
}

async fn select(cx: &Cx, count: i32, at: [u64; 3], deadline: Deadline) -> SysResult<usize> {
    let sets = Sets::read(cx, count, at)?;
    let found = wait_for(cx, &sets.files, deadline, || sets.look()).await;
    let (ready, count) = found.unwrap_or_else(|| (sets.wanted.clone().map(|set| smallvec![0; set.len()]), 0));
    sets.write(cx, &ready)?;
    Ok(count)
}

/// select(2): what is left of the timeout is written back.
pub(crate) async fn sys_select(
    cx: &Cx,
    count: i32,
    readfds: u64,
    writefds: u64,
    exceptfds: u64,
    timeout: UserRef<Timeval>,
) -> SysResult<usize> {
    let wanted = timeout.non_null().map(|at| cx.mem().read(at)).transpose()?;
    // More than a second of microseconds is carried over, unlike in other calls.
    let carried = wanted.map(|time| Timespec {
        tv_sec: time.tv_sec.saturating_add(time.tv_usec / 1_000_000),
        tv_nsec: time.tv_usec % 1_000_000 * (NSEC_PER_SEC as i64 / 1_000_000),
    });
    let deadline = Deadline::after(cx, carried)?;
    let ready = select(cx, count, [readfds, writefds, exceptfds], deadline).await?;
    deadline.write_left(cx, timeout, Timeval::from_ns);
    Ok(ready)
}

/// pselect(2): its last argument points to the address and the size of the mask.
pub(crate) async fn sys_pselect6(
    cx: &Cx,
    count: i32,
    readfds: u64,
    writefds: u64,
    exceptfds: u64,
    timeout: UserRef<Timespec>,
    sigmask: UserRef<[u64; 2]>,
) -> SysResult<usize> {
    let [mask_at, mask_size] = match sigmask.non_null() {
        Some(sigmask) => cx.mem().read(sigmask)?,
        None => [0, 0],
    };
    let wanted = timeout.non_null().map(|at| cx.mem().read(at)).transpose()?;
    let deadline = Deadline::after(cx, wanted)?;
    let _mask = mask::put(cx, UserRef::new(mask_at), mask_size as usize)?;
    let ready = select(cx, count, [readfds, writefds, exceptfds], deadline).await?;
    deadline.write_left(cx, timeout, Timespec::from_ns);
    Ok(ready)
}
