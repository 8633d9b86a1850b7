//! What only a running server shows: pieces arriving one by one, clients leaving, bodies of many megabytes,
//! proxies, and a good end.

mod running;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt as _;
use libra_simulator::{Condition, Fault};
use running::{ARRAY, CHAT, CLIENT, GENERATE, Running, STREAM, chat, faulty, native, simulator, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const HEALTHY: Condition = Condition::Healthy;

async fn one_key() -> Running {
    Running::start(simulator(&[("pool-key", HEALTHY)]), &[("LIBRA_KEYS", "pool-key")]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_arrive_as_they_come() {
    let running = one_key().await;
    for (path, body) in [
        (STREAM, native("{{chunks=5}} {{delay_ms=200}}")),
        (ARRAY, native("{{chunks=5}} {{delay_ms=200}}")),
        (CHAT, chat("{{chunks=5}} {{delay_ms=200}}", true)),
    ] {
        let began = Instant::now();
        let mut answer = running.send(running.request(Method::POST, path, body)).await;
        let mut arrivals = Vec::new();
        while let Some(frame) = answer.frame().await {
            frame.expect("a whole stream");
            arrivals.push(began.elapsed());
        }
        let spread = *arrivals.last().expect("pieces") - arrivals[0];
        assert!(arrivals[0] < Duration::from_millis(400), "{path}: the first after {:?}", arrivals[0]);
        assert!(arrivals.len() >= 5 && spread > Duration::from_millis(600), "{path}: {arrivals:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_upstreams_work() {
    let running = one_key().await;
    // In the middle of a stream.
    let slow = running.request(Method::POST, STREAM, native("{{chunks=100}} {{delay_ms=100}}"));
    let mut answer = running.send(slow).await;
    answer.frame().await.expect("a piece").expect("whole");
    drop(answer);
    // Before anything has come: a bare connection, as the client library would keep it.
    let mut bare =
        TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
    let body = native("{{first_delay_ms=20000}}");
    let head = format!(
        "POST {GENERATE} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    bare.write_all(head.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(bare);
    for _ in 0..100 {
        if running.simulator.counts().totals.aborted == 2 && running.log().contains("ClientLeft") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:?}\n{}", running.simulator.counts().totals, running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_break_off_fail_over_or_end_honestly() {
    let keys = [("bad", faulty(Fault::Truncated)), ("good", HEALTHY)];
    let running = Running::start(simulator(&keys), &[("LIBRA_KEYS", "bad,good")]).await;
    for _ in 0..4 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
        assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
    }
    let running = one_key().await;
    let (status, body) = running.post(STREAM, native("{{fault=cut}} {{chunks=5}}")).await;
    assert!(status == 200 && body.trim_end().ends_with('}') && body.contains("data: {\"error\""), "{body}");
    let (_, body) = running.post(CHAT, chat("{{fault=raw-error-tail}} Hello there", true)).await;
    assert!(body.contains("data: {\"error\"") && !body.contains("[DONE]"), "{body}");
    let (_, body) = running.post(ARRAY, native("{{fault=cut}} {{chunks=5}}")).await;
    assert!(
        serde_json::from_str::<Vec<serde_json::Value>>(&body)
            .is_ok_and(|all| all.last().is_some_and(|last| last["error"].is_object())),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_closed_while_idle_costs_no_key() {
    let running = Running::start(
        simulator(&[("a", faulty(Fault::ResetBeforeHeaders)), ("b", HEALTHY)]),
        &[("LIBRA_KEYS", "a,b")],
    )
    .await;
    for _ in 0..6 {
        let (status, body) = running.post(GENERATE, native("Hello")).await;
        assert_eq!(status, 200, "{body}");
    }
    assert!(!running.log().contains("key set aside"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_through_once_and_a_larger_one_is_refused() {
    let simulator = simulator(&[("a", HEALTHY), ("b", HEALTHY)]);
    let settings = [("LIBRA_KEYS", "a,b"), ("LIBRA_REPLAY_LIMIT", "1MiB"), ("LIBRA_BODY_LIMIT", "8MiB")];
    let running = Running::start(simulator, &settings).await;
    let image = |size: usize| {
        let data = "QUFB".repeat(size / 4);
        serde_json::json!({ "contents": [{ "role": "user", "parts": [
            { "inlineData": { "mimeType": "image/png", "data": data } }, { "text": "what is it" }] }] })
        .to_string()
    };
    let (status, body) = running.post(GENERATE, image(4 << 20)).await;
    assert_eq!(status, 200, "{body}");
    // Without a length, both ways to find out.
    for (size, expected) in [(4 << 20, 200), (12 << 20, 413)] {
        let mut bare =
            TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
        let head = format!(
            "POST {GENERATE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-goog-api-key: {CLIENT}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        bare.write_all(head.as_bytes()).await.expect("sent");
        let body = image(size);
        for chunk in body.as_bytes().chunks(65_536) {
            let frame = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
            if bare.write_all(&frame).await.is_err() {
                break;
            }
        }
        let _ = bare.write_all(b"0\r\n\r\n").await;
        let mut answer = [0; 64];
        let read = bare.read(&mut answer).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{size}: {answer}");
    }
    let (status, body) = running.post(CHAT, format!("{}{}", chat("x", false), " ".repeat(9 << 20))).await;
    assert!(status == 413 && body.contains("\"invalid_request_error\""), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_verified_one_by_one() {
    let keys = [
        ("fine-key-for-the-verification-0001", HEALTHY),
        ("leaked-key", faulty(Fault::Leaked)),
        ("busy-key", faulty(Fault::Overloaded)),
    ];
    let running = Running::start(simulator(&keys), &[("LIBRA_KEYS", "elsewhere")]).await;
    let list = "fine-key-for-the-verification-0001,leaked-key,busy-key,unknown-key";
    let mut request = running.request(Method::POST, "/verify", "");
    request.headers_mut().insert("x-goog-api-key", list.parse().expect("a value"));
    let answer = running.send(request.clone()).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(answer.headers()["access-control-allow-origin"], "*");
    let body = text(answer).await.expect("whole");
    let mut events: Vec<&str> =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("data")).collect();
    events.sort_unstable();
    assert_eq!(events.len(), 4, "{body}");
    assert!(body.contains(r#"{"key":"fine-ke......on-0001","status":"GOOD"}"#), "{body}");
    assert_eq!(body.matches("\"BAD\"").count(), 2, "{body}");
    assert_eq!(body.matches("\"ERROR\"").count(), 1, "{body}");
    *request.uri_mut() = format!("{}/verify?format=json", running.base).parse().expect("an address");
    let body = text(running.send(request).await).await.expect("whole");
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&body).expect("an array").len(), 4);
}

/// A proxy for CONNECT and SOCKS 5 that counts: whatever is asked, it leads to the address given.
async fn proxy(to: SocketAddr) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let used = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&used);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::spawn(async move {
                let mut first = [0; 1];
                client.peek(&mut first).await?;
                let mut buffer = [0; 1024];
                if first[0] == 5 {
                    let _ = client.read(&mut buffer).await?; // methods
                    client.write_all(&[5, 0]).await?;
                    let _ = client.read(&mut buffer).await?; // connect
                    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0]).await?;
                } else {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(client.read_u8().await?);
                    }
                    assert!(
                        head.starts_with(b"CONNECT gemini.example:80 "),
                        "{}",
                        String::from_utf8_lossy(&head)
                    );
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
                }
                let mut upstream = TcpStream::connect(to).await?;
                tokio::io::copy_bidirectional(&mut client, &mut upstream).await
            });
        }
    });
    (address, used)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_reached_through_a_proxy() {
    let simulator = simulator(&[("pool-key", HEALTHY)]);
    let listener = libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port");
    let to = listener.local_addr().expect("an address");
    tokio::spawn(libra_simulator::serve(std::sync::Arc::clone(&simulator), listener));
    let (address, used) = proxy(to).await;
    for scheme in ["http", "socks5h"] {
        let before = used.load(std::sync::atomic::Ordering::Relaxed);
        let proxy = format!("{scheme}://{address}");
        let settings = [("LIBRA_KEYS", "pool-key"), ("ALL_PROXY", proxy.as_str())];
        let running =
            Running::start_with(std::sync::Arc::clone(&simulator), "http://gemini.example", &settings);
        let (status, body) = running.post(GENERATE, native("Hello")).await;
        assert_eq!(status, 200, "{scheme}: {body} {}", running.log());
        assert_eq!(used.load(std::sync::atomic::Ordering::Relaxed), before + 1, "{scheme}");
    }
    let proxy = format!("http://{address}");
    let upstream = format!("http://{to}");
    let settings = [("LIBRA_KEYS", "pool-key"), ("ALL_PROXY", proxy.as_str()), ("NO_PROXY", "127.0.0.1")];
    let running = Running::start_with(simulator, &upstream, &settings);
    assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200);
    assert_eq!(used.load(std::sync::atomic::Ordering::Relaxed), 2, "NO_PROXY was not honoured");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn answers_under_way_end_before_the_process_does() {
    let mut running = one_key().await;
    let slow = running.request(Method::POST, STREAM, native("{{chunks=10}} {{delay_ms=100}}"));
    let mut answer = running.send(slow).await;
    answer.frame().await.expect("a piece").expect("whole");
    let stopped =
        Command::new("kill").args(["-TERM", &running.process().to_string()]).status().expect("kill");
    assert!(stopped.success());
    let body = answer.collect().await.expect("the whole stream").to_bytes();
    assert!(body.windows(12).any(|part| part == b"finishReason"), "{body:?}");
    assert!(running.wait().success());
}

#[test]
fn a_wrong_setting_ends_the_start_with_a_line_that_names_it() {
    let check = |settings: &[(&str, &str)], says: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_libra"))
            .env_clear()
            .env("LIBRA_DATA", "off")
            .envs(settings.iter().copied())
            .current_dir(std::env::temp_dir())
            .output()
            .expect("libra runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{settings:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    };
    check(&[("LIBRA_STRATEGY", "fastest")], "LIBRA_STRATEGY");
    check(&[("LIBRA_LISTEN", "nowhere")], "LIBRA_LISTEN");
    check(&[("LIBRA_KEYS", "a"), ("BACKUP_API_KEYS", "b")], "BACKUP_API_KEYS");
    check(&[("LIBRA_LISTEN", "192.0.2.1:1")], "192.0.2.1:1");
}

#[test]
fn the_command_line_verifies_keys() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let simulator = simulator(&[("a-good-key", HEALTHY), ("a-leaked-key", faulty(Fault::Leaked))]);
    let listener = runtime
        .block_on(async { libra_simulator::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) })
        .expect("a port");
    let upstream = format!("http://{}", listener.local_addr().expect("an address"));
    runtime.spawn(libra_simulator::serve(simulator, listener));
    let verify = |arguments: &[&str]| {
        let mut child = Command::new(env!("CARGO_BIN_EXE_libra"))
            .args(["verify", "--upstream", &upstream])
            .args(arguments)
            .env_clear()
            .env("LIBRA_KEYS", "a-good-key")
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("libra runs");
        child.stdin.take().expect("a pipe").flush().expect("an open pipe");
        let output = child.wait_with_output().expect("it ends");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (all_good, said) = verify(&["a-good-key,a-leaked-key"]);
    assert!(!all_good && said.contains("GOOD") && said.contains("BAD") && said.contains("leaked"), "{said}");
    let (all_good, said) = verify(&[]);
    assert!(all_good && said.starts_with("GOOD") && !said.contains("a-good-key"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_and_noise_are_answered() {
    let running = one_key().await;
    for body in [Bytes::new(), Bytes::from_static(b"\xff\xfe{"), Bytes::from_static(b"[]")] {
        assert_eq!(running.post(CHAT, body.clone()).await.0, 400);
        assert_eq!(running.post(GENERATE, body).await.0, 400);
    }
    let mut bare =
        TcpStream::connect(running.base.trim_start_matches("http://")).await.expect("a connection");
    bare.write_all(b"\x00\x01 not http\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    bare.read_to_end(&mut answer).await.expect("an end");
    assert!(answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(running.get("/health").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_native_body_streams_and_a_chat_is_refused() {
    let settings = [("LIBRA_KEYS", "a,b"), ("LIBRA_MEMORY", "1MiB")];
    let running = Running::start(simulator(&[("a", HEALTHY), ("b", HEALTHY)]), &settings).await;
    let padded = |body: String| format!("{body}{}", " ".repeat(2 << 20));
    let (status, body) = running.post(GENERATE, padded(native("Hello"))).await;
    assert_eq!(status, 200, "{body}");
    let (status, body) = running.post(CHAT, padded(chat("Hello", false))).await;
    assert!(status == 503 && body.contains("service_unavailable"), "{body}");
    assert_eq!(running.post(CHAT, chat("Hello", false)).await.0, 200);
}
