//! The report on the pool: what each scenario must show, and what was seen.
//!
//! A measure counts for its worst seed. The classic strategies run beside the default one, over fewer seeds, for
//! comparison; nothing is asked of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::judge::Verdict;
use crate::loopback;
use crate::scenario::Scenario;
use crate::table::{aligned, percent};
use crate::trial::{CLASSIC, Trial, default_strategy, run_all};

/// So many seeds are enough to compare with.
const SEEDS_OF_CLASSIC: u64 = 5;

/// What a scenario must show.
struct Measure {
    scenario: &'static str,
    what: &'static str,
    of: fn(&Verdict) -> f64,
    must: Must,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Must {
    AtLeast(f64),
    AtMost(f64),
    /// Only told.
    Nothing,
}

#[derive(Clone, Copy)]
enum Unit {
    Share,
    Count,
    Seconds,
}

const MEASURES: &[Measure] = &[
    share("free-tier-day", "answers of the best, first day", |one| one.share_of_day(0), Must::AtLeast(0.98)),
    share(
        "free-tier-day",
        "answers of the best, later days",
        Verdict::share_of_later_days,
        Must::AtLeast(0.99),
    ),
    share("free-tier-day", "wasted calls after an hour", Verdict::later_waste, Must::AtMost(0.02)),
    count("free-tier-day", "avoidable 429s", |one| one.avoidable_limited as f64, Must::AtMost(0.0)),
    share("overload-150", "answers of the best", Verdict::share, Must::AtLeast(0.99)),
    seconds(
        "overload-150",
        "error of Retry-After",
        |one| one.worst_told.unsigned_abs() as f64 / 1_000.0,
        Must::AtMost(1.0),
    ),
    count("overload-150", "429s without Retry-After", |one| one.untold as f64, Must::AtMost(0.0)),
    share("overload-150", "unfairness between clients", |one| one.unfairness, Must::AtMost(0.05)),
    share("overload-150", "wasted calls after an hour", Verdict::later_waste, Must::Nothing),
    count("chaos", "unanswered that could have been", |one| one.avoidable as f64, Must::AtMost(0.0)),
    count("chaos", "healthy keys set aside", |one| one.wrongly_set_aside as f64, Must::AtMost(0.0)),
    count("chaos", "calls to dead keys after their verdict", |one| one.dead_calls as f64, Must::AtMost(0.0)),
    count("chaos", "second calls on unproven keys", |one| one.crowded as f64, Must::AtMost(0.0)),
    share("chaos", "wasted calls", Verdict::waste, Must::Nothing),
    count("egress-fault", "keys set aside", |one| one.set_aside as f64, Must::AtMost(0.0)),
    seconds(
        "egress-fault",
        "to full rate after its end",
        |one| one.recovery.as_secs_f64(),
        Must::AtMost(5.0),
    ),
    share("egress-fault", "answers of the best", Verdict::share, Must::Nothing),
    share("hidden-project", "answers of the best", Verdict::share, Must::Nothing),
    share("hidden-project", "wasted calls after an hour", Verdict::later_waste, Must::Nothing),
    share("model-overload-hour", "answers of the best", Verdict::share, Must::Nothing),
    count("model-overload-hour", "healthy keys set aside", |one| one.wrongly_set_aside as f64, Must::Nothing),
    share("daylight-saving-night", "answers of the best", Verdict::share, Must::Nothing),
    share("daylight-saving-night", "wasted calls after an hour", Verdict::later_waste, Must::Nothing),
    share("hundred-thousand-keys", "answers of the best", Verdict::share, Must::Nothing),
    count(
        "hundred-thousand-keys",
        "calls to dead keys after their verdict",
        |one| one.dead_calls as f64,
        Must::Nothing,
    ),
];

const fn share(scenario: &'static str, what: &'static str, of: fn(&Verdict) -> f64, must: Must) -> Measure {
    Measure { scenario, what, of, must, unit: Unit::Share }
}

const fn count(scenario: &'static str, what: &'static str, of: fn(&Verdict) -> f64, must: Must) -> Measure {
    Measure { scenario, what, of, must, unit: Unit::Count }
}

const fn seconds(scenario: &'static str, what: &'static str, of: fn(&Verdict) -> f64, must: Must) -> Measure {
    Measure { scenario, what, of, must, unit: Unit::Seconds }
}

/// The report on some scenarios, or on all, as it comes: `say` gets a table for each.
///
/// True: all that must be shown was.
///
/// # Errors
/// A file that cannot be read, a scenario that there is not, a run that cannot be made.
pub fn report(
    folder: &Path,
    seeds: u64,
    wanted: &[String],
    mut say: impl FnMut(&str),
) -> Result<bool, String> {
    let files = files(folder)?;
    if let Some(unknown) = wanted.iter().find(|name| !files.iter().any(|file| named(file) == Some(name))) {
        return Err(format!("there is no {unknown}.toml in {}", folder.display()));
    }
    let mut all_reached = true;
    for file in files {
        if !wanted.is_empty() && !wanted.iter().any(|name| named(&file) == Some(name)) {
            continue;
        }
        for scenario in read(&file)?.variants() {
            let (table, reached) = of_scenario(&scenario, seeds)?;
            all_reached &= reached;
            say(&table);
        }
    }
    Ok(all_reached)
}

/// Runs the short forms of some scenarios, or of all, over loopback with this program, and says beside each other what was
/// seen there and in virtual time.
///
/// True: they agree as well as a busy machine lets them.
///
/// # Errors
/// As [`report`], and a server that does not start or answer.
pub fn over_loopback(
    folder: &Path,
    libra: &Path,
    wanted: &[String],
    mut say: impl FnMut(&str),
) -> Result<bool, String> {
    let files = files(folder)?;
    if let Some(unknown) = wanted.iter().find(|name| !files.iter().any(|file| named(file) == Some(name))) {
        return Err(format!("there is no {unknown}.toml in {}", folder.display()));
    }
    let heads = ["scenario", "requests", "answered", "(virtual)", "wasted", "(virtual)", ""];
    let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).to_vec()];
    let mut all_agree = true;
    for file in files {
        if !wanted.is_empty() && !wanted.iter().any(|name| named(&file) == Some(name)) {
            continue;
        }
        for scenario in read(&file)?.variants() {
            let [really, virtually] = loopback::compare(&scenario, libra, loopback::RATE, loopback::LONGEST)?;
            let agrees = really.agrees_with(&virtually);
            all_agree &= agrees;
            rows.push(vec![
                scenario.title(),
                really.offered.to_string(),
                percent(really.share()),
                percent(virtually.share()),
                percent(really.waste()),
                percent(virtually.waste()),
                if agrees { "agrees".to_owned() } else { "DIFFERS".to_owned() },
            ]);
        }
    }
    say(&format!("== over loopback, time {} times as fast\n{}", loopback::RATE, aligned(&rows)));
    Ok(all_agree)
}

/// Reads a scenario's file.
///
/// # Errors
/// A file that cannot be read or is no scenario, as a sentence.
pub fn read(file: &Path) -> Result<Scenario, String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Scenario::from_toml(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The scenarios of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot = |error: std::io::Error| format!("cannot read {}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(cannot)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut files = paths.collect::<Result<Vec<_>, _>>().map_err(cannot)?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

fn named(file: &Path) -> Option<&str> {
    file.file_stem()?.to_str()
}

fn of_scenario(scenario: &Scenario, seeds: u64) -> Result<(String, bool), String> {
    let default = default_strategy(scenario)?;
    let classic: Vec<&str> = CLASSIC.into_iter().filter(|name| *name != default).collect();
    let trials = |strategy, seeds| (1..=seeds).map(move |seed| Trial { scenario, strategy, seed });
    let mut all: Vec<Trial<'_>> = trials(None, seeds).collect();
    let few = seeds.min(SEEDS_OF_CLASSIC);
    all.extend(classic.iter().flat_map(|name| trials(Some(*name), few)));
    let mut verdicts = run_all(&all)?;
    let of_classic = verdicts.split_off(seeds as usize);
    let of_classic: Vec<&[Verdict]> = of_classic.chunks(few.max(1) as usize).collect();
    let mut reached = true;
    let heads = ["must show", "", "worst", "mean", ""].into_iter().chain(classic.iter().copied());
    let mut rows: Vec<Vec<String>> = vec![heads.map(str::to_owned).collect()];
    // The same scenario with its projects named has to reach the same.
    let name = scenario.name.strip_suffix("-named").unwrap_or(&scenario.name);
    for measure in MEASURES.iter().filter(|measure| measure.scenario == name) {
        let worst = measure.worst(&verdicts);
        let is_reached = measure.is_reached(worst);
        reached &= is_reached != Some(false);
        let verdict = match is_reached {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "",
        };
        let mut row = vec![
            measure.what.to_owned(),
            measure.must_say(),
            measure.say(worst),
            measure.say(measure.mean(&verdicts)),
            verdict.to_owned(),
        ];
        row.extend(of_classic.iter().map(|verdicts| measure.say(measure.worst(verdicts))));
        rows.push(row);
    }
    let requests = verdicts.iter().map(|one| one.offered).sum::<usize>() / verdicts.len().max(1);
    let title = format!(
        "== {}: {} keys in {} projects, {requests} requests\n   {default} over {seeds} seeds, the classic strategies over \
         {few}\n",
        scenario.title(),
        scenario.key_count(),
        scenario.project_count(),
    );
    Ok((format!("{title}{}", aligned(&rows)), reached))
}

impl Measure {
    fn worst(&self, verdicts: &[Verdict]) -> f64 {
        let seen = verdicts.iter().map(self.of);
        match self.must {
            Must::AtLeast(_) => seen.fold(f64::INFINITY, f64::min),
            Must::AtMost(_) => seen.fold(f64::NEG_INFINITY, f64::max),
            // Of what is only told, a share of answers is worst where it is lowest.
            Must::Nothing if self.what.starts_with("answers") => seen.fold(f64::INFINITY, f64::min),
            Must::Nothing => seen.fold(f64::NEG_INFINITY, f64::max),
        }
    }

    fn mean(&self, verdicts: &[Verdict]) -> f64 {
        verdicts.iter().map(self.of).sum::<f64>() / verdicts.len().max(1) as f64
    }

    fn is_reached(&self, worst: f64) -> Option<bool> {
        match self.must {
            Must::AtLeast(least) => Some(worst >= least),
            Must::AtMost(most) => Some(worst <= most),
            Must::Nothing => None,
        }
    }

    fn must_say(&self) -> String {
        match self.must {
            Must::AtLeast(least) => format!("at least {}", self.say(least)),
            Must::AtMost(most) => format!("at most {}", self.say(most)),
            Must::Nothing => String::new(),
        }
    }

    fn say(&self, value: f64) -> String {
        match self.unit {
            Unit::Share => percent(value),
            Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
            Unit::Count => format!("{value:.1}"),
            Unit::Seconds => format!("{value:.2} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_read_and_measured() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
        let files = files(&folder).expect("the folder is there");
        assert!(files.len() >= 8);
        for file in &files {
            let scenario = read(file).expect("a scenario of ours is good");
            assert_eq!(named(file), Some(scenario.name.as_str()));
            let name = scenario.name.strip_suffix("-named").unwrap_or(&scenario.name);
            assert!(MEASURES.iter().any(|measure| measure.scenario == name), "{name}");
        }
        let is_there = |measure: &Measure| files.iter().any(|file| named(file) == Some(measure.scenario));
        assert!(MEASURES.iter().all(is_there));
    }

    #[test]
    fn the_worst_seed_counts() {
        let verdicts = [0, 3].map(|avoidable| Verdict { avoidable, ..Verdict::default() });
        let measure = MEASURES.iter().find(|one| one.what.starts_with("unanswered")).expect("it is measured");
        let worst = measure.worst(&verdicts);
        assert_eq!(
            (worst, measure.is_reached(worst), measure.is_reached(0.0)),
            (3.0, Some(false), Some(true))
        );
        assert_eq!((measure.say(worst), measure.must_say()), ("3".to_owned(), "at most 0".to_owned()));
    }
}
