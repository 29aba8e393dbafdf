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
    /// Races of calls with threads that change their memory, descriptors and paths; and all other ways out
    Races {
        /// How often each
        #[arg(long, default_value_t = 1_000_000)]
        rounds: u64,
    },
}

pub(crate) fn run(soak: &Soak) -> anyhow::Result<()> {
    let cargo = repo::cargo();
    repo::run(&cargo, &["build", "--release", "-p", "runtime-cli"])?;
    let palisade = repo::target_dir().join("release/palisade").display().to_string();
    let (test, filter, settings) = match soak {
        Soak::Lifecycle { cycles, seed } => {
            let seed = seed.map(|seed| ("PALISADE_SOAK_SEED", seed.to_string()));
            let cycles = ("PALISADE_SOAK_CYCLES", cycles.to_string());
            ("soak", "", seed.into_iter().chain([cycles]).collect::<Vec<_>>())
        }
        Soak::Races { rounds } => {
            ("escape", "ways_out_of_a_sandbox_are_shut", vec![("ESCAPE_ROUNDS", rounds.to_string())])
        }
    };
    let mut env = vec![("PALISADE", palisade.as_str())];
    env.extend(settings.iter().map(|(name, value)| (*name, value.as_str())));
    let args = [
        "test",
        "--profile",
        "integration",
        "-p",
        "integration",
        "--test",
        test,
        "--",
        "--nocapture",
        filter,
    ];
    repo::run_with(&cargo, &args, &env)
}
