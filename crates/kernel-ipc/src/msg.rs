//! Message queues (msgget(2), msgsnd(2), msgrcv(2); ipc/msg.c, Linux v6.18).
//!
//! A message goes to the first receiver that waits for one of its kind, past the queue; it comes back to
//! the queue's head should a signal take that receiver away before it has it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Waker};

use abi_linux::fs::Events;
use abi_linux::{Errno, SysResult};
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;
use kernel_base::tunable::Tunable;
use kernel_base::wait::WaitQueue;

use crate::ids::{Ids, Key, Object};
use crate::perm::{Actor, Perm, READ, WRITE};

/// Most bytes that all messages of a namespace take, with [`OVERHEAD`] for each: beyond, ENOMEM.
const TOTAL_MAX: usize = 256 << 20;
const OVERHEAD: usize = 64;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Positive.
    pub mtype: i64,
    pub text: Box<[u8]>,
}

/// Which message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Any,
    Type(i64),
    /// MSG_EXCEPT.
    NotType(i64),
    /// The lowest type that is at most this.
    UpTo(i64),
}

/// Whether a call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    Allowed,
    /// IPC_NOWAIT.
    No,
}

impl Wanted {
    /// From msgrcv(2)'s type and whether MSG_EXCEPT is given (convert_mode).
    #[must_use]
    pub const fn new(mtype: i64, except: bool) -> Self {
        match mtype {
            0 => Self::Any,
            ..0 => Self::UpTo(mtype.saturating_neg()),
            _ if except => Self::NotType(mtype),
            _ => Self::Type(mtype),
        }
    }

    const fn admits(self, mtype: i64) -> bool {
        match self {
            Self::Any => true,
            Self::Type(wanted) => mtype == wanted,
            Self::NotType(unwanted) => mtype != unwanted,
            Self::UpTo(most) => mtype <= most,
        }
    }
}

/// How much a receiver takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub bytes: usize,
    /// MSG_NOERROR: the rest is lost; otherwise E2BIG.
    pub cut: bool,
}

impl Room {
    const fn holds(self, message: &Message) -> bool {
        self.cut || message.text.len() <= self.bytes
    }
}

struct Receiver {
    ticket: u64,
    wanted: Wanted,
    room: Room,
    pid: i32,
    waker: Option<Waker>,
    result: Option<SysResult<Message>>,
}

struct State {
    perm: Perm,
    stime: i64,
    rtime: i64,
    ctime: i64,
    bytes: usize,
    max_bytes: usize,
    lspid: i32,
    lrpid: i32,
    messages: VecDeque<Message>,
    receivers: VecDeque<Receiver>,
    next_ticket: u64,
    is_dead: bool,
}

/// A message queue.
pub struct MessageQueue {
    id: i32,
    /// What all queues of the namespace hold.
    total: Arc<AtomicUsize>,
    state: Mutex<State>,
    /// Waits for room.
    senders: WaitQueue,
}

/// What IPC_STAT tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub id: i32,
    pub perm: Perm,
    pub stime: i64,
    pub rtime: i64,
    pub ctime: i64,
    pub bytes: usize,
    pub messages: usize,
    pub max_bytes: usize,
    pub lspid: i32,
    pub lrpid: i32,
}

impl Object for MessageQueue {
    type Status = Status;

    fn perm(&self) -> Perm {
        self.state.lock().perm
    }

    fn status(&self) -> Status {
        let state = self.state.lock();
        Status {
            id: self.id,
            perm: state.perm,
            stime: state.stime,
            rtime: state.rtime,
            ctime: state.ctime,
            bytes: state.bytes,
            messages: state.messages.len(),
            max_bytes: state.max_bytes,
            lspid: state.lspid,
            lrpid: state.lrpid,
        }
    }
}

impl State {
    /// Where the wanted message is (find_msg).
    fn find(&self, wanted: Wanted) -> Option<usize> {
        let mut admitted =
            self.messages.iter().enumerate().filter(|(_, message)| wanted.admits(message.mtype));
        match wanted {
            // The first of the lowest.
            Wanted::UpTo(_) => admitted.min_by_key(|(at, message)| (message.mtype, *at)).map(|(at, _)| at),
            _ => admitted.next().map(|(at, _)| at),
        }
    }

    /// Gives a message to somebody who waits for it (pipelined_send): the message back when nobody does.
    fn hand_over(&mut self, message: Message, now_s: i64, wakes: &mut Vec<Waker>) -> Option<Message> {
        for receiver in self.receivers.iter_mut().filter(|receiver| receiver.result.is_none()) {
            if !receiver.wanted.admits(message.mtype) {
                continue;
            }
            wakes.extend(receiver.waker.take());
            if receiver.room.holds(&message) {
                self.lrpid = receiver.pid;
                self.rtime = now_s;
                receiver.result = Some(Ok(message));
                return None;
            }
            receiver.result = Some(Err(Errno::E2BIG));
        }
        Some(message)
    }
}

impl MessageQueue {
    /// msgsnd(2).
    pub async fn send(&self, message: Message, waiting: Waiting, who: &Actor<'_>) -> SysResult<()> {
        let mut message = Some(message);
        let mut attempt = || self.try_send(&mut message, who);
        match waiting {
            Waiting::No => attempt(),
            Waiting::Allowed => {
                let not_full = || Some(attempt()).filter(|result| *result != Err(Errno::EAGAIN));
                self.senders.wait_until(Events::OUT, not_full).await
            }
        }
    }

    fn try_send(&self, message: &mut Option<Message>, who: &Actor<'_>) -> SysResult<()> {
        let mut state = self.state.lock();
        if state.is_dead {
            return Err(Errno::EIDRM);
        }
        state.perm.check(who, WRITE)?;
        let len = message.as_ref().map_or(0, |message| message.text.len());
        let fits = state.bytes + len <= state.max_bytes && state.messages.len() < state.max_bytes;
        if !fits {
            return Err(Errno::EAGAIN);
        }
        let Some(given) = message.take() else { return Ok(()) };
        state.lspid = who.pid;
        state.stime = who.now_s;
        let mut wakes = Vec::new();
        if let Some(kept) = state.hand_over(given, who.now_s, &mut wakes) {
            if self.total.load(Ordering::Relaxed).saturating_add(len + OVERHEAD) > TOTAL_MAX {
                return Err(Errno::ENOMEM);
            }
            self.charge(&mut state, &kept);
            state.messages.push_back(kept);
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        Ok(())
    }

    fn charge(&self, state: &mut State, message: &Message) {
        state.bytes += message.text.len();
        self.total.fetch_add(message.text.len() + OVERHEAD, Ordering::Relaxed);
    }

    fn uncharge(&self, state: &mut State, message: &Message) {
        state.bytes = state.bytes.saturating_sub(message.text.len());
        self.total.fetch_sub(message.text.len() + OVERHEAD, Ordering::Relaxed);
    }

    /// msgrcv(2).
    pub async fn receive(
        &self,
        wanted: Wanted,
        room: Room,
        waiting: Waiting,
        who: &Actor<'_>,
    ) -> SysResult<Message> {
        match self.begin_receive(wanted, room, waiting, who)? {
            Begun::Done(message) => Ok(message),
            Begun::Waits(place) => poll_fn(|cx| place.poll(cx.waker())).await,
        }
    }

    fn begin_receive(
        &self,
        wanted: Wanted,
        room: Room,
        waiting: Waiting,
        who: &Actor<'_>,
    ) -> SysResult<Begun<'_>> {
        let mut state = self.state.lock();
        state.perm.check(who, READ)?;
        if state.is_dead {
            return Err(Errno::EIDRM);
        }
        if let Some(at) = state.find(wanted) {
            let fits = state.messages.get(at).is_some_and(|message| room.holds(message));
            if !fits {
                return Err(Errno::E2BIG);
            }
            let message = state.messages.remove(at).ok_or(Errno::ENOMSG)?;
            self.uncharge(&mut state, &message);
            state.rtime = who.now_s;
            state.lrpid = who.pid;
            drop(state);
            self.senders.wake(Events::OUT);
            return Ok(Begun::Done(message));
        }
        if waiting == Waiting::No {
            return Err(Errno::ENOMSG);
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let receiver = Receiver { ticket, wanted, room, pid: who.pid, waker: None, result: None };
        state.receivers.push_back(receiver);
        Ok(Begun::Waits(Place { queue: self, ticket }))
    }

    /// msgrcv(2) with MSG_COPY: a copy of the message at a place in the queue.
    pub fn copy(&self, place: i64, room: Room, who: &Actor<'_>) -> SysResult<Message> {
        let state = self.state.lock();
        state.perm.check(who, READ)?;
        if state.is_dead {
            return Err(Errno::EIDRM);
        }
        let at = usize::try_from(place).map_err(|_| Errno::ENOMSG)?;
        let message = state.messages.get(at).ok_or(Errno::ENOMSG)?;
        if room.holds(message) { Ok(message.clone()) } else { Err(Errno::E2BIG) }
    }
}

enum Begun<'a> {
    Done(Message),
    Waits(Place<'a>),
}

/// A receiver's place, given up when dropped.
struct Place<'a> {
    queue: &'a MessageQueue,
    ticket: u64,
}

impl Place<'_> {
    fn poll(&self, waker: &Waker) -> Poll<SysResult<Message>> {
        let mut state = self.queue.state.lock();
        let found = state.receivers.iter().position(|receiver| receiver.ticket == self.ticket);
        let Some(at) = found else { return Poll::Ready(Err(Errno::EIDRM)) };
        let done = state.receivers.get_mut(at).and_then(|receiver| {
            receiver.waker = Some(waker.clone());
            receiver.result.take()
        });
        match done {
            Some(result) => {
                state.receivers.remove(at);
                Poll::Ready(result)
            }
            None => Poll::Pending,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        let found = state.receivers.iter().position(|receiver| receiver.ticket == self.ticket);
        let Some(receiver) = found.and_then(|at| state.receivers.remove(at)) else { return };
        let mut wakes = Vec::new();
        if let Some(Ok(message)) = receiver.result {
            let now_s = state.rtime;
            if let Some(kept) = state.hand_over(message, now_s, &mut wakes) {
                self.queue.charge(&mut state, &kept);
                state.messages.push_front(kept);
            }
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        let held: usize = state.messages.iter().map(|message| message.text.len() + OVERHEAD).sum();
        self.total.fetch_sub(held, Ordering::Relaxed);
    }
}

/// All queues of a namespace.
pub struct MessageQueues {
    pub ids: Ids<MessageQueue>,
    total: Arc<AtomicUsize>,
    /// kernel.msgmax: bytes of a message.
    pub msgmax: Tunable,
    /// kernel.msgmnb: bytes of a queue.
    pub msgmnb: Tunable,
    /// kernel.msgmni: queues.
    pub msgmni: Tunable,
}

impl Default for MessageQueues {
    fn default() -> Self {
        const INT_MAX: u64 = i32::MAX as u64;
        Self {
            ids: Ids::default(),
            total: Arc::default(),
            msgmax: Tunable::new(8192, 0, 1 << 20),
            msgmnb: Tunable::new(16384, 0, INT_MAX),
            msgmni: Tunable::new(32000, 0, crate::ids::IPCMNI),
        }
    }
}

impl MessageQueues {
    /// msgget(2).
    pub fn get(&self, key: Key, flags: u32, who: &Actor<'_>) -> SysResult<i32> {
        self.ids.get(
            key,
            flags,
            who,
            self.msgmni.get(),
            |_| Ok(()),
            |created| {
                let state = State {
                    perm: created.perm,
                    stime: 0,
                    rtime: 0,
                    ctime: who.now_s,
                    bytes: 0,
                    max_bytes: self.msgmnb.count(),
                    lspid: 0,
                    lrpid: 0,
                    messages: VecDeque::new(),
                    receivers: VecDeque::new(),
                    next_ticket: 0,
                    is_dead: false,
                };
                let total = Arc::clone(&self.total);
                Ok(MessageQueue {
                    id: created.id,
                    total,
                    state: Mutex::new(state),
                    senders: WaitQueue::new(),
                })
            },
        )
    }

    /// IPC_SET; more bytes than kernel.msgmnb are for CAP_SYS_RESOURCE.
    pub fn set(
        &self,
        id: i32,
        (uid, gid, mode): (u32, u32, u32),
        max_bytes: u64,
        who: &Actor<'_>,
    ) -> SysResult<()> {
        let queue = self.ids.find(id)?;
        let mut state = queue.state.lock();
        state.perm.check_owner(who)?;
        if max_bytes > self.msgmnb.get() && !who.creds.has(Cap::SYS_RESOURCE) {
            return Err(Errno::EPERM);
        }
        state.perm.set(uid, gid, mode)?;
        state.max_bytes = usize::try_from(max_bytes).unwrap_or(usize::MAX).min(TOTAL_MAX);
        state.ctime = who.now_s;
        drop(state);
        queue.senders.wake(Events::OUT);
        Ok(())
    }

    /// IPC_RMID: who waits gets EIDRM.
    pub fn remove(&self, id: i32, who: &Actor<'_>) -> SysResult<()> {
        let queue = self.ids.find(id)?;
        queue.state.lock().perm.check_owner(who)?;
        if !self.ids.remove(id) {
            return Err(Errno::EIDRM);
        }
        let mut state = queue.state.lock();
        state.is_dead = true;
        let mut wakes = Vec::new();
        for receiver in &mut state.receivers {
            receiver.result.get_or_insert(Err(Errno::EIDRM));
            wakes.extend(receiver.waker.take());
        }
        drop(state);
        wakes.into_iter().for_each(Waker::wake);
        queue.senders.wake(Events::OUT);
        Ok(())
    }

    /// The highest index in use.
    #[must_use]
    pub fn highest(&self) -> i32 {
        self.ids.count_and_highest().1
    }
}
