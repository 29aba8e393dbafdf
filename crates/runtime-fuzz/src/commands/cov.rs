//! `cov`: which calls a corpus reaches, and which never succeed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use abi_linux::Errno;
use anyhow::Context;
use clap::Args;
use runtime_fuzz::corpus::read_all;
use runtime_fuzz::findings::write_whole;
use syscall_table::SYSCALLS;

use super::EngineName;

#[derive(Debug, Args)]
pub(crate) struct CovArgs {
    /// What runs the programs
    #[arg(long, value_enum, default_value = "process")]
    engine: EngineName,
    /// Directory of programs
    #[arg(long, value_name = "DIR", default_value = "fuzz-corpus")]
    corpus: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "fuzz-coverage.html")]
    html: PathBuf,
}

#[derive(Debug, Default)]
struct Reached {
    made: u64,
    succeeded: u64,
    waited: u64,
    errors: BTreeMap<i32, u64>,
}

pub(crate) fn run(args: &CovArgs) -> anyhow::Result<ExitCode> {
    let programs = read_all(&args.corpus)?;
    let mut engine = args.engine.start()?;
    let mut reached: BTreeMap<u32, Reached> = BTreeMap::new();
    let mut edges = std::collections::HashSet::new();
    for program in &programs {
        let verdict = engine.run(program)?;
        edges.extend(verdict.features.iter().map(|feature| feature >> 3));
        for answer in verdict.answers {
            let row = reached.entry(answer.nr).or_default();
            row.made += 1;
            match answer.answer {
                None => row.waited += 1,
                Some(error @ -4095..0) => *row.errors.entry(-error as i32).or_default() += 1,
                Some(_) => row.succeeded += 1,
            }
        }
    }
    let page = html(&reached, programs.len(), edges.len());
    write_whole(&args.html, page.as_bytes()).with_context(|| args.html.display().to_string())?;
    let rows = SYSCALLS.iter().filter(|row| row.nr < 1024);
    let total = rows.clone().count();
    let ok = rows.filter(|row| reached.get(&row.nr).is_some_and(|row| row.succeeded > 0)).count();
    println!(
        "{} programs: {} of {total} calls made, {ok} succeeded; {}",
        programs.len(),
        reached.len(),
        args.html.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn html(reached: &BTreeMap<u32, Reached>, programs: usize, edges: usize) -> String {
    let mut out = String::from(
        "<!doctype html><meta charset=utf-8><title>System calls reached</title>\
         <style>body{font:14px sans-serif}td,th{padding:2px 10px;text-align:left}\
         .never{background:#fdd}.failed{background:#ffd}.ok{background:#dfd}</style>",
    );
    let _ = write!(out, "<p>{programs} programs");
    if edges > 0 {
        let _ = write!(out, ", {edges} edges of the code");
    }
    out.push_str("<table><tr><th>call<th>family<th>made<th>succeeded<th>waited<th>errors");
    for row in SYSCALLS.iter().filter(|row| row.nr < 1024) {
        let none = Reached::default();
        let told = reached.get(&row.nr).unwrap_or(&none);
        let class = match (told.made, told.succeeded) {
            (0, _) => "never",
            (_, 0) => "failed",
            _ => "ok",
        };
        let errors: Vec<String> = told
            .errors
            .iter()
            .map(|(error, count)| format!("{} {count}", Errno::from_raw(*error).name().unwrap_or("?")))
            .collect();
        let _ = write!(
            out,
            "<tr class={class}><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            row.name,
            row.family,
            told.made,
            told.succeeded,
            told.waited,
            errors.join(", ")
        );
    }
    out.push_str("</table>\n");
    out
}
