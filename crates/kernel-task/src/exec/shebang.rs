//! The first line of a script.

use abi_linux::{Errno, SysResult};

/// Bytes of a `#!` line that are looked at (include/uapi/linux/binfmts.h BINPRM_BUF_SIZE).
const SHEBANG_MAX: usize = 256;

/// `#! interpreter [argument]`; fs/binfmt_script.c:load_script, Linux v6.12.
pub(super) fn shebang(head: &[u8]) -> SysResult<(Vec<u8>, Option<Vec<u8>>)> {
    let head = &head[..head.len().min(SHEBANG_MAX)];
    let line = head.strip_prefix(b"#!").ok_or(Errno::ENOEXEC)?;
    let end = line.iter().position(|&b| b == b'\n');
    // Without an end of line the interpreter's name must at least end within the buffer.
    let cut = end.is_none() && head.len() == SHEBANG_MAX;
    let line = &line[..end.unwrap_or(line.len())];
    let line = line.split(|&b| b == 0).next().unwrap_or(line);
    let is_blank = |b: &u8| *b == b' ' || *b == b'\t';
    let line = line.trim_ascii_start();
    let interp_end = line.iter().position(is_blank);
    if cut && interp_end.is_none() {
        return Err(Errno::ENOEXEC);
    }
    let (interp, rest) = line.split_at(interp_end.unwrap_or(line.len()));
    if interp.is_empty() {
        return Err(Errno::ENOEXEC);
    }
    let argument = rest.trim_ascii();
    Ok((interp.to_vec(), (!argument.is_empty()).then(|| argument.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::shebang;
    use abi_linux::Errno;

    #[test]
    fn shebang_takes_one_argument_with_blanks_inside() {
        let parsed = shebang(b"#! /bin/awk  -f  -v \nrest");
        assert_eq!(parsed, Ok((b"/bin/awk".to_vec(), Some(b"-f  -v".to_vec()))));
        assert_eq!(shebang(b"#!/bin/sh\n"), Ok((b"/bin/sh".to_vec(), None)));
        assert_eq!(shebang(b"#!/bin/sh"), Ok((b"/bin/sh".to_vec(), None)));
    }

    #[test]
    fn text_and_empty_shebang_are_no_programs() {
        assert_eq!(shebang(b"echo hi\n"), Err(Errno::ENOEXEC));
        assert_eq!(shebang(b"#!  \n"), Err(Errno::ENOEXEC));
        assert_eq!(shebang(&[b"#!".as_slice(), &[b'a'; 300]].concat()), Err(Errno::ENOEXEC));
    }
}
