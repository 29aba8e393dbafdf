//! What the host tells of a process's memory, with the names of files translated, and its arguments.

use abi_linux::SysResult;
use abi_linux::fs::{device_numbers, makedev};
use host_files::MemFile;
use kernel_base::caller::Caller;
use kernel_vfs::path::Path;
use kernel_vfs::walk::WalkFlags;
use platform_api::ProcFile;

use super::{Target, host};
use crate::pseudo::text;

/// What the host calls the loader's file.
const LOADER: &[u8] = b"/memfd:palisade-loader";
const DELETED: &[u8] = b" (deleted)";

/// argv; for a `#!` file the interpreter's, as Linux shows it.
pub(super) fn cmdline(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(ProcFile::Cmdline)?;
    let image = target.process.image.read().clone();
    // Without a program, but with memory (a zombie has neither).
    if image.exe.is_none() && !text.is_empty() {
        // The container's own init, whose host arguments are those of the program that it starts.
        out.extend_from_slice(&target.comm());
        out.push(0);
        return Ok(());
    }
    if image.argv_prefix.is_empty() || text.is_empty() {
        out.extend_from_slice(&text);
        return Ok(());
    }
    for word in &image.argv_prefix {
        out.extend_from_slice(word);
        out.push(0);
    }
    let after_first = text.iter().position(|&b| b == 0).map_or(text.len(), |at| at + 1);
    out.extend_from_slice(text.get(after_first..).unwrap_or_default());
    Ok(())
}

pub(super) fn environ(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    out.append(&mut target.host_file(ProcFile::Environ)?);
    Ok(())
}

/// The host's auxiliary vector describes the loader: entries about the image are left out, those about
/// users are the container's.
pub(super) fn auxv(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(ProcFile::Auxv)?;
    let its = target.credentials();
    for entry in text.as_chunks::<16>().0 {
        let (key, value) = entry.split_at(8);
        let shown = match key.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)) {
            // AT_PHDR, AT_PHNUM, AT_BASE, AT_ENTRY, AT_EXECFN
            3 | 5 | 7 | 9 | 31 => continue,
            11 => u64::from(its.user_ns.show_uid(its.ruid)).to_le_bytes().to_vec(),
            12 => u64::from(its.user_ns.show_uid(its.euid)).to_le_bytes().to_vec(),
            13 => u64::from(its.user_ns.show_gid(its.rgid)).to_le_bytes().to_vec(),
            14 => u64::from(its.user_ns.show_gid(its.egid)).to_le_bytes().to_vec(),
            _ => value.to_vec(),
        };
        out.extend_from_slice(key);
        out.extend_from_slice(&shown);
    }
    Ok(())
}

pub(super) fn maps(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    mappings(target, ProcFile::Maps, out)
}

pub(super) fn smaps(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    mappings(target, ProcFile::Smaps, out)
}

pub(super) fn smaps_rollup(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    mappings(target, ProcFile::SmapsRollup, out)
}

fn mappings(target: &Target, file: ProcFile, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(file)?;
    // A list that was cut at the limit ends at its last whole line.
    let end = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    // The segments of one file follow each other.
    let mut last: Option<(&[u8], Shown)> = None;
    for line in host::lines(text.get(..end).unwrap_or_default()) {
        match Mapping::parse(line) {
            Some(mapping) => {
                let shown = match last.take() {
                    Some((name, shown)) if name == mapping.name => shown,
                    _ => mapping.shown(target),
                };
                mapping.write(&shown, out);
                last = Some((mapping.name, shown));
            }
            None => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    Ok(())
}

/// What the guest sees of a mapping's file.
#[derive(Default)]
struct Shown {
    name: Vec<u8>,
    /// Device and inode as stat(2) of the file gives them; `None` for what is no file.
    file: Option<(u64, u64)>,
}

impl Shown {
    fn of_path(name: Vec<u8>, path: &Path) -> Self {
        let file = path.inode().metadata().ok().map(|found| (found.dev, found.ino));
        Self { name, file }
    }
}

/// The first line of a mapping (fs/proc/task_mmu.c show_map_vma).
struct Mapping<'a> {
    /// "start-end perms offset".
    place: &'a [u8],
    device: &'a [u8],
    inode: &'a [u8],
    name: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// `None` for the other lines of smaps, which look like "Rss:  4 kB".
    fn parse(line: &'a [u8]) -> Option<Self> {
        let dash = line.iter().position(|&b| b == b'-')?;
        if dash == 0 || !line.get(..dash)?.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut spaces = line.iter().enumerate().filter(|&(_, &b)| b == b' ').map(|(at, _)| at);
        let third = spaces.nth(2)?;
        let fourth = spaces.next()?;
        let fifth = spaces.next().unwrap_or(line.len());
        Some(Self {
            place: line.get(..third)?,
            device: line.get(third + 1..fourth)?,
            inode: line.get(fourth + 1..fifth)?,
            name: line.get(fifth..).unwrap_or_default().trim_ascii_start(),
        })
    }

    fn write(&self, shown: &Shown, out: &mut Vec<u8>) {
        let begin = out.len();
        let (dev, ino) = shown.file.unwrap_or_default();
        let (major, minor) = device_numbers(dev);
        out.extend_from_slice(self.place);
        text!(out, " {major:02x}:{minor:02x} {ino} ");
        // seq_pad: the name starts in column 73; a mapping without one keeps a blank.
        if !shown.name.is_empty() {
            while out.len() - begin < 73 {
                out.push(b' ');
            }
            out.extend_from_slice(&shown.name);
        }
    }

    /// Names in brackets say what the kernel made; a path is shown only when its guest path is known.
    fn shown(&self, target: &Target) -> Shown {
        let plain = self.name.strip_suffix(DELETED).unwrap_or(self.name);
        let is_deleted = plain.len() < self.name.len();
        let bare = |name: &[u8]| Shown { name: name.to_vec(), file: None };
        match self.name {
            [] | [b'[', ..] => bare(self.name),
            _ if plain == LOADER => bare(b"[palisade]"),
            // A shared anonymous mapping.
            _ if plain == b"/dev/zero" && is_deleted => {
                Shown { name: self.name.to_vec(), file: Some(self.hosts()) }
            }
            _ if let Some(label) = MemFile::label_of(plain) => {
                let root = target.process.fs.get().root.clone();
                let path = target.process.kernel.mapped_files.path(label);
                path.map_or_else(Shown::default, |path| Shown::of_path(path.display(&root), &path))
            }
            _ => match target.proc.options.hooks.mapped_name(plain) {
                Some(mut name) => {
                    let file = self.file_at(target, &name);
                    if is_deleted && !plain.starts_with(b"/memfd:") {
                        name.extend_from_slice(DELETED);
                    }
                    Shown { name, file: Some(file) }
                }
                None => Shown::default(),
            },
        }
    }

    /// Device and inode as the host says them.
    fn hosts(&self) -> (u64, u64) {
        let hex =
            |word: &[u8]| std::str::from_utf8(word).ok().and_then(|word| u32::from_str_radix(word, 16).ok());
        let mut numbers = self.device.split(|&b| b == b':').map(|word| hex(word).unwrap_or(0));
        let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        (makedev(major, minor), host::number(self.inode).unwrap_or(0))
    }

    /// The filesystem of the guest that shows a host file keeps its inode number, but has a device number of its
    /// own: lsof(8) compares it with stat(2)'s. Where another file has that name by now, the host's is shown.
    fn file_at(&self, target: &Target, name: &[u8]) -> (u64, u64) {
        let hosts = self.hosts();
        let found = target.process.any_task().and_then(|task| {
            let path = task.with_walk(|walk| walk.resolve(None, name, WalkFlags::empty())).ok()?;
            path.inode().metadata().ok()
        });
        found.filter(|found| found.ino == hosts.1).map_or(hosts, |found| (found.dev, found.ino))
    }
}
