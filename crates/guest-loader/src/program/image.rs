//! Maps the objects. Linux v6.12 fs/binfmt_elf.c: load_elf_binary, elf_load, total_mapping_size.
//!
//! The whole span of an object is reserved first (which also picks the base of an ET_DYN object), the
//! segments are mapped over the reservation, and the gaps between them are given back. Neighbours that are
//! neighbours in the file, too, are one mapping of it and then get their protections: mmap of a file is a call of
//! the supervisor's, mprotect is the host's.

use crate::plan::Plan;
use crate::protocol::{
    FAILED_BSS, FAILED_MAP, FAILED_RESERVE, FD_EXE, OBJECT_EXE, OBJECT_INTERP, ObjectRecord, PLACE_ABSENT,
    PLACE_FIXED, SegmentRecord,
};
use crate::sys::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_NORESERVE, MAP_PRIVATE, PROT_EXEC, PROT_NONE,
    PROT_READ, PROT_WRITE,
};
use crate::{Failure, mem, sys};

const PAGE_MASK: u64 = 4095;

/// Where things ended up.
pub(crate) struct Bases {
    /// What is added to the executable's addresses.
    pub(crate) exe: u64,
    /// AT_BASE: what is added to the interpreter's addresses; 0 without one.
    pub(crate) interp: u64,
    /// AT_ENTRY.
    pub(crate) entry: u64,
    /// AT_PHDR.
    pub(crate) phdr: u64,
    /// Where to jump.
    pub(crate) start: u64,
}

pub(crate) fn map(plan: &Plan) -> Result<Bases, Failure> {
    let header = plan.header();
    let [exe, interp] = &header.objects;
    let exe_bias = map_object(plan, exe, OBJECT_EXE)?;
    let entry = exe.entry.wrapping_add(exe_bias);
    let phdr = if header.phdr == 0 { 0 } else { header.phdr.wrapping_add(exe_bias) };
    if interp.place == PLACE_ABSENT {
        return Ok(Bases { exe: exe_bias, interp: 0, entry, phdr, start: entry });
    }
    let bias = map_object(plan, interp, OBJECT_INTERP)?;
    Ok(Bases { exe: exe_bias, interp: bias, entry, phdr, start: interp.entry.wrapping_add(bias) })
}

/// Maps one object and returns its bias.
fn map_object(plan: &Plan, object: &ObjectRecord, which: u32) -> Result<u64, Failure> {
    let reserved = if object.place == PLACE_FIXED { reserve_fixed(object) } else { reserve_anywhere(object) };
    let failed = |errno| Failure { step: FAILED_RESERVE, errno, index: u64::from(which) };
    let base = reserved.map_err(failed)?;
    let bias = base.wrapping_sub(object.span_start);
    let mut mapped_to = base;
    let mut run = Run { start: 0, end: 0, file_delta: 0, prot: 0 };
    for (index, segment) in plan.segments().iter().enumerate() {
        if segment.object != which {
            continue;
        }
        let start = page_down(segment.vaddr.wrapping_add(bias));
        if start > mapped_to {
            // SAFETY: a gap inside the span that has just been reserved and is not used yet.
            unsafe { sys::munmap(mapped_to, start.wrapping_sub(mapped_to)) };
        }
        let failed = |(step, errno)| Failure { step, errno, index: index as u64 };
        let rest = plan.segments().get(index..).unwrap_or_default();
        mapped_to = map_segment(segment, rest, bias, &mut run).map_err(failed)?;
    }
    Ok(bias)
}

fn reserve_fixed(object: &ObjectRecord) -> Result<u64, u64> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    // SAFETY: NOREPLACE never touches an existing mapping.
    unsafe { sys::mmap(object.span_start, object.span_len, PROT_NONE, flags, -1, 0) }
}

/// Reserves the span where the kernel likes, with a bias that is a multiple of the alignment.
fn reserve_anywhere(object: &ObjectRecord) -> Result<u64, u64> {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    // A page's alignment comes by itself; a larger one needs room to choose from.
    let spare = object.align.saturating_sub(PAGE_MASK + 1);
    let len = object.span_len.saturating_add(spare);
    // SAFETY: without an address nothing is replaced.
    let start = unsafe { sys::mmap(0, len, PROT_NONE, flags, -1, 0) }?;
    let mask = object.align.wrapping_sub(1);
    let bias = start.wrapping_sub(object.span_start).wrapping_add(mask) & !mask;
    let base = bias.wrapping_add(object.span_start);
    let head = base.wrapping_sub(start);
    if head > 0 {
        // SAFETY: the unused head of the reservation.
        unsafe { sys::munmap(start, head) };
    }
    if spare > head {
        // SAFETY: the unused tail of the reservation.
        unsafe { sys::munmap(base.wrapping_add(object.span_len), spare.wrapping_sub(head)) };
    }
    Ok(base)
}

/// The last piece of the file that was mapped.
struct Run {
    start: u64,
    end: u64,
    /// Address minus offset in the file.
    file_delta: u64,
    prot: u64,
}

/// The page-aligned end, before the bias, of the neighbours of the first segment that one mapping can cover.
fn run_end(segments: &[SegmentRecord]) -> u64 {
    let delta = |segment: &SegmentRecord| segment.vaddr.wrapping_sub(segment.file_off);
    let file_end = |segment: &SegmentRecord| page_up(segment.vaddr.wrapping_add(segment.file_len));
    let pairs = segments.iter().zip(segments.iter().skip(1));
    let joined = pairs.take_while(|(segment, next)| {
        let has_bss = segment.mem_len > segment.file_len;
        let same_file = next.object == segment.object && delta(next) == delta(segment);
        let touches = page_down(next.vaddr) <= file_end(segment) && file_end(next) >= file_end(segment);
        !has_bss && same_file && touches && next.file_len > 0
    });
    joined.last().map(|(_, next)| next).or(segments.first()).map_or(0, file_end)
}

/// Maps one segment over the reservation and returns the page-aligned end of it. `rest` begins with it.
fn map_segment(
    segment: &SegmentRecord,
    rest: &[SegmentRecord],
    bias: u64,
    run: &mut Run,
) -> Result<u64, (u64, u64)> {
    let vaddr = segment.vaddr.wrapping_add(bias);
    let start = page_down(vaddr);
    let prot = u64::from(segment.prot);
    let mut mapped_to = start;
    if segment.file_len > 0 {
        let file_end = vaddr.wrapping_add(segment.file_len);
        mapped_to = page_up(file_end);
        let file_delta = vaddr.wrapping_sub(segment.file_off);
        let is_mapped = start >= run.start && mapped_to <= run.end && file_delta == run.file_delta;
        // SAFETY: a part of a mapping that was made for this segment.
        let protect = || unsafe { sys::protect(start, mapped_to.wrapping_sub(start), prot) };
        // Where nothing may become executable (PR_SET_MDWE, seccomp filters), it is mapped so.
        if !is_mapped || prot != run.prot && protect().is_err() {
            let end = if is_mapped { mapped_to } else { run_end(rest).wrapping_add(bias) };
            let fd = FD_EXE.wrapping_add(segment.object as i32);
            let flags = MAP_PRIVATE | MAP_FIXED;
            // SAFETY: the range lies in the object's reservation.
            unsafe { sys::mmap(start, end.wrapping_sub(start), prot, flags, fd, page_down(segment.file_off)) }
                .map_err(|errno| (FAILED_MAP, errno))?;
            if !is_mapped {
                *run = Run { start, end, file_delta, prot };
            }
        }
        // The rest of the last page is bss. As Linux does: only if it can be written.
        if segment.mem_len > segment.file_len && prot & PROT_WRITE != 0 {
            // SAFETY: the rest of a page that has just been mapped writable.
            unsafe { mem::zero(file_end, mapped_to.wrapping_sub(file_end)) };
        }
    }
    let end = page_up(vaddr.wrapping_add(segment.mem_len));
    if end > mapped_to {
        // As vm_brk_flags: readable and writable whatever the header says.
        let prot = PROT_READ | PROT_WRITE | (prot & PROT_EXEC);
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
        let len = end.wrapping_sub(mapped_to);
        // SAFETY: the range lies in the object's reservation.
        unsafe { sys::mmap(mapped_to, len, prot, flags, -1, 0) }.map_err(|errno| (FAILED_BSS, errno))?;
        mapped_to = end;
    }
    Ok(mapped_to)
}

pub(crate) fn page_down(address: u64) -> u64 {
    address & !PAGE_MASK
}

pub(crate) fn page_up(address: u64) -> u64 {
    page_down(address.wrapping_add(PAGE_MASK))
}
