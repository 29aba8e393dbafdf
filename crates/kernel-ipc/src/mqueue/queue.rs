//! One queue. A message goes to the longest waiting receiver, past the queue; it comes back to its place should that
//! receiver go away before it has it. Senders wait for room.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::sync::Mutex;
use kernel_base::wait::WaitQueue;

use super::Charge;

/// `mq_maxmsg` and `mq_msgsize`: never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub max_messages: u64,
    pub message_size: u64,
}

/// Whether a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Allowed,
    /// O_NONBLOCK.
    No,
}

/// Who sent the message that a notification is about.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    pub pid: i32,
    pub ruid: u32,
}

/// How mq_notify(2) tells, with the numbers of SIGEV_*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotifyKind {
    Signal(i32),
    None,
    Thread,
}

/// What is told once, when a message comes to the empty queue. Called with no lock of the queue's held.
pub trait Notification: Send + Sync {
    /// How it tells.
    fn kind(&self) -> NotifyKind;
    /// A message came.
    fn arrived(&self, from: Sender);
    /// It will not be told any more.
    fn removed(&self);
}

struct Registered {
    pid: i32,
    how: Arc<dyn Notification>,
}

/// Text and priority.
type Message = (Box<[u8]>, u32);

struct Receiver {
    ticket: u64,
    waker: Option<Waker>,
    message: Option<Message>,
}

#[derive(Default)]
struct State {
    by_priority: BTreeMap<u32, VecDeque<Box<[u8]>>>,
    count: u64,
    bytes: usize,
    receivers: VecDeque<Receiver>,
    next_ticket: u64,
    registered: Option<Registered>,
}

/// What reading the queue's file tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Bytes of all messages.
    pub bytes: usize,
    pub messages: u64,
    /// Who is to be told, and how.
    pub notify: Option<(i32, NotifyKind)>,
}

impl State {
    fn put(&mut self, (text, priority): Message, first: bool) {
        self.count += 1;
        self.bytes += text.len();
        let messages = self.by_priority.entry(priority).or_default();
        if first { messages.push_front(text) } else { messages.push_back(text) }
    }

    /// The oldest of the highest priority.
    fn take(&mut self) -> Option<Message> {
        let mut last = self.by_priority.last_entry()?;
        let priority = *last.key();
        let text = last.get_mut().pop_front();
        if last.get().is_empty() {
            last.remove();
        }
        let text = text?;
        self.count -= 1;
        self.bytes -= text.len();
        Some((text, priority))
    }

    /// Gives a message to the receiver that waits longest: the message back when nobody does.
    fn hand_over(&mut self, message: Message) -> Result<Option<Waker>, Message> {
        match self.receivers.iter_mut().find(|receiver| receiver.message.is_none()) {
            Some(receiver) => {
                receiver.message = Some(message);
                Ok(receiver.waker.take())
            }
            None => Err(message),
        }
    }
}

/// A queue.
pub struct PosixQueue {
    attributes: Attributes,
    charge: Charge,
    state: Mutex<State>,
    queue: WaitQueue,
}

impl PosixQueue {
    pub(super) fn new(attributes: Attributes, charge: Charge) -> Self {
        Self { attributes, charge, state: Mutex::default(), queue: WaitQueue::new() }
    }

    /// What it was made with.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state.lock();
        let notify = state.registered.as_ref().map(|registered| (registered.pid, registered.how.kind()));
        Status { bytes: state.bytes, messages: state.count, notify }
    }

    /// Ready for what.
    #[must_use]
    pub fn poll(&self) -> Events {
        let count = self.state.lock().count;
        let mut events = Events::empty();
        events.set(Events::IN | Events::RDNORM, count > 0);
        events.set(Events::OUT | Events::WRNORM, count < self.attributes.max_messages);
        events
    }

    /// Woken when `poll` changes.
    #[must_use]
    pub fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    /// mq_timedsend(2) without its timeout. EMSGSIZE is the caller's to find before it copies the text.
    pub async fn send(
        &self,
        text: Box<[u8]>,
        priority: u32,
        waiting: Waiting,
        from: Sender,
    ) -> SysResult<()> {
        let mut message = Some((text, priority));
        let first = self.try_send(&mut message, Some(from));
        if waiting == Waiting::No || first != Err(Errno::EAGAIN) {
            return first;
        }
        // The message of a sender that waited notifies nobody (pipelined_receive).
        let not_full = || Some(self.try_send(&mut message, None)).filter(|done| *done != Err(Errno::EAGAIN));
        self.queue.wait_until(Events::OUT, not_full).await
    }

    fn try_send(&self, message: &mut Option<Message>, from: Option<Sender>) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.count >= self.attributes.max_messages {
            return Err(Errno::EAGAIN);
        }
        let Some(given) = message.take() else { return Ok(()) };
        let waker = match state.hand_over(given) {
            Ok(waker) => waker,
            Err(kept) => {
                self.charge.account.take(kept.0.len() + super::MESSAGE_OVERHEAD as usize)?;
                state.put(kept, false);
                let is_told = state.count == 1 && from.is_some();
                let told = if is_told { state.registered.take() } else { None };
                drop(state);
                if let (Some(registered), Some(from)) = (told, from) {
                    registered.how.arrived(from);
                }
                self.queue.wake(Events::IN | Events::RDNORM);
                return Ok(());
            }
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn uncharge(&self, (text, _): &Message) {
        self.charge.account.give_back(text.len() + super::MESSAGE_OVERHEAD as usize);
    }

    /// mq_timedreceive(2) without its timeout: text and priority.
    pub async fn receive(&self, waiting: Waiting) -> SysResult<(Box<[u8]>, u32)> {
        match self.begin_receive(waiting)? {
            Begun::Done(message) => Ok(message),
            Begun::Waits(place) => Ok(poll_fn(|cx| place.poll(cx.waker())).await),
        }
    }

    fn begin_receive(&self, waiting: Waiting) -> SysResult<Begun<'_>> {
        let mut state = self.state.lock();
        if let Some(message) = state.take() {
            drop(state);
            self.uncharge(&message);
            self.queue.wake(Events::OUT | Events::WRNORM);
            return Ok(Begun::Done(message));
        }
        if waiting == Waiting::No {
            return Err(Errno::EAGAIN);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.receivers.push_back(Receiver { ticket, waker: None, message: None });
        Ok(Begun::Waits(Place { queue: self, ticket }))
    }

    /// mq_notify(2): has `how` told of the next message that comes to the empty queue; EBUSY when somebody is to be
    /// told already.
    pub fn register(&self, pid: i32, how: Arc<dyn Notification>) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.registered.is_some() {
            return Err(Errno::EBUSY);
        }
        state.registered = Some(Registered { pid, how });
        Ok(())
    }

    /// Ends the registration of process `pid`, if it has one: by mq_notify(2), or because it closed the queue.
    pub fn unregister(&self, pid: i32) {
        let mut state = self.state.lock();
        if state.registered.as_ref().is_some_and(|registered| registered.pid == pid) {
            let registered = state.registered.take();
            drop(state);
            registered.into_iter().for_each(|registered| registered.how.removed());
        }
    }
}

impl Drop for PosixQueue {
    fn drop(&mut self) {
        while let Some(message) = self.state.get_mut().take() {
            self.uncharge(&message);
        }
    }
}

enum Begun<'a> {
    Done(Message),
    Waits(Place<'a>),
}

/// A receiver's place, given up when dropped.
struct Place<'a> {
    queue: &'a PosixQueue,
    ticket: u64,
}

impl Place<'_> {
    fn poll(&self, waker: &Waker) -> Poll<(Box<[u8]>, u32)> {
        let mut state = self.queue.state.lock();
        let mine = state.receivers.iter_mut().find(|receiver| receiver.ticket == self.ticket);
        let Some(receiver) = mine else { return Poll::Pending };
        receiver.waker = Some(waker.clone());
        receiver.message.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        let at = state.receivers.iter().position(|receiver| receiver.ticket == self.ticket);
        let mine = at.and_then(|at| state.receivers.remove(at));
        let Some(message) = mine.and_then(|receiver| receiver.message) else { return };
        let waker = match state.hand_over(message) {
            Ok(waker) => waker,
            Err(kept) => {
                // It was sent, so it is kept even beyond the budget.
                let bytes = kept.0.len() + super::MESSAGE_OVERHEAD as usize;
                self.queue.charge.account.bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
                state.put(kept, true);
                drop(state);
                self.queue.queue.wake(Events::IN | Events::RDNORM);
                return;
            }
        };
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}
