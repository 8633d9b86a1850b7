//! What it costs a native request that names no object to be looked through for one.
//!
//! The bodies are of a chat's shape, with the texts that people send: prose, Chinese as some languages write it in JSON,
//! programs, which quote much, and a picture. The machine's speed is in these figures, as there is nothing to compare them
//! with.

use std::hint::black_box;
use std::time::Instant;

use libra_core::affinity::scan;
use serde_json::{Value, json};

use crate::report::{median, verdict};

/// The sizes of bodies, with the longest that looking may take in microseconds.
const SIZES: [(usize, f64); 2] = [(4 << 10, 1.0), (100 << 10, 25.0)];

/// So often a body is looked through at once, so that reading the clock does not count, and so many times that is measured.
const BATCH: u32 = 100;
const BATCHES: usize = 200;
const QUICK_BATCHES: usize = 50;

const PROSE: &str = "The file was cached, and so the continuation of the story had to wait until somebody said: \\\"Go on.\\\" ";
const CHINESE: &str = "\\u4e00\\u4e2a\\u6587\\u4ef6\\u88ab\\u7f13\\u5b58\\u4e86\\uff0c\\u6545\\u4e8b\\u8fd8\\u8981\\u7ee7\\u7eed\\u3002";
const PROGRAM: &str = "fn main() {\\n    let file = json!({\\\"fileUri\\\": \\\"files/a\\\", \\\"cachedContent\\\": null});\\n    println!(\\\"{file}\\\");\\n}\\n";
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg";

/// Measures all kinds of bodies, prints a table, and returns the figures.
pub(crate) fn measure(quick: bool) -> Result<Value, String> {
    let batches = if quick { QUICK_BATCHES } else { BATCHES };
    println!(
        "\n== references: to look a native body through for objects, µs; medians of {batches} times {BATCH}"
    );
    println!("{:<12} {:>14} {:>14}", "", "4 KB", "100 KB");
    let mut figures = Vec::new();
    for (name, piece) in [("prose", PROSE), ("chinese", CHINESE), ("program", PROGRAM), ("picture", PICTURE)]
    {
        let mut line = format!("{name:<12}");
        for (size, most) in SIZES {
            let body = body_of(piece, size);
            if !scan::generation(&body).is_empty() {
                return Err(format!("{name}: something was found that is not there"));
            }
            let measured: Vec<f64> = (0..batches).map(|_| once(&body)).collect();
            let value = median(&measured).unwrap_or_default();
            line += &format!(" {value:>14.2}");
            figures.push(json!({"body": name, "bytes": size, "look_us": value, "most": most, "reached": value <= most}));
        }
        println!("{line}");
    }
    for (size, most) in SIZES {
        let of_size = figures.iter().filter(|figure| figure["bytes"] == size);
        let slowest = of_size.filter_map(|figure| figure["look_us"].as_f64()).fold(0.0, f64::max);
        println!(
            "target: at most {most:.0} µs with {} KB: {slowest:.2}, {}",
            size >> 10,
            verdict(slowest <= most)
        );
    }
    Ok(Value::Array(figures))
}

/// One look, in microseconds.
fn once(body: &[u8]) -> f64 {
    let began = Instant::now();
    for _ in 0..BATCH {
        black_box(scan::generation(black_box(body)));
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
}

/// A request with so many bytes of text in turns of some kilobytes.
fn body_of(piece: &str, size: usize) -> Vec<u8> {
    let mut body = String::from(r#"{"contents":["#);
    let text = piece.repeat(2_000 / piece.len() + 1);
    while body.len() < size {
        let comma = if body.ends_with('[') { "" } else { "," };
        body += &format!(r#"{comma}{{"role":"user","parts":[{{"text":"{text}"}}]}}"#);
    }
    body += r#"],"generationConfig":{"temperature":0.5}}"#;
    body.into_bytes()
}
