//! The project's tasks, as `cargo xtask TASK`: tests, conformance, objects, benchmark, trials of the pool, kills, the edge
//! edition, fuzzing.
//!
//! Every task is a sequence of other programs; what they print goes through, and a task that failed says which step it
//! was and exits with 1.

#![expect(clippy::print_stdout, reason = "a command-line tool: standard output is where its results go")]

mod admin_fuzz;
mod bench;
mod conformance;
mod edge;
mod edge_test;
mod fuzz;
mod kill_test;
mod npm;
mod objects;
mod pool_report;
mod soak;
mod test;
mod wasm;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask TASK

  test [--fast]                     everything that must pass before a commit lands; --fast leaves out WebAssembly and
                                    the edges
  conformance [--readme] [CLIENT…]  real clients against libra and the simulator: all, or those whose names begin so;
                                    --readme writes the table into the README. `recordings` validates answers made of
                                    recorded exchanges in LIBRA_CORPUS=FOLDER, `judges` runs the drivers of
                                    LIBRA_JUDGES=FOLDER with the upstream that is there
  objects [--scripts N]             scripts with Google's SDKs that make, use, list and delete objects, 200 at once, while
                                    keys fail, and over a restart; recorded exchanges about objects of LIBRA_CORPUS=FOLDER
  objects --memory                  what libra needs while a gigabyte goes through it (a release build)
  bench [--quick] [SCENARIO…]       libra beside nginx and a bare hyper proxy; `cargo xtask bench --help` says more
  pool-report [--seeds N] [SCENARIO…]
                                    what the pool must show in virtual time, and what it shows, over 100 seeds
  pool-report --loopback [SCENARIO…]
                                    the same scenarios, shortened, with the real server and a clock that runs fast
  kill-test [TIMES]                 kills a working libra (200 times) and sees that the store keeps what it promised
  admin-fuzz [SECONDS]              schemathesis against the administration and its own description (default: 60 seconds)
  soak [MINUTES]                    libra at work for an hour, or so long: memory and open files must not grow
  edge                              the edge edition: folders in dist/ for Cloudflare, Deno, Netlify and Vercel
  edge-test [--built] [PLATFORM…]   the same, run by the platforms' own programs, from npm; what it costs; what core's tests
                                    show, shown of it; --built takes dist/ as it is
  fuzz [SECONDS] [TARGET]           the fuzz targets (default: 60 seconds each), with a nightly compiler and cargo-fuzz
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match task.as_str() {
        "test" => test::run(&rest),
        "conformance" => conformance::run(&rest),
        "objects" => objects::run(&rest),
        "bench" => bench::run(&rest),
        "pool-report" => pool_report::run(&rest),
        "kill-test" => kill_test::run(&rest),
        "admin-fuzz" => admin_fuzz::run(&rest),
        "soak" => soak::run(&rest),
        "edge" => edge::run(&rest),
        "edge-test" => edge_test::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("\nxtask {task}: {why}");
            ExitCode::FAILURE
        }
    }
}
