//! `palisade update`: other limits for a container that lives.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use runtime_oci::Status;
use serde_json::{Value, json};

use crate::args::Global;
use crate::commands::containers;

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// JSON file with linux.resources, or - for standard input; all other options are ignored then
    #[arg(short, long, value_name = "FILE")]
    resources: Option<PathBuf>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// Period of the CPU quota in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// CPU time of a period in microseconds; -1: all
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// What may be saved of the quota, in microseconds
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// CPU shares, relative to other containers'
    #[arg(long, value_name = "N")]
    cpu_share: Option<u64>,
    /// Period of real-time scheduling in microseconds
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// Real-time CPU time of a period in microseconds
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// 1: run only when nobody else wants to
    #[arg(long, value_name = "0|1")]
    cpu_idle: Option<i64>,
    /// CPUs that may be used, such as 0-2,7
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// Memory nodes that may be used
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// Memory limit in bytes, or with a suffix: 64M
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    memory: Option<i64>,
    /// Soft limit of memory
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    memory_reservation: Option<i64>,
    /// Limit of memory and swap together; -1: no limit of swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = bytes)]
    memory_swap: Option<i64>,
    /// Refused: Linux has no such limit any more
    #[arg(long, value_name = "BYTES", hide = true)]
    kernel_memory: Option<String>,
    /// Refused: as --kernel-memory
    #[arg(long, value_name = "BYTES", hide = true)]
    kernel_memory_tcp: Option<String>,
    /// Most processes and threads; -1: no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// Refused: Intel RDT is not supported
    #[arg(long, hide = true)]
    l3_cache_schema: Option<String>,
    /// Refused: Intel RDT is not supported
    #[arg(long, hide = true)]
    mem_bw_schema: Option<String>,
    /// Name of the container
    pub(crate) id: String,
}

/// A number with one of the suffixes b, k, m, g, t, as docker(1) takes them.
fn bytes(text: &str) -> Result<i64, String> {
    let lower = text.to_ascii_lowercase();
    let plain = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).unwrap_or(&lower);
    let suffixes = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let found = suffixes.iter().find_map(|&(suffix, shift)| Some((plain.strip_suffix(suffix)?, shift)));
    let (digits, shift) = found.unwrap_or((plain, 0));
    let number: i64 =
        digits.trim().parse().map_err(|_| "write a number of bytes, or one such as 64M".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

pub(crate) fn update(args: &UpdateArgs, global: &Global) -> Result<u8> {
    let change = match &args.resources {
        Some(path) => read(path)?,
        None => args.change()?,
    };
    let resources = runtime_oci::resources_from_json(&change)?;
    let (entry, mut record) = containers::find_locked(global, &args.id)?;
    if record.status == Status::Stopped {
        bail!("cannot update container {:?} that is stopped", args.id);
    }
    let Some(cgroup) = &record.cgroup else {
        bail!("cannot update container {:?}: it has no cgroup; create it as root", args.id);
    };
    cgroup.update(&resources)?;
    // The limits hold; what follows is for those who look.
    record.spec.resources = runtime_oci::cgroup::merged(&record.spec.resources, &change)?;
    entry.write(&record)?;
    containers::connect(&record)?.update(&args.id, &record.spec.resources)?;
    Ok(0)
}

fn read(path: &Path) -> Result<Value> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("--resources {}: cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("--resources {}: malformed", path.display()))
}

impl UpdateArgs {
    /// The same as the file would say it.
    fn change(&self) -> Result<Value> {
        for (given, name) in [
            (&self.kernel_memory, "--kernel-memory"),
            (&self.kernel_memory_tcp, "--kernel-memory-tcp"),
            (&self.l3_cache_schema, "--l3-cache-schema"),
            (&self.mem_bw_schema, "--mem-bw-schema"),
        ] {
            if given.is_some() {
                bail!("{name}: not supported; leave it out");
            }
        }
        let mut all = json!({});
        let mut set = |group: &str, name: &str, value: Value| {
            if !value.is_null() {
                all[group][name] = value;
            }
        };
        set("memory", "limit", json!(self.memory));
        set("memory", "reservation", json!(self.memory_reservation));
        set("memory", "swap", json!(self.memory_swap));
        set("cpu", "shares", json!(self.cpu_share));
        set("cpu", "quota", json!(self.cpu_quota));
        set("cpu", "period", json!(self.cpu_period));
        set("cpu", "burst", json!(self.cpu_burst));
        set("cpu", "realtimePeriod", json!(self.cpu_rt_period));
        set("cpu", "realtimeRuntime", json!(self.cpu_rt_runtime));
        set("cpu", "idle", json!(self.cpu_idle));
        set("cpu", "cpus", json!(self.cpuset_cpus));
        set("cpu", "mems", json!(self.cpuset_mems));
        set("blockIO", "weight", json!(self.blkio_weight));
        set("pids", "limit", json!(self.pids_limit));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_have_suffixes() {
        let all =
            [("64", 64), ("-1", -1), ("2k", 2048), ("64M", 64 << 20), ("1gb", 1 << 30), ("1GiB", 1 << 30)];
        for (text, number) in all {
            assert_eq!(bytes(text), Ok(number), "{text}");
        }
        assert!(bytes("M").is_err() && bytes("1x").is_err() && bytes("99999999999t").is_err());
    }
}
