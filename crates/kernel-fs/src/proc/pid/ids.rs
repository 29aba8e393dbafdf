//! uid_map, gid_map, projid_map and setgroups: the process's user namespace (user_namespaces(7);
//! kernel/user_namespace.c, Linux v6.18).

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::cred::{Cap, Credentials};
use kernel_base::user_ns::{IdKind, UserNamespace};

use super::Subject;
use crate::pseudo::{Content, text};

/// Which of the files.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Map(IdKind),
    Setgroups,
}

/// One of the files.
pub(super) struct File {
    subject: Subject,
    kind: Kind,
}

impl File {
    pub(super) fn new(subject: &Subject, kind: Kind) -> Self {
        Self { subject: subject.clone(), kind }
    }

    fn namespace(&self) -> SysResult<Arc<UserNamespace>> {
        Ok(Arc::clone(&self.subject.target()?.process.credentials().user_ns))
    }
}

impl Content for File {
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>> {
        self.generate_for(who, &who.credentials())
    }

    fn generate_for(&self, _who: &dyn Caller, opener: &Credentials) -> SysResult<Vec<u8>> {
        let namespace = self.namespace()?;
        let mut text = Vec::new();
        let out = &mut text;
        match self.kind {
            Kind::Setgroups => {
                text!(out, "{}\n", if namespace.allows_setgroups() { "allow" } else { "deny" })
            }
            Kind::Map(kind) => {
                for extent in namespace.show_map(kind, &opener.user_ns) {
                    text!(out, "{:10} {:10} {:10}\n", extent.first, extent.lower, extent.count);
                }
            }
        }
        Ok(text)
    }

    fn store_for(&self, who: &dyn Caller, opener: &Credentials, offset: u64, data: &[u8]) -> SysResult<()> {
        if offset != 0 {
            return Err(Errno::EINVAL);
        }
        let namespace = self.namespace()?;
        match self.kind {
            Kind::Map(kind) => namespace.write_map(kind, data, &who.credentials(), opener),
            Kind::Setgroups => {
                // proc_setgroups_open asks for it already when the file is opened.
                if !opener.has_in(&namespace, Cap::SYS_ADMIN) {
                    return Err(Errno::EACCES);
                }
                namespace.set_allows_setgroups(parse_setgroups(data).ok_or(Errno::EINVAL)?)
            }
        }
    }
}

/// "allow" or "deny", and white space.
fn parse_setgroups(data: &[u8]) -> Option<bool> {
    const LONGEST: usize = 8;
    let word = data.trim_ascii_end();
    match word {
        _ if data.len() >= LONGEST => None,
        b"allow" => Some(true),
        b"deny" => Some(false),
        _ => None,
    }
}
