//! What libra takes of a machine: memory, disk, time to start, and how it meets a burst of connections.

use std::time::Duration;

use xtask::server::Server;

use crate::load;
use crate::process::memory;
use crate::proxies::Programs;
use crate::report::{Figure, median};
use crate::scenario;

const MIB: f64 = 1024.0 * 1024.0;
const STARTS: usize = 5;
const STREAMS: usize = 1000;
const BURST: usize = 1000;
/// A slow stream lasts for ten seconds, in which all of them have begun.
const EVENTS: usize = 20;
const DELAY_MS: usize = 500;

pub(crate) async fn measure(programs: &Programs) -> Result<Vec<Figure>, String> {
    let simulator = programs.start_simulator()?;
    let upstream = simulator.url();
    let size = std::fs::metadata(&programs.libra)
        .map_err(|error| format!("cannot look at {}: {error}", programs.libra.display()))?
        .len();

    let mut starts = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        starts.push(programs.start_libra(&upstream)?.started_in().as_secs_f64() * 1e3);
    }

    let libra = programs.start_libra(&upstream)?;
    // What is done once after the start is done by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = memory(libra.id())?.resident;
    let streams = streams(&libra).await?;

    let fresh = programs.start_libra(&upstream)?;
    let (connect, answers) = load::burst(fresh.address(), &scenario::health(), BURST).await?;
    println!(
        "The last of {BURST} simultaneous requests was answered after {:.0} ms.",
        answers.as_secs_f64() * 1e3
    );

    let mebibytes = |bytes: u64| bytes as f64 / MIB;
    let figure = |name, value, below, unit| Figure { name, value, below, unit };
    Ok(vec![
        figure("memory with 1,000 slow streams, peak", mebibytes(streams), 64.0, "MiB"),
        figure("memory when idle", mebibytes(idle), 15.0, "MiB"),
        figure("start, until it listens (median of 5)", median(&starts).unwrap_or_default(), 50.0, "ms"),
        figure("binary (release profile)", size as f64 / 1e6, 15.0, "MB"),
        figure("burst of 1,000 connections, slowest connect", connect.as_secs_f64() * 1e3, 1000.0, "ms"),
    ])
}

/// The peak with all streams under way at once.
async fn streams(libra: &Server) -> Result<u64, String> {
    let call = scenario::slow_stream(EVENTS, DELAY_MS);
    let run = load::run(libra.address(), &call, STREAMS, STREAMS).await?;
    let shortest = Duration::from_millis((EVENTS as u64 - 1) * DELAY_MS as u64);
    if run.took > shortest * 2 {
        return Err(format!(
            "{STREAMS} streams of {shortest:?} took {:?}: not all were under way at once",
            run.took
        ));
    }
    Ok(memory(libra.id())?.peak)
}
