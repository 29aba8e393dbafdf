//! Devices without hardware: null, zero, full, random, urandom (drivers/char/mem.c, random.c; null(4),
//! full(4), random(4)).

use std::any::Any;
use std::sync::Arc;

use abi_linux::fs::{Events, makedev};
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user::UserRef;
use kernel_vfs::file::{FileOps, Io, Mapping, Whence};
use platform_api::Platform;

/// `RNDGETENTCNT`: bits of entropy, always 256 since Linux 5.18.
const RNDGETENTCNT: u32 = 0x8004_5200;

enum Kind {
    Null,
    Zero,
    Full,
    Random(Arc<dyn Platform>),
    UnlimitedRandom(Arc<dyn Platform>),
}

/// One of them; stateless, so that all openings share it.
pub(super) struct MemoryDevice {
    kind: Kind,
}

impl MemoryDevice {
    pub(super) fn all(platform: &Arc<dyn Platform>) -> [Self; 5] {
        let (random, urandom) = (Arc::clone(platform), Arc::clone(platform));
        [Kind::Null, Kind::Zero, Kind::Full, Kind::Random(random), Kind::UnlimitedRandom(urandom)]
            .map(|kind| Self { kind })
    }

    pub(super) fn number(&self) -> u64 {
        let minor = match self.kind {
            Kind::Null => 3,
            Kind::Zero => 5,
            Kind::Full => 7,
            Kind::Random(_) => 8,
            Kind::UnlimitedRandom(_) => 9,
        };
        makedev(1, minor)
    }
}

impl FileOps for MemoryDevice {
    fn read(&self, _io: Io<'_>, buf: &mut [u8]) -> SysResult<usize> {
        match &self.kind {
            Kind::Null => return Ok(0),
            Kind::Zero | Kind::Full => buf.fill(0),
            Kind::Random(platform) | Kind::UnlimitedRandom(platform) => platform.random(buf)?,
        }
        Ok(buf.len())
    }

    fn write(&self, _io: Io<'_>, buf: &[u8]) -> SysResult<(usize, u64)> {
        match self.kind {
            Kind::Full => Err(Errno::ENOSPC),
            // What a guest writes to random is not mixed into the host's pool.
            _ => Ok((buf.len(), 0)),
        }
    }

    fn is_pollable(&self) -> bool {
        matches!(self.kind, Kind::Random(_))
    }

    fn poll(&self) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }

    fn stays_at_start(&self) -> bool {
        // null_lseek, noop_llseek.
        true
    }

    fn seek(&self, _whence: Whence, _offset: i64) -> SysResult<u64> {
        Ok(0)
    }

    fn mapping(&self, _writable_shared: bool, _executable: bool) -> SysResult<Mapping> {
        if matches!(self.kind, Kind::Zero) { Ok(Mapping::Zero) } else { Err(Errno::ENODEV) }
    }

    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        if cmd != RNDGETENTCNT || !matches!(self.kind, Kind::Random(_) | Kind::UnlimitedRandom(_)) {
            return Err(Errno::ENOTTY);
        }
        who.mem().write(UserRef::new(arg), &256_i32)?;
        Ok(0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryDevice;
    use crate::io_test::FakeCaller;
    use abi_linux::Errno;
    use abi_linux::fs::makedev;
    use kernel_vfs::file::{FileOps, Mapping};
    use platform_api::Platform;
    use std::sync::Arc;

    #[test]
    fn devices_read_write_and_map_as_linux_does() {
        let who = FakeCaller::new();
        let platform: Arc<dyn Platform> = Arc::<crate::io_test::FakePlatform>::clone(&who.platform);
        let [null, zero, full, random, urandom] = MemoryDevice::all(&platform);
        let read = |device: &MemoryDevice| {
            let mut buf = [9; 2];
            device.read(who.io(), &mut buf).map(|n| (n, buf))
        };
        assert_eq!(read(&null), Ok((0, [9, 9])));
        assert_eq!(read(&zero), Ok((2, [0, 0])));
        assert_eq!(read(&full), Ok((2, [0, 0])));
        assert_eq!(read(&random), Ok((2, [0x5a; 2])));
        assert_eq!(full.write(who.io(), b"x"), Err(Errno::ENOSPC));
        assert_eq!(null.write(who.io(), b"xy"), Ok((2, 0)));
        assert!(matches!(zero.mapping(true, false), Ok(Mapping::Zero)));
        assert!(matches!(null.mapping(false, false), Err(Errno::ENODEV)));
        assert_eq!(urandom.number(), makedev(1, 9));
        assert!(random.is_pollable() && !urandom.is_pollable() && !null.is_pollable());
    }
}
