//! Log lines: by default for people on standard error; in a file, or as JSON, as runc writes them, because engines
//! read them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Mutex, OnceLock};
use std::time::SystemTime;

use anyhow::{Context, Result};
use runtime_oci::rfc3339;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Global, LogFormat};

/// The file of `--log`: a supervisor cannot open it again at its end.
static FILE: OnceLock<File> = OnceLock::new();

/// PALISADE_LOG picks levels by target: `info`, or `error,kernel_task=debug`.
pub(crate) fn init(global: &Global) -> Result<()> {
    let default = if global.debug { "debug" } else { "error" }.to_owned();
    let wanted = std::env::var("PALISADE_LOG").unwrap_or(default);
    // Not EnvFilter: the regular expressions that it brings are a tenth of the supervisor's memory.
    let targets: Targets = wanted.parse().with_context(|| {
        format!("PALISADE_LOG={wanted}: write a level, or TARGET=LEVEL, with commas between")
    })?;
    let lines = tracing_subscriber::fmt::layer();
    let registry = tracing_subscriber::registry();
    match (open(global)?, global.log_format) {
        (None, LogFormat::Text) => {
            registry.with(lines.with_writer(std::io::stderr).with_filter(targets)).init();
        }
        (None, format) => {
            let lines = lines.event_format(Lines(format)).with_writer(std::io::stderr);
            registry.with(lines.with_filter(targets)).init();
        }
        (Some(file), format) => {
            let _ = FILE.set(file.try_clone()?);
            let lines = lines.event_format(Lines(format)).with_writer(Mutex::new(file));
            registry.with(lines.with_filter(targets)).init();
        }
    }
    Ok(())
}

fn open(global: &Global) -> Result<Option<File>> {
    let Some(path) = &global.log else { return Ok(None) };
    let file = OpenOptions::new().append(true).create(true).open(path);
    let remedy = "cannot be written; name a file in a directory that can";
    file.map(Some).with_context(|| format!("--log {}: {remedy}", path.display()))
}

/// Tells why a command failed.
pub(crate) fn failure(global: &Global, message: &str) {
    // Not eprintln, which panics when standard error is full or gone.
    let mut stderr = std::io::stderr();
    let _ = match (&global.log, global.log_format) {
        (None, LogFormat::Text) => writeln!(stderr, "palisade: {message}"),
        (None, format) => writeln!(stderr, "{}", line(format, "error", message)),
        (Some(_), format) => {
            let text = line(format, "error", message);
            let own = FILE.get().map_or_else(|| open(global), |file| Ok(Some(file.try_clone()?)));
            let logged = own.map(|file| file.map(|mut file| writeln!(file, "{text}")));
            let _ = logged;
            writeln!(stderr, "palisade: {message}")
        }
    };
}

fn line(format: LogFormat, level: &str, message: &str) -> String {
    let time = rfc3339(SystemTime::now());
    // Whole seconds, as logrus.
    let time = time.split_once('.').map_or(time.clone(), |(seconds, _)| format!("{seconds}Z"));
    match format {
        LogFormat::Json => json!({ "level": level, "msg": message, "time": time }).to_string(),
        LogFormat::Text => format!("time=\"{time}\" level={level} msg={message:?}"),
    }
}

/// Events in runc's forms.
struct Lines(LogFormat);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut text = Text::default();
        event.record(&mut text);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        writeln!(writer, "{}", line(self.0, &level, &format!("{}{}", text.message, text.fields)))
    }
}

/// An event's message, and its fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::args::LogFormat;

    #[test]
    fn lines_are_runcs() {
        let json: serde_json::Value =
            serde_json::from_str(&line(LogFormat::Json, "error", "a \"b\"")).unwrap();
        assert_eq!((&json["level"], &json["msg"]), (&"error".into(), &"a \"b\"".into()));
        let text = line(LogFormat::Text, "error", "a \"b\"");
        assert!(
            text.starts_with("time=\"20") && text.ends_with("Z\" level=error msg=\"a \\\"b\\\"\""),
            "{text}"
        );
    }
}
