//! setsockopt(2) and getsockopt(2): what is the supervisor's (waiting, lingering), and what the host is asked.

use std::sync::atomic::Ordering;

use abi_linux::{Errno, SysResult};
use host_net::options::{IP, IPV6, SOCKET, row};
use kernel_base::caller::Caller;

use super::socket::HostSocket;
use crate::options::so;

const ZEROCOPY: i32 = 60;
/// Greatest SO_PRIORITY without CAP_NET_ADMIN.
const PRIORITY: i32 = 6;

fn int_of(value: &[u8]) -> SysResult<i32> {
    value.first_chunk().copied().map(i32::from_ne_bytes).ok_or(Errno::EINVAL)
}

impl HostSocket {
    pub(super) fn set_general(&self, who: &dyn Caller, name: i32, value: &[u8]) -> Option<SysResult<()>> {
        match name {
            // Waiting is the supervisor's; the others cannot be set on any socket, or not on these.
            so::RCVTIMEO | so::SNDTIMEO | so::RCVTIMEO_NEW | so::SNDTIMEO_NEW => None,
            so::TYPE | so::PROTOCOL | so::DOMAIN | so::ERROR | so::PASSCRED | so::PASSSEC => None,
            so::LINGER => Some(self.set_linger(who, value)),
            so::RCVLOWAT => {
                let kept = self.options.set(who, name, value);
                self.readiness.doubt();
                Some(kept.and_then(|()| self.host.set_low_water(self.options.receive_low_water())))
            }
            ZEROCOPY => Some(match int_of(value) {
                Ok(wanted @ (0 | 1)) => {
                    self.zerocopy.is_on.store(wanted == 1, Ordering::Relaxed);
                    Ok(())
                }
                _ => Err(Errno::EINVAL),
            }),
            so::PRIORITY if int_of(value).is_ok_and(|wanted| !(0..=PRIORITY).contains(&wanted)) => {
                Some(Err(Errno::EPERM))
            }
            _ => Some(self.set_host_option(SOCKET, name, value)),
        }
    }

    /// close(2) of a host socket that lingers would make the supervisor wait; one that lingers not at all resets.
    fn set_linger(&self, who: &dyn Caller, value: &[u8]) -> SysResult<()> {
        self.options.set(who, so::LINGER, value)?;
        self.host.reset_on_close(self.options.lingers_not_at_all())
    }

    pub(super) fn set_host_option(&self, level: i32, name: i32, value: &[u8]) -> SysResult<()> {
        // ipv6_setsockopt is for sockets of AF_INET6, and looks at no value of others.
        let is_foreign = level == IPV6 && self.host.is_v4();
        let row = row(level, name).filter(|_| !is_foreign).ok_or(Errno::ENOPROTOOPT)?;
        self.host.set_option(row, value)?;
        if row.adds_control {
            self.has_control.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn general(&self, name: i32, wanted: usize) -> Option<SysResult<Vec<u8>>> {
        match name {
            so::RCVTIMEO
            | so::SNDTIMEO
            | so::TYPE
            | so::PROTOCOL
            | so::DOMAIN
            | so::ERROR
            | so::LINGER
            | so::RCVLOWAT
            | so::PEERNAME
            | so::PEERCRED
            | so::PEERGROUPS
            | so::RCVTIMEO_NEW
            | so::SNDTIMEO_NEW
            | so::PASSCRED
            | so::PASSSEC => None,
            ZEROCOPY => {
                let is_on = i32::from(self.zerocopy.is_on.load(Ordering::Relaxed));
                Some(Ok(is_on.to_ne_bytes().to_vec()))
            }
            _ => Some(self.host_option(SOCKET, name, wanted)),
        }
    }

    pub(super) fn host_option(&self, level: i32, name: i32, wanted: usize) -> SysResult<Vec<u8>> {
        let is_foreign = level == IPV6 && self.host.is_v4();
        let Some(row) = row(level, name).filter(|_| !is_foreign) else {
            // ip_getsockopt, unlike its relatives.
            let is_known = matches!(level, SOCKET | IP) || level == self.host.number || !self.host.is_v4();
            return Err(if is_known { Errno::ENOPROTOOPT } else { Errno::EOPNOTSUPP });
        };
        self.host.option(row, wanted)
    }
}
