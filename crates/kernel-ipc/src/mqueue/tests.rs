use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy;

use super::{Attributes, Maker, Notification, NotifyKind, PosixQueue, PosixQueues, Sender, Waiting};

const MAKER: Maker = Maker { ruid: 1000, limit: 819_200, is_privileged: false };
const FROM: Sender = Sender { pid: 7, ruid: 0 };

fn now<T>(future: impl Future<Output = T>) -> T {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut cx) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("waits"),
    }
}

fn queue(queues: &PosixQueues, max_messages: u64) -> PosixQueue {
    let attributes = Attributes { max_messages, message_size: 64 };
    queues.create(Some(attributes), MAKER).unwrap_or_else(|errno| panic!("{errno:?}"))
}

fn send(queue: &PosixQueue, text: &[u8], priority: u32) -> SysResult<()> {
    now(queue.send(Box::from(text), priority, Waiting::No, FROM))
}

#[derive(Default)]
struct Counter(AtomicU32, AtomicU32);

impl Notification for Counter {
    fn kind(&self) -> NotifyKind {
        NotifyKind::None
    }
    fn arrived(&self, _from: Sender) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn removed(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn receiver_who_goes_away_leaves_the_message_first() {
    let queues = PosixQueues::default();
    let queue = queue(&queues, 2);
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut receiver = pin!(queue.receive(Waiting::Allowed));
        assert!(receiver.as_mut().poll(&mut cx).is_pending());
        assert_eq!(send(&queue, b"one", 3), Ok(()));
        assert_eq!(queue.poll(), Events::OUT | Events::WRNORM, "it is the receiver's");
        assert_eq!(send(&queue, b"two", 3), Ok(()));
    }
    assert_eq!(now(queue.receive(Waiting::No)), Ok((Box::from(&b"one"[..]), 3)));
    assert_eq!(now(queue.receive(Waiting::No)), Ok((Box::from(&b"two"[..]), 3)));
    assert_eq!(now(queue.receive(Waiting::No)), Err(Errno::EAGAIN));
}

#[test]
fn notification_is_told_once_and_not_past_a_receiver() {
    let queues = PosixQueues::default();
    let queue = queue(&queues, 2);
    let counter = Arc::new(Counter::default());
    let register = |pid| {
        let how: Arc<dyn Notification> = Arc::<Counter>::clone(&counter);
        queue.register(pid, how)
    };
    assert_eq!(register(7), Ok(()));
    assert_eq!(register(8), Err(Errno::EBUSY));
    queue.unregister(8);
    let mut cx = Context::from_waker(Waker::noop());
    {
        let mut receiver = pin!(queue.receive(Waiting::Allowed));
        assert!(receiver.as_mut().poll(&mut cx).is_pending());
        assert_eq!(send(&queue, b"x", 0), Ok(()));
        assert!(receiver.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(counter.0.load(Ordering::Relaxed), 0);
    assert_eq!((send(&queue, b"x", 0), send(&queue, b"y", 0)), (Ok(()), Ok(())));
    assert_eq!(counter.0.load(Ordering::Relaxed), 1);
    assert_eq!((register(7), register(7)), (Ok(()), Err(Errno::EBUSY)));
    queue.unregister(7);
    assert_eq!(counter.1.load(Ordering::Relaxed), 1);
}

#[test]
fn limits_are_those_of_linux() {
    let queues = PosixQueues::default();
    let of = |max_messages, message_size| Some(Attributes { max_messages, message_size });
    let refused = |wanted, maker| queues.create(wanted, maker).err();
    let root = Maker { is_privileged: true, limit: u64::MAX, ..MAKER };
    assert_eq!(refused(of(0, 1), MAKER), Some(Errno::EINVAL));
    assert_eq!(refused(of(11, 1), MAKER), Some(Errno::EINVAL));
    assert_eq!(refused(of(1, 8193), MAKER), Some(Errno::EINVAL));
    assert_eq!(refused(of(65536, 16 << 20), root), None);
    assert_eq!(refused(of(65537, 1), root), Some(Errno::EINVAL));
    assert_eq!(refused(of(1, (16 << 20) + 1), root), Some(Errno::EINVAL));
    // Ten messages of 8192 bytes cost 82880 bytes: nine such queues are one page less than the limit allows.
    let held: Vec<_> = (0..9).map(|_| queues.create(None, MAKER)).collect();
    assert!(held.iter().all(Result::is_ok));
    assert_eq!(refused(None, MAKER), Some(Errno::EMFILE));
    assert_eq!(refused(None, Maker { ruid: 1001, ..MAKER }), None, "another user has his own");
    drop(held);
    assert_eq!(refused(None, MAKER), None);
    assert_eq!(queues.limits.queues_max.set(0), Ok(()));
    assert_eq!((refused(None, MAKER), refused(None, root)), (Some(Errno::ENOSPC), None));
}

proptest! {
    /// Against a list that is sorted at each step.
    #[test]
    fn messages_come_by_priority_then_by_age(
        steps in proptest::collection::vec(any::<Option<u32>>().prop_map(|p| p.map(|p| p % 4)), 1..100)
    ) {
        let queues = PosixQueues::default();
        let queue = queue(&queues, 8);
        let mut model: Vec<(u32, u8)> = Vec::new();
        for (n, step) in (0u8..).zip(steps) {
            match step {
                Some(priority) => {
                    let done = send(&queue, &[n], priority);
                    prop_assert_eq!(done.is_ok(), model.len() < 8);
                    if done.is_ok() {
                        model.push((priority, n));
                    }
                }
                None => {
                    model.sort_by_key(|&(priority, n)| (std::cmp::Reverse(priority), n));
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    let got = now(queue.receive(Waiting::No)).ok();
                    let got = got.map(|(text, priority)| (priority, text.first().copied().unwrap_or(0)));
                    prop_assert_eq!(got, expected);
                }
            }
            let status = queue.status();
            prop_assert_eq!((status.messages as usize, status.bytes), (model.len(), model.len()));
            prop_assert!(queue.poll().contains(Events::IN) != model.is_empty());
        }
    }
}
