//! The load plan as the supervisor builds it, and its encoding.
//!
//! Key types: [`LoadPlan`] (what one exec maps and how its stack looks) and [`PlanError`]. Everything in a
//! plan comes from an ELF file and an argv that the guest chose, so [`LoadPlan::encode`] checks every
//! property that the loader relies on (the loader itself checks little: it runs with the guest's rights
//! and can only hurt the guest). Layouts and semantics are those of `protocol.rs`.

use core::fmt;

use crate::protocol::{
    FLAG_EXEC_STACK, MAX_PLAN_LEN, MAX_PREFIX, MAX_SEGMENTS, MODE_EXEC, MODE_INIT, OBJECT_EXE, OBJECT_INTERP,
    ObjectRecord, PLACE_ABSENT, PLACE_FIXED, PLACE_RELOCATABLE, PLAN_MAGIC, PLAN_VERSION, PlanHeader,
    SegmentRecord,
};

const PAGE: u64 = 4096;
/// TASK_SIZE_MAX of x86_64 with four page-table levels.
const TASK_SIZE: u64 = (1 << 47) - PAGE;
const PROT_ALL: u32 = 7;

/// How an object's addresses are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// ET_EXEC.
    Fixed,
    /// ET_DYN.
    Relocatable,
}

/// One PT_LOAD; values as in the program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// PROT_READ | PROT_WRITE | PROT_EXEC, as mmap takes them.
    pub prot: u32,
    /// p_vaddr.
    pub vaddr: u64,
    /// p_memsz.
    pub mem_len: u64,
    /// p_offset.
    pub file_off: u64,
    /// p_filesz.
    pub file_len: u64,
}

/// One ELF object: the executable, or its interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// ET_EXEC or ET_DYN.
    pub placement: Placement,
    /// Largest p_align of the segments; less than a page counts as a page.
    pub align: u64,
    /// e_entry.
    pub entry: u64,
    /// The PT_LOADs with p_memsz > 0, in the file's order (ascending vaddr).
    pub segments: Vec<Segment>,
}

/// Everything that one exec needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadPlan {
    /// The executable; the loader maps it through fd 0.
    pub exe: Object,
    /// PT_INTERP's file; the loader maps it through fd 1.
    pub interp: Option<Object>,
    /// AT_PHDR before relocation: the vaddr at which e_phoff is mapped, or 0.
    pub phdr: u64,
    /// e_phnum.
    pub phnum: u16,
    /// AT_UID, AT_EUID, AT_GID, AT_EGID as the guest sees them.
    pub uid: u32,
    /// See `uid`.
    pub euid: u32,
    /// See `uid`.
    pub gid: u32,
    /// See `uid`.
    pub egid: u32,
    /// AT_SECURE.
    pub secure: bool,
    /// PT_GNU_STACK with PF_X.
    pub exec_stack: bool,
    /// AT_EXECFN: the path as the guest gave it (for a script: as the host's Linux does, the script).
    pub execfn: Vec<u8>,
    /// For `#!`: interpreter, optional argument, script path; takes argv[0]'s place. Else empty.
    pub argv_prefix: Vec<Vec<u8>>,
}

/// Why a plan can't be encoded. The caller answers ENOEXEC (or E2BIG for `TooLong`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// More segments, strings or bytes than the protocol allows.
    TooLong,
    /// A string with a NUL inside.
    NulInString,
    /// An object without a segment.
    NoSegments,
    /// A segment with file_len > mem_len, an offset not congruent to its address, unknown prot bits, an
    /// address out of user space, or that starts below or within its predecessor.
    BadSegment,
    /// An alignment that is no power of two.
    BadAlign,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "load plan exceeds the protocol's limits",
            Self::NulInString => "string with a NUL byte inside",
            Self::NoSegments => "ELF object without a loadable segment",
            Self::BadSegment => "ELF segment that cannot be mapped",
            Self::BadAlign => "ELF alignment that is no power of two",
        })
    }
}

impl core::error::Error for PlanError {}

/// The plan of an init (`MODE_INIT`): fork once, then reap.
#[must_use]
pub fn encode_init() -> Vec<u8> {
    let absent = absent_object();
    let mut header = empty_header(MODE_INIT, [absent, absent]);
    header.total_len = size_of::<PlanHeader>() as u32;
    let mut out = Vec::with_capacity(size_of::<PlanHeader>());
    put_header(&mut out, &header);
    out
}

impl LoadPlan {
    /// The bytes that answer `LOADER_INFO`, at most [`MAX_PLAN_LEN`].
    ///
    /// # Errors
    /// See [`PlanError`].
    pub fn encode(&self) -> Result<Vec<u8>, PlanError> {
        let objects = [self.exe.record()?, self.interp.as_ref().map_or(Ok(absent_object()), Object::record)?];
        let interp_segments = self.interp.as_ref().map_or(0, |interp| interp.segments.len());
        let segment_count = self.exe.segments.len() + interp_segments;
        if segment_count > MAX_SEGMENTS || self.argv_prefix.len() > MAX_PREFIX {
            return Err(PlanError::TooLong);
        }
        let strings = || core::iter::once(&self.execfn).chain(&self.argv_prefix);
        if strings().any(|string| string.contains(&0)) {
            return Err(PlanError::NulInString);
        }

        let execfn_off = size_of::<PlanHeader>() + segment_count * size_of::<SegmentRecord>();
        let prefix_off = execfn_off.checked_add(self.execfn.len() + 1).ok_or(PlanError::TooLong)?;
        let prefix_len = self.argv_prefix.iter().try_fold(0usize, |sum, s| sum.checked_add(s.len() + 1));
        let prefix_len = prefix_len.ok_or(PlanError::TooLong)?;
        let total_len = prefix_off.checked_add(prefix_len).filter(|len| *len <= MAX_PLAN_LEN);
        let total_len = total_len.ok_or(PlanError::TooLong)?;

        let mut header = empty_header(MODE_EXEC, objects);
        header.total_len = word(total_len)?;
        header.phdr = self.phdr;
        header.phent = 56; // sizeof(Elf64_Phdr)
        header.phnum = u32::from(self.phnum);
        (header.uid, header.euid) = (self.uid, self.euid);
        (header.gid, header.egid) = (self.gid, self.egid);
        header.secure = u32::from(self.secure);
        header.flags = if self.exec_stack { FLAG_EXEC_STACK } else { 0 };
        header.segment_count = word(segment_count)?;
        header.segments_off = word(size_of::<PlanHeader>())?;
        header.execfn_off = word(execfn_off)?;
        header.prefix_count = word(self.argv_prefix.len())?;
        header.prefix_off = word(prefix_off)?;
        header.prefix_len = word(prefix_len)?;

        let mut out = Vec::with_capacity(total_len);
        put_header(&mut out, &header);
        self.exe.segments.iter().for_each(|segment| put_segment(&mut out, OBJECT_EXE, segment));
        for segment in self.interp.iter().flat_map(|interp| &interp.segments) {
            put_segment(&mut out, OBJECT_INTERP, segment);
        }
        for string in strings() {
            out.extend_from_slice(string);
            out.push(0);
        }
        Ok(out)
    }
}

impl Object {
    /// Checks the segments and computes the span that they cover.
    fn record(&self) -> Result<ObjectRecord, PlanError> {
        let align = self.align.max(PAGE);
        if !align.is_power_of_two() {
            return Err(PlanError::BadAlign);
        }
        let first = self.segments.first().ok_or(PlanError::NoSegments)?;
        let span_start = first.vaddr & !(PAGE - 1);
        let mut end = 0;
        for segment in &self.segments {
            // A page that two segments share is the later one's, as under Linux; a start below the end of
            // the predecessor itself is refused (Linux would map it over).
            if segment.vaddr < end || !segment.is_mappable() {
                return Err(PlanError::BadSegment);
            }
            end = segment.vaddr + segment.mem_len;
        }
        let span_end = end.checked_next_multiple_of(PAGE).ok_or(PlanError::BadSegment)?;
        let place = match self.placement {
            Placement::Fixed => PLACE_FIXED,
            Placement::Relocatable => PLACE_RELOCATABLE,
        };
        let span_len = span_end - span_start;
        Ok(ObjectRecord { place, reserved: 0, span_start, span_len, align, entry: self.entry })
    }
}

impl Segment {
    fn is_mappable(&self) -> bool {
        let in_user_space = self.vaddr.checked_add(self.mem_len).is_some_and(|end| end <= TASK_SIZE);
        let file_end = self.file_off.checked_add(self.file_len).is_some_and(|end| end <= i64::MAX as u64);
        let congruent = self.file_len == 0 || self.vaddr % PAGE == self.file_off % PAGE;
        let sized = self.mem_len > 0 && self.file_len <= self.mem_len;
        in_user_space && file_end && congruent && sized && self.prot & !PROT_ALL == 0
    }
}

fn word(value: usize) -> Result<u32, PlanError> {
    u32::try_from(value).map_err(|_| PlanError::TooLong)
}

fn absent_object() -> ObjectRecord {
    ObjectRecord { place: PLACE_ABSENT, reserved: 0, span_start: 0, span_len: 0, align: 0, entry: 0 }
}

fn empty_header(mode: u32, objects: [ObjectRecord; 2]) -> PlanHeader {
    PlanHeader {
        magic: PLAN_MAGIC,
        version: PLAN_VERSION,
        mode,
        total_len: 0,
        objects,
        phdr: 0,
        phent: 0,
        phnum: 0,
        uid: 0,
        euid: 0,
        gid: 0,
        egid: 0,
        secure: 0,
        flags: 0,
        segment_count: 0,
        segments_off: 0,
        execfn_off: 0,
        prefix_count: 0,
        prefix_off: 0,
        prefix_len: 0,
    }
}

fn put_u32s(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

fn put_u64s(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
}

fn put_header(out: &mut Vec<u8>, h: &PlanHeader) {
    put_u32s(out, &[h.magic, h.version, h.mode, h.total_len]);
    for object in &h.objects {
        put_u32s(out, &[object.place, object.reserved]);
        put_u64s(out, &[object.span_start, object.span_len, object.align, object.entry]);
    }
    put_u64s(out, &[h.phdr]);
    put_u32s(out, &[h.phent, h.phnum, h.uid, h.euid, h.gid, h.egid, h.secure, h.flags]);
    put_u32s(out, &[h.segment_count, h.segments_off, h.execfn_off]);
    put_u32s(out, &[h.prefix_count, h.prefix_off, h.prefix_len]);
}

fn put_segment(out: &mut Vec<u8>, object: u32, s: &Segment) {
    put_u32s(out, &[object, s.prot]);
    put_u64s(out, &[s.vaddr, s.mem_len, s.file_off, s.file_len]);
}

#[cfg(test)]
mod tests {
    use super::{LoadPlan, Object, Placement, PlanError, Segment, encode_init};
    use crate::protocol::{MAX_PLAN_LEN, PlanHeader, SegmentRecord};

    fn segment(vaddr: u64, mem_len: u64) -> Segment {
        Segment { prot: 5, vaddr, mem_len, file_off: vaddr % 4096, file_len: 16 }
    }

    fn plan(segments: Vec<Segment>) -> LoadPlan {
        LoadPlan {
            exe: Object { placement: Placement::Fixed, align: 4096, entry: 0x1010, segments },
            interp: None,
            phdr: 0,
            phnum: 3,
            uid: 0,
            euid: 0,
            gid: 0,
            egid: 0,
            secure: true,
            exec_stack: false,
            execfn: b"/x".to_vec(),
            argv_prefix: vec![b"/bin/sh".to_vec(), b"/x".to_vec()],
        }
    }

    #[test]
    fn encoding_has_the_layout_of_the_protocol() {
        let bytes = plan(vec![segment(0x1010, 32), segment(0x2ff0, 0x100)]).encode().unwrap();
        let strings_at = size_of::<PlanHeader>() + 2 * size_of::<SegmentRecord>();
        assert_eq!(bytes.get(strings_at..).unwrap(), b"/x\0/bin/sh\0/x\0");
        let at = |offset: usize| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap());
        assert_eq!(at(12) as usize, bytes.len());
        assert_eq!(at(core::mem::offset_of!(PlanHeader, segment_count)), 2);
        assert_eq!(at(core::mem::offset_of!(PlanHeader, execfn_off)) as usize, strings_at);
        assert_eq!(at(core::mem::offset_of!(PlanHeader, secure)), 1);
        assert_eq!(encode_init().len(), size_of::<PlanHeader>());
    }

    #[test]
    fn segments_that_cannot_be_mapped_are_refused() {
        let refused = |segments| plan(segments).encode().unwrap_err();
        assert_eq!(refused(vec![]), PlanError::NoSegments);
        let good = segment(0x1000, 0x1000);
        for bad in [
            Segment { file_len: 0x1001, ..good },
            Segment { file_off: 1, ..good },
            Segment { prot: 8, ..good },
            Segment { mem_len: 0, file_len: 0, ..good },
            Segment { vaddr: u64::MAX - 4095, ..good },
            Segment { vaddr: (1 << 47) - 4096, ..good },
            Segment { file_off: i64::MAX as u64 & !4095, file_len: 4096, ..good },
        ] {
            assert_eq!(refused(vec![bad]), PlanError::BadSegment, "{bad:?}");
        }
        assert_eq!(refused(vec![good, segment(0x1800, 16)]), PlanError::BadSegment);
        assert_eq!(refused(vec![segment(0x5000, 16), good]), PlanError::BadSegment);
    }

    #[test]
    fn limits_of_the_protocol_hold() {
        let good = vec![segment(0x1000, 16)];
        let mut odd = plan(good.clone());
        odd.exe.align = 0x3000;
        assert_eq!(odd.encode(), Err(PlanError::BadAlign));
        let mut long = plan(good.clone());
        long.execfn = vec![b'x'; MAX_PLAN_LEN];
        assert_eq!(long.encode(), Err(PlanError::TooLong));
        let mut nul = plan(good);
        nul.argv_prefix.push(b"a\0b".to_vec());
        assert_eq!(nul.encode(), Err(PlanError::NulInString));
        let many = (1..1200).map(|page| segment(page * 4096, 16)).collect();
        assert_eq!(plan(many).encode(), Err(PlanError::TooLong));
    }
}
