//! What the guest checks cannot see: accounting that returns to nothing, garbage, no panic on any order of
//! calls.

use std::sync::Arc;

use abi_linux::fs::{Events, OpenFlags};
use abi_linux::signal::Signal;
use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user::GuestMem;
use kernel_vfs::file::File;
use platform_api::fake::FakePlatform;
use proptest::prelude::{any, proptest};

use super::{Phase, UnixFamily};
use crate::file::SocketFile;
use crate::namespace::{Family, NetNamespace};
use crate::socket::{MessageFlags, Outgoing, SendControl, Shutdown, Socket, SocketKind};

struct Fake(Arc<FakePlatform>);

impl Fake {
    fn new() -> Self {
        Self(FakePlatform::new(4096))
    }
}

impl Caller for Fake {
    fn pid(&self) -> i32 {
        10
    }
    fn tid(&self) -> i32 {
        10
    }
    fn pgid(&self) -> i32 {
        10
    }
    fn sid(&self) -> i32 {
        10
    }
    fn credentials(&self) -> Arc<Credentials> {
        Arc::new(Credentials::new(0, 0, CapSet::EMPTY))
    }
    fn mem(&self) -> GuestMem<'_> {
        GuestMem::new(&*self.0, 10)
    }
    fn raise(&self, _signal: Signal) {}
    fn raise_group(&self, _pgid: i32, _signal: Signal) -> SysResult<()> {
        Ok(())
    }
    fn blocks_or_ignores(&self, _signal: Signal) -> bool {
        false
    }
    fn group_is_orphaned(&self) -> bool {
        false
    }
    fn now_realtime_ns(&self) -> u64 {
        0
    }
}

fn open_pair(family: &UnixFamily, who: &Fake, kind: SocketKind) -> (Arc<File>, Arc<File>) {
    let (one, two) = family.create_pair(who, kind, 0).unwrap();
    let open = |socket| SocketFile::open(who, &NetNamespace::new(), socket, OpenFlags::empty()).unwrap();
    (open(one), open(two))
}

fn socket(file: &File) -> &dyn Socket {
    &**SocketFile::of(file).unwrap().socket()
}

fn send_with(who: &Fake, from: &File, bytes: &[u8], files: Vec<Arc<File>>, limit: u64) -> SysResult<usize> {
    let mut control = SendControl { files, file_limit: limit, ..SendControl::default() };
    let flags = MessageFlags::DONTWAIT;
    socket(from).send(who, Outgoing { bytes, to: None, flags, control: &mut control })
}

#[test]
fn unreachable_cycle_is_collected_and_reachable_one_is_not() {
    let (family, who) = (UnixFamily::new(), Fake::new());
    let (one, two) = open_pair(&family, &who, SocketKind::Stream);
    let (outside, kept) = open_pair(&family, &who, SocketKind::Stream);
    let watch = Arc::downgrade(&one);
    send_with(&who, &one, b"x", vec![Arc::clone(&two)], 100).unwrap();
    send_with(&who, &two, b"x", vec![Arc::clone(&one)], 100).unwrap();
    // A reachable queue holds the cycle, too.
    send_with(&who, &outside, b"x", vec![Arc::clone(&one)], 100).unwrap();
    drop((one, two));
    family.0.passing.collect();
    assert!(watch.upgrade().is_some());
    let mut buffer = [0; 4];
    let received = socket(&kept).receive(&mut buffer, MessageFlags::DONTWAIT).unwrap();
    assert_eq!(received.files.len(), 1);
    drop(received);
    family.0.passing.collect();
    assert!(watch.upgrade().is_none());
}

#[test]
fn socket_in_its_own_queue_goes_when_any_socket_closes() {
    let (family, who) = (UnixFamily::new(), Fake::new());
    let (one, two) = open_pair(&family, &who, SocketKind::Datagram);
    let watch = Arc::downgrade(&two);
    send_with(&who, &one, b"x", vec![Arc::clone(&two), Arc::clone(&one)], 100).unwrap();
    drop((one, two));
    drop(open_pair(&family, &who, SocketKind::Stream));
    assert!(watch.upgrade().is_none());
}

#[test]
fn files_in_flight_are_bounded_for_a_user() {
    let (family, who) = (UnixFamily::new(), Fake::new());
    let (one, two) = open_pair(&family, &who, SocketKind::Stream);
    let send = || send_with(&who, &one, b"x", vec![Arc::clone(&two); 3], 5);
    assert_eq!((send(), send()), (Ok(1), Ok(1)), "the limit is looked at before each message");
    assert_eq!(send(), Err(Errno::ETOOMANYREFS));
    socket(&two).receive(&mut [0; 4], MessageFlags::DONTWAIT).unwrap();
    assert_eq!(send(), Ok(1));
}

#[test]
fn reading_gives_the_sender_its_buffer_back() {
    let (family, who) = (UnixFamily::new(), Fake::new());
    for kind in [SocketKind::Stream, SocketKind::SeqPacket, SocketKind::Datagram] {
        let (one, two) = open_pair(&family, &who, kind);
        while send_with(&who, &one, &[1; 3000], Vec::new(), 0).is_ok() {}
        assert!(!socket(&one).poll().contains(Events::OUT));
        while socket(&two).receive(&mut [0; 5000], MessageFlags::DONTWAIT).is_ok() {}
        assert!(socket(&one).poll().contains(Events::OUT));
        let unix = socket(&one).as_any().downcast_ref::<super::UnixSocket>().unwrap();
        assert_eq!((unix.sender.used(), unix.state.lock().phase), (0, Phase::Established));
    }
}

proptest! {
    /// Any order of sends, receives, shutdowns and closes, with files of each other.
    #[test]
    fn no_order_of_calls_panics(steps in proptest::collection::vec((any::<u8>(), 0usize..6, 0usize..6), 0..80)) {
        let (family, who) = (UnixFamily::new(), Fake::new());
        let mut files = Vec::new();
        for kind in [SocketKind::Stream, SocketKind::SeqPacket, SocketKind::Datagram] {
            let (one, two) = open_pair(&family, &who, kind);
            files.extend([Some(one), Some(two)]);
        }
        for (step, at, other) in steps {
            let Some(file) = files.get(at).cloned().flatten() else { continue };
            let passed: Vec<_> = files.get(other).cloned().flatten().into_iter().collect();
            let mut buffer = [0; 100];
            match step % 7 {
                0 => drop(send_with(&who, &file, &[step; 50], passed, 1000)),
                1 => drop(send_with(&who, &file, &[step; 40], Vec::new(), 1000)),
                2 => drop(socket(&file).receive(&mut buffer, MessageFlags::DONTWAIT)),
                3 => drop(socket(&file).receive(&mut buffer[..30], MessageFlags::PEEK | MessageFlags::DONTWAIT)),
                4 => drop(socket(&file).shutdown(Shutdown::Write)),
                5 => drop(files[at].take()),
                _ => drop(socket(&file).poll()),
            }
        }
        let passing = Arc::clone(&family.0.passing);
        let watches: Vec<_> = files.iter().flatten().map(Arc::downgrade).collect();
        drop(files);
        passing.collect();
        assert!(watches.iter().all(|watch| watch.upgrade().is_none()));
    }
}
