//! Requests to the maker as bytes: a length, then fields one after another, numbers little end first. Descriptors come
//! with the length.

use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use abi_linux::{Errno, SysResult};
use host_sys::seccomp::Instruction;
use platform_api::HostTid;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use super::io_errno;
use crate::errno;
use crate::spawn::{SpawnError, SpawnSpec, Step};

/// Longest request: arguments and environment of a guest.
const MAX_LEN: usize = 64 << 20;
/// Socket, loader, network, and a door for each cgroup hierarchy.
const MAX_FDS: usize = 64;

const INIT: u8 = 1;
const JOIN: u8 = 2;
const ERRAND: u8 = 3;
const HOME: u8 = 4;
const HANG: u8 = 5;
const TAKE_DOWN: u8 = 6;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Init,
    Join(HostTid),
    Errand(&'a [u8]),
    /// The supervisor's mount namespace comes with it.
    Home,
    /// A tree to hang in it comes with it.
    Hang(u32),
    TakeDown(u32),
}

/// A request.
pub(super) struct Request<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) has_network: bool,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) sysctls: Vec<CString>,
    pub(super) filter: Vec<Instruction>,
    pub(super) argv: Vec<CString>,
    pub(super) envp: Vec<CString>,
}

/// The descriptors of a request.
pub(super) struct Fds {
    pub(super) socket: OwnedFd,
    pub(super) loader: OwnedFd,
    pub(super) network: Option<OwnedFd>,
    pub(super) doors: Vec<OwnedFd>,
}

/// Tells the descriptors apart.
pub(super) fn split(fds: Vec<OwnedFd>, request: &Request<'_>) -> Result<Fds, SpawnError> {
    let missing = SpawnError { step: Step::Descriptors, errno: Errno::EBADF };
    let mut fds = fds.into_iter();
    let socket = fds.next().ok_or(missing)?;
    let loader = fds.next().ok_or(missing)?;
    let network = if request.has_network { Some(fds.next().ok_or(missing)?) } else { None };
    Ok(Fds { socket, loader, network, doors: fds.collect() })
}

fn put_number(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_strings(out: &mut Vec<u8>, strings: &[CString]) {
    put_number(out, strings.len() as u32);
    for string in strings {
        put_number(out, string.as_bytes().len() as u32);
        out.extend_from_slice(string.as_bytes());
    }
}

impl<'a> Request<'a> {
    /// The bytes of a request for a guest.
    pub(super) fn spawn(spec: &SpawnSpec<'_>, target: Option<HostTid>) -> Vec<u8> {
        let mut out = vec![if target.is_some() { JOIN } else { INIT }];
        put_number(&mut out, target.unwrap_or(0).cast_unsigned());
        put_number(&mut out, spec.ids.uid);
        put_number(&mut out, spec.ids.gid);
        out.push(u8::from(spec.network.is_some()));
        out.push(u8::from(spec.oom_score_adj.is_some()));
        put_number(&mut out, spec.oom_score_adj.unwrap_or(0).cast_unsigned());
        put_number(&mut out, spec.sysctls.len() as u32 * 2);
        for text in spec.sysctls.iter().flat_map(|(name, value)| [name, value]) {
            put_number(&mut out, text.len() as u32);
            out.extend_from_slice(text.as_bytes());
        }
        put_number(&mut out, spec.filter.len() as u32);
        for insn in spec.filter {
            out.extend_from_slice(&insn.code.to_le_bytes());
            out.extend_from_slice(&[insn.jt, insn.jf]);
            put_number(&mut out, insn.k);
        }
        put_strings(&mut out, &spec.argv);
        put_strings(&mut out, &spec.envp);
        out
    }

    /// The bytes of an errand.
    pub(super) fn errand(what: &[u8]) -> Vec<u8> {
        [&[ERRAND], what].concat()
    }

    /// The bytes of a request about the supervisor's mounts.
    pub(super) fn mounts(kind: Kind<'_>) -> Vec<u8> {
        let (kind, number) = match kind {
            Kind::Hang(number) => (HANG, number),
            Kind::TakeDown(number) => (TAKE_DOWN, number),
            _ => (HOME, 0),
        };
        let mut out = vec![kind];
        put_number(&mut out, number);
        out
    }

    /// Understands a request; `None` where it is none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let plain = Self {
            kind: Kind::Errand(rest),
            uid: 0,
            gid: 0,
            has_network: false,
            oom_score_adj: None,
            sysctls: Vec::new(),
            filter: Vec::new(),
            argv: Vec::new(),
            envp: Vec::new(),
        };
        if *kind == ERRAND {
            return Some(plain);
        }
        let mut input = Input(rest);
        let number = input.number()?;
        let kind = match *kind {
            INIT => Kind::Init,
            JOIN => Kind::Join(number.cast_signed()),
            HOME => return Some(Self { kind: Kind::Home, ..plain }),
            HANG => return Some(Self { kind: Kind::Hang(number), ..plain }),
            TAKE_DOWN => return Some(Self { kind: Kind::TakeDown(number), ..plain }),
            _ => return None,
        };
        let (uid, gid, has_network) = (input.number()?, input.number()?, input.take(1)? == [1]);
        let (has_score, score) = (input.take(1)? == [1], input.number()?.cast_signed());
        let sysctls = input.strings()?;
        let filter = input.filter()?;
        let (argv, envp) = (input.strings()?, input.strings()?);
        let oom_score_adj = has_score.then_some(score);
        Some(Self { kind, uid, gid, has_network, oom_score_adj, sysctls, filter, argv, envp })
    }
}

/// What is left to parse.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn filter(&mut self) -> Option<Vec<Instruction>> {
        let len = self.number()?;
        let mut filter = Vec::new();
        for _ in 0..len {
            let [a, b, jt, jf] = self.take(4)?.try_into().ok()?;
            filter.push(Instruction { code: u16::from_le_bytes([a, b]), jt, jf, k: self.number()? });
        }
        Some(filter)
    }

    fn strings(&mut self) -> Option<Vec<CString>> {
        let len = self.number()?;
        let mut strings = Vec::new();
        for _ in 0..len {
            let len = self.number()? as usize;
            strings.push(CString::new(self.take(len)?).ok()?);
        }
        Some(strings)
    }
}

/// Sends bytes with descriptors.
pub(super) fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> SysResult<()> {
    send_bytes(stream, bytes, fds)
}

pub(super) fn send_bytes(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> SysResult<()> {
    let len = u32::try_from(bytes.len()).ok().filter(|&len| len as usize <= MAX_LEN).ok_or(Errno::E2BIG)?;
    let len = len.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::E2BIG);
    }
    let parts = [IoSlice::new(&len), IoSlice::new(bytes)];
    let sent = loop {
        match sendmsg(stream, &parts, &mut ancillary, SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::INTR) => {}
            result => break result.map_err(errno)?,
        }
    };
    let mut stream = stream;
    let (head, rest) = (len.get(sent..).unwrap_or_default(), sent.saturating_sub(len.len()));
    let rest = bytes.get(rest..).unwrap_or_default();
    stream.write_all(head).and_then(|()| stream.write_all(rest)).map_err(|error| io_errno(&error))
}

/// Receives bytes with descriptors; `None` at the end of the stream.
pub(super) fn receive(stream: &UnixStream) -> SysResult<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut len = [0; 4];
    let mut fds = Vec::new();
    let got = {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let got = loop {
            let mut part = [IoSliceMut::new(&mut len)];
            match recvmsg(stream, &mut part, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(rustix::io::Errno::INTR) => {}
                result => break result.map_err(errno)?.bytes,
            }
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        got
    };
    if got == 0 {
        return Ok(None);
    }
    let failed = |error| io_errno(&error);
    let mut stream = stream;
    stream.read_exact(len.get_mut(got..).unwrap_or_default()).map_err(failed)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_LEN {
        return Err(Errno::E2BIG);
    }
    let mut bytes = Vec::new();
    stream.take(len as u64).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() < len { Err(Errno::EPIPE) } else { Ok(Some((bytes, fds))) }
}

/// The answer to a request for a guest: 0 and the id, or the step that failed and its errno.
pub(super) fn answer(made: Result<HostTid, SpawnError>) -> [u8; 8] {
    let (step, value) = match made {
        Ok(pid) => (0, pid),
        Err(error) => (error.step as u8, error.errno.raw()),
    };
    let [a, b, c, d] = value.to_le_bytes();
    [step, 0, 0, 0, a, b, c, d]
}

/// Understands an answer.
pub(super) fn outcome(answer: [u8; 8]) -> Result<HostTid, SpawnError> {
    let [step, _, _, _, value @ ..] = answer;
    let value = i32::from_le_bytes(value);
    match step {
        0 => Ok(value),
        _ => Err(SpawnError { step: Step::from_number(step), errno: Errno::from_raw(value) }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Request, answer, outcome};
    use crate::spawn::{GuestIds, SpawnError, SpawnSpec, Step, stay};
    use abi_linux::Errno;
    use host_sys::seccomp::Instruction;

    #[test]
    fn request_survives_the_wire_and_no_cut_of_it_does() {
        let filter = [Instruction { code: 6, jt: 1, jf: 2, k: 0x7fc0_0000 }];
        let spec = SpawnSpec {
            filter: &filter,
            program: b"",
            argv: vec![c"a".to_owned(), c"".to_owned()],
            envp: vec![c"K=V".to_owned()],
            ids: GuestIds { uid: 7, gid: 8 },
            place: &stay,
            doors: &[],
            network: None,
            maker: None,
            oom_score_adj: Some(-5),
            sysctls: &[("net/x".to_owned(), "1".to_owned())],
        };
        let bytes = Request::spawn(&spec, Some(77));
        let request = Request::parse(&bytes).unwrap();
        assert_eq!((request.kind, request.uid, request.gid), (Kind::Join(77), 7, 8));
        assert_eq!((request.argv, request.envp), (spec.argv, spec.envp));
        assert_eq!(request.oom_score_adj, Some(-5));
        assert_eq!(request.sysctls, [c"net/x".to_owned(), c"1".to_owned()]);
        assert!(
            request
                .filter
                .iter()
                .zip(&filter)
                .all(|(a, b)| (a.code, a.jt, a.jf, a.k) == (b.code, b.jt, b.jf, b.k))
        );
        for len in 0..bytes.len() {
            assert!(Request::parse(&bytes[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn answers_carry_step_and_errno() {
        let failed = SpawnError { step: Step::Network, errno: Errno::EPERM };
        assert_eq!(outcome(answer(Err(failed))), Err(failed));
        assert_eq!(outcome(answer(Ok(5))), Ok(5));
    }
}
