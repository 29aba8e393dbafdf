//! A container's first process, and those that join it: file tree, descriptors, credentials, program.

use std::sync::Arc;

use abi_linux::Errno;
use abi_linux::fs::OpenFlags;
use kernel_base::user_ns::UserNamespace;
use kernel_fs::tty::{PtyMaster, Terminals};
use kernel_task::exec::{ExecTarget, FirstExec};
use kernel_task::fork::ForkSnapshot;
use kernel_task::fs::FsState;
use kernel_task::namespaces::{IpcNamespace, Namespaces, UtsNamespace};
use kernel_task::{FdTable, Kernel, Process, Task};
use kernel_vfs::mount::MountNamespace;
use kernel_vfs::walk::WalkFlags;
use platform_api::HostTid;
use runtime_oci::ContainerSpec;

use crate::error::{Error, Found, shown};
use crate::registry::Tree;
use crate::stdio::Streams;
use crate::trees::Trees;
use crate::{credentials, registry, settings, stdio};

/// Where programs are looked for when the environment has no PATH (execvp(3), confstr _CS_PATH and sbin).
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A container's files, and the supervisor's side of its first process's terminal.
pub(crate) struct Sandbox {
    pub(crate) tree: Tree,
    pub(crate) terminal: Option<Arc<PtyMaster>>,
}

/// Whose objects a container has, its own or those of others.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) uts: &'a Arc<UtsNamespace>,
    pub(crate) ipc: &'a Arc<IpcNamespace>,
    pub(crate) user_ns: &'a Arc<UserNamespace>,
    /// Of the process namespace that it joins.
    pub(crate) terminals: Option<&'a Arc<Terminals>>,
}

/// Makes everything that the first process needs and prepares its program.
pub(crate) fn launch(
    (spec, trees): (&ContainerSpec, &Trees),
    streams: &Streams,
    kernel: &Arc<Kernel>,
    place: Place<'_>,
    init: HostTid,
) -> Result<Sandbox, Error> {
    let tree = registry::build(spec, trees, kernel, place, init)?;
    within(tree, |tree| {
        let snapshot = snapshot(spec, kernel, tree, init)?;
        furnish(spec, streams, tree, &kernel.adopt_init(init, snapshot))
    })
}

/// [`launch`] of a first process that is put into the process namespace of another container.
pub(crate) fn launch_beside(
    (spec, trees): (&ContainerSpec, &Trees),
    streams: &Streams,
    kernel: &Arc<Kernel>,
    place: Place<'_>,
    pid: HostTid,
) -> Result<Sandbox, Error> {
    let tree = registry::build(spec, trees, kernel, place, pid)?;
    within(tree, |tree| {
        let namespaces = Namespaces::initial(Arc::clone(&tree.namespace), place.uts, place.ipc);
        let snapshot = snapshot(spec, kernel, tree, pid)?.joining(namespaces);
        let process = kernel.adopt_joined(pid, snapshot).map_err(Error::Platform)?;
        furnish(spec, streams, tree, &process)
    })
}

/// What was made in the root to mount on goes if the rest fails.
fn within(
    tree: Tree,
    launch: impl FnOnce(&Tree) -> Result<Option<Arc<PtyMaster>>, Error>,
) -> Result<Sandbox, Error> {
    match launch(&tree) {
        Ok(terminal) => Ok(Sandbox { tree, terminal }),
        Err(error) => {
            tree.mount_points.remove();
            Err(error)
        }
    }
}

fn snapshot(spec: &ContainerSpec, kernel: &Kernel, tree: &Tree, pid: HostTid) -> Result<ForkSnapshot, Error> {
    let limits = credentials::limits(spec, &*kernel.platform, pid)?;
    let fs = fs_state(spec, &tree.namespace);
    let credentials = credentials::credentials(spec, tree.namespace.user_ns())?;
    Ok(ForkSnapshot::for_init(FdTable::new(), fs, credentials, limits))
}

/// Makes everything that a process needs which joins the container from outside, where `first` is. `spec` is the
/// container's with that process in place of the first.
pub(crate) fn launch_joined(
    spec: &ContainerSpec,
    streams: &Streams,
    first: &Process,
    tree: &Tree,
    pid: HostTid,
) -> Result<Option<Arc<PtyMaster>>, Error> {
    let (kernel, namespaces) = (&first.kernel, first.namespaces());
    let fs = fs_state(spec, &namespaces.mnt);
    let limits = credentials::limits(spec, &*kernel.platform, pid)?;
    let credentials = credentials::credentials(spec, namespaces.mnt.user_ns())?;
    let snapshot = ForkSnapshot::for_init(FdTable::new(), fs, credentials, limits).joining(namespaces);
    let process = kernel.adopt_joined(pid, snapshot).map_err(Error::Platform)?;
    furnish(spec, streams, tree, &process)
}

fn fs_state(spec: &ContainerSpec, namespace: &MountNamespace) -> FsState {
    let root = namespace.root();
    FsState { root: root.clone(), cwd: root, umask: spec.process.user.umask.unwrap_or(0o022) }
}

fn furnish(
    spec: &ContainerSpec,
    streams: &Streams,
    tree: &Tree,
    process: &Process,
) -> Result<Option<Arc<PtyMaster>>, Error> {
    let task = process.any_task().ok_or(Error::Platform(Errno::ESRCH))?;
    settings::apply(spec, process)?;
    let terminal = stdio::install(streams, tree, &task)?;
    enter_cwd(spec, &task)?;
    prepare_program(spec, &task)?;
    Ok(terminal)
}

fn enter_cwd(spec: &ContainerSpec, task: &Task) -> Result<(), Error> {
    let failed = |errno| Error::Cwd { path: shown(&spec.process.cwd), errno };
    let cwd = task
        .with_walk(|walk| {
            let path = walk.resolve(None, &spec.process.cwd, WalkFlags::DIRECTORY)?;
            walk.check_chdir(&path)?;
            Ok(path)
        })
        .map_err(failed)?;
    task.process.fs.change(|fs| fs.cwd = cwd);
    Ok(())
}

fn prepare_program(spec: &ContainerSpec, task: &Task) -> Result<(), Error> {
    let Some(program) = spec.process.args.first().filter(|program| !program.is_empty()) else {
        return Err(Error::program(b"(empty)", Errno::ENOENT));
    };
    let prepare = |path: &[u8]| {
        let target = ExecTarget::Path { at: None, path, flags: WalkFlags::empty() };
        task.prepare_first_exec(
            &target,
            if spec.init && task.process.pid == 1 { FirstExec::Init } else { FirstExec::Program },
        )
    };
    if program.contains(&b'/') {
        return prepare(program).map_err(|errno| Error::program(program, errno));
    }
    let path = spec.process.env.iter().find_map(|pair| pair.strip_prefix(b"PATH="));
    let mut worst = Errno::ENOENT;
    for dir in path.unwrap_or(DEFAULT_PATH).split(|&b| b == b':') {
        let dir: &[u8] = if dir.is_empty() { b"." } else { dir };
        match prepare(&[dir, b"/", program].concat()) {
            Ok(()) => return Ok(()),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            // As execvp(3): go on looking, but remember that there was one.
            Err(errno) => worst = errno,
        }
    }
    match worst {
        Errno::ENOENT => {
            let problem = "not found in any directory of PATH inside the sandbox".to_owned();
            Err(Error::Program { program: shown(program), problem, found: Found::No })
        }
        errno => Err(Error::program(program, errno)),
    }
}

/// How the standard descriptors are opened on a terminal.
pub(crate) const TERMINAL_FLAGS: OpenFlags = OpenFlags::RDWR;
