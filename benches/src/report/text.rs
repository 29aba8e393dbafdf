//! Numbers for readers.

use std::time::Duration;

use crate::suite::{Goal, Unit};

/// A value with a unit that fits.
pub(crate) fn value(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let scaled = |steps: &[(f64, &str)]| {
        let step = steps.iter().rev().find(|(least, _)| value.abs() >= *least).or(steps.first());
        step.map_or(String::new(), |(size, name)| format!("{} {name}", digits(value / size)))
    };
    match unit {
        Unit::Nanoseconds => scaled(&[(1.0, "ns"), (1e3, "us"), (1e6, "ms"), (1e9, "s")]),
        Unit::Bytes => scaled(&[(1.0, "B"), (1024.0, "KiB"), (1048576.0, "MiB"), (1073741824.0, "GiB")]),
        Unit::BytesPerSecond => scaled(&[(1.0, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s")]),
        Unit::PerSecond => scaled(&[(1.0, "/s"), (1e3, "k/s"), (1e6, "M/s")]),
        Unit::Count => digits(value),
    }
}

/// Three digits that count.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How many times, or a dash.
pub(crate) fn times(value: f64) -> String {
    if value.is_finite() { format!("{value:.2}x") } else { "-".to_owned() }
}

/// Minutes and seconds.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 3600 {
        format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60)
    } else {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    }
}

/// A goal in words.
pub(crate) fn goal(goal: &Goal, unit: Unit) -> String {
    let mut words = Vec::new();
    if let (Some(times), Some(of)) = (goal.times, &goal.of) {
        words.push(format!("{times} x {of}"));
    }
    words.extend(goal.at_most.map(|most| value(most, unit)));
    words.extend(goal.plus.clone());
    words.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::value;
    use crate::suite::Unit;

    #[test]
    fn units_fit() {
        assert_eq!(value(1234.0, Unit::Nanoseconds), "1.23 us");
        assert_eq!(value(0.5, Unit::Nanoseconds), "0.50 ns");
        assert_eq!(value(25e6, Unit::Nanoseconds), "25.0 ms");
        assert_eq!(value(5242880.0, Unit::Bytes), "5.00 MiB");
        assert_eq!(value(123456.0, Unit::PerSecond), "123 k/s");
        assert_eq!(value(f64::NAN, Unit::Count), "-");
    }
}
