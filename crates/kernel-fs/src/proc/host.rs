//! Reading the host's files, bounded, and taking their text apart.

use abi_linux::SysResult;
use kernel_task::Kernel;
use platform_api::{HostFile, HostTid, ProcFile};

use crate::pseudo::MAX_BYTES;

/// One of the host's machine-wide files.
pub(crate) fn machine_file(kernel: &Kernel, file: HostFile) -> SysResult<Vec<u8>> {
    let mut out = Vec::new();
    kernel.platform.read_host(file, MAX_BYTES, &mut out)?;
    Ok(out)
}

/// One of the host's files about a thread.
pub(crate) fn thread_file(kernel: &Kernel, tid: HostTid, file: ProcFile) -> SysResult<Vec<u8>> {
    let mut out = Vec::new();
    kernel.platform.read_proc(tid, file, MAX_BYTES, &mut out)?;
    Ok(out)
}

/// The lines of a text, without their ends and without an empty last one.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = text.strip_suffix(b"\n").unwrap_or(text);
    whole.split(|&b| b == b'\n').filter(|_| !text.is_empty())
}

/// The words of a line.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b' ' || b == b'\t').filter(|word| !word.is_empty())
}

/// A decimal number.
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// "12.34" in hundredths.
pub(crate) fn hundredths(word: &[u8]) -> Option<u64> {
    let point = word.iter().position(|&b| b == b'.')?;
    let (whole, part) = (number(word.get(..point)?)?, word.get(point + 1..)?);
    if part.len() != 2 {
        return None;
    }
    whole.checked_mul(100)?.checked_add(number(part)?)
}
