//! What the host tells of a process's memory, with the names of files translated, and its arguments.

use abi_linux::SysResult;
use host_files::MemFile;
use kernel_base::caller::Caller;
use platform_api::ProcFile;

use super::{Target, host};

/// What the host calls the loader's file.
const LOADER: &[u8] = b"/memfd:palisade-loader";
const DELETED: &[u8] = b" (deleted)";

/// argv; for a `#!` file the interpreter's, as Linux shows it.
pub(super) fn cmdline(target: &Target, _who: &dyn Caller, out: &mut Vec<u8>) -> SysResult<()> {
    let text = target.host_file(ProcFile::Cmdline)?;
    let image = target.process.image.read().clone();
    if image.exe.is_none() {
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
    for line in host::lines(text.get(..end).unwrap_or_default()) {
        match Mapping::parse(line) {
            Some(mapping) => mapping.show(target, out),
            None => out.extend_from_slice(line),
        }
        out.push(b'\n');
    }
    Ok(())
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

    fn show(&self, target: &Target, out: &mut Vec<u8>) {
        let (name, is_file) = self.guest_name(target);
        let (device, inode) = if is_file { (self.device, self.inode) } else { (&b"00:00"[..], &b"0"[..]) };
        let begin = out.len();
        for part in [self.place, b" ", device, b" ", inode] {
            out.extend_from_slice(part);
        }
        // seq_pad: the name starts in column 73; a mapping without one keeps a blank.
        out.push(b' ');
        if !name.is_empty() {
            while out.len() - begin < 73 {
                out.push(b' ');
            }
            out.extend_from_slice(&name);
        }
    }

    /// The name that the guest sees, and whether it is a file's. Names in brackets say what the kernel made;
    /// a path is shown only when its guest path is known.
    fn guest_name(&self, target: &Target) -> (Vec<u8>, bool) {
        let plain = self.name.strip_suffix(DELETED).unwrap_or(self.name);
        match self.name {
            b"" => (Vec::new(), false),
            [b'[', ..] => (self.name.to_vec(), false),
            _ if plain == LOADER => (b"[palisade]".to_vec(), false),
            // A shared anonymous mapping.
            _ if plain == b"/dev/zero" && plain.len() < self.name.len() => (self.name.to_vec(), true),
            _ if let Some(label) = MemFile::label_of(plain) => {
                let path = target.process.kernel.mapped_files.path(label);
                let root = target.process.fs.lock().root.clone();
                path.map_or((Vec::new(), false), |path| (path.display(&root), true))
            }
            _ => match target.proc.options.hooks.mapped_name(plain) {
                Some(mut name) => {
                    if plain.len() < self.name.len() && !plain.starts_with(b"/memfd:") {
                        name.extend_from_slice(DELETED);
                    }
                    (name, true)
                }
                None => (Vec::new(), false),
            },
        }
    }
}
