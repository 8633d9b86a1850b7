//! `cargo xtask fuzz`: the fuzz targets, each for a while.

use std::process::Command;

use xtask::command::{self, root};

/// In `fuzz/fuzz_targets`, a file each.
const TARGETS: [&str; 9] =
    ["events", "classify", "chat", "responses", "messages", "schemas", "address", "endpoints", "references"];
const DEFAULT_SECONDS: u32 = 60;
/// The longest input that libFuzzer makes, in bytes: enough for several events, and fast.
const MAX_LENGTH: u32 = 16 * 1024;
const VERSION: &str = "0.13.2";

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (seconds, target) = parse(arguments)?;
    if command::ask(Command::new("cargo").args(["+nightly", "--version"])).is_none() {
        return Err("fuzzing needs a nightly compiler: rustup toolchain install nightly".to_owned());
    }
    if command::ask(Command::new("cargo").args(["+nightly", "fuzz", "--version"])).is_none() {
        return Err(format!("cargo-fuzz is missing: cargo install cargo-fuzz --version {VERSION} --locked"));
    }
    for name in TARGETS.into_iter().filter(|name| target.is_none_or(|wanted| wanted == *name)) {
        println!("\n== {name}, {seconds} s");
        let corpus = root().join("fuzz/corpus").join(name);
        std::fs::create_dir_all(&corpus)
            .map_err(|error| format!("cannot make {}: {error}", corpus.display()))?;
        command::run(
            Command::new("cargo")
                .current_dir(root())
                // Otherwise the calling cargo's toolchain would win.
                .env_remove("RUSTUP_TOOLCHAIN")
                .args(["+nightly", "fuzz", "run", name])
                .arg(corpus)
                // The inputs that are kept in the repository: one a shape that matters.
                .arg(root().join("fuzz/seeds").join(name))
                .arg("--")
                .arg(format!("-max_total_time={seconds}"))
                .arg(format!("-max_len={MAX_LENGTH}"))
                .args(["-timeout=5", "-rss_limit_mb=1024", "-print_final_stats=1"]),
        )
        .map_err(|why| {
            format!("target `{name}`: {why}; the input that failed is in fuzz/artifacts/{name}")
        })?;
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<(u32, Option<&str>), String> {
    let mut seconds = DEFAULT_SECONDS;
    let mut target = None;
    for argument in arguments {
        if let Ok(number) = argument.parse() {
            seconds = number;
        } else if TARGETS.contains(&argument.as_str()) {
            target = Some(argument.as_str());
        } else {
            return Err(format!("no target `{argument}`; there are {}", TARGETS.join(", ")));
        }
    }
    Ok((seconds, target))
}
