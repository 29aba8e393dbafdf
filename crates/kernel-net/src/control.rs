//! Control messages as bytes (cmsg(3); net/core/scm.c, Linux v6.18). Pure: bytes in, values out.

use abi_linux::{Errno, SysResult};

/// SOL_SOCKET.
pub const SOL_SOCKET: i32 = 1;
/// SCM_RIGHTS.
pub const SCM_RIGHTS: i32 = 1;
/// SCM_CREDENTIALS.
pub const SCM_CREDENTIALS: i32 = 2;
/// Most descriptors in one message (SCM_MAX_FD).
pub const MAX_FILES: usize = 253;
/// `struct cmsghdr`.
pub const HEADER: usize = 16;

/// `struct ucred`. Ids are the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

impl Credential {
    /// What a message without credentials shows: no process, and the overflow ids.
    pub const NOBODY: Self = Self { pid: 0, uid: 65534, gid: 65534 };

    /// As `struct ucred`.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.pid.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.uid.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.gid.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..at + 4)?.first_chunk().copied();
        (bytes.len() == 12).then_some(())?;
        Some(Self {
            pid: i32::from_ne_bytes(word(0)?),
            uid: u32::from_ne_bytes(word(4)?),
            gid: u32::from_ne_bytes(word(8)?),
        })
    }
}

/// One control message that a guest sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    Rights(Vec<i32>),
    Credentials(Credential),
    /// One of these two of a wrong size, which matters to AF_UNIX alone.
    Wrong,
    Other {
        level: i32,
        kind: i32,
        data: Vec<u8>,
    },
}

/// CMSG_ALIGN.
#[must_use]
pub const fn align(len: usize) -> usize {
    len.saturating_add(7) & !7
}

/// Takes a guest's control data apart. EINVAL for a length that does not fit, and for what SOL_SOCKET does
/// not know. A tail that is shorter than a header is no message (CMSG_NXTHDR).
pub fn parse(bytes: &[u8]) -> SysResult<Vec<Control>> {
    let mut found = Vec::new();
    let mut rest = bytes;
    let mut files = 0;
    while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
        let [l0, l1, l2, l3, l4, l5, l6, l7, v0, v1, v2, v3, k0, k1, k2, k3] = *header;
        let len = u64::from_ne_bytes([l0, l1, l2, l3, l4, l5, l6, l7]);
        let (level, kind) = (i32::from_ne_bytes([v0, v1, v2, v3]), i32::from_ne_bytes([k0, k1, k2, k3]));
        let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        let data = rest.get(HEADER..len).ok_or(Errno::EINVAL)?;
        match (level, kind) {
            (SOL_SOCKET, SCM_RIGHTS) => {
                let numbers: Vec<i32> = data
                    .chunks_exact(4)
                    .filter_map(|word| word.first_chunk().copied())
                    .map(i32::from_ne_bytes)
                    .collect();
                files += numbers.len();
                if files > MAX_FILES {
                    return Err(Errno::EINVAL);
                }
                found.push(Control::Rights(numbers));
            }
            (SOL_SOCKET, SCM_CREDENTIALS) => {
                found.push(Credential::from_bytes(data).map_or(Control::Wrong, Control::Credentials));
            }
            (SOL_SOCKET, _) => return Err(Errno::EINVAL),
            _ => found.push(Control::Other { level, kind, data: data.to_vec() }),
        }
        rest = rest.get(align(len)..).unwrap_or_default();
    }
    Ok(found)
}

/// Control data for a guest's buffer of a certain size (put_cmsg).
#[derive(Debug)]
pub struct Builder {
    bytes: Vec<u8>,
    room: usize,
    is_truncated: bool,
}

impl Builder {
    /// For a buffer of `room` bytes.
    #[must_use]
    pub const fn new(room: usize) -> Self {
        Self { bytes: Vec::new(), room, is_truncated: false }
    }

    const fn left(&self) -> usize {
        self.room.saturating_sub(self.bytes.len())
    }

    /// How many descriptors an SCM_RIGHTS message could still hold.
    #[must_use]
    pub const fn room_for_files(&self) -> usize {
        self.left().saturating_sub(HEADER) / 4
    }

    /// Notes that something did not fit.
    pub const fn truncate(&mut self) {
        self.is_truncated = true;
    }

    /// Appends a message, cut to what fits.
    pub fn put(&mut self, level: i32, kind: i32, data: &[u8]) {
        let left = self.left();
        if left < HEADER {
            self.is_truncated = true;
            return;
        }
        let fits = data.len().min(left - HEADER);
        self.is_truncated |= fits < data.len();
        self.bytes.extend_from_slice(&((HEADER + fits) as u64).to_ne_bytes());
        self.bytes.extend_from_slice(&level.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data.get(..fits).unwrap_or_default());
        // Bounded by the room: the padding of the last message may be missing.
        let padded = align(self.bytes.len()).min(self.room);
        self.bytes.resize(padded, 0);
    }

    /// The bytes, and whether MSG_CTRUNC holds.
    #[must_use]
    pub fn finish(self) -> (Vec<u8>, bool) {
        (self.bytes, self.is_truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::{Builder, Control, Credential, MAX_FILES, SCM_CREDENTIALS, SCM_RIGHTS, SOL_SOCKET, parse};
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn what_was_built_is_parsed() {
        let who = Credential { pid: 7, uid: 1, gid: 2 };
        let mut builder = Builder::new(200);
        builder.put(SOL_SOCKET, SCM_CREDENTIALS, &who.to_bytes());
        builder.put(SOL_SOCKET, SCM_RIGHTS, &[1, 0, 0, 0, 2, 0, 0, 0]);
        builder.put(41, 5, b"x");
        let (bytes, truncated) = builder.finish();
        assert!(!truncated);
        let other = Control::Other { level: 41, kind: 5, data: b"x".to_vec() };
        assert_eq!(parse(&bytes), Ok(vec![Control::Credentials(who), Control::Rights(vec![1, 2]), other]));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let mut bytes = [0u8; 32];
        assert_eq!(parse(&bytes), Err(Errno::EINVAL), "shorter than its header");
        bytes[0] = 33;
        assert_eq!(parse(&bytes), Err(Errno::EINVAL), "longer than the buffer");
        assert_eq!(parse(&bytes[..15]), Ok(vec![]), "no header");
        let mut builder = Builder::new(4096);
        builder.put(SOL_SOCKET, SCM_RIGHTS, &[0; 4 * (MAX_FILES + 1)]);
        assert_eq!(parse(&builder.finish().0), Err(Errno::EINVAL), "too many descriptors");
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        let mut builder = Builder::new(20);
        builder.put(SOL_SOCKET, SCM_CREDENTIALS, &[1; 12]);
        let (bytes, truncated) = builder.finish();
        assert!(truncated);
        assert_eq!((bytes.len(), bytes[0]), (20, 20));
        let mut none = Builder::new(15);
        none.put(1, 2, b"");
        assert_eq!(none.finish(), (vec![], true));
    }

    proptest! {
        #[test]
        fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn parse_of_plausible_headers_never_panics(
            len in 0u64..80, level in 0i32..3, kind in 0i32..4,
            tail in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = len.to_ne_bytes().to_vec();
            bytes.extend_from_slice(&level.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&tail);
            let _ = parse(&bytes);
        }

        #[test]
        fn builder_keeps_to_its_room(room in 0usize..100, sizes in proptest::collection::vec(0usize..60, 0..6)) {
            let mut builder = Builder::new(room);
            for size in sizes {
                builder.put(1, 2, &vec![0; size]);
            }
            let (bytes, _) = builder.finish();
            prop_assert!(bytes.len() <= room);
        }
    }
}
