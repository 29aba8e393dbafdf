//! `cargo xtask soak …`: tests that show more the longer they run.

use clap::Subcommand;

use crate::repo;

#[derive(Subcommand)]
pub(crate) enum Soak {
    /// Lives of containers in which something is killed at random moments; counts what is left
    Lifecycle {
        /// How many lives
        #[arg(long, default_value_t = 1000)]
        cycles: u64,
        /// Repeats a run
        #[arg(long)]
        seed: Option<u64>,
    },
}

pub(crate) fn run(soak: &Soak) -> anyhow::Result<()> {
    let Soak::Lifecycle { cycles, seed } = soak;
    let cargo = repo::cargo();
    repo::run(&cargo, &["build", "--release", "-p", "runtime-cli"])?;
    let palisade = repo::target_dir().join("release/palisade").display().to_string();
    let (cycles, seed) = (cycles.to_string(), seed.map(|seed| seed.to_string()));
    let mut env = vec![("PALISADE", palisade.as_str()), ("PALISADE_SOAK_CYCLES", &cycles)];
    env.extend(seed.as_deref().map(|seed| ("PALISADE_SOAK_SEED", seed)));
    let test =
        ["test", "--profile", "integration", "-p", "integration", "--test", "soak", "--", "--nocapture"];
    repo::run_with(&cargo, &test, &env)
}
