//! Samples in Prometheus's text format.

use std::fmt::Write;

use runtime_control::observe::{CallStats, upper_end_ns};
use syscall_table::Mode;

use crate::sample::Sample;

/// A metric, and the values that a sample has of it: labels besides the container's, and a number.
struct Metric {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    values: fn(&Sample) -> Vec<(String, f64)>,
}

const fn metric(
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    values: fn(&Sample) -> Vec<(String, f64)>,
) -> Metric {
    Metric { name, kind, help, values }
}

/// All metrics but the histogram.
const METRICS: &[Metric] = &[
    metric("palisade_container_info", "gauge", "A container and its state.", |sample| {
        vec![(label("status", sample.status.name()), 1.0)]
    }),
    metric("palisade_up", "gauge", "Whether the container's supervisor answers.", |sample| {
        vec![(String::new(), f64::from(u8::from(sample.stats.is_some())))]
    }),
    metric(
        "palisade_calls_total",
        "counter",
        "System calls that reached the supervisor, by result: ok, host (performed by the host), interrupted, or an errno.",
        calls,
    ),
    metric(
        "palisade_call_seconds_total",
        "counter",
        "Time from a call's arrival to its answer, waiting included.",
        |sample| each_call(sample, |call| call.total_ns as f64 / 1e9),
    ),
    metric("palisade_parked_calls", "gauge", "Calls that wait at this moment.", |sample| {
        now(sample, |now| now.parked)
    }),
    metric("palisade_processes", "gauge", "Processes of the container.", |sample| {
        now(sample, |now| now.processes)
    }),
    metric("palisade_threads", "gauge", "Threads of the container that have made a call.", |sample| {
        now(sample, |now| now.threads)
    }),
    metric("palisade_open_descriptors", "gauge", "Open descriptors of all processes.", |sample| {
        now(sample, |now| now.descriptors)
    }),
    metric(
        "palisade_gate_refusals_total",
        "counter",
        "Calls of the native kind that were refused for their registers.",
        |sample| now(sample, |now| now.gate_refusals),
    ),
    metric(
        "palisade_handler_panics_total",
        "counter",
        "Handlers of calls that panicked: bugs of Palisade.",
        |sample| now(sample, |now| now.panics),
    ),
    metric("palisade_observers", "gauge", "Who looks at the container's calls.", |sample| {
        now(sample, |now| now.observers)
    }),
    metric("palisade_supervisor_resident_bytes", "gauge", "Memory of the supervisor.", |sample| {
        sample.supervisor_bytes.map(|bytes| (String::new(), bytes as f64)).into_iter().collect()
    }),
    metric("palisade_cgroup_cpu_seconds_total", "counter", "CPU time of the container's cgroup.", |sample| {
        cgroup(sample, |stats| stats.cpu.usage.total as f64 / 1e9)
    }),
    metric(
        "palisade_cgroup_throttled_seconds_total",
        "counter",
        "Time that the cgroup was throttled.",
        |sample| cgroup(sample, |stats| stats.cpu.throttling.throttled_time as f64 / 1e9),
    ),
    metric("palisade_cgroup_memory_bytes", "gauge", "Memory of the container's cgroup.", |sample| {
        cgroup(sample, |stats| stats.memory.usage.usage as f64)
    }),
    metric("palisade_cgroup_memory_limit_bytes", "gauge", "Limit of that memory.", |sample| {
        cgroup(sample, |stats| stats.memory.usage.limit as f64)
    }),
    metric("palisade_cgroup_pids", "gauge", "Tasks in the container's cgroup.", |sample| {
        cgroup(sample, |stats| stats.pids.current as f64)
    }),
    metric(
        "palisade_cgroup_oom_kills_total",
        "counter",
        "Processes killed for a lack of memory.",
        |sample| {
            cgroup(sample, |_| 0.0).into_iter().map(|(labels, _)| (labels, sample.oom_kills as f64)).collect()
        },
    ),
];

const HISTOGRAM: &str = "palisade_call_duration_seconds";

fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn name_of(call: &CallStats) -> String {
    syscall_table::by_nr(call.nr).map_or_else(|| "unknown".to_owned(), |row| row.name.to_owned())
}

fn now(sample: &Sample, value: impl Fn(&runtime_control::observe::Now) -> u64) -> Vec<(String, f64)> {
    sample.stats.iter().map(|stats| (String::new(), value(&stats.now) as f64)).collect()
}

fn cgroup(sample: &Sample, value: impl Fn(&runtime_oci::cgroup::Stats) -> f64) -> Vec<(String, f64)> {
    sample.cgroup.iter().map(|stats| (String::new(), value(stats))).collect()
}

fn each_call(sample: &Sample, value: impl Fn(&CallStats) -> f64) -> Vec<(String, f64)> {
    let all = sample.stats.iter().flat_map(|stats| &stats.calls);
    all.map(|call| (label("call", &name_of(call)), value(call))).collect()
}

fn calls(sample: &Sample) -> Vec<(String, f64)> {
    let mut values = Vec::new();
    for call in sample.stats.iter().flat_map(|stats| &stats.calls) {
        let named = label("call", &name_of(call));
        let mut add = |result: &str, count: u64| {
            if count > 0 {
                values.push((format!("{named},{}", label("result", result)), count as f64));
            }
        };
        add("ok", call.succeeded);
        add("host", call.by_host);
        add("interrupted", call.interrupted);
        call.failed.iter().for_each(|(_, name, count)| add(name, *count));
    }
    values
}

/// Writes them down.
#[must_use]
pub fn text(samples: &[Sample]) -> String {
    let mut out = String::new();
    for Metric { name, kind, help, values } in METRICS {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for sample in samples {
            for (labels, value) in values(sample) {
                let _ = writeln!(out, "{name}{{{}}} {value}", with_own(sample, &labels));
            }
        }
    }
    let help = "Time from a call's arrival to its answer; kind: inline, or blocking for those that may wait.";
    let _ = writeln!(out, "# HELP {HISTOGRAM} {help}\n# TYPE {HISTOGRAM} histogram");
    samples.iter().for_each(|sample| histogram(sample, &mut out));
    out
}

fn with_own(sample: &Sample, labels: &str) -> String {
    let own = format!("{},{}", label("namespace", &sample.namespace), label("id", &sample.id));
    if labels.is_empty() { own } else { format!("{own},{labels}") }
}

fn histogram(sample: &Sample, out: &mut String) {
    let Some(stats) = &sample.stats else { return };
    for kind in ["inline", "blocking"] {
        let of_kind = stats.calls.iter().filter(|call| kind_of(call) == kind);
        let (mut buckets, mut total_ns) = (Vec::new(), 0);
        for call in of_kind {
            buckets.resize(call.buckets.len().max(buckets.len()), 0);
            buckets.iter_mut().zip(&call.buckets).for_each(|(sum, own): (&mut u64, &u64)| *sum += own);
            total_ns += call.total_ns;
        }
        let labels = with_own(sample, &label("kind", kind));
        let mut count = 0;
        for (bucket, own) in buckets.iter().enumerate() {
            count += own;
            let end =
                upper_end_ns(bucket).map_or_else(|| "+Inf".to_owned(), |ns| (ns as f64 / 1e9).to_string());
            let _ = writeln!(out, "{HISTOGRAM}_bucket{{{labels},le=\"{end}\"}} {count}");
        }
        if !buckets.is_empty() {
            let _ = writeln!(out, "{HISTOGRAM}_sum{{{labels}}} {}", total_ns as f64 / 1e9);
            let _ = writeln!(out, "{HISTOGRAM}_count{{{labels}}} {count}");
        }
    }
}

fn kind_of(call: &CallStats) -> &'static str {
    match syscall_table::by_nr(call.nr).map(|row| row.mode) {
        Some(Mode::Blocking(_)) => "blocking",
        _ => "inline",
    }
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::sample::Sample;
    use runtime_control::observe::{CallStats, Stats};
    use runtime_oci::Status;

    #[test]
    fn values_have_their_labels_and_histograms_grow() {
        let mut buckets = vec![0; 25];
        (buckets[1], buckets[24]) = (2, 1);
        let failed = vec![(2, "ENOENT".to_owned(), 2)];
        let call = CallStats { nr: 2, succeeded: 1, failed, buckets, total_ns: 4000, ..CallStats::default() };
        let sample = Sample {
            id: "a\"b".into(),
            namespace: "k8s.io".into(),
            status: Status::Running,
            stats: Some(Stats { calls: vec![call], ..Stats::default() }),
            supervisor_bytes: Some(5),
            cgroup: None,
            oom_kills: 0,
        };
        let text = text(&[sample]);
        let own = "namespace=\"k8s.io\",id=\"a\\\"b\"";
        for line in [
            format!("palisade_calls_total{{{own},call=\"open\",result=\"ENOENT\"}} 2"),
            format!("palisade_supervisor_resident_bytes{{{own}}} 5"),
            format!("palisade_call_duration_seconds_bucket{{{own},kind=\"blocking\",le=\"0.000002\"}} 2"),
            format!("palisade_call_duration_seconds_bucket{{{own},kind=\"blocking\",le=\"+Inf\"}} 3"),
            format!("palisade_call_duration_seconds_count{{{own},kind=\"blocking\"}} 3"),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
