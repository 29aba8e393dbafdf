//! Just enough of an ELF reader to make load plans of trusted programs.

use std::fs;
use std::path::{Path, PathBuf};

use guest_loader::{LoadPlan, Object, Placement, Segment};

const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;

/// The numbers of one ELF file.
pub(crate) struct Elf {
    pub(crate) path: PathBuf,
    pub(crate) object: Object,
    pub(crate) interp: Option<PathBuf>,
    pub(crate) phdr: u64,
    pub(crate) phnum: u16,
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> u64 {
    let mut wide = [0u8; 8];
    wide[..N].copy_from_slice(&bytes[at..at + N]);
    u64::from_le_bytes(wide)
}

pub(crate) fn read(path: &Path) -> Elf {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..4], b"\x7fELF");
    let placement = if number::<2>(&bytes, 16) == 2 { Placement::Fixed } else { Placement::Relocatable };
    let (phoff, phnum) = (number::<8>(&bytes, 32), number::<2>(&bytes, 56));
    let mut elf = Elf {
        path: path.to_path_buf(),
        object: Object { placement, align: 0, entry: number::<8>(&bytes, 24), segments: Vec::new() },
        interp: None,
        phdr: 0,
        phnum: phnum as u16,
    };
    for index in 0..phnum {
        let at = (phoff + index * 56) as usize;
        let (kind, flags) = (number::<4>(&bytes, at) as u32, number::<4>(&bytes, at + 4) as u32);
        let [file_off, vaddr] = [8, 16].map(|field| number::<8>(&bytes, at + field));
        let [file_len, mem_len, align] = [32, 40, 48].map(|field| number::<8>(&bytes, at + field));
        if kind == PT_INTERP {
            let name = &bytes[file_off as usize..(file_off + file_len - 1) as usize];
            elf.interp = Some(PathBuf::from(std::str::from_utf8(name).unwrap()));
        }
        if kind != PT_LOAD || mem_len == 0 {
            continue;
        }
        if (file_off..file_off + file_len).contains(&phoff) {
            elf.phdr = phoff - file_off + vaddr;
        }
        // PF_X, PF_W, PF_R to PROT_EXEC, PROT_WRITE, PROT_READ.
        let prot = ((flags & 1) << 2) | (flags & 2) | ((flags & 4) >> 2);
        elf.object.align = elf.object.align.max(align);
        elf.object.segments.push(Segment { prot, vaddr, mem_len, file_off, file_len });
    }
    elf
}

/// The plan of an exec of this file with ids that the host process does not have.
pub(crate) fn plan(elf: &Elf) -> LoadPlan {
    LoadPlan {
        exe: elf.object.clone(),
        interp: elf.interp.as_deref().map(|path| read(path).object),
        phdr: elf.phdr,
        phnum: elf.phnum,
        uid: 1001,
        euid: 1002,
        gid: 1003,
        egid: 1004,
        secure: false,
        exec_stack: false,
        execfn: elf.path.as_os_str().as_encoded_bytes().to_vec(),
        argv_prefix: Vec::new(),
    }
}
