//! The files of a process: a row each.

use std::sync::Arc;

use abi_linux::{Errno, SysResult};
use kernel_base::caller::Caller;
use kernel_base::user_ns::IdKind;
use kernel_vfs::inode::Inode;

use super::{
    Follow, MakeDir, Show, Store, Subject, fd, fdinfo, ids, links, map_query, mem, memory, mounts, namespaces,
};
use super::{settings, stat, status, task};
use crate::pseudo::{Content, Id, PseudoFile, PseudoLink};

/// Where an entry is found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Both,
    /// Below /proc/<pid> only.
    Process,
    /// Below /proc/<pid>/task/<tid> only.
    Thread,
}

/// What an entry is.
pub(super) enum Node {
    /// A file that shows something.
    Text(Show),
    /// A file that only who may ptrace the process can open.
    Private(Show),
    /// A file that can be written.
    Setting(Show, Store),
    /// A file of the process's user namespace, whose opener's rights count.
    UserNamespace(ids::Kind),
    Link(Follow),
    /// The process's memory.
    Memory,
    Dir(MakeDir),
}

/// A name below /proc/<pid>.
pub(super) struct Entry {
    pub(super) name: &'static str,
    pub(super) mode: u32,
    pub(super) scope: Scope,
    pub(super) node: Node,
}

const fn entry(name: &'static str, mode: u32, scope: Scope, node: Node) -> Entry {
    Entry { name, mode, scope, node }
}

/// The files, in the order in which a directory lists them.
pub(super) static ENTRIES: &[Entry] = &[
    entry("task", 0o555, Scope::Process, Node::Dir(task::directory)),
    entry("fd", 0o500, Scope::Both, Node::Dir(fd::directory)),
    entry("fdinfo", 0o555, Scope::Both, Node::Dir(fdinfo::directory)),
    entry("ns", 0o511, Scope::Both, Node::Dir(namespaces::directory)),
    entry("net", 0o555, Scope::Both, Node::Dir(links::net)),
    entry("attr", 0o555, Scope::Both, Node::Dir(settings::attributes)),
    entry("environ", 0o400, Scope::Both, Node::Private(memory::environ)),
    entry("auxv", 0o400, Scope::Both, Node::Private(memory::auxv)),
    entry("status", 0o444, Scope::Both, Node::Text(status::status)),
    entry("personality", 0o400, Scope::Both, Node::Private(settings::personality)),
    entry("limits", 0o444, Scope::Both, Node::Text(status::limits)),
    entry("sched", 0o444, Scope::Both, Node::Text(stat::sched)),
    entry("comm", 0o644, Scope::Both, Node::Setting(settings::comm, settings::set_comm)),
    entry("cmdline", 0o444, Scope::Both, Node::Text(memory::cmdline)),
    entry("stat", 0o444, Scope::Both, Node::Text(stat::stat)),
    entry("statm", 0o444, Scope::Both, Node::Text(stat::statm)),
    entry("maps", 0o444, Scope::Both, Node::Private(memory::maps)),
    entry("mem", 0o600, Scope::Both, Node::Memory),
    entry("smaps", 0o444, Scope::Both, Node::Private(memory::smaps)),
    entry("smaps_rollup", 0o444, Scope::Process, Node::Private(memory::smaps_rollup)),
    entry("cwd", 0o777, Scope::Both, Node::Link(links::cwd)),
    entry("root", 0o777, Scope::Both, Node::Link(links::root)),
    entry("exe", 0o777, Scope::Both, Node::Link(links::exe)),
    entry("mounts", 0o444, Scope::Both, Node::Text(mounts::mounts)),
    entry("mountinfo", 0o444, Scope::Both, Node::Text(mounts::mountinfo)),
    entry("mountstats", 0o400, Scope::Process, Node::Private(mounts::mountstats)),
    entry("wchan", 0o444, Scope::Both, Node::Text(stat::wchan)),
    entry("schedstat", 0o444, Scope::Both, Node::Text(stat::schedstat)),
    entry("cpuset", 0o444, Scope::Both, Node::Text(settings::slash)),
    entry("cgroup", 0o444, Scope::Both, Node::Text(settings::cgroup)),
    entry("oom_score", 0o444, Scope::Both, Node::Text(settings::oom_score)),
    entry(
        "oom_score_adj",
        0o644,
        Scope::Both,
        Node::Setting(settings::oom_score_adj, settings::set_oom_score_adj),
    ),
    entry("oom_adj", 0o644, Scope::Both, Node::Setting(settings::oom_adj, settings::set_oom_adj)),
    entry("loginuid", 0o644, Scope::Both, Node::Setting(settings::login_uid, settings::set_login_uid)),
    entry("sessionid", 0o444, Scope::Both, Node::Text(settings::session_id)),
    entry(
        "coredump_filter",
        0o644,
        Scope::Process,
        Node::Setting(settings::core_filter, settings::set_core_filter),
    ),
    entry("io", 0o400, Scope::Both, Node::Private(stat::io)),
    entry("uid_map", 0o644, Scope::Both, Node::UserNamespace(ids::Kind::Map(IdKind::User))),
    entry("gid_map", 0o644, Scope::Both, Node::UserNamespace(ids::Kind::Map(IdKind::Group))),
    entry("projid_map", 0o644, Scope::Both, Node::UserNamespace(ids::Kind::Map(IdKind::Project))),
    entry("setgroups", 0o644, Scope::Both, Node::UserNamespace(ids::Kind::Setgroups)),
    entry("timens_offsets", 0o644, Scope::Process, Node::Setting(settings::time_offsets, settings::refused)),
    entry("syscall", 0o400, Scope::Both, Node::Private(stat::syscall)),
    entry("timers", 0o444, Scope::Process, Node::Text(settings::empty)),
    entry("timerslack_ns", 0o666, Scope::Process, Node::Setting(settings::timer_slack, settings::refused)),
    entry("children", 0o444, Scope::Thread, Node::Text(task::children)),
];

impl Entry {
    /// Its inode for a process. `parent` is the directory's number.
    pub(super) fn inode(&'static self, subject: &Subject, id: Id, parent: u64) -> SysResult<Arc<dyn Inode>> {
        match self.node {
            Node::Dir(make) => make(subject, id, parent),
            Node::Memory => Ok(mem::MemoryInode::new(subject, id)),
            Node::Link(follow) => {
                let subject = subject.clone();
                Ok(PseudoLink::new(id, move |who| {
                    let target = subject.target().map_err(|_| Errno::ENOENT)?;
                    target.check_inspect(who)?;
                    // A zombie is nowhere and runs nothing.
                    if target.process.has_exited() {
                        return Err(Errno::ENOENT);
                    }
                    follow(&target, who)
                }))
            }
            Node::UserNamespace(kind) => Ok(PseudoFile::new(id, Arc::new(ids::File::new(subject, kind)))),
            Node::Text(_) | Node::Private(_) | Node::Setting(..) => {
                Ok(PseudoFile::new(id, Arc::new(EntryFile { subject: subject.clone(), entry: self })))
            }
        }
    }
}

/// A file of an [`Entry`].
struct EntryFile {
    subject: Subject,
    entry: &'static Entry,
}

impl Content for EntryFile {
    fn check_open(&self, who: &dyn Caller) -> SysResult<()> {
        match self.entry.node {
            Node::Private(_) => self.subject.target()?.check_inspect(who),
            _ => Ok(()),
        }
    }
    fn generate(&self, who: &dyn Caller) -> SysResult<Vec<u8>> {
        let (Node::Text(show) | Node::Private(show) | Node::Setting(show, _)) = self.entry.node else {
            return Err(Errno::EINVAL);
        };
        let target = self.subject.target()?;
        let mut out = Vec::new();
        show(&target, who, &mut out)?;
        Ok(out)
    }
    fn store(&self, who: &dyn Caller, data: &[u8]) -> SysResult<()> {
        let Node::Setting(_, store) = self.entry.node else { return Err(Errno::EINVAL) };
        store(&self.subject.target()?, who, data)
    }
    fn ioctl(&self, who: &dyn Caller, cmd: u32, arg: u64) -> SysResult<i64> {
        if self.entry.name == "maps" && cmd == map_query::PROCMAP_QUERY {
            return map_query::answer(&self.generate(who)?, who, arg).map(|()| 0);
        }
        Err(Errno::ENOTTY)
    }
}
