//! Clients that mean ill, or are broken: each is refused within its bound, and a good client hardly notices.
//!
//! What a good client sees is measured before and meanwhile, in the same run, and printed; what is asserted leaves room
//! for a busy machine. The bounds stand in `docs/deploy.md`.

#![expect(clippy::print_stdout, reason = "what was measured is shown with --nocapture")]

mod running;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use libra_simulator::Condition;
use running::{CHAT, CLIENT, GENERATE, Running, chat, native, simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Connections that do nothing.
const IDLE: usize = 10_000;

/// What one of them may take, in bytes, as `docs/deploy.md` says: libra counts on it when it says how many there may be.
const BYTES_OF_IDLE: u64 = 16 << 10;

async fn start(settings: &[(&str, &str)]) -> Running {
    // A hundred thousand lines of a debug log are not what is measured.
    let settings: Vec<_> =
        [("LIBRA_KEYS", "pool-key"), ("LIBRA_LOG", "warn")].iter().chain(settings).copied().collect();
    Running::start(simulator(&[("pool-key", Condition::Healthy)]), &settings).await
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection")
}

/// What libra says to these bytes until it closes the connection.
async fn says(running: &Running, bytes: &[u8]) -> String {
    let mut stream = connect(running).await;
    // It may close before it has read all.
    let _ = stream.write_all(bytes).await;
    rest(stream).await
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer));
    let _ = read.await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The median and the slow end of what a good client waits, on connections of its own, in milliseconds.
async fn waits(running: &Running, requests: usize) -> (f64, f64) {
    let mut waits = Vec::new();
    for _ in 0..requests {
        let began = Instant::now();
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
        waits.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    waits.sort_by(f64::total_cmp);
    (waits[waits.len() / 2], waits[waits.len() * 19 / 20])
}

/// Measures a good client before and during something bad, and sees that it does not wait much longer.
async fn level<T>(running: &Running, what: &str, bad: impl Future<Output = T>) -> T {
    let before = waits(running, 200).await;
    let meanwhile = async {
        let mut all = waits(running, 100).await;
        for _ in 0..2 {
            let more = waits(running, 100).await;
            all = (all.0.max(more.0), all.1.max(more.1));
        }
        all
    };
    let (outcome, meanwhile) = tokio::join!(bad, meanwhile);
    println!(
        "{what}: median {:.2} -> {:.2} ms ({:.1} times), 95th of 100 {:.2} -> {:.2} ms ({:.1} times)",
        before.0,
        meanwhile.0,
        meanwhile.0 / before.0,
        before.1,
        meanwhile.1,
        meanwhile.1 / before.1
    );
    assert!(meanwhile.0 < before.0 * 8.0 + 50.0, "{what}: a good client waits");
    outcome
}

/// Memory that the process has in use, in bytes.
fn memory(running: &Running) -> u64 {
    running.memory("VmRSS").unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_never_end_are_given_up() {
    let running = start(&[]).await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut stream = connect(&running).await;
        stream.write_all(b"POST / HTTP/1.1\r\nx: ").await.expect("sent");
        slow.push(stream);
    }
    let drip = async {
        for _ in 0..3 {
            for stream in &mut slow {
                let _ = stream.write_all(b"y").await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    level(&running, "300 slow heads", drip).await;
    for stream in &mut slow {
        let mut byte = [0; 64];
        while began.elapsed() < Duration::from_secs(40) {
            let _ = stream.write_all(b"z").await;
            let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut byte)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(40), "they are gone after 30 s, not {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_too_large_are_refused() {
    let running = start(&[]).await;
    let fields = (0..101).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    for (what, head) in [
        (
            "one large field",
            format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100 << 10)),
        ),
        ("a field without an end", format!("GET /health HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(1 << 20))),
        ("101 fields", format!("GET /health HTTP/1.1\r\nhost: x\r\n{fields}\r\n")),
    ] {
        let answer = says(&running, head.as_bytes()).await;
        // Where it was still being sent to, the answer may be lost with the connection.
        assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{what}: {answer}");
    }
    let within = format!(
        "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n",
        "y".repeat(50 << 10)
    );
    assert!(says(&running, within.as_bytes()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_without_an_end_are_refused() {
    let running = start(&[("LIBRA_DEADLINE", "2s"), ("LIBRA_BODY_LIMIT", "1MiB")]).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT}\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    let endless = async {
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut stream = connect(&running).await;
            let head = head.clone();
            streams.push(tokio::spawn(async move {
                stream.write_all(head.as_bytes()).await.expect("sent");
                let piece = format!("10000\r\n{}\r\n", " ".repeat(1 << 16));
                let mut sent = 0_u64;
                while sent < 1 << 30 && stream.write_all(piece.as_bytes()).await.is_ok() {
                    sent += 1 << 16;
                }
                sent
            }));
        }
        let mut most = 0;
        for stream in streams {
            most = most.max(stream.await.expect("it ends"));
        }
        most
    };
    let sent = level(&running, "20 endless bodies", endless).await;
    assert!(sent < 200 << 20, "{sent} bytes were taken");
    // Slowly: a byte from time to time, until the deadline.
    let began = Instant::now();
    let mut stream = connect(&running).await;
    stream.write_all(head.as_bytes()).await.expect("sent");
    for _ in 0..30 {
        let _ = stream.write_all(b"1\r\n \r\n").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let _ = stream.shutdown().await;
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(began.elapsed() < Duration::from_secs(14), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_are_nothing() {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(0);
    let idle = IDLE.min(usize::try_from(files).unwrap_or(0).saturating_sub(500));
    let running = start(&[("LIBRA_CONNECTIONS", "12000")]).await;
    waits(&running, 50).await;
    let before = memory(&running);
    let mut silent = Vec::new();
    for _ in 0..idle {
        silent.push(connect(&running).await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let each = memory(&running).saturating_sub(before) / idle as u64;
    level(&running, &format!("{idle} silent connections of {each} bytes each"), async {}).await;
    assert!(each < BYTES_OF_IDLE, "{each} bytes");
    drop(silent);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (before, served) = (memory(&running), idle / 5);
    let mut kept = Vec::new();
    for _ in 0..served {
        let mut stream = connect(&running).await;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
        let mut answer = [0; 64];
        assert!(stream.read(&mut answer).await.expect("an answer") > 0);
        kept.push(stream);
    }
    // What the silent ones have left is used again, so that this is what they take beyond it.
    let each = memory(&running).saturating_sub(before) / served as u64;
    println!("{served} connections kept after an answer: {each} bytes each beyond what was free");
    assert!(each < BYTES_OF_IDLE, "{each} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_more_than_so_many_connections() {
    for setting in ["LIBRA_CONNECTIONS_PER_ADDRESS", "LIBRA_CONNECTIONS"] {
        let running = start(&[(setting, "10")]).await;
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(connect(&running).await);
        }
        let answer = rest(connect(&running).await).await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{setting}: {answer}");
        drop(held);
        for _ in 0..100 {
            if says(&running, b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                .await
                .contains(" 200 ")
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(running.get("/health").await.0, 200, "{setting}: places come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_on_a_connection_wait_for_their_answers() {
    let running = start(&[]).await;
    let one = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stream = connect(&running).await;
    stream.write_all(&one.repeat(500)).await.expect("sent");
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    let answers = rest(stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 501);
    // Who never reads gets no further than what the system and one buffer take.
    let before = memory(&running);
    let flood = async {
        let mut streams = Vec::new();
        for _ in 0..20 {
            let mut stream = connect(&running).await;
            let piece = one.repeat(1000);
            let sending = async {
                let mut sent = 0;
                while sent < 2000 && stream.write_all(&piece).await.is_ok() {
                    sent += 1;
                }
                sent
            };
            let sent = tokio::time::timeout(Duration::from_millis(300), sending).await;
            streams.push((sent, stream));
        }
        streams
    };
    let streams = level(&running, "20 clients that ask and never read", flood).await;
    assert!(streams.iter().all(|(sent, _)| sent.is_err()), "they are held up");
    let grown = memory(&running).saturating_sub(before);
    println!("20 clients that never read: {} KiB", grown >> 10);
    assert!(grown < 40 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_bodies_are_never_unpacked() {
    let running = start(&[]).await;
    let before = memory(&running);
    // A stored gzip would do: nobody looks inside.
    let bomb: Bytes = [b"\x1f\x8b\x08\0\0\0\0\0\0\xff".as_slice(), &[0; 1 << 20]].concat().into();
    for (path, status) in
        [(CHAT, 415), ("/v1/embeddings", 415), ("/v1/responses", 415), ("/v1/messages", 415)]
    {
        let mut request = running.request(Method::POST, path, bomb.clone());
        request.headers_mut().insert("content-encoding", "gzip".parse().expect("a value"));
        let answer = running.send(request).await;
        assert_eq!(answer.status(), status, "{path}");
    }
    let grown = memory(&running).saturating_sub(before);
    assert!(grown < 20 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_and_frames_that_are_none_end_a_session() {
    let running = start(&[]).await;
    let path =
        format!("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key={CLIENT}");
    let head = |key: &str, version: &str, upgrade: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: {upgrade}\r\n\
             sec-websocket-version: {version}\r\n{key}\r\n"
        )
    };
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (what, head) in [
        ("no key", head("", "13", "websocket")),
        ("another version", head(key, "7", "websocket")),
        ("another protocol", head(key, "13", "h2c")),
    ] {
        let head = head.replacen("connection: Upgrade", "connection: Upgrade, close", 1);
        let answer = says(&running, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{what}: {answer}");
    }
    for (what, frame) in [
        ("not masked", vec![0x81, 2, b'{', b'}']),
        ("reserved bits", vec![0xf1, 0x82, 0, 0, 0, 0, b'{', b'}']),
        ("an unknown kind", vec![0x83, 0x80, 0, 0, 0, 0]),
        ("a length beyond all", [&[0x82, 0xff][..], &[0xff; 8], &[0; 4]].concat()),
        ("a long ping", [&[0x89, 0xfe, 1, 0][..], &[0; 260]].concat()),
        ("a ping in pieces", vec![0x09, 0x80, 0, 0, 0, 0]),
        ("no text", [&[0x81, 0x82, 0, 0, 0, 0][..], &[0xff, 0xfe]].concat()),
        ("noise", (0..=255).collect()),
    ] {
        let mut stream = connect(&running).await;
        stream.write_all(head(key, "13", "websocket").as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.expect("an upgrade"));
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{what}");
        stream.write_all(&frame).await.expect("sent");
        let _ = stream.shutdown().await;
        rest(stream).await;
    }
    assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A request's head as HPACK: POST, http, and a path and a key as they are.
fn request_head(path: &str) -> Vec<u8> {
    let text = |text: &str| {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("a short text");
        [&[length][..], text.as_bytes()].concat()
    };
    let literal = |name: &str, value: &str| [&[0][..], &text(name), &text(value)].concat();
    [
        &[0x83, 0x86][..],
        &[0x04],
        &text(path),
        &[0x01],
        &text("libra.test"),
        &literal("x-goog-api-key", CLIENT),
        &literal("content-type", "application/json"),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_reset_at_once_close_the_connection() {
    let running = start(&[]).await;
    let cancel = frame(3, 0, 0, &[0, 0, 0, 8]);
    let attack = async {
        let mut closed = Vec::new();
        for round in 0..5 {
            let mut stream = connect(&running).await;
            stream.write_all(PREFACE).await.expect("sent");
            let mut reset = 0_u32;
            // In the last rounds each is given the time to reach the upstream.
            while reset < 20_000 {
                let id = reset * 2 + 1;
                let mut bytes = frame(1, 4, id, &request_head(GENERATE));
                let mut cancel = cancel.clone();
                cancel[5..9].copy_from_slice(&id.to_be_bytes());
                if round >= 3 {
                    if stream.write_all(&bytes).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    bytes.clear();
                }
                bytes.extend(cancel);
                if stream.write_all(&bytes).await.is_err() {
                    break;
                }
                reset += 1;
            }
            closed.push(reset);
        }
        closed
    };
    let closed = level(&running, "streams opened and reset", attack).await;
    println!("connections were closed after so many resets: {closed:?}");
    assert!(closed.iter().all(|resets| *resets < 20_000), "{closed:?}");
    assert!(closed[3..].iter().all(|resets| *resets < 1_000), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_without_an_end_close_a_connection_of_http_2() {
    let running = start(&[]).await;
    let before = memory(&running);
    let mut stream = connect(&running).await;
    stream.write_all(PREFACE).await.expect("sent");
    stream.write_all(&frame(1, 0, 1, &request_head(GENERATE))).await.expect("sent");
    let more = [&[0, 1, b'x', 0xff, 0x80, 0x7d][..], &[b'y'; 16_000]].concat();
    let mut sent = 0_u64;
    while sent < 256 << 20 && stream.write_all(&frame(9, 0, 1, &more)).await.is_ok() {
        sent += more.len() as u64;
    }
    let grown = memory(&running).saturating_sub(before);
    println!("a head in pieces: {} KiB were taken, memory grew by {} KiB", sent >> 10, grown >> 10);
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    assert!(grown < 16 << 20, "{grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_is_answered_or_closed() {
    let running = start(&[]).await;
    for noise in
        [&b"\0\0\0\0\0"[..], &[0xff; 4096], b"PRI * HTTP/2.0\r\n\r\nXX", b"\r\n\r\n\r\n", b"GET\r\n\r\n"]
    {
        let mut stream = connect(&running).await;
        let _ = stream.write_all(noise).await;
        let _ = stream.shutdown().await;
        rest(stream).await;
    }
    let tls = says(&running, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03").await;
    assert_eq!(tls.len(), 7, "an alert: {tls:?}");
    assert_eq!(running.get("/health").await.0, 200);
}
