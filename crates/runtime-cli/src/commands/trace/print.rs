//! How traced calls are written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use runtime_control::observe::{TraceBatch, TracedCall};
use serde_json::{Value, json};

use super::TraceFormat;

const SECOND_NS: u64 = 1_000_000_000;

/// Writes a trace.
pub(super) struct Printer {
    format: TraceFormat,
    out: Box<dyn Write + Send>,
    calls: u64,
    dropped: u64,
    /// Threads that a timeline has a name for, by process and thread id.
    named: BTreeMap<(i32, i32), String>,
    begun: bool,
}

impl Printer {
    pub(super) fn new(format: TraceFormat, out: Box<dyn Write + Send>) -> Self {
        Self { format, out, calls: 0, dropped: 0, named: BTreeMap::new(), begun: false }
    }

    pub(super) fn batch(&mut self, batch: &TraceBatch) -> io::Result<()> {
        for call in &batch.calls {
            self.calls += 1;
            match self.format {
                TraceFormat::Text => writeln!(self.out, "{}", line(call))?,
                TraceFormat::Json => writeln!(self.out, "{}", object(call))?,
                TraceFormat::Perfetto => self.slice(call)?,
            }
        }
        let fresh = batch.dropped.saturating_sub(self.dropped);
        if fresh > 0 {
            self.dropped = batch.dropped;
            match self.format {
                TraceFormat::Text => writeln!(self.out, "--- {fresh} calls were dropped ---")?,
                TraceFormat::Json => writeln!(self.out, "{}", json!({ "dropped": fresh }))?,
                TraceFormat::Perfetto => {
                    let at = batch.calls.last().map_or(0, |call| call.at_ns);
                    let name = format!("{fresh} calls were dropped");
                    self.event(
                        &json!({ "name": name, "ph": "i", "s": "g", "ts": micros(at), "pid": 0, "tid": 0 }),
                    )?;
                }
            }
        }
        self.out.flush()
    }

    /// Ends the file, and says on standard error how much was seen.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if self.format == TraceFormat::Perfetto {
            let head = if self.begun { "" } else { "{\"traceEvents\":[" };
            let other = json!({ "calls": self.calls, "dropped": self.dropped });
            writeln!(self.out, "{head}\n],\"displayTimeUnit\":\"ns\",\"otherData\":{other}}}")?;
        }
        self.out.flush()?;
        // Whether somebody reads it or not.
        let _ = writeln!(io::stderr(), "palisade: {} calls traced, {} dropped", self.calls, self.dropped);
        Ok(())
    }

    /// A call on the timeline of its thread.
    fn slice(&mut self, call: &TracedCall) -> io::Result<()> {
        let (pid, tid) = (call.pid, call.tid);
        if self.named.get(&(pid, tid)) != Some(&call.comm) {
            self.named.insert((pid, tid), call.comm.clone());
            let name = |what: &str| json!({ "name": what, "ph": "M", "pid": pid, "tid": tid, "args": { "name": call.comm } });
            if pid == tid {
                self.event(&name("process_name"))?;
            }
            self.event(&name("thread_name"))?;
        }
        self.event(&json!({
            "name": name_of(call), "cat": "syscall", "ph": "X", "pid": pid, "tid": tid,
            "ts": micros(call.at_ns), "dur": micros(call.duration_ns), "args": { "call": call.text },
        }))
    }

    fn event(&mut self, event: &Value) -> io::Result<()> {
        let before = if self.begun { ",\n" } else { "{\"traceEvents\":[\n" };
        self.begun = true;
        write!(self.out, "{before}{event}")
    }
}

/// Microseconds, as timelines count.
fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

fn name_of(call: &TracedCall) -> String {
    syscall_table::by_nr(call.nr).map_or_else(|| format!("syscall_{:#x}", call.nr), |row| row.name.to_owned())
}

/// As `strace -f -tt -T` prints it; times are UTC.
fn line(call: &TracedCall) -> String {
    let (second, micro) = (call.at_ns / SECOND_NS % 86_400, call.at_ns % SECOND_NS / 1000);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (whole, part) = (call.duration_ns / SECOND_NS, call.duration_ns % SECOND_NS / 1000);
    let (tid, text) = (call.tid, &call.text);
    format!("{hour:02}:{minute:02}:{second:02}.{micro:06} [pid {tid:>5}] {text} <{whole}.{part:06}>")
}

fn object(call: &TracedCall) -> String {
    let mut object = json!(call);
    object["name"] = name_of(call).into();
    object.to_string()
}

#[cfg(test)]
mod tests {
    use super::{Printer, TraceFormat};
    use runtime_control::observe::{Ending, TraceBatch, TracedCall};
    use serde_json::Value;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Out(Arc<Mutex<Vec<u8>>>);

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn printed(format: TraceFormat, batches: &[TraceBatch]) -> String {
        let out = Out::default();
        let mut printer = Printer::new(format, Box::new(out.clone()));
        batches.iter().for_each(|batch| printer.batch(batch).unwrap());
        printer.finish().unwrap();
        let bytes = out.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn batch() -> TraceBatch {
        let call = TracedCall {
            seq: 0,
            at_ns: 3_661_000_002_000,
            duration_ns: 5000,
            pid: 1,
            tid: 1,
            comm: "a\"b".into(),
            nr: 3,
            args: [1, 0, 0, 0, 0, 0],
            ending: Ending::Value(0),
            text: "close(1) = 0".into(),
        };
        TraceBatch { calls: vec![call], dropped: 2, ended: false }
    }

    #[test]
    fn lines_are_straces_and_drops_show() {
        let text = printed(TraceFormat::Text, &[batch(), batch()]);
        let call = "01:01:01.000002 [pid     1] close(1) = 0 <0.000005>\n";
        assert_eq!(text, format!("{call}--- 2 calls were dropped ---\n{call}"));
    }

    #[test]
    fn timeline_is_one_json_object_even_if_empty() {
        let text = printed(TraceFormat::Perfetto, &[batch()]);
        let whole: Value = serde_json::from_str(&text).unwrap();
        let events = whole["traceEvents"].as_array().unwrap();
        assert!(events.iter().any(|event| event["name"] == "close" && event["dur"] == 5.0), "{text}");
        assert_eq!(whole["otherData"]["dropped"], 2);
        let empty: Value = serde_json::from_str(&printed(TraceFormat::Perfetto, &[])).unwrap();
        assert_eq!(empty["traceEvents"], Value::Array(Vec::new()));
    }

    #[test]
    fn each_line_of_json_is_an_object() {
        let text = printed(TraceFormat::Json, &[batch()]);
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&lines[0]["name"], &lines[1]["dropped"]), (&"close".into(), &2.into()));
    }
}
