//! The reader of `syscalls.tbl`; the file's header is its grammar.
//!
//! Strings of the table are leaked into `'static`, because rows are the same type at run time, where they
//! are constants.

use abi_linux::{Errno, layouts, names};
use anyhow::{Context, bail, ensure};
use syscall_table::plan::Condition;
use syscall_table::{Answer, Arg, Disposition, ErrnoName, Len, Level, Mode, Restart, Returns, Syscall, Ty};

use super::conditions;

/// All rows, in the order of their numbers.
pub(super) fn table(text: &str) -> anyhow::Result<Vec<Syscall>> {
    let mut rows: Vec<Syscall> = Vec::new();
    for (at, line) in logical_lines(text) {
        let row = parse_row(&line).with_context(|| format!("line {at}"))?;
        if let Some(last) = rows.last() {
            ensure!(last.nr < row.nr, "line {at}: number {} is not above {}", row.nr, last.nr);
        }
        ensure!(rows.iter().all(|other| other.name != row.name), "line {at}: {} stands twice", row.name);
        rows.push(row);
    }
    Ok(rows)
}

/// Rows with their indented continuations joined by ` ; `, and the number of their first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, row)) if line.starts_with(' ') => {
                row.push_str(" ; ");
                row.push_str(line.trim());
            }
            _ => lines.push((at + 1, line.to_owned())),
        }
    }
    lines
}

fn parse_row(line: &str) -> anyhow::Result<Syscall> {
    let mut clauses = line.split(" ;").map(str::trim).filter(|clause| !clause.is_empty());
    let columns: Vec<&str> = clauses.next().unwrap_or("").split_whitespace().collect();
    let [nr, name, family, disposition, level, mode, returns, args @ ..] = columns.as_slice() else {
        bail!("a row has at least seven columns");
    };
    let (level, errno) = parse_level(level)?;
    let disposition = parse_disposition(disposition)?;
    let answer = match (disposition, level) {
        (Disposition::Deny, _) | (_, Level::Stub | Level::Missing) => Answer::Fixed,
        (Disposition::Native, _) => Answer::Checked,
        _ => Answer::Handler,
    };
    let mut row = Syscall {
        nr: nr.parse().context("number")?,
        name: leak(name),
        family: leak(family),
        disposition,
        level,
        mode: parse_mode(mode)?,
        answer,
        returns: parse_returns(returns)?,
        args: parse_args(args)?.leak(),
        when: &[],
        strict: false,
        errno,
        note: "",
    };
    attributes(&mut row, clauses).with_context(|| (*name).to_owned())?;
    consistent(&row).with_context(|| (*name).to_owned())?;
    Ok(row)
}

fn attributes<'a>(row: &mut Syscall, clauses: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
    let mut when: Vec<Vec<Condition>> = Vec::new();
    for clause in clauses {
        let (word, rest) = clause.split_once(' ').unwrap_or((clause, ""));
        match (word, rest) {
            ("when", rest) => when.extend(conditions::parse(rest, row.args)?),
            ("strict", "") => row.strict = true,
            ("checked", "") => row.answer = Answer::Checked,
            ("else", "handler") => row.answer = Answer::Handler,
            ("else", errno) => row.errno = Some(parse_errno(errno)?),
            ("note", text) => row.note = leak(text),
            _ => bail!("unknown attribute `{clause}`"),
        }
    }
    let when: Vec<&'static [Condition]> = when.into_iter().map(|all| &*all.leak()).collect();
    row.when = when.leak();
    if row.answer == Answer::Checked && row.errno.is_none() {
        row.errno = Some(parse_errno("EINVAL")?);
    }
    Ok(())
}

fn consistent(row: &Syscall) -> anyhow::Result<()> {
    ensure!(row.args.len() <= 6, "more than six arguments");
    let fixed = row.answer == Answer::Fixed;
    ensure!(!fixed || row.errno.is_some(), "stub, missing and deny need an errno");
    ensure!(row.when.is_empty() || !fixed, "`when` on a row that the host never performs");
    ensure!(
        row.disposition != Disposition::Emulate || row.answer != Answer::Checked,
        "an emulated row is not checked"
    );
    ensure!(!row.strict || row.disposition == Disposition::Native, "`strict` is for native rows");
    ensure!(row.level != Level::Partial || !row.note.is_empty(), "a partial row says what is missing");
    ensure!(
        row.disposition != Disposition::Native || row.mode == Mode::Inline || row.answer == Answer::Handler,
        "a native row without a handler never parks"
    );
    Ok(())
}

fn parse_level(text: &str) -> anyhow::Result<(Level, Option<ErrnoName>)> {
    let (level, errno) = text.split_once(':').map_or((text, None), |(level, errno)| (level, Some(errno)));
    let level = match level {
        "missing" => Level::Missing,
        "stub" => Level::Stub,
        "partial" => Level::Partial,
        "full" => Level::Full,
        other => bail!("unknown level {other}"),
    };
    Ok((level, errno.map(parse_errno).transpose()?))
}

fn parse_errno(name: &str) -> anyhow::Result<ErrnoName> {
    let value = (1..512).find(|&raw| Errno::from_raw(raw).name() == Some(name));
    let value = value.with_context(|| format!("unknown errno {name}"))?;
    Ok(ErrnoName { name: leak(name), value: u16::try_from(value)? })
}

fn parse_disposition(text: &str) -> anyhow::Result<Disposition> {
    Ok(match text {
        "emulate" => Disposition::Emulate,
        "gate" => Disposition::Gate,
        "native" => Disposition::Native,
        "deny" => Disposition::Deny,
        other => bail!("unknown disposition {other}"),
    })
}

fn parse_mode(text: &str) -> anyhow::Result<Mode> {
    Ok(match text {
        "inline" => Mode::Inline,
        "sys" => Mode::Blocking(Restart::Sys),
        "nohand" => Mode::Blocking(Restart::NoHand),
        "eintr" => Mode::Blocking(Restart::Eintr),
        other => bail!("unknown mode {other}"),
    })
}

fn parse_returns(text: &str) -> anyhow::Result<Returns> {
    if let Some((word, kind)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        return Ok(match word {
            "fd" => Returns::FdOf(leak(kind)),
            "id" => Returns::Id(leak(kind)),
            other => bail!("unknown kind of result {other}"),
        });
    }
    Ok(match text {
        "none" => Returns::None,
        "int" | "long" => Returns::Int,
        "fd" => Returns::Fd,
        "size" => Returns::Size,
        "addr" => Returns::Addr,
        "octal" => Returns::Octal,
        "pid" => Returns::Pid,
        "uid" => Returns::Uid,
        "clock_t" => Returns::ClockT,
        other => bail!("unknown kind of result {other}"),
    })
}

fn parse_args(columns: &[&str]) -> anyhow::Result<Vec<Arg>> {
    let names: Vec<&str> = columns.iter().map(|column| column.split(':').next().unwrap_or("")).collect();
    let one = |column: &&str| {
        let (name, ty) = column.split_once(':').with_context(|| format!("{column} has no type"))?;
        let (ty, optional) = ty.strip_suffix('?').map_or((ty, false), |ty| (ty, true));
        let ty = parse_type(ty, &names).with_context(|| format!("argument {name}"))?;
        Ok(Arg { name: leak(name), ty, optional })
    };
    columns.iter().map(one).collect()
}

fn parse_type(text: &str, names: &[&str]) -> anyhow::Result<Ty> {
    let Some((word, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) else {
        return simple_type(text);
    };
    let place = |name: &str| {
        let at = names.iter().position(|other| *other == name);
        at.map(|at| at as u8).with_context(|| format!("no argument {name}"))
    };
    let array = || {
        let (layout, count) = inner.split_once(',').context("an array needs its count")?;
        let len = if count == "ret" { Len::Ret } else { Len::Arg(place(count)?) };
        anyhow::Ok((parse_layout(layout)?, len))
    };
    Ok(match word {
        "fd" => Ty::FdOf(leak(inner)),
        "id" => Ty::Id(leak(inner)),
        "ptr" => Ty::PtrTo(parse_layout(inner)?),
        "flags" => Ty::Flags(parse_set(inner)?),
        "lflags" => Ty::LongFlags(parse_set(inner)?),
        "enum" => Ty::Enum(parse_set(inner)?),
        "in" => Ty::In(parse_layout(inner)?),
        "out" => Ty::Out(parse_layout(inner)?),
        "inout" => Ty::InOut(parse_layout(inner)?),
        "array_in" => array().map(|(layout, len)| Ty::ArrayIn(layout, len))?,
        "array_out" => array().map(|(layout, len)| Ty::ArrayOut(layout, len))?,
        "array_inout" => array().map(|(layout, len)| Ty::ArrayInOut(layout, len))?,
        "bytes_in" => Ty::BytesIn(place(inner)?),
        "bytes_out" => Ty::BytesOut(place(inner)?),
        "iovec_in" => Ty::IovecIn(place(inner)?),
        "iovec_out" => Ty::IovecOut(place(inner)?),
        "fdset" => Ty::FdSet(place(inner)?),
        "sockaddr_in" => Ty::SockaddrIn(place(inner)?),
        "sockaddr_out" => Ty::SockaddrOut(place(inner)?),
        "by_ioctl" => Ty::ByIoctl(place(inner)?),
        "by_fcntl" => Ty::ByFcntl(place(inner)?),
        other => bail!("unknown type {other}"),
    })
}

fn simple_type(word: &str) -> anyhow::Result<Ty> {
    Ok(match word {
        "int" => Ty::Int,
        "uint" => Ty::Uint,
        "long" => Ty::Long,
        "ulong" => Ty::Ulong,
        "hidden" => Ty::Hidden,
        "size" => Ty::Size,
        "off" => Ty::Off,
        "octal" => Ty::Octal,
        "hex32" => Ty::Hex32,
        "hex" => Ty::Hex,
        "dev" => Ty::Dev,
        "pid" => Ty::Pid,
        "uid" => Ty::Uid,
        "gid" => Ty::Gid,
        "signal" => Ty::Signal,
        "fd" => Ty::Fd,
        "dirfd" => Ty::DirFd,
        "addr" => Ty::Addr,
        "ptr" => Ty::Ptr,
        "path" => Ty::Path,
        "str" => Ty::Str,
        "argv" => Ty::Argv,
        other => bail!("unknown type {other}"),
    })
}

fn parse_set(name: &str) -> anyhow::Result<&'static str> {
    Ok(names::find(name).with_context(|| format!("abi-linux names no set {name}"))?.name)
}

fn parse_layout(name: &str) -> anyhow::Result<&'static str> {
    Ok(layouts::find(name).with_context(|| format!("abi-linux has no layout {name}"))?.name)
}

fn leak(text: &str) -> &'static str {
    text.to_owned().leak()
}
