//! Making a container: its root is mounted, its cgroup made, and the pod's supervisor told.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use containerd_shim_protos::api::CreateTaskRequest;
use runtime_control::{Client, Create, Needs, Places, Rootfs, Streams as Wanted, WindowSize};
use runtime_oci::cgroup::{Cgroup, CgroupRequest, Driver};
use runtime_oci::hooks::{self, HookKind};
use runtime_oci::{Entry, ProcessSpec, Record, Status, Store};

use crate::container::{Container, ROOTFS, STORE};
use crate::ending;
use crate::error::{Error, io};
use crate::options::Options;
use crate::process::Process;
use crate::relay;
use crate::rootfs;
use crate::stdio::{Paths, Streams};

/// Hooks between a container's making and its start, in their order.
const BEFORE_START: [HookKind; 3] = [HookKind::Prestart, HookKind::CreateRuntime, HookKind::CreateContainer];

/// What a container is made from.
pub(crate) struct Making<'a> {
    pub(crate) request: &'a CreateTaskRequest,
    pub(crate) options: &'a Options,
    /// The supervisor's directory.
    pub(crate) sandbox: &'a Path,
    pub(crate) client: &'a Client,
    /// containerd's.
    pub(crate) namespace: &'a str,
}

/// Makes a container that waits for its start. If that fails, nothing is left of it.
pub(crate) fn create(making: &Making<'_>) -> Result<Container, Error> {
    let bundle = PathBuf::from(&making.request.bundle);
    let root = bundle.join(ROOTFS);
    let made = rootfs::mount_all(&making.request.rootfs, &root).and_then(|()| reserve(making, bundle));
    if made.is_err() {
        rootfs::unmount_all(&root);
    }
    made
}

/// Takes the id, and removes all of it if the rest fails.
fn reserve(making: &Making<'_>, bundle: PathBuf) -> Result<Container, Error> {
    let mut spec = runtime_oci::load(&bundle)?;
    spec.rootfs = fs::canonicalize(&spec.rootfs).map_err(io(spec.rootfs.display()))?;
    spec.strict = making.options.strict;
    spec.network.mode = making.options.network.unwrap_or(spec.network.mode);
    let id = &making.request.id;
    let store = Store::new(bundle.join(STORE));
    let entry = store.create(id)?;
    let mut record = Record::new(id, bundle.clone());
    record.sandbox = making.sandbox.to_path_buf();
    record.spec = spec;
    let made = place(making.options, &entry, &mut record).and_then(|()| bring_up(making, &entry, &record));
    match made {
        Ok((record, init)) => Ok(Container::new(bundle, record, init)),
        Err(error) => {
            let _ = making.client.delete(id, None);
            let record = entry.read().ok().flatten().unwrap_or(record);
            if let Some(init) = record.init {
                let _ = init.wait_for_death(ending::DEATH);
            }
            let _ = ending::clean_up(entry, &record);
            Err(error)
        }
    }
}

/// Makes the cgroup, which is written down before.
fn place(options: &Options, entry: &Entry, record: &mut Record) -> Result<(), Error> {
    let driver = if options.systemd_cgroup { Driver::Systemd } else { Driver::Cgroupfs };
    let path = record.spec.cgroups_path.as_deref();
    let request = CgroupRequest { id: &record.id, path, driver, resources: &record.spec.resources };
    let cgroup = Cgroup::plan(&request)?;
    record.cgroup = Some(cgroup.clone());
    entry.write(record)?;
    Ok(cgroup.make(&record.spec.resources)?)
}

fn bring_up(making: &Making<'_>, entry: &Entry, record: &Record) -> Result<(Record, Process), Error> {
    let request = making.request;
    let paths = Paths {
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
        terminal: request.terminal,
        id: record.id.clone(),
        namespace: making.namespace.to_owned(),
    };
    if record.spec.process.terminal != paths.terminal {
        return Err(Error::Invalid("config.json: process.terminal differs from the request".to_owned()));
    }
    let Streams { input, output, errors, kept } = Streams::open(&paths)?;
    let fds: Vec<BorrowedFd<'_>> = match paths.terminal {
        true => Vec::new(),
        false => vec![input.as_fd(), output.as_fd(), errors.as_fd()],
    };
    let trace = making.options.strace.as_ref().map(|dir| dir.join(format!("{}.strace", record.id)));
    let needs = Needs {
        spec: &record.spec,
        rootfs: Rootfs::Opened,
        cgroup: record.cgroup.as_ref(),
        entry: Some(entry),
        trace: trace.as_deref(),
    };
    let places = Places::open(&needs)?;
    let mut fds = fds;
    fds.extend(places.descriptors());
    let create = Create {
        id: record.id.clone(),
        bundle: record.bundle.clone(),
        spec: record.spec.clone(),
        streams: wanted(&record.spec.process),
        places: places.names(),
        cgroup: record.cgroup.clone(),
    };
    let (started, master) = making.client.create(create, &fds)?;
    if let Some(master) = master {
        relay::start(master, input, output)?;
    }
    // The supervisor has written into it.
    let record = entry.read()?.ok_or_else(|| Error::NotFound("the container's record".to_owned()))?;
    let state = record.oci_state(Status::Creating);
    for kind in BEFORE_START {
        hooks::run(kind, &record.spec.hooks, &state)?;
    }
    Ok((record, Process::new(None, paths, started.pid, kept)))
}

/// Where a process's streams go.
pub(crate) fn wanted(process: &ProcessSpec) -> Wanted {
    if !process.terminal {
        return Wanted::Given;
    }
    let size = process.console_size.map(|size| WindowSize { rows: size.height, columns: size.width });
    Wanted::Terminal(size)
}
