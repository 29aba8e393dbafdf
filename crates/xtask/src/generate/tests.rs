//! The table's grammar.

use syscall_table::plan::{Condition, Op};
use syscall_table::{Answer, Disposition, Level, Mode};

use super::handlers::Handlers;
use super::{dispatch, downgrade, parse};

const ROWS: &str = "\
# comment
39  getpid  ids  emulate full inline pid
202 futex   process native full inline int uaddr:ptr futex_op:flags(FUTEX) val:uint timeout:ptr?
    when futex_op in FUTEX_WAKE|FUTEX_WAIT, timeout ptr
    strict ; else ENOSYS
435 clone3  process deny missing:ENOSYS inline pid cl_args:ptr size:size ; note no
";

#[test]
fn attributes_may_follow_on_indented_lines() -> anyhow::Result<()> {
    let rows = parse::table(ROWS)?;
    let futex = &rows[1];
    assert!(futex.strict);
    assert_eq!(futex.errno.map(|e| e.value), Some(38));
    let wake = Condition { arg: 1, op: Op::MaskedEq { mask: 0x7f, value: 1 } };
    let timeout = Condition { arg: 3, op: Op::Lt(1 << 47) };
    assert_eq!(futex.when.len(), 2);
    assert_eq!(futex.when[0], [wake, timeout]);
    Ok(())
}

#[test]
fn a_row_without_its_handler_becomes_a_stub() -> anyhow::Result<()> {
    let mut rows = parse::table(ROWS)?;
    assert_eq!(rows[0].answer, Answer::Handler);
    assert_eq!(downgrade(&mut rows, &Handlers::of_text("ids", "")), ["getpid"]);
    assert_eq!((rows[0].answer, rows[0].level), (Answer::Fixed, Level::Stub));
    let mut rows = parse::table(ROWS)?;
    let handlers = Handlers::of_text("ids", "pub(crate) fn sys_getpid(cx: &Cx)");
    assert!(downgrade(&mut rows, &handlers).is_empty());
    assert!(dispatch::emit(&rows, &handlers).contains("39 => ret(crate::ids::sys_getpid(cx)), // getpid"));
    Ok(())
}

#[test]
fn asyncness_has_to_agree_with_the_mode() -> anyhow::Result<()> {
    let rows = parse::table(ROWS)?;
    assert_eq!(rows[0].mode, Mode::Inline);
    let text = "pub(crate) fn try_getpid(cx: &Cx) pub(crate) async fn sys_getpid(cx: &Cx)";
    let tried = rows.first().and_then(|row| Handlers::of_text("ids", text).try_path(row));
    assert_eq!(tried.as_deref(), Some("crate::ids::try_getpid"));
    let handlers = Handlers::of_text("ids", "pub(crate) async fn sys_getpid(cx: &Cx)");
    assert_eq!(rows.first().and_then(|row| handlers.try_path(row)), None);
    assert_eq!(handlers.mismatches(&rows).len(), 1);
    assert_eq!(rows[2].disposition, Disposition::Deny);
    Ok(())
}

#[test]
fn mistakes_are_refused() {
    for bad in [
        "1 a b emulate full inline",
        "1 a b emulate stub inline int",
        "1 a b emulate full inline int x:flags(NOPE)",
        "1 a b emulate full inline int x:bytes_in(y)",
        "1 a b emulate partial inline int",
        "1 a b emulate full inline int ; strict",
        "1 a b emulate full inline int\n1 c b emulate full inline int",
    ] {
        assert!(parse::table(bad).is_err(), "{bad}");
    }
}
