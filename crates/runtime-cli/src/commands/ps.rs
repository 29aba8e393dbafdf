//! `palisade ps`.

use std::ffi::OsString;
use std::process::Command;

use anyhow::{Context, Result, bail};
use runtime_oci::Status;

use crate::args::{Global, ListFormat, PsArgs};
use crate::commands::{containers, print};

pub(crate) fn ps(args: &PsArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    let pids = match record.status {
        Status::Stopped => Vec::new(),
        _ => containers::connect(&record)?.pids(&args.id)?,
    };
    if args.format == ListFormat::Json {
        print(&format!("{}\n", serde_json::to_string(&pids)?))?;
        return Ok(0);
    }
    let options = if args.options.is_empty() { vec![OsString::from("-ef")] } else { args.options.clone() };
    let output = Command::new("ps").args(&options).output().context("cannot run ps(1)")?;
    if !output.status.success() {
        bail!("ps: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    print(&select(&String::from_utf8_lossy(&output.stdout), &pids)?)?;
    Ok(0)
}

/// The lines of ps's output about `pids`, below its title.
fn select(output: &str, pids: &[i32]) -> Result<String> {
    let mut lines = output.lines();
    let title = lines.next().unwrap_or_default();
    let column = title.split_ascii_whitespace().position(|name| name == "PID");
    let column = column.context("ps printed no column PID; leave its options out, or add one")?;
    let pid = |line: &str| line.split_ascii_whitespace().nth(column)?.parse::<i32>().ok();
    let wanted = lines.filter(|line| pid(line).is_some_and(|pid| pids.contains(&pid)));
    Ok(std::iter::once(title).chain(wanted).flat_map(|line| [line, "\n"]).collect())
}

#[cfg(test)]
mod tests {
    use super::select;

    #[test]
    fn lines_of_the_container_are_left() {
        let output = "UID  PID PPID CMD\nroot   1    0 init\nroot  22    1 sleep 1\n";
        assert_eq!(select(output, &[22]).unwrap(), "UID  PID PPID CMD\nroot  22    1 sleep 1\n");
        assert!(select("a b\n", &[]).is_err());
    }
}
