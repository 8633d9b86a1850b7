//! libra at work for a while: what it holds must not grow once it has warmed up.
//!
//! Everything at once: native calls, chats, streams, clients that leave, files, sessions, keys that fail, a certificate
//! that is renewed. `LIBRA_SOAK_SECONDS=3600` works for longer: `cargo xtask soak`.

#![expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

mod kept;
mod running;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use http_body_util::BodyExt as _;
use kept::{Folder, upload};
use libra_simulator::{Condition, Fault};
use running::{CHAT, CLIENT, GENERATE, Running, STREAM, chat, faulty, native, simulator};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// So many seconds where nobody says how many.
const SECONDS: u64 = 20;

/// The part of the time, of four, in which everything that is bounded fills.
const WARM_UP: usize = 2;

/// What may come on top of that in the last quarter: memory in bytes, and files. An allocator's own ups and downs are some
/// megabytes.
const GROWTH: f64 = 12.0 * 1024.0 * 1024.0;
const MORE_FILES: f64 = 60.0;

/// How much of a growth is none, as a share.
const NOISE: f64 = 0.10;

/// What is held for requests, so small that it is full before the warm-up ends.
const MEMORY: &str = "16MiB";

#[derive(Default)]
struct Done {
    counts: [AtomicU64; KINDS.len()],
    failed: AtomicU64,
}

const KINDS: [&str; 7] = ["native", "chat", "stream", "left", "file", "session", "tls"];

struct Sample {
    at: f64,
    memory: f64,
    files: f64,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_grows_while_it_works() {
    let seconds =
        std::env::var("LIBRA_SOAK_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let folder = Folder::new();
    let keys = [
        ("soak-key-1", Condition::Healthy),
        ("soak-key-2", Condition::Healthy),
        ("soak-key-3", Condition::Healthy),
        ("soak-key-4", faulty(Fault::Overloaded)),
        ("soak-key-5", faulty(Fault::Truncated)),
        ("soak-key-6", faulty(Fault::Empty)),
    ];
    let pool = keys.map(|(key, _)| key).join(",");
    std::fs::create_dir_all(&folder.0).expect("a folder");
    let (cert, key) = (folder.0.join("cert.pem"), folder.0.join("key.pem"));
    let renew = {
        let (cert, key) = (cert.clone(), key.clone());
        move || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
            std::fs::write(&cert, made.cert.pem()).expect("written");
        }
    };
    renew();
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let settings = [
        ("LIBRA_KEYS", pool.as_str()),
        ("LIBRA_DATA", folder.path()),
        ("LIBRA_RETENTION_SIZE", "10MB"),
        ("LIBRA_MEMORY", MEMORY),
        ("LIBRA_LOG", "error"),
        ("LIBRA_TLS_CERT", cert.to_str().expect("a path")),
        ("LIBRA_TLS_KEY", key.to_str().expect("a path")),
        // The first address speaks TLS, the load is in the clear.
        ("LIBRA_LISTEN_ALSO", &free.to_string()),
    ];
    let mut running = Running::start(simulator(&keys), &settings).await;
    let secure = std::mem::replace(&mut running.base, format!("http://{free}"));
    let secure = secure.trim_start_matches("https://").to_owned();
    let (running, done) = (Arc::new(running), Arc::new(Done::default()));
    let mut work = tokio::task::JoinSet::new();
    for worker in 0..12 {
        let (running, done, secure) = (Arc::clone(&running), Arc::clone(&done), secure.clone());
        work.spawn(async move {
            for round in 0_u64.. {
                let kind = [0, 1, 2, 3, 4, 5, 6, 1, 2, 0, 1, 2][worker];
                let good = one(&running, kind, round * 12 + worker as u64, &secure).await;
                done.counts[kind].fetch_add(1, Ordering::Relaxed);
                done.failed.fetch_add(u64::from(!good), Ordering::Relaxed);
                // Twelve workers that never rest would measure the machine.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    work.spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(10)).await;
            renew();
        }
    });
    let began = Instant::now();
    let (length, pause) =
        (Duration::from_secs(seconds), Duration::from_millis((seconds * 2).clamp(100, 5000)));
    let mut samples = Vec::new();
    while began.elapsed() < length {
        tokio::time::sleep(pause).await;
        samples.push(Sample {
            at: began.elapsed().as_secs_f64(),
            memory: running.memory("VmRSS").expect("it lives") as f64,
            files: running.open_files().expect("it lives") as f64,
        });
    }
    work.shutdown().await;
    report(&samples, &done);
    let failed = done.failed.load(Ordering::Relaxed);
    let all: u64 = done.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    // Half of the keys fail, and a retry is not always to be had.
    assert!(failed * 10 < all, "{failed} of {all} failed");
    assert!(done.counts.iter().all(|count| count.load(Ordering::Relaxed) > 0), "something was never done");
    for (what, of, least) in [
        ("memory", (|sample| sample.memory) as fn(&Sample) -> f64, GROWTH),
        ("open files", |sample| sample.files, MORE_FILES),
    ] {
        let quarters = quarters(&samples, of);
        let (warm, last) = (quarters[WARM_UP - 1], quarters[3]);
        assert!(last - warm < least.max(warm * NOISE), "{what} grew: {warm} to {last}");
    }
}

/// One thing that a client does. Whether it went well.
async fn one(running: &Running, kind: usize, number: u64, secure: &str) -> bool {
    // Different clients' conversations, models and texts, and not endlessly many: the tables for them fill.
    let prompt = format!("Soak {} {{{{chunks=5}}}}", number % 5000);
    match KINDS[kind] {
        "native" => running.post(GENERATE, native(&prompt)).await.0 == 200,
        "chat" => running.post(CHAT, chat(&prompt, false)).await.0 == 200,
        "stream" => running.post(STREAM, native(&prompt)).await.0 == 200,
        "left" => {
            let request =
                running.request(Method::POST, STREAM, native("Soak {{chunks=100}} {{delay_ms=20}}"));
            let mut answer = running.send(request).await;
            let _ = answer.frame().await;
            true
        }
        "file" => {
            let (name, _) = upload(running).await;
            let request = running.request(Method::DELETE, &format!("/v1beta/{name}"), "");
            running.send(request).await.status() == 200
        }
        "session" => session(running).await.is_some(),
        _ => {
            // What comes of it does not matter: connections to the address with TLS come and go.
            let stream = TcpStream::connect(secure).await.expect("a connection");
            let _ = stream.try_write(b"\x16\x03\x01\0\x05noise");
            tokio::time::sleep(Duration::from_millis(5)).await;
            true
        }
    }
}

/// A short session of the Live API.
async fn session(running: &Running) -> Option<()> {
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let address = running.base.trim_start_matches("http://");
    let request = format!("ws://{address}{path}?key={CLIENT}").into_client_request().ok()?;
    let stream = TcpStream::connect(address).await.ok()?;
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.ok()?;
    let setup = json!({ "setup": {
        "model": "models/gemini-live-2.5-flash-preview",
        "generationConfig": { "responseModalities": ["TEXT"] },
    } });
    socket.send(Message::text(setup.to_string())).await.ok()?;
    let turn = json!({ "clientContent": {
        "turns": [{ "role": "user", "parts": [{ "text": "hello" }] }], "turnComplete": true,
    } });
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.ok()??.ok()?;
        let text = message.to_text().unwrap_or_default();
        if text.contains("setupComplete") {
            socket.send(Message::text(turn.to_string())).await.ok()?;
        }
        if text.contains("turnComplete") {
            socket.close(None).await.ok()?;
            return Some(());
        }
        if message.is_close() {
            return None;
        }
    }
}

/// The medians of four quarters of the time.
fn quarters(samples: &[Sample], of: fn(&Sample) -> f64) -> [f64; 4] {
    let median = |part: &[Sample]| {
        let mut values: Vec<f64> = part.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    let quarter = samples.len() / 4;
    std::array::from_fn(|at| median(&samples[at * quarter..(at + 1) * quarter]))
}

fn report(samples: &[Sample], done: &Done) {
    println!("\n  seconds   memory MB   open files");
    let step = (samples.len() / 16).max(1);
    for Sample { at, memory, files } in samples.iter().step_by(step) {
        println!("{at:9.1} {:11.1} {files:12}", memory / 1024.0 / 1024.0);
    }
    let memory = quarters(samples, |sample| sample.memory).map(|bytes| bytes / 1024.0 / 1024.0);
    let files = quarters(samples, |sample| sample.files);
    let hours = samples.last().map_or(0.0, |sample| sample.at) / 2.0 / 3600.0;
    println!("medians of the quarters: {memory:.1?} MB, {files:?} files");
    println!("after the warm-up: {:+.1} MB an hour", (memory[3] - memory[1]) / hours);
    let counts = KINDS
        .iter()
        .zip(&done.counts)
        .map(|(kind, count)| format!("{} {kind}", count.load(Ordering::Relaxed)));
    println!("{}; {} failed", counts.collect::<Vec<_>>().join(", "), done.failed.load(Ordering::Relaxed));
}
