use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use abi_linux::Errno;
use kernel_base::cred::{CapSet, Credentials};
use proptest::prelude::{ProptestConfig, any, proptest};

use super::{Operation, Question, SemFlags, SemSets, UndoList};
use crate::{Actor, Key};

fn op(number: u16, change: i16, flags: SemFlags) -> Operation {
    Operation { number, change, flags }
}

const PLAIN: SemFlags = SemFlags::empty();

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn waiters_are_served_in_order_by_whoever_makes_it_possible() {
    let creds = Credentials::new(0, 0, CapSet::ALL);
    let who = Actor { creds: &creds, pid: 7, now_s: 1 };
    let (sets, undo) = (SemSets::default(), UndoList::default());
    let set = sets.ids.find(sets.get(Key::Private, 2, 0o600, &who).unwrap()).unwrap();
    let (take, give) = ([op(0, -1, PLAIN)], [op(0, 1, PLAIN)]);
    let mut first = pin!(set.operate(&take, &who, &undo));
    let mut second = pin!(set.operate(&take, &who, &undo));
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    assert_eq!(set.ask(0, Question::WaitingForMore, &who), Ok(2));
    assert_eq!(poll(pin!(set.operate(&give, &who, &undo))), Poll::Ready(Ok(())));
    assert_eq!(set.ask(0, Question::Value, &who), Ok(0), "it was handed over");
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(poll(first), Poll::Ready(Ok(())));
}

#[test]
fn what_nobody_heard_of_is_taken_back() {
    let creds = Credentials::new(0, 0, CapSet::ALL);
    let who = Actor { creds: &creds, pid: 7, now_s: 1 };
    let (sets, undo) = (SemSets::default(), UndoList::default());
    let set = sets.ids.find(sets.get(Key::Private, 1, 0o600, &who).unwrap()).unwrap();
    let (take, give) = ([op(0, -1, SemFlags::SEM_UNDO)], [op(0, 1, PLAIN)]);
    {
        let mut interrupted = Box::pin(set.operate(&take, &who, &undo));
        assert!(poll(interrupted.as_mut()).is_pending());
        assert_eq!(poll(pin!(set.operate(&give, &who, &undo))), Poll::Ready(Ok(())));
        assert_eq!(set.ask(0, Question::Value, &who), Ok(0));
    }
    assert_eq!(set.ask(0, Question::Value, &who), Ok(1));
    undo.apply(7, || 2);
    assert_eq!(set.ask(0, Question::Value, &who), Ok(1), "nor is there anything to undo");
}

#[test]
fn removal_ends_waits_and_undo_restores() {
    let creds = Credentials::new(0, 0, CapSet::ALL);
    let who = Actor { creds: &creds, pid: 7, now_s: 1 };
    let (sets, undo) = (SemSets::default(), UndoList::default());
    let id = sets.get(Key::Private, 2, 0o600, &who).unwrap();
    let set = sets.ids.find(id).unwrap();
    let up = [op(0, 3, SemFlags::SEM_UNDO), op(1, 1, PLAIN)];
    assert_eq!(poll(pin!(set.operate(&up, &who, &undo))), Poll::Ready(Ok(())));
    undo.apply(7, || 2);
    assert_eq!(set.values(&who), Ok(vec![0, 1]));
    let zero = [op(1, 0, PLAIN)];
    let mut waiting = pin!(set.operate(&zero, &who, &undo));
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!(set.ask(1, Question::WaitingForZero, &who), Ok(1));
    sets.remove(id, &who).unwrap();
    assert_eq!(poll(waiting), Poll::Ready(Err(Errno::EIDRM)));
    assert_eq!(sets.ids.find(id).err(), Some(Errno::EINVAL));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a guest asks for, values stay in their range and a refused call changes none of them.
    #[test]
    fn values_stay_in_range(calls in proptest::collection::vec(
        proptest::collection::vec((0u16..4, any::<i16>(), any::<u16>()), 1..5), 1..40)
    ) {
        let creds = Credentials::new(0, 0, CapSet::ALL);
        let who = Actor { creds: &creds, pid: 7, now_s: 1 };
        let (sets, undo) = (SemSets::default(), UndoList::default());
        let set = sets.ids.find(sets.get(Key::Private, 3, 0o600, &who).unwrap()).unwrap();
        for call in calls {
            let ops: Vec<_> =
                call.iter().map(|&(n, change, flags)| op(n, change, SemFlags::from_bits_retain(flags))).collect();
            let before = set.values(&who).unwrap();
            let refused = matches!(poll(pin!(set.operate(&ops, &who, &undo))), Poll::Ready(Err(_)));
            let after = set.values(&who).unwrap();
            assert!(after.iter().all(|&value| value <= 32767));
            assert!(!refused || before == after);
        }
        undo.apply(7, || 2);
        assert!(set.values(&who).unwrap().iter().all(|&value| value <= 32767));
    }
}
