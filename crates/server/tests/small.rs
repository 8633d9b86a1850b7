//! libra in 256 MB: a thousand streams, large bodies and clients that stop reading, all at once.
//!
//! Where the system lets the test make a control group, libra runs in one and finds its limit itself; elsewhere it is told
//! what it would have found, and its peak is measured.

#![expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

mod running;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use libra_simulator::Condition;
use running::{CHAT, CLIENT, GENERATE, Running, STREAM, chat, native, simulator};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// What there is.
const LIMIT: u64 = 256 << 20;

const STREAMS: usize = 1000;

/// Bodies under way at the same time, and how large each is.
const LARGE: usize = 40;
const SIZE: usize = 8 << 20;

/// Clients that ask for a long answer and never read it.
const STALLED: usize = 60;

/// A control group with the limit, of either version. It goes with the test.
struct Group(PathBuf);

impl Group {
    fn make() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let of_memory = own.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path);
        let (parent, limit) = match of_memory {
            Some(path) => (PathBuf::from(format!("/sys/fs/cgroup/memory{path}")), "memory.limit_in_bytes"),
            None => {
                let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
                (PathBuf::from(format!("/sys/fs/cgroup{path}")), "memory.max")
            }
        };
        let group = Self(parent.join(format!("libra-small-{}", std::process::id())));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(limit), LIMIT.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It can be removed once its process has ended.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_and_large_bodies_fit_into_256_mb() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let keys: Vec<String> = (0..8).map(|n| format!("pool-key-{n}")).collect();
    let simulator = simulator(&keys.iter().map(|key| (key.as_str(), Condition::Healthy)).collect::<Vec<_>>());
    let pool = keys.join(",");
    let settings = [("LIBRA_KEYS", pool.as_str()), ("LIBRA_LOG", "warn"), ("LIBRA_QUEUE_WAIT", "0")];
    let group = Group::make();
    let running = match &group {
        Some(group) => {
            let place = group.0.display().to_string();
            let launcher = ["/bin/sh", "-c", "echo $$ > \"$0\"/cgroup.procs && exec \"$1\"", &place];
            Running::start_under(simulator, &launcher, &settings).await
        }
        None => {
            let quarter = (LIMIT / 4).to_string();
            let settings = [settings.as_slice(), &[("LIBRA_MEMORY", quarter.as_str())]].concat();
            Running::start(simulator, &settings).await
        }
    };
    let running = Arc::new(running);
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut stream =
            TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
        let body = native("{{chunks=4000}}");
        let head = format!(
            "POST {STREAM} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        stalled.push(stream);
    }
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..STREAMS {
        let running = Arc::clone(&running);
        streams.spawn(async move {
            let prompt = "{{chunks=40}} {{delay_ms=100}}";
            if number % 2 == 0 {
                running.post(STREAM, native(prompt)).await
            } else {
                running.post(CHAT, chat(prompt, true)).await
            }
        });
    }
    let mut large = tokio::task::JoinSet::new();
    for number in 0..LARGE {
        let running = Arc::clone(&running);
        large.spawn(async move {
            let padding = " ".repeat(SIZE);
            if number % 2 == 0 {
                running.post(GENERATE, native("Hello") + &padding).await
            } else {
                running.post(CHAT, chat("Hello", false) + &padding).await
            }
        });
    }
    let mut ended = [0, 0];
    while let Some(answer) = streams.join_next().await {
        let (status, body) = answer.expect("an answer");
        assert_eq!(status, 200, "{body}");
        let is_whole = body.contains("\"STOP\"") || body.contains("[DONE]");
        assert!(is_whole, "a stream was cut: {body}");
        ended[0] += 1;
    }
    let mut refused = 0;
    while let Some(answer) = large.join_next().await {
        let (status, body) = answer.expect("an answer");
        // What has to be held whole, as it is translated, may find no room; what is native passes.
        assert!(status == 200 || (status == 503 && body.contains("service_unavailable")), "{status}: {body}");
        refused += usize::from(status == 503);
        ended[1] += 1;
    }
    let peak = running.memory("VmHWM").expect("it lives");
    println!(
        "{} streams, {} bodies of {} MiB ({refused} refused), {STALLED} clients that do not read: {} MiB at most{}",
        ended[0],
        ended[1],
        SIZE >> 20,
        peak >> 20,
        if group.is_some() { ", in a group with 256 MiB" } else { "" }
    );
    assert!(peak < LIMIT, "{peak} bytes");
    drop(stalled);
    assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    // The process ends before its group does.
    drop(running);
}
