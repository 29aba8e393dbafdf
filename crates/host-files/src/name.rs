//! Names that are safe to pass to the host.

use abi_linux::fs::{NAME_MAX, PATH_MAX};
use abi_linux::{Errno, SysResult};

/// One component of a path: no `/`, no NUL, not empty, not "." or "..", at most NAME_MAX bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Checks a name; ENAMETOOLONG or EINVAL.
    pub fn new(name: &'a [u8]) -> SysResult<Self> {
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let bad = matches!(name, b"" | b"." | b"..") || name.iter().any(|&b| b == b'/' || b == 0);
        if bad { Err(Errno::EINVAL) } else { Ok(Self(name)) }
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }
}

/// A relative path made of checked names; empty means the directory itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The path of one directory from its names, outermost first. ENAMETOOLONG beyond PATH_MAX.
    pub fn from_names<'n>(names: impl IntoIterator<Item = &'n [u8]>) -> SysResult<Self> {
        let mut path = Vec::new();
        for name in names {
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(Name::new(name)?.bytes());
        }
        if path.len() >= PATH_MAX { Err(Errno::ENAMETOOLONG) } else { Ok(Self(path)) }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        if self.0.is_empty() { b"." } else { &self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, RelPath};
    use abi_linux::Errno;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert_eq!(Name::new(bad), Err(Errno::EINVAL), "{bad:?}");
        }
        assert_eq!(Name::new(&[b'x'; 256]), Err(Errno::ENAMETOOLONG));
        assert!(Name::new(b"...").is_ok());
        assert_eq!(RelPath::from_names([&b"a"[..], b".."]), Err(Errno::EINVAL));
    }
}
