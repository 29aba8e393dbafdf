//! splice(2), tee(2), vmsplice(2) (fs/splice.c, Linux v6.18).
//!
//! Linux moves pages; here bytes are copied, through a buffer of one pipe's usual size at most. What a
//! destination does not take goes back to the front of the pipe that it came from.

use std::sync::Arc;

use abi_linux::fs::{Events, IoVec, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{MAX_RW_COUNT, Pieces, UserRef};
use kernel_fs::pipe::PipeEnd;
use kernel_vfs::file::{File, FileOps, Io};
use kernel_vfs::inode::FileKind;

use super::copy::Side;
use super::transfer::within_limit;
use crate::cx::{Cx, with_scratch};

const SPLICE_F_NONBLOCK: u32 = 2;
/// MOVE, NONBLOCK, MORE and GIFT.
const SPLICE_F_ALL: u32 = 0xf;
/// Moved at once.
const CHUNK: usize = 64 * 1024;

fn pipe_of(file: &File) -> Option<&PipeEnd> {
    file.ops.as_any().downcast_ref()
}

/// The number of bytes that one step moves of what is left.
fn step(left: usize) -> usize {
    left.min(CHUNK)
}

/// One transfer: who makes it and whether it may wait for a pipe.
#[derive(Clone, Copy)]
struct Mover<'a> {
    cx: &'a Cx,
    may_wait: bool,
}

impl Mover<'_> {
    /// What an operation on a pipe is told: packets are write(2)'s alone.
    fn pipe_io(&self) -> Io<'_> {
        Io { who: &*self.cx.task, offset: 0, flags: OpenFlags::empty() }
    }

    async fn wait_for(self, ops: &dyn FileOps, events: Events) -> SysResult<()> {
        let ready = || ops.poll().intersects(events | Events::HUP | Events::ERR).then_some(());
        match ops.wait_queue() {
            _ if ready().is_some() => Ok(()),
            Some(queue) if self.may_wait => {
                queue.wait_until(events, ready).await;
                Ok(())
            }
            _ => Err(Errno::EAGAIN),
        }
    }

    /// Tries until it is something other than EAGAIN; `on` says for whose readiness to wait in between.
    async fn retry(
        self,
        (ops, events): (&dyn FileOps, Events),
        mut attempt: impl FnMut() -> SysResult<usize>,
    ) -> SysResult<usize> {
        let not_yet = |result: &SysResult<usize>| matches!(result, Err(Errno::EAGAIN));
        match ops.wait_queue() {
            Some(queue) if self.may_wait => {
                queue.wait_until(events, || Some(attempt()).filter(|result| !not_yet(result))).await
            }
            _ => attempt(),
        }
    }

    /// Takes up to `len` bytes out of a pipe and has `sink` take them; what it leaves goes back.
    fn drain(
        &self,
        pipe: &PipeEnd,
        len: usize,
        sink: impl FnOnce(&[u8]) -> SysResult<usize>,
    ) -> SysResult<usize> {
        with_scratch(step(len), |scratch| {
            let got = pipe.read(self.pipe_io(), scratch)?;
            let bytes = scratch.get(..got).ok_or(Errno::EIO)?;
            if bytes.is_empty() {
                return Ok(0);
            }
            let taken = sink(bytes);
            let rest = bytes.get(*taken.as_ref().unwrap_or(&0)..);
            pipe.give_back(rest.unwrap_or_default());
            taken
        })
    }

    fn fill(&self, pipe: &PipeEnd, bytes: &[u8]) -> SysResult<usize> {
        pipe.write(self.pipe_io(), bytes).map(|(written, _)| written)
    }

    /// Moves between two pipes: waits for the first bytes and the first room, then takes what there is.
    async fn pipe_to_pipe(self, from: &PipeEnd, to: &PipeEnd, len: usize) -> SysResult<usize> {
        loop {
            self.wait_for(from, Events::IN).await?;
            // Without readers it is ready, and the write below says EPIPE.
            self.wait_for(to, Events::OUT).await?;
            match self.drain(from, len, |bytes| self.fill(to, bytes)) {
                // Another reader or writer was faster.
                Err(Errno::EAGAIN) if self.may_wait => {}
                result => return result,
            }
        }
    }

    /// Moves from a pipe to a file: waits for the first bytes only.
    async fn pipe_to_file(self, from: &PipeEnd, to: &mut Side, len: usize) -> SysResult<usize> {
        let out = Arc::clone(&to.file);
        let out_waits = Mover { may_wait: !out.is_nonblocking(), ..self };
        let mut done = 0;
        while done < len {
            if done == 0 {
                self.wait_for(from, Events::IN).await?;
            }
            let sink = |bytes: &[u8]| self.write_file(&out, to.offset, bytes);
            let attempt = || match from.peek(&mut [0]) {
                // Empty again: no reason to wait for the destination.
                Err(Errno::EAGAIN) if done > 0 => Ok(0),
                Err(Errno::EAGAIN) if !out.ops.is_seekable() && !self.may_wait => Err(Errno::EAGAIN),
                _ => self.drain(from, len - done, sink),
            };
            let moved = if out.ops.is_seekable() {
                attempt_once(attempt)
            } else {
                out_waits.retry((&*out.ops, Events::OUT), attempt).await
            };
            match moved {
                Ok(0) => break,
                Ok(moved) => {
                    done += moved;
                    self.cx.set_progress(done);
                    if out.ops.is_seekable() {
                        to.advance(self.cx, moved)?;
                    }
                }
                Err(Errno::EAGAIN) if done == 0 && self.may_wait && out_waits.may_wait => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        self.cx.set_progress(0);
        Ok(done)
    }

    fn write_file(&self, out: &File, offset: i64, bytes: &[u8]) -> SysResult<usize> {
        let offset = u64::try_from(offset).map_err(|_| Errno::EINVAL)?;
        let bytes = within_limit(self.cx, out, OpenFlags::empty(), offset, bytes)?;
        out.ops.write(out.io(&*self.cx.task, offset), bytes).map(|(written, _)| written)
    }

    /// Reads a file once into a pipe's free room.
    async fn file_to_pipe(self, from: &mut Side, to: &PipeEnd, len: usize) -> SysResult<usize> {
        self.wait_for(to, Events::OUT).await?;
        let source = Arc::clone(&from.file);
        let room = to.room().min(len);
        if to.poll().contains(Events::ERR) {
            return self.fill(to, &[0]);
        }
        let seekable = source.ops.is_seekable();
        let offset = if seekable { from.verified(0)? } else { 0 };
        let attempt = || {
            with_scratch(step(room), |scratch| {
                let got = source.ops.read(source.io(&*self.cx.task, offset), scratch)?;
                let bytes = scratch.get(..got).ok_or(Errno::EIO)?;
                if bytes.is_empty() { Ok(0) } else { to.fill_beyond(bytes).map(|()| got) }
            })
        };
        let moved = if seekable {
            attempt_once(attempt)?
        } else {
            let waits = Mover { may_wait: self.may_wait && !source.is_nonblocking(), ..self };
            waits.retry((&*source.ops, Events::IN), attempt).await?
        };
        if seekable && moved > 0 {
            from.advance(self.cx, moved)?;
        }
        Ok(moved)
    }
}

fn attempt_once(mut attempt: impl FnMut() -> SysResult<usize>) -> SysResult<usize> {
    attempt()
}

/// Whether the kind of file can be a side of a splice at all (Linux: it has splice_read or splice_write).
fn check_spliceable(file: &File) -> SysResult<()> {
    let is_directory = file.inode.kind() == FileKind::Directory;
    let is_anonymous = file.inode.metadata()?.mode & 0o170_000 == 0;
    if is_directory || is_anonymous { Err(Errno::EINVAL) } else { Ok(()) }
}

/// An offset of a file that has none: EINVAL.
fn check_offset(file: &File, offset_at: UserRef<i64>) -> SysResult<()> {
    if offset_at.is_null() || file.ops.is_seekable() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// splice(2).
pub(crate) async fn sys_splice(
    cx: &Cx,
    fd_in: Fd,
    off_in: UserRef<i64>,
    fd_out: Fd,
    off_out: UserRef<i64>,
    size: usize,
    flags: u32,
) -> SysResult<usize> {
    if size == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (cx.file(fd_in)?, cx.file(fd_out)?);
    let (in_pipe, out_pipe) = (pipe_of(&from), pipe_of(&to));
    if in_pipe.is_some() && !off_in.is_null() || out_pipe.is_some() && !off_out.is_null() {
        return Err(Errno::ESPIPE);
    }
    let mut out_side = Side::new(cx, Arc::clone(&to), off_out)?;
    let mut in_side = Side::new(cx, Arc::clone(&from), off_in)?;
    from.check_readable()?;
    to.check_writable()?;
    let may_wait = |file: &File| flags & SPLICE_F_NONBLOCK == 0 && !file.is_nonblocking();
    let len = size.min(MAX_RW_COUNT);
    let moved = match (in_pipe, out_pipe) {
        (Some(a), Some(b)) if a.same_pipe(b) => Err(Errno::EINVAL),
        (Some(a), Some(b)) => {
            Mover { cx, may_wait: may_wait(&from) && may_wait(&to) }.pipe_to_pipe(a, b, len).await
        }
        (Some(pipe), None) => {
            check_offset(&to, off_out)?;
            if to.flags().contains(OpenFlags::APPEND) {
                return Err(Errno::EINVAL);
            }
            check_spliceable(&to)?;
            out_side.verified(len as u64)?;
            Mover { cx, may_wait: may_wait(&from) }.pipe_to_file(pipe, &mut out_side, len).await
        }
        (None, Some(pipe)) => {
            check_offset(&from, off_in)?;
            check_spliceable(&from)?;
            in_side.verified(len as u64)?;
            Mover { cx, may_wait: may_wait(&to) }.file_to_pipe(&mut in_side, pipe, len).await
        }
        (None, None) => Err(Errno::EINVAL),
    }?;
    if moved > 0 {
        from.accessed();
        to.modified();
    }
    Ok(moved)
}

/// tee(2).
pub(crate) async fn sys_tee(cx: &Cx, fd_in: Fd, fd_out: Fd, size: usize, flags: u32) -> SysResult<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    if size == 0 {
        return Ok(0);
    }
    let (from, to) = (cx.file(fd_in)?, cx.file(fd_out)?);
    from.check_readable()?;
    to.check_writable()?;
    let (Some(source), Some(target)) = (pipe_of(&from), pipe_of(&to)) else { return Err(Errno::EINVAL) };
    if source.same_pipe(target) {
        return Err(Errno::EINVAL);
    }
    let may_wait = flags & SPLICE_F_NONBLOCK == 0 && !from.is_nonblocking() && !to.is_nonblocking();
    let mover = Mover { cx, may_wait };
    loop {
        mover.wait_for(source, Events::IN).await?;
        mover.wait_for(target, Events::OUT).await?;
        let copied = with_scratch(step(size), |scratch| {
            let got = source.peek(scratch)?;
            let bytes = scratch.get(..got).ok_or(Errno::EIO)?;
            if bytes.is_empty() { Ok(0) } else { mover.fill(target, bytes) }
        });
        match copied {
            Err(Errno::EAGAIN) if may_wait => {}
            result => return result,
        }
    }
}

/// vmsplice(2): into a pipe's writing end, or out of its reading end.
pub(crate) async fn sys_vmsplice(cx: &Cx, fd: Fd, iov: u64, nr_segs: usize, flags: u32) -> SysResult<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(Errno::EINVAL);
    }
    let file = cx.file(fd)?;
    let writes = file.check_writable().is_ok();
    if !writes {
        file.check_readable()?;
    }
    let memory = cx.mem().read_iovec(UserRef::<IoVec>::new(iov), nr_segs)?;
    if memory.total() == 0 {
        return Ok(0);
    }
    let pipe = pipe_of(&file).ok_or(Errno::EBADF)?;
    // O_NONBLOCK of the file is not looked at.
    let mover = Mover { cx, may_wait: flags & SPLICE_F_NONBLOCK == 0 };
    if writes { mover.memory_to_pipe(&memory, pipe).await } else { mover.pipe_to_memory(pipe, &memory).await }
}

impl Mover<'_> {
    /// Waits for the first room, then writes until the pipe is full.
    async fn memory_to_pipe(self, memory: &Pieces, pipe: &PipeEnd) -> SysResult<usize> {
        let mut done = 0;
        while done < memory.total() {
            if done == 0 {
                self.wait_for(pipe, Events::OUT).await?;
            }
            let want = step(memory.total() - done);
            let moved = with_scratch(want, |scratch| {
                let got = self.cx.mem().gather(memory, done, scratch)?;
                self.fill(pipe, scratch.get(..got).ok_or(Errno::EIO)?)
            });
            match moved {
                Ok(0) => break,
                Ok(moved) => done += moved,
                Err(Errno::EAGAIN) if done == 0 && self.may_wait => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Waits for the first bytes, then takes what there is.
    async fn pipe_to_memory(self, pipe: &PipeEnd, memory: &Pieces) -> SysResult<usize> {
        let mut done = 0;
        while done < memory.total() {
            if done == 0 {
                self.wait_for(pipe, Events::IN).await?;
            }
            let sink = |bytes: &[u8]| self.cx.mem().scatter(memory, done, bytes);
            match self.drain(pipe, memory.total() - done, sink) {
                Ok(0) => break,
                Ok(moved) => done += moved,
                Err(Errno::EAGAIN) if done == 0 && self.may_wait => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}
