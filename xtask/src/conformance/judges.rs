//! Somebody else's scripts, with an upstream of their own: another idea of what Gemini is and what clients expect.
//!
//! `LIBRA_JUDGES` names their folder. They are called as the clients' scripts are, and print the same.

use std::path::{Path, PathBuf};

use xtask::server::{Server, free_address};

use super::Bench;
use super::clients::SDKS;
use super::report::Report;

/// The folder's variable.
pub(super) const FOLDER: &str = "LIBRA_JUDGES";

/// The scripts, with the checks that concern what libra speaks (none named: all of them).
const JUDGES: [(&str, &[&str]); 3] = [
    ("genai_native", &[]),
    ("anthropic_sdk", &[]),
    (
        "openai_sdk",
        &[
            "chat",
            "chat_raw_shape",
            "stream",
            "stream_no_usage_by_default",
            "stream_raw_done",
            "tool_round_trip",
            "tool_round_trip_stream",
            "tool_parallel_stream",
            "tool_string_result_and_unknown_id",
            "tool_choice",
            "structured_parse",
            "json_object",
            "image_input",
            "n_2",
            "reasoning",
            "max_tokens_length",
            "no_content_candidate",
            "malformed_call_candidate",
            "safety",
            "embeddings_default_base64",
            "embeddings_float",
            "embeddings_token_array_rejected_or_ok",
            "models_list",
            "models_retrieve",
            "images_generate",
            "speech_wav",
            "speech_pcm",
            "transcription",
            "legacy_completions",
            "err_404_model",
            "err_401",
            "err_429",
            "err_503",
            "err_429_stream",
            "err_midstream",
            "err_400_bad_body",
            "responses",
            "responses_stream",
            "responses_tools",
            "responses_tools_stream_helper",
            "responses_parse",
        ],
    ),
];
const UPSTREAM: &str = "fake_gemini.py";
/// With one key nothing can fail over, with many everything can.
const POOLS: [usize; 2] = [1, 64];

/// Runs them all, with each size of pool.
pub(super) fn run(bench: &Bench, folder: &Path) -> Result<Vec<Report>, String> {
    let mut reports = Vec::new();
    for pool in POOLS {
        for (name, checks) in JUDGES {
            let label = format!("{name}, {pool} key{}", if pool == 1 { "" } else { "s" });
            let place = bench.place(&format!("{name}-{pool}"))?;
            let address = free_address()?;
            let mut upstream = bench.installed.python("sdks");
            upstream.arg(folder.join(UPSTREAM)).arg(address.port().to_string());
            let upstream = Server::start_at(&mut upstream, address, &place.join("upstream.log"))?;
            let libra = bench.libra(&upstream.url(), pool, &place)?;
            let mut command = bench.installed.python("sdks");
            command.arg(folder.join(format!("{name}.py")));
            bench.surround(&mut command, SDKS, &libra, &place);
            command.env("ONLY", checks.join(","));
            reports.push(Report {
                client: label.clone(),
                row: None,
                outcome: super::ask(&label, command, &place)?,
            });
        }
    }
    Ok(reports)
}

/// The folder, where one is named.
pub(super) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}
