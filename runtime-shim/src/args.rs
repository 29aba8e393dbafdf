//! The command line, as Go's flag package reads it: containerd calls every shim alike.

use std::ffi::OsString;

use anyhow::{Context, Result, bail};

/// What containerd says on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Args {
    pub(crate) namespace: String,
    pub(crate) id: String,
    /// containerd's main socket.
    pub(crate) address: String,
    pub(crate) bundle: String,
    pub(crate) debug: bool,
    pub(crate) version: bool,
    pub(crate) info: bool,
    /// `start`, `delete`, or nothing: serve.
    pub(crate) action: String,
}

impl Args {
    /// Reads words such as `-id one`, `--id=one` and `-debug`.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut args = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let word = word.into_string().ok().context("an argument is not UTF-8")?;
            let Some(flag) = word.strip_prefix('-') else {
                args.action = word;
                break;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let switch = value.as_deref() != Some("false");
            match name {
                "debug" => args.debug = switch,
                "v" => args.version = switch,
                "info" => args.info = switch,
                _ => {
                    let next = || words.next().and_then(|word| word.into_string().ok());
                    let value = value.or_else(next).with_context(|| format!("-{name} needs a value"))?;
                    args.set(name, value)?;
                }
            }
        }
        Ok(args)
    }

    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = value,
            "bundle" => self.bundle = value,
            // Events go to containerd's ttrpc socket; the socket of ours is passed as standard input.
            "publish-binary" | "socket" => {}
            _ => bail!("unknown flag -{name}"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    #[test]
    fn flags_are_read_as_go_does() {
        let words = ["-namespace", "default", "--id=x", "-debug", "-publish-binary", "/c", "start", "-y"];
        let args = Args::parse(words.map(Into::into)).unwrap();
        assert_eq!((args.namespace.as_str(), args.id.as_str()), ("default", "x"));
        assert!(args.debug);
        assert_eq!(args.action, "start");
        assert!(Args::parse(["-id".into()]).is_err());
        assert!(Args::parse(["-what".into(), "x".into()]).is_err());
    }
}
