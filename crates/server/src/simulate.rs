//! `libra simulate`: a described pool and load in virtual time, strategy by strategy.

use std::process::ExitCode;

use libra_trial::Scenario;
use libra_trial::table::{LEGEND, table};
use libra_trial::trial::{CLASSIC, Trial, default_strategy, run_all};

use crate::BAD_USAGE;
use crate::cli::Simulation;

/// Runs the file's scenario and says what came of it.
pub(crate) fn run(simulation: &Simulation, say: impl Fn(&str)) -> ExitCode {
    let done = read(simulation).and_then(|scenario| {
        scenario.variants().iter().try_for_each(|variant| one(variant, simulation, &say))
    });
    match done {
        Ok(()) => {
            say(LEGEND);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("libra: {error}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn read(simulation: &Simulation) -> Result<Scenario, String> {
    libra_trial::report::read(&simulation.file)
}

/// One way to cut minutes.
fn one(scenario: &Scenario, simulation: &Simulation, say: impl Fn(&str)) -> Result<(), String> {
    let strategies = match simulation.strategy.as_slice() {
        [] => {
            let default = default_strategy(scenario)?;
            let classic = CLASSIC.into_iter().filter(|name| *name != default).map(str::to_owned);
            std::iter::once(default.clone()).chain(classic).collect()
        }
        named => named.to_vec(),
    };
    let seeds = simulation.seed..simulation.seed.saturating_add(simulation.seeds);
    let trials: Vec<Trial<'_>> = strategies
        .iter()
        .flat_map(|name| seeds.clone().map(move |seed| Trial { scenario, strategy: Some(name), seed }))
        .collect();
    let mut verdicts = run_all(&trials)?.into_iter();
    let count = usize::try_from(simulation.seeds).unwrap_or(usize::MAX);
    let rows: Vec<_> = strategies
        .into_iter()
        .map(|name| (name, verdicts.by_ref().take(count).collect::<Vec<_>>()))
        .collect();
    let runs = rows.iter().flat_map(|(_, verdicts)| verdicts);
    let offered = runs.map(|verdict| verdict.offered).max().unwrap_or_default();
    say(&format!(
        "{}: {} keys in {} projects, up to {offered} requests, {} s of virtual time",
        scenario.title(),
        scenario.key_count(),
        scenario.project_count(),
        scenario.duration.as_secs(),
    ));
    if !scenario.about.is_empty() {
        say(&scenario.about);
    }
    say(&format!("\n{}", table(&rows)));
    Ok(())
}
