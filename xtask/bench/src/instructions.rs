//! Instructions a request, as valgrind's callgrind counts them: the same number on a busy machine and an idle one.
//!
//! Only a program's own instructions are counted. What the kernel does for it is the larger part of a proxy's processor
//! time, so these ratios are not those of processor time: they tell whether a change of the code made it do more.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use xtask::command::exists;
use xtask::server::Server;

use crate::load::{self, Call};
use crate::proxies::{Programs, Proxy, again};
use crate::scenario::{Length, Scenario};

/// Two counts, so that what the start costs is in both.
const FEW: usize = 50;
const MANY: usize = 250;
/// A stream is worth many requests, and callgrind is some fifty times slower than the processor.
const FEW_STREAMS: usize = 5;
const MANY_STREAMS: usize = 25;

pub(crate) async fn measure(programs: &Programs, scenarios: &[Scenario]) -> Result<Value, String> {
    if !exists("valgrind", "--version") {
        return Err("valgrind is missing".to_owned());
    }
    let simulator = programs.start_simulator()?;
    let upstream = simulator.url();
    let mut results = Vec::new();
    println!("{:<14} {:>14} {:>14} {:>7}", "", Proxy::BARE, Proxy::LIBRA, "ratio");
    for &scenario in scenarios {
        let (bare, libra) = (programs.bare(&upstream), programs.libra(&upstream));
        let bare =
            a_request(programs, &bare, &scenario.native_call(Length::Whole), scenario.is_stream()).await?;
        let libra =
            a_request(programs, &libra, &scenario.libra_call(Length::Whole), scenario.is_stream()).await?;
        println!("{:<14} {bare:>14.0} {libra:>14.0} {:>7.2}", scenario.name(), libra / bare);
        results
            .push(json!({"scenario": scenario.name(), "bare": bare, "libra": libra, "ratio": libra / bare}));
    }
    Ok(Value::Array(results))
}

async fn a_request(programs: &Programs, command: &Command, call: &Call, stream: bool) -> Result<f64, String> {
    let (few, many) = if stream { (FEW_STREAMS, MANY_STREAMS) } else { (FEW, MANY) };
    let least = count(programs, command, call, few).await?;
    let most = count(programs, command, call, many).await?;
    Ok(most.saturating_sub(least) as f64 / (many - few) as f64)
}

/// Instructions from the start to the end of a proxy that served so many requests.
async fn count(programs: &Programs, command: &Command, call: &Call, requests: usize) -> Result<u64, String> {
    let counts = programs.folder.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--quiet", "--tool=callgrind"]).arg(format!("--callgrind-out-file={}", counts.display()));
    valgrind.arg(command.get_program());
    // On one core as in the other measurements: with more, a runtime has more workers, and they look for work.
    let mut command = programs.pin(&again(command, valgrind));
    let server = Server::start(&mut command, &programs.log("callgrind"))?;
    load::run(server.address(), call, 1, requests).await?;
    server.stop()?;
    let text = fs::read_to_string(&counts).map_err(|error| format!("callgrind wrote nothing: {error}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok())
        .ok_or_else(|| "callgrind's file has no total".to_owned())
}
