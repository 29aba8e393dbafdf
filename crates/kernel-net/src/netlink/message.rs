//! Netlink messages as bytes (netlink(7), rtnetlink(3)). Pure: bytes in, values out.

/// `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// NLM_F_*.
pub(crate) const REQUEST: u16 = 1;
pub(crate) const MULTI: u16 = 2;
pub(crate) const ACK: u16 = 4;
pub(crate) const DUMP: u16 = 0x300;
/// NLMSG_ERROR, NLMSG_DONE; types below the last are control messages.
pub(crate) const ERROR: u16 = 2;
pub(crate) const DONE: u16 = 3;
pub(crate) const LEAST_TYPE: u16 = 16;

const fn align(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// A request of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// All of it, with its header.
    pub bytes: &'a [u8],
}

impl<'a> Request<'a> {
    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// The 32-bit word at `at`.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// Takes the first request off (netlink_rcv_skb): `None` when the rest is no message.
pub(crate) fn next_request<'a>(rest: &mut &'a [u8]) -> Option<Request<'a>> {
    let len = usize::try_from(word(rest, 0)?).ok()?;
    let bytes = rest.get(..len).filter(|bytes| bytes.len() >= HEADER)?;
    let request = Request { kind: half(bytes, 4)?, flags: half(bytes, 6)?, sequence: word(bytes, 8)?, bytes };
    *rest = rest.get(align(len)..).unwrap_or_default();
    Some(request)
}

/// The attribute `kind` of a request whose attributes begin at `from` (nla_find).
pub(crate) fn attribute(body: &[u8], from: usize, kind: u16) -> Option<&[u8]> {
    /// NLA_TYPE_MASK.
    const TYPE: u16 = 0x3fff;
    let mut rest = body.get(align(from)..)?;
    loop {
        let len = usize::from(half(rest, 0)?);
        let data = rest.get(4..len)?;
        if half(rest, 2)? & TYPE == kind {
            return Some(data);
        }
        rest = rest.get(align(len)..)?;
    }
}

/// Writes one message.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A message in answer to `to`, whose sender has this port.
    pub(crate) fn new(to: &Request<'_>, port: u32, kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&to.sequence.to_ne_bytes());
        bytes.extend_from_slice(&port.to_ne_bytes());
        Self { bytes }
    }

    /// Appends what a fixed structure holds.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(align(self.bytes.len()), 0);
        self
    }

    /// Appends an attribute.
    pub(crate) fn put(mut self, kind: u16, data: &[u8]) -> Self {
        let len = u16::try_from(4 + data.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.raw(data)
    }

    /// Appends an attribute of 32 bits.
    pub(crate) fn put_word(self, kind: u16, value: u32) -> Self {
        self.put(kind, &value.to_ne_bytes())
    }

    /// The message with its length.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.splice(..4, len.to_ne_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, Writer, attribute, next_request};
    use proptest::prelude::{any, proptest};

    #[test]
    fn what_is_written_is_read() {
        let to = Request { kind: 0, flags: 0, sequence: 7, bytes: &[] };
        let bytes = Writer::new(&to, 5, 18, 1).raw(&[1; 16]).put(3, b"lo\0").put_word(4, 9).finish();
        let mut rest = bytes.as_slice();
        let request = next_request(&mut rest).expect("a message");
        assert_eq!((request.kind, request.flags, request.sequence, rest.len()), (18, 1, 7, 0));
        assert_eq!(attribute(request.body(), 16, 3), Some(b"lo\0".as_slice()));
        assert_eq!(attribute(request.body(), 16, 4), Some(9u32.to_ne_bytes().as_slice()));
        assert_eq!(attribute(request.body(), 16, 5), None);
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_ends(
            len in 0u32..80, tail in proptest::collection::vec(any::<u8>(), 0..200), from in 0usize..40,
        ) {
            let bytes = [len.to_ne_bytes().to_vec(), tail].concat();
            let mut rest = bytes.as_slice();
            while let Some(request) = next_request(&mut rest) {
                for kind in 0..4 {
                    let _ = attribute(request.body(), from, kind);
                }
            }
        }

        #[test]
        fn attributes_that_lie_end(sizes in proptest::collection::vec((0u16..12, 0u16..4), 0..40)) {
            let bytes: Vec<u8> =
                sizes.iter().flat_map(|(len, kind)| [len.to_ne_bytes(), kind.to_ne_bytes()].concat()).collect();
            let _ = attribute(&bytes, 0, 9);
        }
    }
}
