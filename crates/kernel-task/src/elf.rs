//! ELF headers (elf(5)), read from a guest's file in safe code and checked before anything is mapped.
//!
//! Linux v6.12 fs/binfmt_elf.c:load_elf_binary is the model for what is refused; it finds some of it only
//! past the point of no return and kills the process then, where we still answer ENOEXEC.

use abi_linux::{Errno, SysResult};
use guest_loader::{Object, Placement, Segment};
use kernel_base::user::TASK_SIZE;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Most bytes of program headers that are looked at (fs/binfmt_elf.c ELF_MIN_ALIGN … 64 KiB).
const MAX_PHDR_BYTES: usize = 64 * 1024;
const PAGE: u64 = 4096;

const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;

/// Reads at an offset of the file; short at its end.
pub type ReadAt<'a> = dyn Fn(u64, &mut [u8]) -> SysResult<usize> + 'a;

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C)]
struct FileHeader {
    ident: [u8; 16],
    e_type: u16,
    machine: u16,
    version: u32,
    entry: u64,
    phoff: u64,
    shoff: u64,
    flags: u32,
    ehsize: u16,
    phentsize: u16,
    phnum: u16,
    shentsize: u16,
    shnum: u16,
    shstrndx: u16,
}

#[derive(FromBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct ProgramHeader {
    p_type: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    filesz: u64,
    memsz: u64,
    align: u64,
}

/// What exec needs to know of an ELF file.
pub struct ElfImage {
    pub object: Object,
    /// Where the program headers lie in memory, before the bias; 0 when no segment holds them.
    pub phdr: u64,
    pub phnum: u16,
    /// PT_INTERP, without its NUL.
    pub interp: Option<Vec<u8>>,
    /// PT_GNU_STACK asks for an executable stack.
    pub exec_stack: bool,
}

/// Whether the first bytes of a file are an ELF magic.
#[must_use]
pub fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// Reads and checks the headers. ENOEXEC for whatever cannot be run.
pub fn parse(head: &[u8], read_at: &ReadAt<'_>) -> SysResult<ElfImage> {
    let (header, _) = FileHeader::read_from_prefix(head).map_err(|_| Errno::ENOEXEC)?;
    check_header(&header)?;
    let headers = program_headers(&header, head, read_at)?;
    let interp = headers.iter().find(|ph| ph.p_type == PT_INTERP);
    let interp = interp.map(|ph| read_interp(ph, read_at)).transpose()?;
    let segments = segments(&headers)?;
    let align = headers.iter().filter(|ph| ph.p_type == PT_LOAD).map(|ph| ph.align).fold(PAGE, max_align);
    let placement = if header.e_type == ET_EXEC { Placement::Fixed } else { Placement::Relocatable };
    Ok(ElfImage {
        phdr: phdr_address(&header, &headers),
        phnum: header.phnum,
        interp,
        exec_stack: headers.iter().any(|ph| ph.p_type == PT_GNU_STACK && ph.flags & PF_X != 0),
        object: Object { placement, align, entry: header.entry, segments },
    })
}

fn max_align(best: u64, align: u64) -> u64 {
    // An absurd alignment is a hint only; Linux ignores what is no power of two.
    if align.is_power_of_two() && align <= 1 << 30 { best.max(align) } else { best }
}

fn check_header(header: &FileHeader) -> SysResult<()> {
    let is_64_bit_little = header.ident[4] == 2 && header.ident[5] == 1;
    let ok = is_elf(&header.ident)
        && is_64_bit_little
        && (header.e_type == ET_EXEC || header.e_type == ET_DYN)
        && header.machine == EM_X86_64
        && usize::from(header.phentsize) == size_of::<ProgramHeader>()
        && header.phnum > 0
        && usize::from(header.phnum) * size_of::<ProgramHeader>() <= MAX_PHDR_BYTES
        && header.entry < TASK_SIZE;
    if ok { Ok(()) } else { Err(Errno::ENOEXEC) }
}

fn program_headers(header: &FileHeader, head: &[u8], read_at: &ReadAt<'_>) -> SysResult<Vec<ProgramHeader>> {
    let len = usize::from(header.phnum) * size_of::<ProgramHeader>();
    let in_head =
        usize::try_from(header.phoff).ok().and_then(|start| head.get(start..start.checked_add(len)?));
    let mut bytes = vec![0; len];
    match in_head {
        Some(found) => bytes.copy_from_slice(found),
        None => read_exactly(header.phoff, &mut bytes, read_at)?,
    }
    let (chunks, _) = bytes.as_chunks::<{ size_of::<ProgramHeader>() }>();
    chunks.iter().map(|chunk| ProgramHeader::read_from_bytes(chunk).map_err(|_| Errno::ENOEXEC)).collect()
}

fn read_exactly(offset: u64, buf: &mut [u8], read_at: &ReadAt<'_>) -> SysResult<()> {
    let mut done = 0;
    while done < buf.len() {
        let at = offset.checked_add(done as u64).ok_or(Errno::ENOEXEC)?;
        match read_at(at, &mut buf[done..])? {
            0 => return Err(Errno::ENOEXEC),
            n => done += n,
        }
    }
    Ok(())
}

fn read_interp(ph: &ProgramHeader, read_at: &ReadAt<'_>) -> SysResult<Vec<u8>> {
    if ph.filesz < 2 || ph.filesz > abi_linux::fs::PATH_MAX as u64 {
        return Err(Errno::ENOEXEC);
    }
    let mut path = vec![0; ph.filesz as usize];
    read_exactly(ph.offset, &mut path, read_at)?;
    if path.pop() != Some(0) {
        return Err(Errno::ENOEXEC);
    }
    let len = path.iter().position(|&b| b == 0).unwrap_or(path.len());
    path.truncate(len);
    Ok(path)
}

fn segments(headers: &[ProgramHeader]) -> SysResult<Vec<Segment>> {
    let mut segments = Vec::new();
    let mut end_before = 0;
    for ph in headers.iter().filter(|ph| ph.p_type == PT_LOAD && ph.memsz > 0) {
        let end = ph.vaddr.checked_add(ph.memsz).filter(|&end| end <= TASK_SIZE).ok_or(Errno::ENOEXEC)?;
        let file_end = ph.offset.checked_add(ph.filesz);
        let in_order = ph.vaddr & !(PAGE - 1) >= end_before;
        let congruent = ph.filesz == 0 || ph.vaddr % PAGE == ph.offset % PAGE;
        if ph.filesz > ph.memsz || file_end.is_none_or(|end| end > i64::MAX as u64) || !in_order || !congruent
        {
            return Err(Errno::ENOEXEC);
        }
        // Segments may share a page (the later one is mapped over the earlier), but not overlap.
        end_before = end & !(PAGE - 1);
        segments.push(Segment {
            prot: prot(ph.flags),
            vaddr: ph.vaddr,
            mem_len: ph.memsz,
            file_off: ph.offset,
            file_len: ph.filesz,
        });
    }
    if segments.is_empty() { Err(Errno::ENOEXEC) } else { Ok(segments) }
}

fn prot(flags: u32) -> u32 {
    let bit = |flag: u32, prot: u32| if flags & flag != 0 { prot } else { 0 };
    bit(PF_R, 1) | bit(PF_W, 2) | bit(PF_X, 4)
}

/// PT_PHDR, or the segment that holds the table (fs/binfmt_elf.c, since v5.18).
fn phdr_address(header: &FileHeader, headers: &[ProgramHeader]) -> u64 {
    if let Some(ph) = headers.iter().find(|ph| ph.p_type == PT_PHDR) {
        return ph.vaddr;
    }
    let loads = headers.iter().filter(|ph| ph.p_type == PT_LOAD);
    let inside = |ph: &ProgramHeader| header.phoff.checked_sub(ph.offset).filter(|&at| at < ph.filesz);
    // An empty segment's address has not been checked, so the sum may be too large.
    loads.filter_map(|ph| inside(ph)?.checked_add(ph.vaddr)).next().unwrap_or(0)
}

#[cfg(test)]
#[path = "elf_test.rs"]
mod tests;
