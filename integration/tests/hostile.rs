//! Whatever a guest passes, the sandbox stays alive and answers.

use std::path::Path;

use integration::paths;
use integration::runner::{Runner, Sandbox};

fn inside(script: &str) -> integration::process::Finished {
    let program = Path::new(env!("CARGO_BIN_EXE_guest_hostile"));
    let sandbox = Sandbox::default().with_volume(program.parent().expect("it is in a directory"), "/t");
    Runner::Palisade(sandbox).run(&["sh", "-c", script])
}

#[test]
fn sandbox_survives_every_number_with_hostile_arguments() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let script = "/t/guest_hostile inside; echo status $?; for n in 1 2 3; do /bin/echo ok $n; done; ls / | wc -l >/dev/null && echo alive";
    let done = inside(script);
    println!("{done:?}");
    assert!(!done.hung);
    assert_eq!(
        done.stdout, "ok every_number_with_hostile_arguments\nstatus 0\nok 1\nok 2\nok 3\nalive\n",
        "{done:?}"
    );
    assert!(!done.stderr.contains("panic"), "{done:?}");
}

#[test]
fn kill_of_everything_leaves_init_and_the_caller() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let done = inside("trap : TERM; sleep 100 & sleep 0.3; kill -TERM -1; wait $!; echo $?; echo still here");
    assert_eq!((done.stdout.as_str(), done.status), ("143\nstill here\n", 0), "{done:?}");
}

#[test]
fn sandbox_survives_commands_options_addresses_and_structures() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let done = inside("/t/guest_hostile inside catalogue; echo status $?; /bin/echo alive");
    println!("{done:?}");
    assert!(!done.hung && !done.stderr.contains("panic"), "{done:?}");
    assert_eq!(done.stdout, "ok the_catalogue_with_hostile_arguments\nstatus 0\nalive\n", "{done:?}");
}

#[test]
fn random_calls_do_no_harm() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let done = inside("/t/guest_hostile inside 10; echo status $?; /bin/echo alive");
    assert!(!done.hung && !done.stderr.contains("panic"), "{done:?}");
    assert!(done.stdout.ends_with("status 0\nalive\n"), "{done:?}");
}

#[test]
fn fork_bomb_ends_at_the_users_limit() {
    if !paths::palisade_is_wanted() {
        return;
    }
    let script = "ulimit -u 20; for i in $(seq 40); do sleep 0.5 & done; wait";
    let bomb = Sandbox::default().with_option("--user=12345:12345");
    let done = Runner::Palisade(bomb).run(&["bash", "-c", script]);
    assert!(!done.hung && done.stderr.contains("Resource temporarily unavailable"), "{done:?}");
}

#[test]
fn hostile_program_refuses_the_host() {
    let done = Runner::Native.run(&[env!("CARGO_BIN_EXE_guest_hostile")]);
    assert_eq!((done.status, done.stdout.as_str()), (1, ""), "{done:?}");
}
