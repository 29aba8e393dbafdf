//! The sets are found by name, and no flag hides behind another.

use super::{ALL, find};

#[test]
fn every_set_is_found_by_its_own_name() {
    for set in ALL {
        assert_eq!(find(set.name).map(|s| s.name), Some(set.name));
    }
}

#[test]
fn composite_flags_stand_before_the_bits_they_contain() {
    for set in ALL {
        for (i, &(name, bits)) in set.bits.iter().enumerate() {
            let hidden = set.bits[..i].iter().find(|&&(_, earlier)| earlier & bits == earlier);
            assert!(hidden.is_none(), "{}: {name} comes after {hidden:?}", set.name);
        }
    }
}

#[test]
fn names_in_a_set_are_unique() {
    for set in ALL {
        let mut names: Vec<_> = set.values.iter().chain(set.bits).map(|&(n, _)| n).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|w| w[0] != w[1]), "{}", set.name);
    }
}
