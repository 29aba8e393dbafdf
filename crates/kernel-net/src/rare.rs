//! Options of SOL_SOCKET that few programs set and that change nothing here: checked and remembered as Linux does
//! (net/core/sock.c sk_setsockopt and sk_getsockopt, v6.18). They tune queues and devices of the host, which no socket of ours
//! has. What would have an effect that is missing (filters, time stamps) is not among them: ENOPROTOOPT.

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::Cap;
use kernel_base::sync::Mutex;

use crate::socket::{Identity, SocketKind};
use crate::unix::AF_UNIX;

/// What values an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// 0 or not.
    Switch,
    Any,
    /// From the first to the last: else EINVAL.
    Within(i32, i32),
    /// As `Within`; more than the first number, which everybody may have, wants CAP_NET_ADMIN.
    Privileged(i32, i32, i32),
    /// Never set (ENOPROTOOPT).
    ReadOnly,
    /// EOPNOTSUPP, set or asked for.
    Unsupported,
}

/// Whose option it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    All,
    /// Others cannot set it, and have no value.
    Tcp,
}

struct Row {
    name: i32,
    value: Value,
    of: Of,
    /// At first.
    first: i32,
}

const fn row(name: i32, value: Value, first: i32) -> Row {
    Row { name, value, of: Of::All, first }
}

/// include/uapi/asm-generic/socket.h.
const ROWS: &[Row] = &[
    // SO_RXQ_OVFL (nothing overflows unseen), SO_WIFI_STATUS, SO_NOFCS, SO_LOCK_FILTER, SO_SELECT_ERR_QUEUE.
    row(41, Value::Switch, 0),
    row(43, Value::Switch, 0),
    row(44, Value::Switch, 0),
    row(45, Value::Switch, 0),
    // SO_BUSY_POLL, SO_BPF_EXTENSIONS (SKF_AD_MAX), SO_INCOMING_CPU, SO_CNX_ADVICE, SO_INCOMING_NAPI_ID.
    row(46, Value::Privileged(0, 0, i32::MAX), 0),
    row(48, Value::ReadOnly, 64),
    row(49, Value::Any, -1),
    row(56, Value::ReadOnly, 0),
    // SO_PREFER_BUSY_POLL, SO_BUSY_POLL_BUDGET, SO_BUF_LOCK, SO_TXREHASH.
    row(69, Value::Privileged(0, i32::MIN, i32::MAX), 0),
    row(70, Value::Privileged(8, 0, u16::MAX as i32), 8),
    row(72, Value::Within(0, 3), 0),
    Row { name: 74, value: Value::Within(-1, 1), of: Of::Tcp, first: 1 },
    // SO_RCVPRIORITY; SO_PASSPIDFD and SO_PASSRIGHTS of all but AF_UNIX, which SO_PEERPIDFD is for, too.
    row(82, Value::Switch, 0),
    row(76, Value::Unsupported, 0),
    row(83, Value::Unsupported, 0),
];

/// What has been set, of the few sockets where anything was.
#[derive(Default)]
pub(crate) struct Rare(Mutex<Vec<(i32, i32)>>);

fn find(identity: Identity, name: i32) -> SysResult<&'static Row> {
    let is_pass = matches!(name, 76 | 83);
    if is_pass && identity.domain == AF_UNIX {
        return Err(Errno::ENOPROTOOPT);
    }
    let row = ROWS.iter().find(|row| row.name == name).ok_or(Errno::ENOPROTOOPT)?;
    let is_tcp = identity.domain != AF_UNIX && identity.kind == SocketKind::Stream;
    if row.of == Of::Tcp && !is_tcp { Err(Errno::EOPNOTSUPP) } else { Ok(row) }
}

impl Rare {
    /// setsockopt(2).
    pub(crate) fn set(&self, who: &dyn Caller, identity: Identity, name: i32, number: i32) -> SysResult<()> {
        let row = find(identity, name)?;
        let is_admin = || who.credentials().has(Cap::NET_ADMIN);
        let value = match row.value {
            Value::Switch => i32::from(number != 0),
            Value::Any => number,
            Value::Within(least, most) if (least..=most).contains(&number) => number,
            Value::Privileged(free, ..) if number > free && !is_admin() => return Err(Errno::EPERM),
            Value::Privileged(_, least, most) if (least..=most).contains(&number) => number,
            Value::Within(..) | Value::Privileged(..) => return Err(Errno::EINVAL),
            Value::ReadOnly => return Err(Errno::ENOPROTOOPT),
            Value::Unsupported => return Err(Errno::EOPNOTSUPP),
        };
        let mut set = self.0.lock();
        set.retain(|(known, _)| *known != name);
        set.push((name, value));
        Ok(())
    }

    /// getsockopt(2).
    pub(crate) fn get(&self, identity: Identity, name: i32) -> SysResult<i32> {
        let row = find(identity, name)?;
        if row.value == Value::Unsupported {
            return Err(Errno::EOPNOTSUPP);
        }
        let set = self.0.lock();
        Ok(set.iter().find(|(known, _)| *known == name).map_or(row.first, |(_, value)| *value))
    }

    /// An accepted connection begins with what its listener has.
    pub(crate) fn inherit(&self, from: &Self) {
        let set = from.0.lock().clone();
        *self.0.lock() = set;
    }
}
