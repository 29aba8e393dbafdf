use abi_linux::Errno;
use kernel_base::user::TASK_SIZE;
use proptest::prelude::{Just, any, prop, proptest};
use proptest::{prop_assert, prop_oneof};

use super::{PT_INTERP, PT_LOAD, parse};

struct Ph {
    kind: u32,
    flags: u32,
    words: [u64; 6],
}

fn load(vaddr: u64, offset: u64, filesz: u64, memsz: u64) -> Ph {
    Ph { kind: PT_LOAD, flags: 5, words: [offset, vaddr, vaddr, filesz, memsz, 4096] }
}

fn elf(e_type: u16, entry: u64, headers: &[Ph]) -> Vec<u8> {
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    out.extend(e_type.to_le_bytes());
    out.extend(62u16.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    for word in [entry, 64, 0] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0u32.to_le_bytes());
    for half in [64, 56, headers.len() as u16, 0, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    for header in headers {
        out.extend(header.kind.to_le_bytes());
        out.extend(header.flags.to_le_bytes());
        for word in header.words {
            out.extend(word.to_le_bytes());
        }
    }
    out
}

fn parse_all(bytes: &[u8]) -> abi_linux::SysResult<super::ElfImage> {
    let head = &bytes[..bytes.len().min(128)];
    parse(head, &|offset, buf| {
        let rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    })
}

#[test]
fn plain_executable_is_understood() {
    let image =
        parse_all(&elf(2, 0x40_1000, &[load(0x40_0000, 0, 0x200, 0x200), load(0x40_1000, 0x1000, 8, 9)]));
    let image = image.unwrap();
    assert_eq!((image.phdr, image.phnum, image.object.segments.len()), (0x40_0040, 2, 2));
    assert!(image.interp.is_none() && !image.exec_stack);
}

#[test]
fn interpreter_is_read_without_its_nul() {
    let mut bytes =
        elf(3, 0, &[load(0, 0, 64, 64), Ph { kind: PT_INTERP, flags: 4, words: [176, 0, 0, 8, 8, 1] }]);
    bytes.extend(b"/lib/ld\0");
    assert_eq!(parse_all(&bytes).unwrap().interp.as_deref(), Some(b"/lib/ld".as_slice()));
    bytes.pop();
    assert_eq!(parse_all(&bytes).err(), Some(Errno::ENOEXEC));
}

#[test]
fn impossible_segments_are_refused() {
    for header in [
        load(u64::MAX - 10, 0, 0, 100),
        load(TASK_SIZE, 0, 0, 1),
        load(0x1000, 0, 10, 5),
        load(0x1001, 0, 10, 10),
        load(0x1000, u64::MAX - 4095, 4096, 4096),
        load(0x1000, 0, 0, 0),
    ] {
        assert_eq!(parse_all(&elf(2, 0x1000, &[header])).err(), Some(Errno::ENOEXEC));
    }
    let overlapping = [load(0x2000, 0, 0x3000, 0x3000), load(0x3000, 0, 0x1000, 0x1000)];
    assert_eq!(parse_all(&elf(2, 0x2000, &overlapping)).err(), Some(Errno::ENOEXEC));
}

#[test]
fn truncated_and_foreign_files_are_refused() {
    let good = elf(2, 0x1000, &[load(0x1000, 0, 64, 64)]);
    for len in 0..good.len() {
        assert!(parse_all(&good[..len]).is_err(), "{len} bytes");
    }
    for (at, value) in [(4, 1), (5, 2), (16, 1), (18, 183), (54, 55), (56, 0)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(parse_all(&bad).err(), Some(Errno::ENOEXEC), "byte {at}");
    }
}

proptest! {
    #[test]
    fn hostile_headers_never_panic_and_stay_in_user_memory(
        e_type in prop_oneof![Just(2u16), Just(3u16)],
        entry in any::<u64>(),
        headers in prop::collection::vec(
            (0u32..8, any::<u32>(), prop::array::uniform6(prop_oneof![any::<u64>(), 0u64..0x10000])),
            0..6,
        ),
    ) {
        let headers: Vec<Ph> =
            headers.into_iter().map(|(kind, flags, words)| Ph { kind, flags, words }).collect();
        if let Ok(image) = parse_all(&elf(e_type, entry, &headers)) {
            for segment in &image.object.segments {
                prop_assert!(segment.vaddr + segment.mem_len <= TASK_SIZE);
                prop_assert!(segment.file_len <= segment.mem_len);
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = bytes;
        let magic = b"\x7fELF\x02\x01";
        let len = magic.len().min(bytes.len());
        bytes[..len].copy_from_slice(&magic[..len]);
        let _ = parse_all(&bytes);
    }
}
