//! `palisade top`: all sandboxes of this machine, refreshed; `--once` for scripts.
#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Constraint;
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Row as TableRow, Table};
use runtime_oci::Store;
use runtime_watch::rates::{Key, Row, rows};
use runtime_watch::sample::{self, Sample};

/// Show the sandboxes of this machine: CPU, memory, call rate, hottest calls
#[derive(Debug, Parser)]
#[command(name = "palisade top", version)]
struct Args {
    /// Print once, after looking for one interval, and end
    #[arg(long)]
    once: bool,
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    interval: f64,
    /// What to sort by
    #[arg(long, value_enum, default_value = "cpu")]
    sort: Key,
    /// Directory with the state of containers, as for the other commands
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

const FAILED: u8 = 125;
const HEAD: [&str; 9] =
    ["ID", "STATUS", "CPU%", "MEMORY", "PROCS", "FDS", "CALLS/S", "WAITING", "HOTTEST CALLS (per second)"];

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.1..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "write seconds between 0.1 and 3600".to_owned())
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { FAILED } else { 0 });
        }
    };
    let done = if args.once { once(&args) } else { watch(&args) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "palisade: {error}; run it in a terminal, or with --once");
            ExitCode::from(FAILED)
        }
    }
}

/// What has been seen, and when.
struct Look {
    at: Instant,
    samples: Vec<Sample>,
}

fn look(args: &Args) -> Look {
    let root = args.root.clone().unwrap_or_else(Store::default_root);
    Look { at: Instant::now(), samples: sample::all(&sample::stores(&root)) }
}

fn once(args: &Args) -> std::io::Result<()> {
    let before = look(args);
    std::thread::sleep(Duration::from_secs_f64(args.interval));
    let after = look(args);
    let rows = rows(&before.samples, &after.samples, after.at - before.at, args.sort);
    let mut out = std::io::stdout().lock();
    let line = |cells: &[String]| {
        let widths = [24, 8, 7, 9, 6, 6, 10, 8, 0];
        let cells: Vec<String> =
            cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join(" ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(&HEAD.map(str::to_owned)))?;
    for row in &rows {
        writeln!(out, "{}", line(&cells(row)))?;
    }
    out.flush()
}

fn cells(row: &Row) -> [String; 9] {
    let megabytes =
        row.memory_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}M", bytes as f64 / 1e6));
    let hot: Vec<String> = row.hottest.iter().map(|(name, rate)| format!("{name} {rate:.0}")).collect();
    [
        row.name.clone(),
        row.status.to_owned(),
        row.cpu_percent.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.1}")),
        megabytes,
        row.processes.to_string(),
        row.descriptors.to_string(),
        format!("{:.0}", row.calls_per_second),
        row.waiting.to_string(),
        hot.join(", "),
    ]
}

fn watch(args: &Args) -> std::io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let done = show(args, &mut terminal);
    ratatui::restore();
    done
}

fn show(args: &Args, terminal: &mut ratatui::DefaultTerminal) -> std::io::Result<()> {
    let interval = Duration::from_secs_f64(args.interval);
    let (mut before, mut sort) = (look(args), args.sort);
    let mut after = Look { at: before.at + interval, samples: before.samples.clone() };
    loop {
        let rows = rows(&before.samples, &after.samples, after.at - before.at, sort);
        terminal.draw(|frame| frame.render_widget(table(&rows, sort), frame.area()))?;
        let next = Instant::now() + interval;
        while event::poll(next.saturating_duration_since(Instant::now()))? {
            let Event::Key(key) = event::read()? else { break };
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                _ if key.kind != KeyEventKind::Press => {}
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if control => return Ok(()),
                KeyCode::Char('s') => {
                    sort = sort.next();
                    break;
                }
                _ => {}
            }
        }
        if Instant::now() >= next {
            before = std::mem::replace(&mut after, look(args));
        }
    }
}

fn table(rows: &[Row], sort: Key) -> Table<'static> {
    let widths = [
        Constraint::Min(16),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Fill(2),
    ];
    let head = TableRow::new(HEAD).style(Style::new().add_modifier(Modifier::REVERSED));
    let title = format!(" Palisade: {} containers, by {sort:?} ", rows.len());
    Table::new(rows.iter().map(|row| TableRow::new(cells(row))), widths).header(head).block(
        Block::new().title(Line::from(title)).title_bottom(Line::from(" q: end   s: sort by another ")),
    )
}
