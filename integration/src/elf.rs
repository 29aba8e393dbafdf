//! Broken programs for the tests of bad input: real ELF files with single fields changed.

/// A 64-bit little-endian ELF file as bytes, with access to the fields that tests break.
#[derive(Clone)]
pub struct Elf(pub Vec<u8>);

/// Program header types of elf(5).
pub const PT_LOAD: u32 = 1;
pub const PT_INTERP: u32 = 3;

/// Offsets in the file header, elf(5).
pub const E_MACHINE: usize = 18;
pub const E_PHOFF: usize = 32;
pub const E_PHENTSIZE: usize = 54;
pub const E_PHNUM: usize = 56;

/// Offsets in a program header, elf(5).
pub const P_OFFSET: usize = 8;
pub const P_VADDR: usize = 16;
pub const P_FILESZ: usize = 32;
pub const P_MEMSZ: usize = 40;
pub const P_ALIGN: usize = 48;

impl Elf {
    /// The host's /bin/true.
    pub fn of_true() -> Self {
        Self(std::fs::read("/bin/true").expect("/bin/true is readable"))
    }

    /// With the 64-bit field at `offset` changed.
    #[must_use]
    pub fn set64(mut self, offset: usize, value: u64) -> Self {
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// With the 16-bit field at `offset` changed.
    #[must_use]
    pub fn set16(mut self, offset: usize, value: u16) -> Self {
        self.0[offset..offset + 2].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// Only its first `length` bytes.
    #[must_use]
    pub fn cut(mut self, length: usize) -> Self {
        self.0.truncate(length);
        self
    }

    /// The 64-bit field at `offset`.
    pub fn get64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.0[offset..offset + 8].try_into().expect("eight bytes"))
    }

    /// Where the `index`th program header of a type begins.
    pub fn header(&self, kind: u32, index: usize) -> usize {
        let start = usize::try_from(self.get64(E_PHOFF)).expect("a small file");
        let count = u16::from_le_bytes([self.0[E_PHNUM], self.0[E_PHNUM + 1]]);
        let mut headers = (0..usize::from(count)).map(|n| start + n * 56);
        let mut of_kind = headers.by_ref().filter(|at| self.0[*at..*at + 4] == kind.to_le_bytes());
        of_kind.nth(index).expect("the file has such a header")
    }
}
