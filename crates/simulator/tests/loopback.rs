//! The simulator over TCP: how answers look on the wire, and how connections end.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use libra_simulator::{Clock, Config, Simulator, listen, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const EVENTS: &str = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";

/// Serves an open simulator for as long as the test runs.
fn start() -> (Arc<Simulator>, SocketAddr) {
    let simulator = Simulator::new(Config::open(), Clock::system(), 1);
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("loopback can be listened on");
    let address = listener.local_addr().expect("the listener has an address");
    tokio::spawn(serve(Arc::clone(&simulator), listener));
    (simulator, address)
}

async fn send(address: SocketAddr, path: &str, headers: &str, text: &str) -> TcpStream {
    let body = json!({ "contents": [{ "parts": [{ "text": text }] }] }).to_string();
    let mut stream = TcpStream::connect(address).await.expect("the simulator listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nx-goog-api-key: key\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("the connection is open");
    stream.write_all(body.as_bytes()).await.expect("the connection is open");
    stream
}

/// What came until the end, and whether the end was orderly: with the terminator of the chunked body.
async fn receive(mut stream: TcpStream) -> (String, Vec<u8>, bool) {
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.expect("the connection is closed, not reset");
    let split = raw.windows(4).position(|window| window == b"\r\n\r\n").expect("there is a head");
    let head = String::from_utf8(raw[..split].to_vec()).expect("heads are ASCII");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    let mut rest = &raw[split + 4..];
    let mut body = Vec::new();
    loop {
        let Some(end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return (head, body, false);
        };
        let size =
            std::str::from_utf8(&rest[..end]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("chunks have sizes");
        if size == 0 {
            return (head, body, true);
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}

#[tokio::test]
async fn answers_on_the_wire() {
    let (simulator, address) = start();
    let (head, body, orderly) = receive(send(address, GENERATE, "", "hi").await).await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=UTF-8\r\n"),
        "{head}"
    );
    assert!(orderly);
    let answer: Value = serde_json::from_slice(&body).expect("the answer is JSON");
    assert_eq!(answer["modelVersion"], "gemini-2.5-flash");
    let (head, packed, _) =
        receive(send(address, GENERATE, "accept-encoding: br, gzip\r\n", "hi").await).await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked)
        .expect("the body is gzip");
    assert!(unpacked.starts_with("{\n  \"candidates\""));
    let (head, events, orderly) = receive(send(address, EVENTS, "", "hi").await).await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    assert!(orderly && events.starts_with(b"data: {") && events.ends_with(b"}\r\n\r\n"));
    let counts = simulator.counts().key("key");
    assert_eq!((counts.requests, counts.in_flight, counts.aborted), (3, 0, 0));
}

#[tokio::test]
async fn large_bodies_are_refused_without_being_read() {
    let simulator = Simulator::new(Config { body_limit: 1_000, ..Config::open() }, Clock::system(), 1);
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("loopback can be listened on");
    let address = listener.local_addr().expect("the listener has an address");
    tokio::spawn(serve(simulator, listener));
    let (head, body, _) = receive(send(address, GENERATE, "", &"x".repeat(1_001)).await).await;
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert!(String::from_utf8_lossy(&body).contains("exceeds the limit: 1000 bytes"));
}

#[tokio::test]
async fn the_binary_says_where_it_listens() {
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_libra-simulator"))
        .arg("--demo")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the binary starts");
    let out = child.stdout.take().expect("its output is piped");
    let line =
        BufReader::new(out).lines().next_line().await.expect("it can be read").expect("it says something");
    let address = line.strip_prefix("listening on http://").expect("the line begins so");
    let address = address.parse().expect("the rest is an address");
    let (head, _, _) = receive(send(address, GENERATE, "", "hi").await).await;
    assert!(head.starts_with("HTTP/1.1 400"), "the demo pool has no such key: {head}");
}

#[tokio::test]
async fn cut_answers_have_no_end() {
    let (simulator, address) = start();
    let (_, events, orderly) = receive(send(address, EVENTS, "", "{{chunks=10}}{{fault=cut}}").await).await;
    assert!(!orderly);
    assert_eq!(events.windows(6).filter(|window| window == b"data: ").count(), 6);
    assert!(!events.ends_with(b"\r\n\r\n"));
    let (_, body, orderly) = receive(send(address, GENERATE, "", "{{fault=cut}}").await).await;
    assert!(!orderly && !body.is_empty());
    let (_, tail, orderly) = receive(send(address, EVENTS, "", "{{fault=raw-error-tail}}").await).await;
    assert!(orderly && tail.ends_with(b"\"status\": \"UNAVAILABLE\"\n  }\n}\n"));
    assert_eq!(simulator.counts().totals.aborted, 0);
}

#[tokio::test]
async fn connections_are_reset() {
    let (simulator, address) = start();
    let mut stream = send(address, GENERATE, "", "{{fault=reset-before-headers}}").await;
    let mut raw = Vec::new();
    let error = stream.read_to_end(&mut raw).await.expect_err("the connection is reset");
    assert_eq!((error.kind(), raw.len()), (ErrorKind::ConnectionReset, 0));
    assert_eq!(simulator.counts().totals.statuses[&0], 1);
}

#[tokio::test]
async fn clients_that_leave_are_counted() {
    let (simulator, address) = start();
    for fault in ["hang", "silent", "stall"] {
        let stream = send(address, EVENTS, "", &format!("{{{{fault={fault}}}}}")).await;
        wait_for(&simulator, |in_flight, _| in_flight == 1).await;
        drop(stream);
        wait_for(&simulator, |in_flight, _| in_flight == 0).await;
    }
    let stream = send(address, EVENTS, "", "{{chunks=1000}}{{delay_ms=10}}").await;
    wait_for(&simulator, |in_flight, _| in_flight == 1).await;
    drop(stream);
    wait_for(&simulator, |_, aborted| aborted == 4).await;
}

async fn wait_for(simulator: &Simulator, is_so: impl Fn(u64, u64) -> bool) {
    for _ in 0..1_000 {
        let totals = simulator.counts().totals;
        if is_so(totals.in_flight, totals.aborted) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", simulator.counts().totals);
}
