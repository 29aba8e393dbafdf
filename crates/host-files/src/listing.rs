//! Reading host directories.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use abi_linux::SysResult;
use host_sys::meter;
use rustix::fs::{FileType, RawDir, SeekFrom, seek};

use crate::errno;
use crate::stat::HostKind;

/// Bytes that one getdents64(2) asks for.
const CHUNK: usize = 8192;

/// One entry of a directory, "." and ".." among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEntry {
    pub name: Vec<u8>,
    pub ino: u64,
    /// `None` when the host's filesystem does not say.
    pub kind: Option<HostKind>,
    /// The host's position after it.
    pub next: u64,
}

/// A directory open for reading.
#[derive(Debug)]
pub struct Listing {
    fd: OwnedFd,
}

impl Listing {
    pub(crate) fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Goes to a position that an entry's `next` gave, or 0.
    pub fn seek(&self, position: u64) -> SysResult<()> {
        meter::host(|| seek(&self.fd, SeekFrom::Start(position))).map(drop).map_err(errno)
    }

    /// The next few entries; none at the end.
    pub fn next_entries(&self) -> SysResult<Vec<RawEntry>> {
        let mut buf = [MaybeUninit::uninit(); CHUNK];
        let mut raw = RawDir::new(&self.fd, &mut buf);
        let mut entries = Vec::new();
        loop {
            let more = &mut raw;
            // An empty buffer is filled by the host.
            let next = if more.is_buffer_empty() { meter::host(move || more.next()) } else { more.next() };
            let Some(entry) = next else { break };
            let entry = entry.map_err(errno)?;
            let kind = match entry.file_type() {
                FileType::Unknown => None,
                known => HostKind::from_type(known),
            };
            let name = entry.file_name().to_bytes().to_vec();
            entries.push(RawEntry { name, ino: entry.ino(), kind, next: entry.next_entry_cookie() });
            if raw.is_buffer_empty() {
                break;
            }
        }
        Ok(entries)
    }
}
