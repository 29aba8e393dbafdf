//! What the embedded ELF file must be, whichever linker made it.

use guest_loader::LOADER;

fn number<const N: usize>(at: usize) -> u64 {
    let mut wide = [0u8; 8];
    wide[..N].copy_from_slice(&LOADER[at..at + N]);
    u64::from_le_bytes(wide)
}

/// Type and flags of each program header.
fn program_headers() -> Vec<(u64, u64)> {
    let (offset, count) = (number::<8>(32) as usize, number::<2>(56) as usize);
    (0..count).map(|index| offset + index * 56).map(|at| (number::<4>(at), number::<4>(at + 4))).collect()
}

#[test]
fn loader_is_a_small_static_pie() {
    const ET_DYN: u64 = 3;
    const PT_INTERP: u64 = 3;
    assert_eq!(&LOADER[..4], b"\x7fELF");
    assert_eq!(number::<2>(16), ET_DYN);
    assert!(program_headers().iter().all(|(kind, _)| *kind != PT_INTERP));
    assert!(LOADER.len() <= 16 * 1024, "{} bytes", LOADER.len());
}

#[test]
fn loader_has_one_segment_that_cannot_be_written() {
    const PT_LOAD: u64 = 1;
    const READ_EXECUTE: u64 = 5;
    let segments: Vec<_> = program_headers().into_iter().filter(|(kind, _)| *kind == PT_LOAD).collect();
    assert_eq!(segments, [(PT_LOAD, READ_EXECUTE)]);
}

#[test]
fn loader_needs_no_relocation() {
    // SHT_RELA, SHT_REL, SHT_RELR
    const RELOCATIONS: [u64; 3] = [4, 9, 19];
    let (offset, count) = (number::<8>(40) as usize, number::<2>(60) as usize);
    for at in (0..count).map(|index| offset + index * 64) {
        assert!(!RELOCATIONS.contains(&number::<4>(at + 4)) || number::<8>(at + 32) == 0);
    }
}
