//! Questions to the host's NETLINK_ROUTE (rtnetlink(7)) about a namespace: what may be asked stands in a table, a guest's
//! question is built anew from what the table knows.

use std::os::fd::AsFd;

use abi_linux::{Errno, SysResult};
use host_sys::socket;

use crate::namespace::Namespace;

const AF_NETLINK: i32 = 16;
const RAW: i32 = 3;
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// NLM_F_REQUEST, NLM_F_DUMP.
const REQUEST: u16 = 1;
const DUMP: u16 = 0x300;
/// Most bytes of an answer, and of one piece of it (NLMSG_GOODSIZE is 8 KiB, a dump's at most 32).
const MOST: usize = 4 << 20;
const PIECE: usize = 64 * 1024;

/// A question that may be asked.
struct Row {
    kind: u16,
    /// Its fixed structure.
    head: usize,
    /// Attributes that are passed on, with the greatest size of their data.
    attributes: &'static [(u16, usize)],
    single: bool,
    dump: bool,
}

const fn dump(kind: u16, head: usize, attributes: &'static [(u16, usize)]) -> Row {
    Row { kind, head, attributes, single: false, dump: true }
}

const ROWS: &[Row] = &[
    // RTM_GETLINK: IFLA_IFNAME, IFLA_EXT_MASK, IFLA_ALT_IFNAME.
    Row { kind: 18, head: 16, attributes: &[(3, 16), (29, 4), (53, 128)], single: true, dump: true },
    // RTM_GETADDR.
    dump(22, 8, &[]),
    // RTM_GETROUTE: RTA_DST, RTA_SRC, RTA_OIF, RTA_TABLE.
    Row { kind: 26, head: 12, attributes: &[(1, 16), (2, 16), (4, 4), (15, 4)], single: true, dump: true },
    // RTM_GETNEIGH: NDA_DST, NDA_IFINDEX.
    Row { kind: 30, head: 12, attributes: &[(1, 16), (8, 4)], single: true, dump: true },
    // RTM_GETRULE, RTM_GETQDISC, RTM_GETNEIGHTBL, RTM_GETNETCONF, RTM_GETNEXTHOP.
    dump(34, 12, &[]),
    dump(38, 20, &[]),
    dump(66, 4, &[]),
    dump(82, 4, &[]),
    dump(106, 8, &[]),
    // RTM_GETNSID: NETNSA_NSID.
    Row { kind: 90, head: 4, attributes: &[(1, 4)], single: true, dump: false },
];

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

const fn align(len: usize) -> usize {
    len.saturating_add(3) & !3
}

/// A question as the host is asked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    bytes: Vec<u8>,
    is_dump: bool,
}

impl Question {
    /// From what follows the header of a guest's message: EOPNOTSUPP for what is not asked of the host.
    pub fn from_guest(kind: u16, is_dump: bool, sequence: u32, body: &[u8]) -> SysResult<Self> {
        let row =
            ROWS.iter().find(|row| row.kind == kind && (row.dump || !is_dump) && (row.single || is_dump));
        let row = row.ok_or(Errno::EOPNOTSUPP)?;
        let flags = if is_dump { REQUEST | DUMP } else { REQUEST };
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        // Old programs send `struct rtgenmsg`, the family alone, for everything.
        bytes.extend_from_slice(body.get(..row.head).unwrap_or(body));
        bytes.resize(HEADER + align(row.head), 0);
        let mut rest = body.get(align(row.head)..).unwrap_or_default();
        while let (Some(len), Some(kind)) = (half(rest, 0), half(rest, 2)) {
            let len = usize::from(len);
            let Some(data) = rest.get(4..len) else { break };
            if row.attributes.iter().any(|&(known, most)| kind == known && data.len() <= most) {
                bytes.extend_from_slice(rest.get(..len).unwrap_or_default());
                bytes.resize(align(bytes.len()), 0);
            }
            if bytes.len() > 1024 {
                return Err(Errno::EINVAL);
            }
            rest = rest.get(align(len)..).unwrap_or_default();
        }
        let len = u32::try_from(bytes.len()).map_err(|_| Errno::EINVAL)?;
        bytes.splice(..4, len.to_ne_bytes());
        Ok(Self { bytes, is_dump })
    }
}

/// Takes the first message off; `None` at the end, or where it makes no sense.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u16, &'a [u8])> {
    let len = usize::try_from(word(rest, 0)?).ok()?;
    let message = rest.get(..len).filter(|message| message.len() >= HEADER)?;
    *rest = rest.get(align(len)..).unwrap_or_default();
    Some((half(message, 4)?, message))
}

impl Namespace {
    /// Asks: the messages of the answer, of a dump without its end.
    pub fn ask(&self, question: &Question) -> SysResult<Vec<Vec<u8>>> {
        self.enter()?;
        let socket = socket::open(AF_NETLINK, RAW, 0)?;
        let mut kernel = [0; 12];
        kernel[..2].copy_from_slice(&(AF_NETLINK as u16).to_ne_bytes());
        socket::send(socket.as_fd(), &question.bytes, &kernel, &[], 0)?;
        let (mut found, mut size) = (Vec::new(), 0);
        let mut piece = vec![0; PIECE];
        loop {
            // The host has answered when send(2) returned: what is not there now never comes.
            let len = match socket::receive(socket.as_fd(), &mut piece, 0) {
                Ok(len) => len,
                Err(Errno::EAGAIN) => return Ok(found),
                Err(errno) => return Err(errno),
            };
            let mut rest = piece.get(..len).unwrap_or_default();
            while let Some((kind, message)) = next(&mut rest) {
                match kind {
                    DONE => return Ok(found),
                    ERROR => {
                        let error = word(message, HEADER).unwrap_or(0).cast_signed();
                        return if error == 0 {
                            Ok(found)
                        } else {
                            Err(Errno::from_raw(error.wrapping_neg()))
                        };
                    }
                    _ => {
                        size += message.len();
                        found.push(message.to_vec());
                    }
                }
            }
            if !question.is_dump || size > MOST {
                return Ok(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Question, next};
    use crate::namespace::{Namespace, Whose};
    use abi_linux::Errno;
    use proptest::prelude::{any, prop_assert, proptest};

    #[test]
    fn the_host_tells_of_lo() {
        let namespace = Namespace::open(Whose::Supervisor).unwrap();
        let question = Question::from_guest(18, true, 7, &[0]).unwrap();
        let links = namespace.ask(&question).unwrap();
        assert!(links.iter().any(|link| link.windows(3).any(|name| name == b"lo\0")));
        let none =
            Question::from_guest(18, false, 7, &[[0; 4], 0x7fff_ffffu32.to_ne_bytes()].concat()).unwrap();
        assert_eq!(namespace.ask(&none), Err(Errno::ENODEV));
    }

    #[test]
    fn changes_are_not_asked() {
        for kind in [16, 17, 19, 20, 21, 24, 25, 28, 29] {
            for is_dump in [true, false] {
                assert_eq!(Question::from_guest(kind, is_dump, 1, &[0; 64]), Err(Errno::EOPNOTSUPP));
            }
        }
    }

    proptest! {
        #[test]
        fn questions_are_sound(
            kind in 0u16..120, is_dump in any::<bool>(), body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(question) = Question::from_guest(kind, is_dump, 1, &body) {
                let mut rest = question.bytes.as_slice();
                prop_assert!(next(&mut rest).is_some());
                prop_assert!(rest.is_empty() && question.bytes.len() >= HEADER);
            }
        }
    }
}
