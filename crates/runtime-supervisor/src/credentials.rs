//! The first process's credentials and limits, from the container's specification.

use std::sync::Arc;

use abi_linux::SysResult;
use kernel_base::cred::{CapSet, Credentials};
use kernel_base::user_ns::{Extent, IdMap, UserNamespace};
use kernel_fs::hostfs::Owners;
use kernel_task::limits::{Limit, Limits, Resource};
use platform_api::{HostTid, Platform};
use runtime_oci::{ContainerSpec, IdMapping, IdMappings};

use crate::error::Error;

/// Most descriptors of a guest process: below the number where the loader's file is handed in.
const MAX_FILES: u64 = 1 << 16;

/// The user namespace that config.json asks for.
pub(crate) fn user_namespace(spec: &ContainerSpec) -> Result<Arc<UserNamespace>, Error> {
    if spec.uid_mappings.is_empty() {
        return Ok(Arc::clone(UserNamespace::initial()));
    }
    let made = id_map(&spec.uid_mappings)
        .and_then(|users| UserNamespace::of_container(users, id_map(&spec.gid_mappings)?));
    made.map_err(Error::UserNamespace)
}

fn id_map(list: &[IdMapping]) -> SysResult<IdMap> {
    let extent = |one: &IdMapping| Extent { first: one.container_id, lower: one.host_id, count: one.size };
    IdMap::new(list.iter().map(extent).collect())
}

/// Whose the files of a mount are.
pub(crate) fn owners(ids: &IdMappings) -> SysResult<Owners> {
    Ok(Owners { users: id_map(&ids.users)?, groups: id_map(&ids.groups)? })
}

/// Whoever makes what the container finds: its root user, whom nothing is forbidden.
pub(crate) fn builder(user_ns: &UserNamespace) -> Credentials {
    let [uid, gid] = [user_ns.uid(0), user_ns.gid(0)].map(|id| id.unwrap_or(0));
    let mut credentials = Credentials::new(0, 0, CapSet::ALL);
    (credentials.fsuid, credentials.fsgid) = (uid, gid);
    credentials
}

/// Credentials as config.json says, in the container's user namespace.
pub(crate) fn credentials(spec: &ContainerSpec, user_ns: &Arc<UserNamespace>) -> Result<Credentials, Error> {
    let user = &spec.process.user;
    let unmapped = |field: &'static str, id: u32| Error::UnmappedId { field, id };
    let group = |id: u32| user_ns.gid(id);
    let uid = user_ns.uid(user.uid).ok_or_else(|| unmapped("process.user.uid", user.uid))?;
    let gid = group(user.gid).ok_or_else(|| unmapped("process.user.gid", user.gid))?;
    let groups: Result<Arc<[u32]>, Error> = user
        .groups
        .iter()
        .map(|&id| group(id).ok_or_else(|| unmapped("process.user.additionalGids", id)))
        .collect();
    let [bounding, effective, permitted, inheritable, ambient] =
        spec.process.capabilities.map(|bits| CapSet(bits & CapSet::ALL.0));
    let mut credentials = Credentials::new(uid, gid, bounding);
    credentials.user_ns = Arc::clone(user_ns);
    credentials.groups = groups?;
    credentials.permitted = CapSet(permitted.0 & bounding.0);
    credentials.effective = CapSet(effective.0 & credentials.permitted.0);
    credentials.inheritable = inheritable;
    credentials.ambient = CapSet(ambient.0 & permitted.0 & inheritable.0);
    credentials.no_new_privs = spec.process.no_new_privs;
    Ok(credentials)
}

/// Limits as config.json says, over Linux's defaults; those of memory and time are set on the host, too.
pub(crate) fn limits(spec: &ContainerSpec, platform: &dyn Platform, init: HostTid) -> Result<Limits, Error> {
    let limits = Limits::for_init(MAX_FILES);
    let root = Credentials::new(0, 0, CapSet::ALL);
    for wanted in &spec.process.rlimits {
        let failed = |errno| Error::Rlimit { resource: wanted.resource, errno };
        let resource = Resource::new(wanted.resource).map_err(failed)?;
        limits.set(resource, Limit { soft: wanted.soft, hard: wanted.hard }, &root).map_err(failed)?;
        if resource.is_hosts() {
            platform.set_limit(init, wanted.resource, wanted.soft, wanted.hard).map_err(failed)?;
        }
    }
    Ok(limits)
}
