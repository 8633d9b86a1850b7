//! Clients and upstreams that misbehave: slow, greedy, silent, or gone.

mod running;

use std::future::Future;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use libra_simulator::{Condition, Fault};
use running::{CHAT, CLIENT, GENERATE, Running, STREAM, chat, faulty, native, simulator, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}]}"#;

/// An upstream of our own: reads a request's head, and answers as told by the key in it.
async fn upstream<F, A>(answer: F) -> String
where
    F: Fn(String, TcpStream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut byte = [0; 1];
                while !head.ends_with(b"\r\n\r\n") {
                    if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    head.push(byte[0]);
                }
                answer(String::from_utf8_lossy(&head).into_owned(), stream).await;
            });
        }
    });
    address
}

async fn say(stream: &mut TcpStream, status: &str, kind: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body.as_bytes()).await;
    let mut rest = [0; 4096];
    while stream.read(&mut rest).await.unwrap_or(0) > 0 {}
}

/// A key whose answer began with an error and goes on for ever: it is left, not read on.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_answer_is_not_read_on() {
    let flooded = Arc::new(AtomicUsize::new(0));
    let address = upstream({
        let flooded = Arc::clone(&flooded);
        move |head, mut stream| {
            let flooded = Arc::clone(&flooded);
            async move {
                if head.contains("flooding") {
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"error\":{\"code\":503,\"message\":\"x\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n";
                    let _ = stream.write_all(head.as_bytes()).await;
                    let junk = vec![b'x'; 64 << 10];
                    while stream.write_all(&junk).await.is_ok() {
                        flooded.fetch_add(junk.len(), Ordering::Relaxed);
                    }
                } else {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                    say(&mut stream, "200 OK", "text/event-stream", &format!("data: {GOOD}\r\n\r\n")).await;
                }
            }
        }
    })
    .await;
    let running = Running::start_with(
        simulator(&[]),
        &address,
        &[("LIBRA_KEYS", "flooding,good"), ("LIBRA_STRATEGY", "round-robin")],
    );
    let began = Instant::now();
    let (status, body) = running.post(STREAM, native("Hello")).await;
    let read = flooded.load(Ordering::Relaxed) >> 20;
    assert!(status == 200 && body.contains("Hello"), "{status} {body}");
    assert!(read < 8, "{read} MiB of the failed answer were read, in {:?}", began.elapsed());
}

/// A large body that the upstream refuses at once: the client, still sending, sees the refusal.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_refusal_of_a_streamed_body_reaches_the_client() {
    let refusal = r#"{"error":{"code":400,"message":"No such thing.","status":"INVALID_ARGUMENT"}}"#;
    let address = upstream(move |_, mut stream| async move {
        let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{refusal}", refusal.len());
        let _ = stream.write_all(head.as_bytes()).await;
        // Google reads on for a while, too.
        let mut rest = vec![0; 64 << 10];
        let mut read = 0;
        while read < 2 << 20 {
            match stream.read(&mut rest).await {
                Ok(0) | Err(_) => return,
                Ok(more) => read += more,
            }
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    })
    .await;
    let running = Running::start_with(
        simulator(&[]),
        &address,
        &[("LIBRA_KEYS", "pool-key"), ("LIBRA_REPLAY_LIMIT", "1MiB")],
    );
    let mut client =
        TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
    let size = 48 << 20;
    let head = format!(
        "POST {GENERATE} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\ncontent-length: {size}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    // A client that sends all of it before it reads, as most do.
    let chunk = vec![b' '; 64 << 10];
    let mut sent = 0;
    let failed = loop {
        if sent >= size {
            break None;
        }
        match tokio::time::timeout(Duration::from_secs(20), client.write_all(&chunk)).await {
            Ok(Ok(())) => sent += chunk.len(),
            Ok(Err(error)) => break Some(error.to_string()),
            Err(_) => break Some("no progress".to_owned()),
        }
    };
    assert_eq!(failed, None, "after {sent} bytes");
    let mut answer = vec![0; 4096];
    let read = client.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

/// No secret in the log, however much is logged.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_log_shows_no_key() {
    let keys = [
        ("pool-secret-leaked-0001", faulty(Fault::Leaked)),
        ("pool-secret-invalid-0002", faulty(Fault::Invalid)),
        ("pool-secret-reset-0003", faulty(Fault::ResetBeforeHeaders)),
        ("pool-secret-good-0004", Condition::Healthy),
    ];
    let all = keys.map(|(key, _)| key).join(",");
    let settings = [
        ("LIBRA_KEYS", all.as_str()),
        (
            "LIBRA_LOG",
            "trace,libra=trace,libra_core=trace,hyper=trace,hyper_util=trace,rustls=trace,tokio=trace",
        ),
    ];
    let running = Running::start(simulator(&keys), &settings).await;
    for _ in 0..4 {
        let _ = running.post(GENERATE, native("Hello")).await;
        let _ = running.post(CHAT, chat("Hello", true)).await;
    }
    let path = format!("{GENERATE}?key={CLIENT}");
    let bare = http::Request::post(format!("{}{path}", running.base))
        .body(http_body_util::Full::new(bytes::Bytes::from(native("Hello"))))
        .expect("a request");
    let answer = running.send(bare).await;
    assert_eq!(answer.status().as_u16(), 200);
    let _ = running.get("/v1/nothing?key=pool-secret-stranger-0005").await;
    let log = running.log();
    assert!(log.contains("key set aside"), "{log}");
    assert!(!log.contains("pool-secret") && !log.contains(CLIENT), "{log}");
}

/// "A wrong setting ends the start with a line that names it": a proxy that cannot be used is one, and
/// requests must not go past it.
#[test]
fn a_proxy_that_cannot_be_used_ends_the_start() {
    let mut started = Vec::new();
    for (name, value) in [
        ("HTTPS_PROXY", "ftp://127.0.0.1:1"),
        ("HTTPS_PROXY", "https://127.0.0.1:1"),
        ("HTTPS_PROXY", ":::garbage"),
        ("ALL_PROXY", "socks4://127.0.0.1:1"),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_libra"))
            .env_clear()
            .current_dir(std::env::temp_dir())
            .envs([("LIBRA_LISTEN", "127.0.0.1:0"), ("LIBRA_DATA", "off"), (name, value)])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("libra starts");
        std::thread::sleep(Duration::from_millis(500));
        if child.try_wait().expect("a status").is_none() {
            started.push(format!("{name}={value}"));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(started.is_empty(), "started with {started:?}");
}

/// A client that stops reading is given up, as one that stops sending is.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_stops_reading_is_given_up() {
    let over = Arc::new(AtomicUsize::new(0));
    let address = upstream({
        let over = Arc::clone(&over);
        move |_, mut stream| {
            let over = Arc::clone(&over);
            async move {
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {GOOD}\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
                let event = format!(
                    "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{}\"}}]}}}}]}}\r\n\r\n",
                    "x".repeat(60_000)
                );
                while stream.write_all(event.as_bytes()).await.is_ok() {}
                over.store(1, Ordering::Relaxed);
            }
        }
    })
    .await;
    let settings = [("LIBRA_KEYS", "pool-key"), ("LIBRA_IDLE_TIMEOUT", "1s"), ("LIBRA_DEADLINE", "3s")];
    let running = Running::start_with(simulator(&[]), &address, &settings);
    let mut client =
        TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
    let body = native("Hello");
    let head = format!(
        "POST {STREAM} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(over.load(Ordering::Relaxed), 1, "the upstream still waits for a client that reads nothing");
    drop(client);
}

/// Heads alone, and what is refused before a body.
#[tokio::test(flavor = "multi_thread")]
async fn heads_have_no_body_and_strange_requests_end_well() {
    let running =
        Running::start(simulator(&[("pool-key", Condition::Healthy)]), &[("LIBRA_KEYS", "pool-key")]).await;
    let raw = async |request: String| {
        let mut client =
            TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
        client.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(15), client.read_to_end(&mut answer)).await;
        String::from_utf8_lossy(&answer).into_owned()
    };
    for path in ["/", "/health", "/ready", "/v1/models", "/nothing"] {
        let answer = raw(format!("HEAD {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("access-control-allow-origin: *"), "{path}: {answer}");
    }
    let one =
        format!("POST {GENERATE} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\nconnection: close\r\n");
    let twice = raw(format!("{one}content-length: 2\r\ncontent-length: 3\r\n\r\n{{}}x")).await;
    assert!(twice.starts_with("HTTP/1.1 400"), "{twice}");
    let both = raw(format!(
        "{one}content-length: 999999999999\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
    ))
    .await;
    assert!(both.starts_with("HTTP/1.1 4") || both.starts_with("HTTP/1.1 2"), "{both}");
    for strange in [
        "CONNECT x:443 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_string(),
        "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_string(),
        "GET http://other.example/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_string(),
        format!("{one}x-server-timeout: 18446744073709551615\r\ncontent-length: 2\r\n\r\n{{}}"),
        format!("{one}x-server-timeout: -1\r\ncontent-length: 2\r\n\r\n{{}}"),
    ] {
        let answer = raw(strange.clone()).await;
        assert!(answer.starts_with("HTTP/1.1 "), "{strange}: {answer:?}");
    }
    let answer = running.send(running.request(Method::GET, "/health", "")).await;
    assert!(text(answer).await.is_some_and(|text| text.contains("alive")));
    assert!(!running.log().contains("panicked"), "{}", running.log());
}

/// The time to a stream's first event is the upstream's: a client that is slow to send has its own time-outs.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_is_not_the_upstreams_silence() {
    let settings =
        [("LIBRA_KEYS", "pool-key"), ("LIBRA_REPLAY_LIMIT", "1MiB"), ("LIBRA_FIRST_BYTE_TIMEOUT", "2s")];
    let running = Running::start(simulator(&[("pool-key", Condition::Healthy)]), &settings).await;
    let data = "QUFB".repeat(768 << 10);
    let body = format!(
        r#"{{"contents":[{{"role":"user","parts":[{{"inlineData":{{"mimeType":"image/png","data":"{data}"}}}},{{"text":"what is it"}}]}}]}}"#
    );
    let mut client =
        TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
    let head = format!(
        "POST {STREAM} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    for part in body.as_bytes().chunks(body.len() / 8 + 1) {
        if client.write_all(part).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), client.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..answer.len().min(400)]);
}

/// A stranger who asks first is refused first: nobody tells him to go on and send.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_is_not_told_to_continue() {
    let running =
        Running::start(simulator(&[("pool-key", Condition::Healthy)]), &[("LIBRA_KEYS", "pool-key")]).await;
    let mut client =
        TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer stranger\r\nexpect: 100-continue\r\ncontent-length: 50000000\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 1024];
    let began = Instant::now();
    let read = tokio::time::timeout(Duration::from_secs(15), client.read(&mut answer)).await;
    let read = read.expect("an answer in time").expect("an answer");
    let first = String::from_utf8_lossy(&answer[..read.min(40)]).into_owned();
    assert!(first.starts_with("HTTP/1.1 401"), "{first:?} after {:?}", began.elapsed());
}
