//! Sockets: waiting, and headers, addresses and control data that lie.

use super::rig::{Ended, NOWHERE, Rig};
use abi_linux::Errno;
use abi_linux::raw::general as nr;
use platform_api::fake::BASE;
use proptest::prelude::{any, prop_oneof, proptest};
use proptest::strategy::{Just, Strategy};

const BUF: u64 = BASE + 4096;
const AF_UNIX: u64 = 1;
const STREAM: u64 = 1;
const DATAGRAM: u64 = 2;
const NONBLOCK: u64 = 0o4000;

/// Sockets 0 and 1, connected.
fn pair(kind: u64) -> Rig {
    let mut rig = Rig::new();
    rig.value(nr::__NR_socketpair, &[AF_UNIX, kind, 0, BASE]);
    rig
}

#[test]
fn receive_waits_for_a_message() {
    let mut rig = pair(STREAM);
    let call = rig.start(nr::__NR_recvfrom, &[0, BUF, 10, 0, 0, 0]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    rig.host.poke(BASE, b"late");
    assert_eq!(rig.value(nr::__NR_sendto, &[1, BASE, 4, 0, 0, 0]), 4);
    rig.drain();
    assert_eq!(rig.ended(call), Ended::Value(4));
    assert_eq!(rig.host.peek(BUF, 4), b"late");
}

#[test]
fn receive_timeout_ends_the_wait() {
    let mut rig = pair(STREAM);
    let timeout = [2u64.to_ne_bytes(), 0u64.to_ne_bytes()].concat();
    rig.host.poke(BUF, &timeout);
    rig.value(nr::__NR_setsockopt, &[0, 1, 20, BUF, 16]);
    let call = rig.start(nr::__NR_read, &[0, BUF, 10]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    rig.pass_until(10_000_000_000);
    assert_eq!(rig.ended(call), Ended::Error(Errno::EAGAIN));
}

#[test]
fn accept_waits_for_a_connection() {
    let mut rig = Rig::new();
    for _ in 0..2 {
        rig.value(nr::__NR_socket, &[AF_UNIX, STREAM, 0]);
    }
    rig.host.poke(BUF, b"\x01\0\0name");
    rig.value(nr::__NR_bind, &[0, BUF, 7]);
    rig.value(nr::__NR_listen, &[0, 1]);
    let call = rig.start(nr::__NR_accept, &[0, 0, 0]);
    assert_eq!(rig.ended(call), Ended::Waiting);
    rig.value(nr::__NR_connect, &[1, BUF, 7]);
    rig.drain();
    assert_eq!(rig.ended(call), Ended::Value(2));
}

#[test]
fn bad_pointers_are_efault() {
    let mut rig = pair(DATAGRAM | NONBLOCK);
    assert_eq!(rig.error(nr::__NR_sendmsg, &[0, NOWHERE, 0]), Errno::EFAULT);
    assert_eq!(rig.error(nr::__NR_sendto, &[0, NOWHERE, 5, 0, 0, 0]), Errno::EFAULT);
    assert_eq!(rig.error(nr::__NR_bind, &[0, NOWHERE, 10]), Errno::EFAULT);
    assert_eq!(rig.error(nr::__NR_bind, &[0, BUF, 1000]), Errno::EINVAL);
    assert_eq!(rig.error(nr::__NR_socketpair, &[AF_UNIX, STREAM, 0, NOWHERE]), Errno::EFAULT);
    assert_eq!(rig.value(nr::__NR_socket, &[AF_UNIX, STREAM, 0]), 2, "nothing was left behind");
}

/// A word of a header: an address, a small number, or anything.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(BASE), Just(BUF), Just(NOWHERE), 0u64..64, any::<u64>()]
}

proptest! {
    #[test]
    fn no_header_panics(
        words in proptest::collection::vec(word(), 24),
        kind in prop_oneof![Just(1u64), Just(2), Just(5)],
        flags in any::<u32>(),
    ) {
        let mut rig = pair(kind | NONBLOCK);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        rig.host.poke(BASE, &bytes);
        rig.host.poke(BUF, &bytes);
        for call in [nr::__NR_sendmsg, nr::__NR_recvmsg] {
            let _ = rig.call(call, &[0, BASE, u64::from(flags)]);
            let _ = rig.call(call, &[1, BASE + 64, u64::from(flags)]);
        }
        let _ = rig.call(nr::__NR_sendmmsg, &[0, BASE, 2, u64::from(flags)]);
        let _ = rig.call(nr::__NR_recvmmsg, &[1, BASE, 2, u64::from(flags), 0]);
        for call in [nr::__NR_bind, nr::__NR_connect, nr::__NR_getsockname, nr::__NR_getpeername] {
            let _ = rig.call(call, &[0, BUF, words[0] % 200]);
        }
        for name in 0..80 {
            let _ = rig.call(nr::__NR_setsockopt, &[0, 1, name, BUF, words[1] % 40]);
            let _ = rig.call(nr::__NR_getsockopt, &[0, 1, name, BUF, BASE]);
        }
    }
}
