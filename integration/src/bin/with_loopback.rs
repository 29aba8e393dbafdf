//! `with_loopback COMMAND...`: runs a command in a network namespace that has lo alone, as a sandbox has.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    integration::network::enter_loopback().expect("a network namespace");
    let mut command = std::env::args_os().skip(1);
    let error = Command::new(command.next().expect("a command")).args(command).exec();
    eprintln!("with_loopback: {error}");
    ExitCode::FAILURE
}
