//! The supervisor's own program in memory.

use abi_linux::SysResult;

use crate::check;

const PAGE: usize = 4096;

/// Lets go of the pages of our own code and constants: those that only the start needed stay away, the others come back
/// from the host's page cache when they are used next.
pub fn release() -> SysResult<()> {
    unsafe extern "C" {
        /// Where the linker put the first segment, and the end of the code.
        static __executable_start: u8;
        static etext: u8;
    }
    let start = (&raw const __executable_start).addr() / PAGE * PAGE;
    let end = (&raw const etext).addr() / PAGE * PAGE;
    let len = end.saturating_sub(start);
    let start = (&raw const __executable_start).with_addr(start).cast_mut().cast();
    // SAFETY: the segments up to the end of the code are private mappings of our file that nobody has written to
    // (relocated data comes after them), so that what comes back is what was there.
    let ret = unsafe { libc::madvise(start, len, libc::MADV_DONTNEED) };
    check(ret).map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn released_program_goes_on() {
        const TEXT: &str = "a constant";
        super::release().unwrap();
        assert_eq!(TEXT.len(), 10);
        super::release().unwrap();
    }
}
