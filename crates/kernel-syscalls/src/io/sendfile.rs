//! sendfile(2) (fs/read_write.c do_sendfile, Linux v6.18).

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_base::user::{MAX_RW_COUNT, UserRef};
use kernel_vfs::file::File;

use super::transfer::{check_seekable, within_limit};
use crate::cx::Cx;

const CHUNK: usize = 64 * 1024;

/// The source of a copy and where it stands.
struct Source {
    file: Arc<File>,
    /// Where the guest keeps the offset; null for the file's position.
    offset_at: UserRef<i64>,
    offset: u64,
}

impl Source {
    fn open(cx: &Cx, fd: Fd, offset_at: UserRef<i64>) -> SysResult<Self> {
        let mut offset = None;
        if !offset_at.is_null() {
            offset = Some(cx.mem().read(offset_at)?);
        }
        let file = cx.file(fd)?;
        file.check_readable()?;
        check_seekable(&file).map_err(|errno| if offset.is_some() { errno } else { Errno::EINVAL })?;
        let offset = offset.map(u64::try_from).transpose().map_err(|_| Errno::EINVAL)?;
        let offset = offset.unwrap_or_else(|| *file.position());
        Ok(Self { file, offset_at, offset })
    }

    /// Makes it visible that `count` more bytes were taken: an interrupted call has no other moment.
    fn advance(&mut self, cx: &Cx, count: usize) -> SysResult<()> {
        self.offset = self.offset.saturating_add(count as u64);
        if self.offset_at.is_null() {
            *self.file.position() = self.offset;
            return Ok(());
        }
        let offset = i64::try_from(self.offset).unwrap_or(i64::MAX);
        cx.mem().write(self.offset_at, &offset)
    }
}

fn write_out(cx: &Cx, out: &File, bytes: &[u8]) -> SysResult<usize> {
    if !out.ops.is_seekable() {
        return out.ops.write(out.io(&*cx.task, 0), bytes).map(|(written, _)| written);
    }
    let mut position = out.position();
    let bytes = within_limit(cx, out, out.flags(), *position, bytes)?;
    let (written, _) = out.ops.write(out.io(&*cx.task, *position), bytes)?;
    *position = position.saturating_add(written as u64);
    Ok(written)
}

/// Copies one chunk; how much, and whether the source has more.
async fn copy_chunk(
    cx: &Cx,
    out: &File,
    source: &mut Source,
    chunk: &mut [u8],
    before: usize,
) -> SysResult<usize> {
    let got = source.file.ops.read(source.file.io(&*cx.task, source.offset), chunk)?;
    let bytes = chunk.get(..got).ok_or(Errno::EIO)?;
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        let written = match cx.block_on(out, Events::OUT, || write_out(cx, out, rest)).await {
            Ok(written) if written > 0 => written,
            Err(errno) if done == 0 => return Err(errno),
            _ => break,
        };
        done += written;
        source.advance(cx, written)?;
        cx.set_progress(before + done);
    }
    Ok(done)
}

/// sendfile(2). The offset is put back even if nothing was copied, or fails with EFAULT then.
pub(crate) async fn sys_sendfile(
    cx: &Cx,
    out_fd: Fd,
    in_fd: Fd,
    offset: UserRef<i64>,
    count: usize,
) -> SysResult<usize> {
    let mut source = Source::open(cx, in_fd, offset)?;
    let copied = send(cx, out_fd, &mut source, count).await;
    source.advance(cx, 0)?;
    copied
}

async fn send(cx: &Cx, out_fd: Fd, source: &mut Source, count: usize) -> SysResult<usize> {
    let out = cx.file(out_fd)?;
    out.check_writable()?;
    if out.flags().contains(OpenFlags::APPEND) {
        return Err(Errno::EINVAL);
    }
    let count = count.min(MAX_RW_COUNT);
    let mut chunk = vec![0; count.min(CHUNK)];
    let mut done = 0;
    while done < count {
        let want = (count - done).min(chunk.len());
        match copy_chunk(cx, &out, source, &mut chunk[..want], done).await {
            Ok(0) => break,
            Ok(copied) => done += copied,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    cx.set_progress(0);
    if done > 0 {
        source.file.accessed();
        out.modified();
    }
    Ok(done)
}
