//! Answers and memory without what two kernels never agree on.

use abi_linux::layouts::{self, Layout};
use syscall_table::Returns;

use super::{MASKS, is_error};
use crate::exec::{layout_of, width};
use crate::program::{Call, Program, Value};

/// An answer: what names something becomes a 1.
pub(super) fn answer(call: &Call, answer: i64) -> i64 {
    if is_error(answer) {
        return answer;
    }
    match call.row.returns {
        Returns::Pid | Returns::Addr => i64::from(answer != 0),
        // Ids of System V IPC carry a sequence number.
        Returns::Id(kind) if kind != "wd" => i64::from(answer >= 0),
        _ => answer,
    }
}

/// Where memory differs, if it does.
pub(super) fn memory(
    program: &Program,
    call: &Call,
    arg: u8,
    answer: i64,
    host: &[u8],
    sandbox: &[u8],
) -> Option<String> {
    if host == sandbox {
        return None;
    }
    let ty = call.row.args.get(usize::from(arg))?.ty;
    if call.row.name.starts_with("getdents") && answer > 0 {
        let (left, right) = (names(host, answer, call.row.name), names(sandbox, answer, call.row.name));
        return (left != right).then(|| "names".to_owned());
    }
    if matches!(kind_of_descriptor(program, call), Some("signal")) {
        return None;
    }
    let (mut left, mut right) = (host.to_vec(), sandbox.to_vec());
    if kind_of_descriptor(program, call) == Some("inotify") {
        mask_cookies(&mut left);
        mask_cookies(&mut right);
    }
    let layout = layout_of(ty);
    if let Some(layout) = layout {
        mask(layout, &mut left);
        mask(layout, &mut right);
    }
    let at = left.iter().zip(&right).position(|(one, other)| one != other)?;
    let field = layout.filter(|layout| layout.size > 0).and_then(|layout| {
        let inside = at % layout.size;
        let found = layout
            .fields
            .iter()
            .find(|field| (field.offset..field.offset + width(&field.kind)).contains(&inside));
        found.filter(|field| !field.name.is_empty()).map(|field| field.name.to_owned())
    });
    Some(field.unwrap_or_else(|| if at < 64 { format!("byte {at}") } else { "a later byte".to_owned() }))
}

/// Clears the fields that are not compared, in each element.
fn mask(layout: &Layout, bytes: &mut [u8]) {
    let whole = bytes.len();
    for element in bytes.chunks_mut(layout.size.max(1)) {
        // The guard behind the memory is compared.
        if element.len() < layout.size || whole < layout.size {
            continue;
        }
        for (name, field, _) in MASKS.iter().filter(|(name, ..)| *name == layout.name) {
            if field.is_empty() {
                element.fill(0);
            } else if let Some(found) =
                layouts::find(name).and_then(|l| l.fields.iter().find(|f| f.name == *field))
            {
                element[found.offset..found.offset + width(&found.kind)].fill(0);
            }
        }
    }
}

/// What the descriptor of a read is of.
fn kind_of_descriptor(program: &Program, call: &Call) -> Option<&'static str> {
    let is_read = matches!(call.row.name, "read" | "readv" | "pread64" | "preadv" | "preadv2");
    let Some(Value::Var(var)) = call.args.first().filter(|_| is_read) else { return None };
    let maker = program.calls.iter().find(|maker| maker.result == Some(*var))?;
    match maker.row.returns {
        Returns::FdOf(kind) => Some(kind),
        _ => None,
    }
}

/// struct inotify_event: wd, mask, cookie, len, name.
fn mask_cookies(bytes: &mut [u8]) {
    let mut at = 0;
    while at + 16 <= bytes.len() {
        bytes[at + 8..at + 12].fill(0);
        let len = u32::from_le_bytes([bytes[at + 12], bytes[at + 13], bytes[at + 14], bytes[at + 15]]);
        at += 16 + (len as usize).min(4096);
    }
}

/// The names and types of directory entries, sorted.
fn names(bytes: &[u8], len: i64, call: &str) -> Vec<(Vec<u8>, u8)> {
    let is_new = call == "getdents64";
    let (mut at, end) = (0, (len as usize).min(bytes.len()));
    let mut all = Vec::new();
    while at + 19 <= end {
        let record = usize::from(u16::from_le_bytes([bytes[at + 16], bytes[at + 17]]));
        if record < 19 || at + record > end {
            break;
        }
        let start = if is_new { at + 19 } else { at + 18 };
        let name = bytes[start..at + record].split(|&byte| byte == 0).next().unwrap_or(&[]);
        let kind = if is_new { bytes[at + 18] } else { bytes[at + record - 1] };
        all.push((name.to_vec(), kind));
        at += record;
    }
    all.sort();
    all
}

/// Lines of the end state that are compared.
pub(super) fn state(lines: &[String]) -> Vec<String> {
    lines.to_vec()
}
