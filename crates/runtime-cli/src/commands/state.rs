//! `palisade state` and `palisade list`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Result;
use nix::unistd::{Uid, User};
use runtime_oci::{OCI_VERSION, Record, StateError};
use serde::Serialize;

use crate::args::{Global, IdArgs, ListArgs, ListFormat};
use crate::commands::{containers, print};

/// A container as runc prints it, its fields in runc's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Described<'a> {
    oci_version: &'a str,
    id: &'a str,
    pid: i32,
    status: &'a str,
    bundle: &'a Path,
    rootfs: &'a Path,
    created: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
    owner: &'a str,
}

fn describe<'a>(record: &'a Record, owner: &'a str) -> Described<'a> {
    Described {
        oci_version: OCI_VERSION,
        id: &record.id,
        pid: record.pid(),
        status: record.status.name(),
        bundle: &record.bundle,
        rootfs: &record.spec.rootfs,
        created: record.created(),
        annotations: &record.spec.annotations,
        owner,
    }
}

pub(crate) fn state(args: &IdArgs, global: &Global) -> Result<u8> {
    let (_entry, record) = containers::find(global, &args.id)?;
    print(&format!("{}\n", serde_json::to_string_pretty(&describe(&record, ""))?))?;
    Ok(0)
}

pub(crate) fn list(args: &ListArgs, global: &Global) -> Result<u8> {
    let store = containers::store(global);
    let mut all = Vec::new();
    for id in store.ids()? {
        let entry = match store.open(&id) {
            Ok(entry) => entry,
            Err(StateError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        // One that is on its way in or out has no record.
        match entry.read() {
            Ok(Some(record)) => {
                let uid = std::fs::metadata(entry.path()).map_or(0, |meta| meta.uid());
                let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
                all.push((containers::current(record), user.map_or(uid.to_string(), |user| user.name)));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }
    let text = match args.format {
        _ if args.quiet => all.iter().map(|(record, _)| format!("{}\n", record.id)).collect(),
        ListFormat::Json => {
            let all: Vec<_> = all.iter().map(|(record, owner)| describe(record, owner)).collect();
            format!("{}\n", serde_json::to_string(&all)?)
        }
        ListFormat::Table => table(&all),
    };
    print(&text)?;
    Ok(0)
}

/// Columns as Go's tabwriter sets them for runc: at least twelve wide, three apart.
fn table(all: &[(Record, String)]) -> String {
    let head = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let row = |(record, owner): &(Record, String)| {
        [
            record.id.clone(),
            record.pid().to_string(),
            record.status.name().to_owned(),
            record.bundle.display().to_string(),
            record.created(),
            owner.clone(),
        ]
    };
    let rows: Vec<[String; 6]> = std::iter::once(head).chain(all.iter().map(row)).collect();
    let width = |column: usize| {
        let longest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        (longest + 3).max(12)
    };
    let mut text = String::new();
    for row in &rows {
        let (last, cells) = row.split_last().map_or((String::new(), &row[..]), |(l, c)| (l.clone(), c));
        for (column, cell) in cells.iter().enumerate() {
            text.push_str(&format!("{cell:<width$}", width = width(column)));
        }
        text.push_str(&last);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use runtime_oci::Record;

    #[test]
    fn columns_are_runcs() {
        let mut record = Record::new("a", "/tmp/rc/b".into());
        record.created_ns = 1_795_436_891_145_765_432;
        let text = table(&[(record, "root".to_owned())]);
        assert_eq!(
            text,
            "ID          PID         STATUS      BUNDLE      CREATED                          OWNER\n\
             a           0           creating    /tmp/rc/b   2026-11-23T12:28:11.145765432Z   root\n"
        );
    }
}
