//! A message on the wire: its length as four bytes, little end first, then so many bytes of JSON. Descriptors come
//! with the length.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest message: a config.json of 8 MiB, with every character escaped at worst.
const MAX_LEN: usize = 64 << 20;
/// Most descriptors with a message; SCM_MAX_FD of Linux.
pub const MAX_FDS: usize = 253;

fn invalid(problem: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem.into())
}

/// Sends a message.
pub fn send(stream: &UnixStream, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let len = u32::try_from(body.len()).ok().filter(|&len| len as usize <= MAX_LEN);
    let len = len.ok_or_else(|| invalid("message too long"))?.to_le_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(invalid("too many descriptors"));
    }
    // The length and, mostly, all of the message in one call; descriptors belong to its first byte.
    let parts = [IoSlice::new(&len), IoSlice::new(&body)];
    let sent = retry(|| sendmsg(stream, &parts, &mut ancillary, SendFlags::NOSIGNAL))?;
    let mut stream = stream;
    let (head, rest) = (len.get(sent..).unwrap_or_default(), sent.saturating_sub(len.len()));
    stream.write_all(head)?;
    stream.write_all(body.get(rest..).unwrap_or_default())
}

/// Receives a message with its descriptors, close-on-exec; `None` at the end of the connection.
pub fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut len = [0; 4];
    let mut fds = Vec::new();
    let got = {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut part = [IoSliceMut::new(&mut len)];
        let got = retry(|| recvmsg(stream, &mut part, &mut ancillary, RecvFlags::CMSG_CLOEXEC))?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        got.bytes
    };
    if got == 0 {
        return Ok(None);
    }
    let mut stream = stream;
    stream.read_exact(len.get_mut(got..).unwrap_or_default())?;
    let len = u32::from_le_bytes(len) as usize;
    if len > MAX_LEN {
        return Err(invalid("message too long"));
    }
    // Grows with what comes, not with what was promised.
    let mut body = Vec::new();
    stream.take(len as u64).read_to_end(&mut body)?;
    if body.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((serde_json::from_slice(&body)?, fds)))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{receive, send};
    use crate::{Reply, Request};
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn descriptors_come_with_their_message() {
        let (a, b) = UnixStream::pair().unwrap();
        let (one, mut other) = UnixStream::pair().unwrap();
        send(&a, &Request::List, &[]).unwrap();
        send(&a, &Request::Start { id: "x".into() }, &[one.as_fd(), one.as_fd()]).unwrap();
        drop((a, one));
        let (first, fds) = receive::<Request>(&b).unwrap().unwrap();
        assert!(matches!(first, Request::List) && fds.is_empty());
        let (second, fds) = receive::<Request>(&b).unwrap().unwrap();
        assert!(matches!(second, Request::Start { id } if id == "x"));
        assert_eq!(fds.len(), 2);
        assert!(receive::<Request>(&b).unwrap().is_none());
        other.write_all(b"y").unwrap();
        drop(fds);
        assert!(other.write_all(b"y").is_err());
    }

    #[test]
    fn long_message_arrives_in_pieces() {
        let (a, b) = UnixStream::pair().unwrap();
        let long = "z".repeat(3 << 20);
        let sender = std::thread::spawn({
            let long = long.clone();
            move || send(&a, &Request::Start { id: long }, &[])
        });
        let (got, _) = receive::<Request>(&b).unwrap().unwrap();
        assert!(matches!(got, Request::Start { id } if id == long));
        sender.join().unwrap().unwrap();
    }

    #[test]
    fn malformed_messages_are_errors() {
        for bytes in [&b"\x02\0\0\0{}"[..], b"\xff\xff\xff\xff", b"\x05\0\0\0ab", b"\x01"] {
            let (mut a, b) = UnixStream::pair().unwrap();
            a.write_all(bytes).unwrap();
            drop(a);
            assert!(receive::<Reply>(&b).is_err(), "{bytes:?}");
        }
    }
}
