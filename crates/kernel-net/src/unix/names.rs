//! Addresses of Unix sockets, and who has which (unix(7)).

use std::sync::{Arc, OnceLock, Weak};

use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_vfs::inode::FileKind;
use kernel_vfs::path::Path;
use kernel_vfs::permission::Access;
use kernel_vfs::walk::{WalkContext, WalkFlags};
use rustc_hash::FxHashMap;

use super::{AF_UNIX, UnixSocket};
use crate::socket::SocketKind;

/// Offset of sun_path in `struct sockaddr_un`, and the structure's size.
pub(super) const PATH_OFFSET: usize = 2;
const ADDRESS_SIZE: usize = 110;
/// Names that autobind can choose: five hexadecimal digits.
const AUTO_NAMES: u32 = 0x10_0000;

/// A checked address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// bind(2) with a family alone: choose a name.
    Unnamed,
    /// A path in the tree, without its NUL.
    Path(Vec<u8>),
    /// All of sun_path, beginning with NUL.
    Abstract(Vec<u8>),
}

fn family_of(address: &[u8]) -> Option<u16> {
    address.first_chunk().copied().map(u16::from_ne_bytes)
}

/// Whether connect(2) is to dissolve an association (AF_UNSPEC).
pub(super) fn is_unspecified(address: &[u8]) -> bool {
    family_of(address) == Some(0)
}

/// Checks an address (unix_validate_addr, unix_mkname_bsd): EINVAL unless it is one of AF_UNIX.
pub(super) fn parse(address: &[u8]) -> SysResult<Address> {
    if family_of(address) != Some(AF_UNIX) || address.len() > ADDRESS_SIZE {
        return Err(Errno::EINVAL);
    }
    let path = address.get(PATH_OFFSET..).unwrap_or_default();
    match path.first() {
        None => Ok(Address::Unnamed),
        Some(0) => Ok(Address::Abstract(path.to_vec())),
        Some(_) => Ok(Address::Path(path.split(|&byte| byte == 0).next().unwrap_or_default().to_vec())),
    }
}

/// The name of a socket: none until it is bound, then for ever the same. Peers and messages keep it beyond
/// the socket's life.
#[derive(Debug, Default)]
pub(super) struct Name(OnceLock<Box<[u8]>>);

impl Name {
    /// `struct sockaddr_un`, `None` while unbound.
    pub(super) fn get(&self) -> Option<&[u8]> {
        self.0.get().map(AsRef::as_ref)
    }

    /// As getsockname(2) tells it: the family alone while unbound.
    pub(super) fn to_address(&self) -> Vec<u8> {
        self.get().map_or_else(|| AF_UNIX.to_ne_bytes().to_vec(), <[u8]>::to_vec)
    }
}

/// How a socket is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Device and inode of the node. The socket keeps the node alive, so the numbers are not used again.
    Node(u64, u64),
    /// Linux's hash of abstract names includes the type, so one name may be bound once for each.
    Abstract(u32, Vec<u8>),
}

/// The bound sockets of a namespace.
#[derive(Default)]
pub(super) struct Names {
    bound: Mutex<FxHashMap<Key, Weak<UnixSocket>>>,
}

impl Names {
    fn claim(
        &self,
        socket: &UnixSocket,
        key: &Key,
        address: &[u8],
        owned: Weak<UnixSocket>,
    ) -> SysResult<()> {
        let mut bound = self.bound.lock();
        if socket.name().get().is_some() {
            return Err(Errno::EINVAL);
        }
        if bound.get(key).is_some_and(|other| other.strong_count() > 0) {
            return Err(Errno::EADDRINUSE);
        }
        let _ = socket.name().0.set(address.into());
        bound.insert(key.clone(), owned);
        Ok(())
    }

    /// Forgets a socket that goes away.
    pub(super) fn release(&self, key: &Key, socket: *const UnixSocket) {
        let mut bound = self.bound.lock();
        if bound.get(key).is_some_and(|known| std::ptr::eq(known.as_ptr(), socket)) {
            bound.remove(key);
        }
    }

    fn find(&self, key: &Key) -> SysResult<Arc<UnixSocket>> {
        let found = self.bound.lock().get(key).cloned();
        found.and_then(|weak| weak.upgrade()).ok_or(Errno::ECONNREFUSED)
    }

    /// Binds to an abstract name.
    pub(super) fn bind_abstract(
        &self,
        socket: &UnixSocket,
        me: Weak<UnixSocket>,
        path: Vec<u8>,
    ) -> SysResult<Key> {
        let address = [&AF_UNIX.to_ne_bytes(), path.as_slice()].concat();
        let key = Key::Abstract(socket.kind().to_raw(), path);
        self.claim(socket, &key, &address, me)?;
        Ok(key)
    }

    /// Binds to a name of our choice (unix_autobind): ENOSPC when all are taken.
    pub(super) fn bind_auto(
        &self,
        socket: &UnixSocket,
        me: &Weak<UnixSocket>,
        first: u32,
    ) -> SysResult<Option<Key>> {
        if socket.name().get().is_some() {
            return Ok(None);
        }
        for step in 1..=AUTO_NAMES {
            let path = format!("\0{:05x}", first.wrapping_add(step) % AUTO_NAMES).into_bytes();
            match self.bind_abstract(socket, Weak::clone(me), path) {
                Ok(key) => return Ok(Some(key)),
                Err(Errno::EADDRINUSE) => {}
                // Somebody else bound it meanwhile.
                Err(_) => return Ok(None),
            }
        }
        Err(Errno::ENOSPC)
    }

    /// Makes a node and binds to it (unix_bind_bsd): the node first, as Linux does.
    pub(super) fn bind_path(
        &self,
        socket: &UnixSocket,
        me: Weak<UnixSocket>,
        path: &[u8],
        walk: &WalkContext<'_>,
    ) -> SysResult<(Key, Path)> {
        let node = walk.make_node(None, path, kernel_vfs::inode::NewContent::Socket, 0o777);
        let node = node.map_err(|errno| if errno == Errno::EEXIST { Errno::EADDRINUSE } else { errno })?;
        let address = [&AF_UNIX.to_ne_bytes(), path, &[0]].concat();
        let claimed = key_of(&node).and_then(|key| self.claim(socket, &key, &address, me).map(|()| key));
        match claimed {
            Ok(key) => Ok((key, node)),
            Err(errno) => {
                let _ = walk.unlink(None, path);
                Err(errno)
            }
        }
    }

    /// The socket with an address (unix_find_other).
    pub(super) fn look_up(
        &self,
        to: &Address,
        kind: SocketKind,
        walk: &WalkContext<'_>,
    ) -> SysResult<Arc<UnixSocket>> {
        match to {
            Address::Unnamed => Err(Errno::EINVAL),
            Address::Abstract(path) => self.find(&Key::Abstract(kind.to_raw(), path.clone())),
            Address::Path(path) => {
                let node = walk.resolve(None, path, WalkFlags::empty())?;
                walk.check_access(&node, Access::WRITE)?;
                if node.inode().kind() != FileKind::Socket {
                    return Err(Errno::ECONNREFUSED);
                }
                let found = self.find(&key_of(&node)?)?;
                if found.kind() == kind { Ok(found) } else { Err(Errno::EPROTOTYPE) }
            }
        }
    }
}

fn key_of(node: &Path) -> SysResult<Key> {
    let metadata = node.inode().metadata()?;
    Ok(Key::Node(metadata.dev, metadata.ino))
}

#[cfg(test)]
mod tests {
    use super::{Address, parse};
    use abi_linux::Errno;
    use proptest::prelude::{any, proptest};

    #[test]
    fn addresses() {
        assert_eq!(parse(b"\x01\0"), Ok(Address::Unnamed));
        assert_eq!(parse(b"\x01\0/tmp/x\0junk"), Ok(Address::Path(b"/tmp/x".to_vec())));
        assert_eq!(parse(b"\x01\0\0a\0"), Ok(Address::Abstract(b"\0a\0".to_vec())));
        assert_eq!(parse(b"\x02\0x"), Err(Errno::EINVAL));
        assert_eq!(parse(b"\x01"), Err(Errno::EINVAL));
        let mut long = vec![b'x'; 111];
        long[..2].copy_from_slice(&[1, 0]);
        assert_eq!(parse(&long), Err(Errno::EINVAL));
        assert_eq!(parse(&long[..110]), Ok(Address::Path(vec![b'x'; 108])));
    }

    proptest! {
        #[test]
        fn parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..130)) {
            let _ = parse(&bytes);
        }
    }
}
