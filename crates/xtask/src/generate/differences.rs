//! The part of COMPAT.md that says which differences from Linux the comparing fuzzer knows. The list itself is code, with a
//! condition for each entry; this reads its words.

use std::fmt::Write;

use anyhow::Context;

use crate::repo;

const LIST: &str = "crates/runtime-fuzz/src/differ/known.rs";

/// A table of the list, with its count.
pub(super) fn section() -> anyhow::Result<String> {
    let text = repo::read(LIST)?;
    let known = entries(&text).with_context(|| LIST.to_owned())?;
    let mut out = format!(
        "\n## Known differences\n\n\
         `palisade fuzz run --engine differential` compares calls with those of the host. {} differences are known, from \
         `{LIST}`; `*` stands for anything, and each holds only for the calls that the list names there.\n\n\
         | call: host but sandbox | why |\n|---|---|\n",
        known.len()
    );
    for (key, reason) in known {
        let _ = writeln!(out, "| `{key}` | {reason} |");
    }
    Ok(out)
}

fn entries(text: &str) -> anyhow::Result<Vec<(String, String)>> {
    let (_, list) = text.split_once("KNOWN: &[Known] = &[").context("no list")?;
    let (list, rest) = list.split_once("\n];").context("the list has no end")?;
    list.split("known(").skip(1).map(|entry| one(entry, rest)).collect()
}

/// `"key", condition, "reason"` or the name of a reason.
fn one(entry: &str, rest: &str) -> anyhow::Result<(String, String)> {
    let mut parts = entry.splitn(3, ',').map(str::trim);
    let key = parts.next().context("no key")?.trim_matches('"').to_owned();
    let reason = parts.nth(1).with_context(|| format!("{key} has no reason"))?;
    let reason = reason.trim_end_matches(|c: char| c == ')' || c == ',' || c.is_whitespace());
    if let Some(quoted) = reason.strip_prefix('"').and_then(|reason| reason.strip_suffix('"')) {
        return Ok((key, quoted.to_owned()));
    }
    let definition = rest.split_once(&format!("const {reason}: &str =")).map(|(_, definition)| definition);
    let quoted = definition.and_then(|definition| definition.split('"').nth(1));
    Ok((key, quoted.with_context(|| format!("the reason {reason} is not defined"))?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn entries_have_keys_and_reasons() {
        let text = "KNOWN: &[Known] = &[\n known(\"a b\", always, \"why, (so)\"),\n known(\n\"c\",\nis_x,\nWHY,\n),\n];\nconst WHY: &str =\n \"because\";";
        let pair = |key: &str, reason: &str| (key.to_owned(), reason.to_owned());
        assert_eq!(entries(text).unwrap(), [pair("a b", "why, (so)"), pair("c", "because")]);
    }
}
