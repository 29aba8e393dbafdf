//! The first process's credentials and limits, from the container's specification.

use std::sync::Arc;

use kernel_base::cred::{CapSet, Credentials};
use kernel_task::limits::{Limit, Limits, Resource};
use platform_api::{HostTid, Platform};
use runtime_oci::ContainerSpec;

use crate::error::Error;

/// Most descriptors of a guest process: below the number where the loader's file is handed in.
const MAX_FILES: u64 = 1 << 16;

/// Credentials as config.json says.
pub(crate) fn credentials(spec: &ContainerSpec) -> Credentials {
    let [bounding, effective, permitted, inheritable, ambient] =
        spec.process.capabilities.map(|bits| CapSet(bits & CapSet::ALL.0));
    let mut credentials = Credentials::new(spec.process.user.uid, spec.process.user.gid, bounding);
    credentials.groups = Arc::from(spec.process.user.groups.as_slice());
    credentials.permitted = CapSet(permitted.0 & bounding.0);
    credentials.effective = CapSet(effective.0 & credentials.permitted.0);
    credentials.inheritable = inheritable;
    credentials.ambient = CapSet(ambient.0 & permitted.0 & inheritable.0);
    credentials.no_new_privs = spec.process.no_new_privs;
    credentials
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
