//! Reads and writes that need not wait, without the future of those that may.
//!
//! Nearly all are of regular files and of pipes that have what is asked for. Whatever is not as simple, errors of
//! arguments among it, is left to the handler that may wait: nothing has happened yet when these say `None`.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::reg::Fd;
use kernel_net::SocketFile;
use kernel_vfs::file::File;
use kernel_vfs::inode::FileKind;

use super::buffer;
use super::transfer::{Place, Transfer};
use crate::cx::{Cx, Outcome, SCRATCH_LEN};
use crate::net;

/// What a pipe takes as a whole or not at all (pipe(7)).
const PIPE_BUF: usize = 4096;

fn done(result: SysResult<usize>) -> Option<SysResult<Outcome>> {
    match result {
        // Whether it waits is the other handler's to say.
        Err(Errno::EAGAIN) => None,
        result => Some(result.map(Outcome::from)),
    }
}

/// The file, if it is a regular one or a pipe, and `count` bytes can be moved there in one piece.
fn plain(file: Arc<File>, count: usize, place: Place) -> Option<Arc<File>> {
    let is_plain = match file.inode.kind() {
        FileKind::Regular => file.ops.is_seekable() && count <= SCRATCH_LEN,
        FileKind::Fifo => place == Place::Position && count <= PIPE_BUF,
        _ => false,
    };
    (is_plain && count > 0).then_some(file)
}

pub(super) fn read(cx: &Cx, fd: Fd, buf: u64, count: usize, place: Place) -> Option<SysResult<Outcome>> {
    let file = cx.file(fd).ok()?;
    if place == Place::Position
        && let Ok(socket) = SocketFile::of(&file)
    {
        let bytes = buffer(cx, buf, count).ok()?;
        let read = net::now::read(cx, &**socket.socket(), &bytes, file.flags())?;
        return Some(read.map(Outcome::from));
    }
    let file = plain(file, count, place)?;
    file.check_readable().ok()?;
    done(Transfer::new(cx, &file, buffer(cx, buf, count).ok()?, place).read_now())
}

pub(super) fn write(cx: &Cx, fd: Fd, buf: u64, count: usize, place: Place) -> Option<SysResult<Outcome>> {
    let file = cx.file(fd).ok()?;
    if place == Place::Position
        && let Ok(socket) = SocketFile::of(&file)
    {
        let bytes = buffer(cx, buf, count).ok()?;
        let written = net::now::write(cx, &**socket.socket(), &bytes, file.flags())?;
        return Some(written.map(Outcome::from));
    }
    let file = plain(file, count, place)?;
    file.check_writable().ok()?;
    done(Transfer::new(cx, &file, buffer(cx, buf, count).ok()?, place).write_now())
}
