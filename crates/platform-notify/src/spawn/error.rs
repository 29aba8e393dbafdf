//! What can go wrong while an init is made, in words for the user.

use abi_linux::Errno;

/// A step of making an init.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    LoaderFile = 1,
    Socket,
    Clone,
    IdMaps,
    Died,
    DeathSignal,
    Groups,
    User,
    Mounts,
    Group,
    Signals,
    Limits,
    Descriptors,
    Capabilities,
    NoNewPrivileges,
    Filter,
    TakeListener,
    SyncWakeUp,
    Exec,
    Join,
    Place,
    Network,
    OomScore,
}

const STEPS: [Step; 23] = [
    Step::LoaderFile,
    Step::Socket,
    Step::Clone,
    Step::IdMaps,
    Step::Died,
    Step::DeathSignal,
    Step::Groups,
    Step::User,
    Step::Mounts,
    Step::Group,
    Step::Signals,
    Step::Limits,
    Step::Descriptors,
    Step::Capabilities,
    Step::NoNewPrivileges,
    Step::Filter,
    Step::TakeListener,
    Step::SyncWakeUp,
    Step::Exec,
    Step::Join,
    Step::Place,
    Step::Network,
    Step::OomScore,
];

impl Step {
    /// The step of a child's report.
    pub(crate) fn from_number(number: u8) -> Self {
        STEPS.into_iter().find(|step| *step as u8 == number).unwrap_or(Self::Died)
    }

    /// What was tried.
    fn task(self) -> &'static str {
        match self {
            Self::LoaderFile => "create the loader's sealed memfd",
            Self::Socket => "talk to the container's init",
            Self::Clone => "create the container's namespaces",
            Self::IdMaps => "write the id maps of the container's user namespace",
            Self::Died => "set the container's init up: it died",
            Self::DeathSignal => "tie the container's init to the supervisor",
            Self::Groups => "drop supplementary groups",
            Self::User => "become the unprivileged user",
            Self::Mounts => "make the empty root directory",
            Self::Group => "make a process group",
            Self::Signals => "reset signal dispositions",
            Self::Limits => "set resource limits",
            Self::Descriptors => "close inherited descriptors",
            Self::Capabilities => "drop capabilities",
            Self::NoNewPrivileges => "set no_new_privs",
            Self::Filter => "install the seccomp filter",
            Self::TakeListener => "take the seccomp listener",
            Self::SyncWakeUp => "set SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP",
            Self::Exec => "execute the loader",
            Self::Join => "enter the container's namespaces",
            Self::Place => "put the process into the container's cgroup",
            Self::Network => "enter the network namespace of the container",
            Self::OomScore => "set the OOM score of the container's processes",
        }
    }

    /// What the user can do about it.
    fn remedy(self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (Self::Clone, Errno::EPERM) => Some(
                "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
                 kernel.apparmor_restrict_unprivileged_userns=0), or run as root",
            ),
            (Self::Clone, Errno::ENOSPC) => Some("raise sysctl user.max_user_namespaces and its siblings"),
            (Self::Clone, Errno::EAGAIN) => Some("raise the limit on processes (ulimit -u, pids cgroup)"),
            (Self::Clone, Errno::EINVAL) => {
                Some("use a kernel with user, pid, net, ipc, uts and cgroup namespaces")
            }
            (Self::Filter, Errno::ENOSYS | Errno::EPERM | Errno::EACCES) => Some(
                "use a kernel with CONFIG_SECCOMP_FILTER, and no outer seccomp filter that forbids seccomp(2)",
            ),
            (Self::Filter, Errno::EINVAL) | (Self::SyncWakeUp, _) => Some("use Linux 6.6 or later"),
            (Self::TakeListener, Errno::ENOSYS) => {
                Some("use Linux 6.6 or later, and no outer seccomp filter that forbids pidfd_getfd(2)")
            }
            (Self::TakeListener, Errno::EPERM) => {
                Some("allow ptrace of own children (sysctl kernel.yama.ptrace_scope=1 or 0)")
            }
            (Self::Exec, Errno::EACCES) => Some("set sysctl vm.memfd_noexec=0"),
            _ => None,
        }
    }
}

/// Why a container could not be made: one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {}: {errno}{}{}", .step.task(), Lead(.step.remedy(*.errno)), .step.remedy(*.errno).unwrap_or(""))]
pub struct SpawnError {
    pub step: Step,
    pub errno: Errno,
}

/// What stands before a remedy, if there is one.
struct Lead(Option<&'static str>);

impl std::fmt::Display for Lead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "; remedy: " } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::{STEPS, SpawnError, Step};
    use abi_linux::Errno;

    #[test]
    fn every_step_survives_its_report() {
        for step in STEPS {
            assert_eq!(Step::from_number(step as u8), step);
        }
    }

    #[test]
    fn error_names_step_errno_and_remedy() {
        let error = SpawnError { step: Step::Clone, errno: Errno::ENOSPC };
        let text = error.to_string();
        assert!(text.starts_with("cannot create the container's namespaces: No space left"), "{text}");
        assert!(text.contains("; remedy: raise sysctl"), "{text}");
    }
}
