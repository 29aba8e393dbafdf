//! Everyday programs on real root filesystems: the same output and status under Palisade as in a chroot.

use std::process::Command;

use integration::process::{self, Finished};
use integration::{paths, roots, runner};

/// Runs a bash script on the Debian root both ways; the script has to end with status 0.
fn bash(script: &str) {
    runner::assert_same_script(&roots::debian(), script);
}

/// The same for a Python program, from a file, so that multiprocessing can import it.
fn python(program: &str) {
    bash(&format!(
        "cat >/tmp/program.py <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM\nexec python3 /tmp/program.py"
    ));
}

macro_rules! workloads {
    ($($run:ident $name:ident = $file:literal;)*) => {
        $(
            #[test]
            fn $name() {
                $run(include_str!(concat!("../scripts/", $file)));
            }
        )*
    };
}

workloads! {
    bash bash_pipes_and_redirections = "pipes_and_redirections.sh";
    bash bash_here_documents = "here_documents.sh";
    bash bash_traps_and_signals = "traps_and_signals.sh";
    bash bash_subshells_and_process_substitution = "subshells.sh";
    bash bash_five_hundred_children_with_exact_statuses = "five_hundred_children.sh";
    bash coreutils = "coreutils.sh";
    bash find_the_whole_root = "find_all.sh";
    bash tar_xz_tar_of_usr_share = "tar_xz_tar.sh";
    bash sort_with_temporary_files = "sort_with_temporary_files.sh";
    bash perl_one_liners = "perl_one_liners.sh";
    bash awk_one_liners = "awk_one_liners.sh";
    bash ps_and_top = "ps_and_top.sh";
    bash gcc_compiles_and_runs_a_threaded_program = "gcc_threads.sh";
    bash make_j2_of_a_project = "make_project.sh";
    bash git_history_gc_clone_fsck = "git_history.sh";
    bash static_pie_and_fixed_programs = "static_pie_and_fixed.sh";
    python python_subprocess = "python_subprocess.py";
    python python_threading = "python_threading.py";
    python python_tempfile = "python_tempfile.py";
    python python_signal = "python_signal.py";
    python python_select = "python_select.py";
    python python_mmap = "python_mmap.py";
    python python_multiprocessing = "python_multiprocessing.py";
}

#[test]
fn busybox_sh() {
    let done =
        runner::assert_same(&roots::busybox(), &["/bin/sh", "-c", include_str!("../scripts/busybox.sh")]);
    assert_eq!(done.status, 0, "{done:?}");
}

#[test]
fn exit_statuses_pass_through() {
    for (script, status) in [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("nosuchcommand", 127),
    ] {
        let done = runner::assert_same(&roots::debian(), &["bash", "-c", script]);
        assert_eq!(done.status, status, "{script}: {done:?}");
    }
}

/// nohup(1), and a shell's background.
#[test]
fn signals_that_the_caller_ignores_stay_ignored() {
    let script = "kill -HUP $$; kill -USR1 $$; echo alive; kill -INT $$; echo not alive";
    let ignoring = |command: &[&str]| -> Finished {
        let mut shell = Command::new("bash");
        shell.args(["-c", "trap '' HUP USR1; exec \"$@\"", "bash"]).args(command).args(["sh", "-c", script]);
        process::run(&mut shell, b"")
    };
    let control = ignoring(&["env"]);
    assert_eq!((control.stdout.as_str(), control.status), ("alive\n", 130));
    if paths::palisade_is_wanted() {
        let palisade = paths::palisade();
        let palisade = ignoring(&[palisade.to_str().expect("a path in UTF-8"), "do", "--"]);
        runner::assert_equal(&control, &palisade);
    }
}
