//! Docker's daemon.json. Whatever is not ours stays as it is written, to the last blank.

use std::fmt;

use anyhow::{Context, Result, bail};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Change, NAME};

const RUNTIMES: &str = "runtimes";

/// The members of an object in their order, with their values' texts.
struct Members(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((name, value.get().to_owned()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl Members {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: &str, value: Option<String>) {
        let Some(value) = value else { return self.0.retain(|(known, _)| known != name) };
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// As text whose lines begin with `depth` times `indent`.
    fn render(&self, indent: &str, depth: usize) -> String {
        let member = |(name, value): &(String, String)| {
            let name = Value::from(name.as_str());
            format!("{}{name}: {value}", indent.repeat(depth + 1))
        };
        let members: Vec<String> = self.0.iter().map(member).collect();
        format!("{{\n{}\n{}}}", members.join(",\n"), indent.repeat(depth))
    }
}

pub(super) fn docker(text: &str, change: Change<'_>) -> Result<String> {
    let source = if text.trim().is_empty() { "{}" } else { text };
    let mut all: Members = serde_json::from_str(source).map_err(|error| anyhow::anyhow!("{error}"))?;
    let runtimes = all.get(RUNTIMES).unwrap_or("{}");
    let mut runtimes: Members =
        serde_json::from_str(runtimes).ok().with_context(|| format!("{RUNTIMES} is not an object"))?;
    let own: Value = serde_json::from_str(runtimes.get(NAME).unwrap_or("null"))?;
    match change {
        Change::Add(program) if own["path"] == program => return Ok(text.to_owned()),
        Change::Add(program) => {
            let mut own = if own.is_object() { own } else { serde_json::json!({}) };
            own["path"] = program.into();
            runtimes.set(NAME, Some(own.to_string()));
        }
        Change::Remove if all.get("default-runtime").is_some_and(|name| name == format!("{NAME:?}")) => {
            bail!("default-runtime is {NAME:?}; choose another default runtime first")
        }
        Change::Remove if own.is_null() => return Ok(text.to_owned()),
        Change::Remove => runtimes.set(NAME, None),
    }
    let indent = indent(text);
    let rendered = (!runtimes.0.is_empty()).then(|| runtimes.render(indent, 1));
    all.set(RUNTIMES, rendered);
    Ok(if all.0.is_empty() { String::new() } else { format!("{}\n", all.render(indent, 0)) })
}

/// What the file's lines begin with.
fn indent(text: &str) -> &str {
    let inner = text.lines().find(|line| line.starts_with([' ', '\t']));
    let blanks = inner.map(|line| line.len() - line.trim_start().len());
    blanks.and_then(|blanks| inner?.get(..blanks)).unwrap_or("    ")
}

#[cfg(test)]
mod tests {
    use super::docker;
    use crate::commands::install::Change::{Add, Remove};

    const OLD: &str = "{\n  \"log-opts\": {\n    \"max-size\":   \"10m\"\n  },\n  \"debug\": true\n}\n";

    #[test]
    fn docker_gets_a_runtime_and_loses_it() {
        let new = docker(OLD, Add("/bin/palisade")).unwrap();
        let ours = ",\n  \"runtimes\": {\n    \"palisade\": {\"path\":\"/bin/palisade\"}\n  }\n}\n";
        assert_eq!(new, OLD.replace("\n}\n", ours));
        assert_eq!(docker(&new, Add("/bin/palisade")).unwrap(), new);
        assert_eq!(docker(&new, Remove).unwrap(), OLD);
        assert_eq!(docker(OLD, Remove).unwrap(), OLD);
        let moved = docker(&new, Add("/other")).unwrap();
        assert_eq!(moved, new.replace("/bin/palisade", "/other"));
        for empty in ["", " \n", "{}"] {
            let new = docker(empty, Add("/p")).unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(&new).is_ok());
            assert_eq!(docker(&new, Remove).unwrap(), "");
        }
    }

    #[test]
    fn others_stay() {
        let old = "{\"runtimes\": {\"kata\": {\"path\": \"/k\"}}, \"default-runtime\": \"kata\"}";
        let new = docker(old, Add("/p")).unwrap();
        let value: serde_json::Value = serde_json::from_str(&new).unwrap();
        assert_eq!(value["runtimes"]["kata"]["path"], "/k");
        assert!(docker(&new, Remove).unwrap().contains("kata"));
    }

    #[test]
    fn bad_files_are_told_in_a_line() {
        for text in ["[]", "{", "{\"runtimes\": 3}", "{} {}", "nonsense"] {
            let error = format!("{:#}", docker(text, Add("/p")).unwrap_err());
            assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        }
        let default = "{\"default-runtime\": \"palisade\"}";
        assert!(docker(default, Remove).unwrap_err().to_string().contains("default-runtime"));
    }
}
