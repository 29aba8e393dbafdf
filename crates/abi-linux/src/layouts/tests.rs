//! Fields lie inside their structures and the sets they name exist.

use super::structs::ALL;
use super::{Kind, find};

fn width(kind: &Kind) -> usize {
    match kind {
        Kind::Int(w)
        | Kind::Uint(w)
        | Kind::Hex(w)
        | Kind::Octal(w)
        | Kind::Flags(w, _)
        | Kind::Enum(w, _) => usize::from(*w),
        Kind::Limit | Kind::Signals | Kind::Bytes | Kind::Array(_) | Kind::Sockaddr => 8,
        Kind::Fd(_) | Kind::Id(_) => 4,
        Kind::Port => 2,
        Kind::WaitStatus => 4,
        Kind::Text(len) => usize::from(*len),
        Kind::Struct(layout) => layout.size,
    }
}

#[test]
fn fields_lie_inside_their_structure() {
    for layout in ALL {
        for field in layout.fields {
            assert!(field.offset + width(&field.kind) <= layout.size, "{}.{}", layout.name, field.name);
        }
    }
}

#[test]
fn sets_that_fields_name_exist() {
    for field in ALL.iter().flat_map(|layout| layout.fields) {
        if let Kind::Flags(_, set) | Kind::Enum(_, set) = field.kind {
            assert!(crate::names::find(set).is_some(), "{set}");
        }
    }
}

#[test]
fn every_layout_is_found_by_its_own_name() {
    for layout in ALL {
        assert_eq!(find(layout.name).map(|l| l.size), Some(layout.size));
    }
}
