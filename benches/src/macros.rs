//! Whole workloads of the integration tests: seconds in a chroot and under Palisade.

use std::time::Instant;

use integration::roots;
use integration::runner::{Runner, Sandbox};
use serde_json::{Value, json};

use crate::Options;
use crate::micro::ratio;
use crate::runtimes::Runtime;
use crate::table::Table;

const WORKLOADS: &[(&str, &str)] = &[
    ("500 children of bash", include_str!("../../integration/scripts/five_hundred_children.sh")),
    ("find, ls, md5sum of a root", include_str!("../../integration/scripts/find_all.sh")),
    ("tar | xz | tar of /usr/share", include_str!("../../integration/scripts/tar_xz_tar.sh")),
    ("sort with temporary files", include_str!("../../integration/scripts/sort_with_temporary_files.sh")),
    ("gcc of a threaded program", include_str!("../../integration/scripts/gcc_threads.sh")),
    ("make -j2 of a project", include_str!("../../integration/scripts/make_project.sh")),
    ("git history, gc, clone, fsck", include_str!("../../integration/scripts/git_history.sh")),
    ("python starts", "for i in $(seq 20); do python3 -c 'import json, subprocess, threading'; done"),
];

pub(crate) fn run(options: &Options) -> Value {
    let root = roots::debian();
    let mut runners = vec![("chroot", Runner::Chroot(root.clone()))];
    if Runtime::Palisade.program().is_some() {
        runners.push(("palisade", Runner::Palisade(Sandbox::on(&root))));
        runners.push(("palisade --strict", Runner::Palisade(Sandbox::on(&root).with_option("--strict"))));
    }
    let mut heads = vec!["workload (best of rounds, s)"];
    heads.extend(runners.iter().map(|(name, _)| *name));
    heads.push("palisade x chroot");
    let mut table = Table::new(&heads);
    let mut result = Vec::new();
    for (name, script) in WORKLOADS {
        let mut best = vec![f64::NAN; runners.len()];
        for _ in 0..options.rounds {
            for ((runner_name, runner), best) in runners.iter().zip(&mut best) {
                let start = Instant::now();
                let done = runner.run(&["bash", "-c", script]);
                if done.status == 0 && !done.hung {
                    *best = best.min(start.elapsed().as_secs_f64());
                } else {
                    eprintln!("{runner_name}: {name}: status {}", done.status);
                }
            }
        }
        let mut row = vec![(*name).to_owned()];
        row.extend(
            best.iter()
                .map(|seconds| if seconds.is_nan() { "-".to_owned() } else { format!("{seconds:.2}") }),
        );
        row.push(ratio(best.get(1).copied().unwrap_or(f64::NAN) / best[0]));
        table.row(row);
        result.push(json!({ "workload": name, "unit": "s", "best": best }));
    }
    println!("{table}");
    Value::from(result)
}
