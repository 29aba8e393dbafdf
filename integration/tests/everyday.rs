//! What people do on a Debian: databases, packages, users, jobs, sessions, keys, manuals, and the programs that
//! show processes and the machine. The same output and status under Palisade as in a chroot.

use integration::{roots, runner};

macro_rules! everyday {
    ($($name:ident = $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                runner::assert_same_script(
                    &roots::everyday(),
                    include_str!(concat!("../scripts/everyday/", $file)),
                );
            }
        )*
    };
}

everyday! {
    sqlite_with_two_writers_that_are_killed = "sqlite.sh";
    apt_and_dpkg_install_and_remove = "apt.sh";
    users_are_added_changed_entered_and_removed = "users.sh";
    cron_and_at_run_jobs = "cron_and_at.sh";
    tmux_and_screen_hold_sessions = "sessions.sh";
    gpg_makes_keys_signs_and_verifies = "gpg.sh";
    manuals_are_indexed_and_shown = "manuals.sh";
    locales_are_made = "locales.sh";
    bubblewrap_makes_sandboxes = "bubblewrap.sh";
    monitors_show_processes_and_machine = "monitors.sh";
}
