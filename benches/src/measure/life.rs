//! The life of a container, from outside: a program's clock says nothing of the time before it starts.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Place, Readings, nanoseconds, with_container};
use crate::failure::Failure;
use crate::job;
use crate::runtimes::{Bundle, Kind, RootMode, Runtime};
use crate::suite::Case;

const TRUE: &[&str] = &["/bin/true"];

pub(super) fn once(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    match case.name.as_str() {
        "first-instruction" => first_instruction(place, case, runtime),
        "start-to-exit" => start_to_exit(place, case, runtime),
        "cold" => {
            drop_caches()?;
            start_to_exit(place, case, runtime)
        }
        "life" => life(place, runtime),
        "exec" => exec(place, case, runtime),
        "parallel" => parallel(place, case, runtime),
        other => Err(Failure::Failed(format!("no one measures {other}"))),
    }
}

fn bundle(place: &Place<'_>, argv: &[&str]) -> Result<Bundle, Failure> {
    Ok(Bundle::new(place.root, RootMode::ReadOnly, &place.probe, argv)?)
}

pub(super) fn start_to_exit(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    let bundle = bundle(place, TRUE)?;
    with_container(runtime, |id| {
        let ended = job::run(&mut place.pinned(runtime.run(&bundle, id)?), place.limit)?.success()?;
        Ok(Readings::one(&case.name, nanoseconds(ended.took)))
    })
}

/// The program writes as soon as it runs.
fn first_instruction(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    let bundle = bundle(place, &["/probe/probe", "--hello"])?;
    with_container(runtime, |id| {
        if runtime.kind != Kind::Oci {
            let ended = job::run(&mut place.pinned(runtime.run(&bundle, id)?), place.limit)?.success()?;
            let first =
                ended.first_byte.ok_or_else(|| Failure::Failed("the program was not heard".to_owned()))?;
            return Ok(Readings::one(&case.name, nanoseconds(first)));
        }
        let (mut reader, writer) = io::pipe()?;
        let began = Instant::now();
        job::run_with_stdout(&mut place.pinned(runtime.create(&bundle, id)?), writer.into(), place.limit)?;
        // It may end after its program has begun; nothing waits for it before.
        let mut start = place.pinned(runtime.start(id)?);
        let start = start.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut child = start.spawn()?;
        let heard = job::wait_for_byte(&mut reader, place.limit);
        let took = began.elapsed();
        let started = child.wait()?;
        heard?;
        if !started.success() {
            return Err(Failure::Failed(format!("start: {started}")));
        }
        wait_for_end(&bundle, place.limit)?;
        runtime.remove(id);
        Ok(Readings::one(&case.name, nanoseconds(took)))
    })
}

/// As a container engine does it, which learns of the end from the host.
fn life(place: &Place<'_>, runtime: &Runtime) -> Result<Readings, Failure> {
    let bundle = bundle(place, TRUE)?;
    with_container(runtime, |id| {
        let began = Instant::now();
        let mut create = place.pinned(runtime.create(&bundle, id)?);
        let create = job::run_with_stdout(&mut create, Stdio::null(), place.limit)?;
        let start = job::run(&mut place.pinned(runtime.start(id)?), place.limit)?.success()?;
        wait_for_end(&bundle, place.limit)?;
        let delete = deleted(place, runtime, id)?;
        let whole = began.elapsed();
        let figures = [("create", create), ("start", start.took), ("delete", delete), ("whole-life", whole)];
        let figures = figures.map(|(name, time)| (name.to_owned(), nanoseconds(time))).to_vec();
        Ok(Readings { figures, curve: Vec::new() })
    })
}

/// A runtime may see the end a moment after the host has.
fn deleted(place: &Place<'_>, runtime: &Runtime, id: &str) -> Result<Duration, Failure> {
    let began = Instant::now();
    loop {
        match job::run(&mut place.pinned(runtime.delete(id)?), place.limit)?.success() {
            Ok(_) => return Ok(began.elapsed()),
            Err(failure) if began.elapsed() > Duration::from_secs(2) => return Err(failure),
            Err(_) => {}
        }
    }
}

/// Whom to wait for is in the pid file.
fn wait_for_end(bundle: &Bundle, limit: Duration) -> Result<(), Failure> {
    let pid = fs::read_to_string(bundle.pid_file())?;
    let pid = pid.trim().parse().map_err(|_| Failure::Failed(format!("the pid file says {pid:?}")))?;
    job::wait_for(pid, limit)
}

fn exec(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    if runtime.is_native() {
        return Err(Failure::NotApplicable("there is no runtime"));
    }
    let bundle = bundle(place, &["/bin/sleep", "1000"])?;
    with_container(runtime, |id| {
        runtime.start_in_background(&bundle, id, place.limit)?;
        let ended = job::run(&mut place.pinned(runtime.exec(id, TRUE)?), place.limit)?.success()?;
        runtime.remove(id);
        Ok(Readings::one(&case.name, nanoseconds(ended.took)))
    })
}

fn parallel(place: &Place<'_>, case: &Case, runtime: &Runtime) -> Result<Readings, Failure> {
    let count = case.counts.first().copied().unwrap_or(10);
    let bundles = (0..count).map(|_| bundle(place, TRUE)).collect::<Result<Vec<_>, _>>()?;
    let began = Instant::now();
    let results: Vec<Result<(), Failure>> = std::thread::scope(|scope| {
        let one = |bundle| {
            with_container(runtime, |id| {
                let mut command: Command = place.pinned(runtime.run(bundle, id)?);
                job::run(&mut command, place.limit)?.success().map(drop)
            })
        };
        let threads: Vec<_> = bundles.iter().map(|bundle| scope.spawn(move || one(bundle))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(Failure::Failed("a thread failed".to_owned()))))
            .collect()
    });
    let took = began.elapsed();
    results.into_iter().collect::<Result<Vec<()>, _>>()?;
    Ok(Readings::one(&case.name, nanoseconds(took) / count as f64))
}

/// Has the host forget what it has read, and write what it has not written.
fn drop_caches() -> Result<(), Failure> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
        .map_err(|error| Failure::Failed(format!("/proc/sys/vm/drop_caches: {error}")))
}
