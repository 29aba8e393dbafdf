//! poll(2) and ppoll(2) (fs/select.c do_sys_poll, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags, PollFd};
use abi_linux::time::Timespec;
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::UserRef;
use kernel_vfs::file::File;

use super::mask;
use super::wait::{Deadline, Interest, wait_for};
use crate::cx::Cx;

const ALWAYS: Events = Events::ERR.union(Events::HUP);

/// The file that a descriptor polls; O_PATH descriptors are none.
pub(super) fn polled_file(cx: &Cx, fd: i32) -> Option<Arc<File>> {
    let file = cx.process.files.get(Fd(fd)).ok()?;
    (!file.flags().contains(OpenFlags::PATH)).then_some(file)
}

/// What is waited for, and for each the index of its entry.
struct PollSet {
    files: Vec<Interest>,
    indices: Vec<usize>,
    /// Entries that are no file: they are ready at once.
    invalid: usize,
}

impl PollSet {
    fn new(cx: &Cx, entries: &mut [PollFd]) -> Self {
        let mut set = Self { files: Vec::new(), indices: Vec::new(), invalid: 0 };
        for (index, entry) in entries.iter_mut().enumerate() {
            entry.revents = 0;
            if entry.fd < 0 {
                continue;
            }
            match polled_file(cx, entry.fd) {
                Some(file) => {
                    set.files.push((file, Events::from_bits_retain(u32::from(entry.events)) | ALWAYS));
                    set.indices.push(index);
                }
                None => {
                    entry.revents = Events::NVAL.bits() as u16;
                    set.invalid += 1;
                }
            }
        }
        set
    }

    /// Looks at every file; how many entries have something to say.
    fn look(&self, entries: &mut [PollFd]) -> Option<usize> {
        let mut ready = self.invalid;
        for ((file, interest), &index) in self.files.iter().zip(&self.indices) {
            let events = file.ops.poll_for(*interest) & *interest;
            if let Some(entry) = entries.get_mut(index) {
                entry.revents = events.bits() as u16;
                ready += usize::from(!events.is_empty());
            }
        }
        (ready > 0).then_some(ready)
    }
}

async fn poll_entries(cx: &Cx, at: UserRef<PollFd>, count: u32, deadline: Deadline) -> SysResult<usize> {
    let count = count as usize;
    if count as u64 > cx.process.limits.files() {
        return Err(Errno::EINVAL);
    }
    let mut entries = cx.mem().read_array(at, count)?;
    let set = PollSet::new(cx, &mut entries);
    let ready = wait_for(cx, &set.files, deadline, || set.look(&mut entries)).await;
    cx.mem().write_array(at, &entries)?;
    Ok(ready.unwrap_or(0))
}

/// poll(2).
pub(crate) async fn sys_poll(cx: &Cx, fds: UserRef<PollFd>, count: u32, timeout_ms: i32) -> SysResult<usize> {
    poll_entries(cx, fds, count, Deadline::after_ms(cx, timeout_ms)).await
}

/// ppoll(2): what is left of the timeout is written back.
pub(crate) async fn sys_ppoll(
    cx: &Cx,
    fds: UserRef<PollFd>,
    count: u32,
    timeout: UserRef<Timespec>,
    sigmask: UserRef<u64>,
    sigsetsize: usize,
) -> SysResult<usize> {
    let wanted = timeout.non_null().map(|at| cx.mem().read(at)).transpose()?;
    let deadline = Deadline::after(cx, wanted)?;
    let _mask = mask::put(cx, sigmask, sigsetsize)?;
    let ready = poll_entries(cx, fds, count, deadline).await?;
    deadline.write_left(cx, timeout, Timespec::from_ns);
    Ok(ready)
}
