//! The benchmark: libra beside the simulator called directly, nginx, and the least that a hyper proxy can be, all in
//! the same run and in turns, so that what else the machine does meets all of them alike.
//!
//! Processor time is what is compared: it hardly depends on how busy the machine is, and a gateway's time is small beside
//! an answer's. Requests a second are bounded by what the simulator and the load can do on the other core, so they tell
//! less; added latency is measured over a single connection, where nothing waits in a queue.

#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is where its results go")]

mod instructions;
mod load;
mod process;
mod proxies;
mod references;
mod report;
mod resources;
mod scenario;
mod selection;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::available_parallelism;

use serde_json::{Value, json};
use xtask::command::{exists, target};

use crate::proxies::{Programs, Proxy};
use crate::report::{Samples, Table};
use crate::scenario::{Length, Scenario};

const USAGE: &str = "\
Usage: cargo xtask bench [OPTION…] [SCENARIO…]

Scenarios: native, native-stream, chat, chat-stream, resources, selection, references (default: all of them)

  --quick             fewer and shorter runs: to see that it works, not to be quoted
  --paced             streams with a millisecond between the events, over more connections
  --callgrind         count instructions too (needs valgrind)
  --libra PROGRAM     measure another build of libra
  --simulator PROGRAM use another upstream

The results are also written to target/bench.json.
";

const CONNECTIONS: usize = 16;
/// With pauses between the events, so many are needed to give the proxies something to do.
const PACED_CONNECTIONS: usize = 128;
const RUNS: usize = 7;
const QUICK_RUNS: usize = 3;
/// A quick run has so many times fewer requests, and so has a run over a single connection.
const SHORTER: usize = 8;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A thousand connections need more files than many systems allow at first; where the limit stays, the burst tells.
    let _ = rlimit::increase_nofile_limit(16 * 1024);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(run(&options)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    programs: PathBuf,
    libra: Option<PathBuf>,
    simulator: Option<PathBuf>,
    scenarios: Vec<Scenario>,
    resources: bool,
    selection: bool,
    references: bool,
    quick: bool,
    length: Length,
    callgrind: bool,
}

impl Options {
    /// `None` where help was asked for.
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            programs: target().join("release"),
            libra: None,
            simulator: None,
            scenarios: Vec::new(),
            resources: false,
            selection: false,
            references: false,
            quick: false,
            length: Length::Whole,
            callgrind: false,
        };
        while let Some(argument) = arguments.next() {
            // The servers run in a folder of their own.
            let mut path = || {
                let path = arguments.next().ok_or_else(|| format!("{argument} needs a path"))?;
                std::path::absolute(&path).map_err(|error| format!("no path {path}: {error}"))
            };
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--quick" => options.quick = true,
                "--paced" => options.length = Length::Paced,
                "--callgrind" => options.callgrind = true,
                "--programs" => options.programs = path()?,
                "--libra" => options.libra = Some(path()?),
                "--simulator" => options.simulator = Some(path()?),
                "resources" => options.resources = true,
                "selection" => options.selection = true,
                "references" => options.references = true,
                name => match Scenario::ALL.into_iter().find(|scenario| scenario.name() == name) {
                    Some(scenario) => options.scenarios.push(scenario),
                    None => return Err(format!("no option or scenario {name}")),
                },
            }
        }
        if options.scenarios.is_empty() && !options.resources && !options.selection && !options.references {
            options.scenarios.extend(Scenario::ALL);
            (options.resources, options.selection, options.references) = (true, true, true);
        }
        Ok(Some(options))
    }
}

async fn run(options: &Options) -> Result<(), String> {
    let folder = target().join("bench");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let named = |given: &Option<PathBuf>, name| given.clone().unwrap_or_else(|| options.programs.join(name));
    let programs = Programs {
        libra: named(&options.libra, "libra"),
        simulator: named(&options.simulator, "libra-simulator"),
        bare_proxy: options.programs.join("bare-proxy"),
        folder,
        // This process is confined to one core, so what it sees is not the machine.
        pinned: exists("taskset", "--version") && available_parallelism().is_ok_and(|cores| cores.get() == 1),
    };
    let mut results =
        json!({"quick": options.quick, "paced": options.length == Length::Paced, "pinned": programs.pinned});

    if !options.scenarios.is_empty() {
        let proxies = Proxy::start_all(&programs)?;
        let mut tables = Vec::new();
        for &scenario in &options.scenarios {
            let table = measure(&proxies, scenario, options).await?;
            table.print();
            tables.push(table.json());
        }
        results["scenarios"] = Value::Array(tables);
    }
    if options.callgrind {
        println!("\n== instructions a request (the program's own; without the kernel's)");
        results["instructions"] = instructions::measure(&programs, &options.scenarios).await?;
    }
    if options.resources {
        println!("\n== resources");
        let figures = resources::measure(&programs).await?;
        figures.iter().for_each(report::Figure::print);
        results["resources"] = figures.iter().map(report::Figure::json).collect();
    }
    if options.selection {
        results["selection"] = selection::measure(options.quick)?;
    }
    if options.references {
        results["references"] = references::measure(options.quick)?;
    }

    let file = target().join("bench.json");
    fs::write(&file, format!("{results:#}\n"))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    println!("\nwritten to {}", file.display());
    Ok(())
}

/// The proxies in turns: a run each, then the next run each.
async fn measure(proxies: &[Proxy], scenario: Scenario, options: &Options) -> Result<Table, String> {
    let connections = match options.length {
        Length::Paced if scenario.is_stream() => PACED_CONNECTIONS,
        _ => CONNECTIONS,
    };
    let (runs, requests) = match options.quick {
        true => (QUICK_RUNS, scenario.requests() / SHORTER),
        false => (RUNS, scenario.requests()),
    };
    println!(
        "\n== {}: {runs} runs of {requests} requests over {connections} connections, medians of the runs",
        scenario.name()
    );
    let mut rows: Vec<(&'static str, Samples)> =
        proxies.iter().map(|proxy| (proxy.name, Samples::default())).collect();
    // The run before the first one warms up, and is not counted.
    for number in 0..=runs {
        for (proxy, (name, samples)) in proxies.iter().zip(&mut rows) {
            let named = |why| format!("{} through {name}: {why}", scenario.name());
            let before = proxy.processor_time()?;
            let loaded =
                load::run(proxy.address(), &proxy.call(scenario, options.length), connections, requests)
                    .await
                    .map_err(named)?;
            let after = proxy.processor_time()?;
            let single =
                load::run(proxy.address(), &proxy.call(scenario, Length::Short), 1, requests / SHORTER)
                    .await
                    .map_err(named)?;
            if number == 0 {
                continue;
            }
            if let (Some(before), Some(after)) = (before, after) {
                samples.processor.push((after - before).as_secs_f64() * 1e6 / requests as f64);
            }
            samples.throughput.push(requests as f64 / loaded.took.as_secs_f64());
            samples.first_bytes.extend(single.first_bytes);
        }
    }
    Ok(Table { scenario, rows })
}
