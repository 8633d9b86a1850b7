//! Uploads over TCP: bodies of any size, connections that break, and those that are cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libra_simulator::{Clock, Config, Simulator, listen, serve};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Serves a simulator that takes bodies of 1,000 bytes, uploads aside.
fn start() -> (Arc<Simulator>, SocketAddr) {
    let simulator = Simulator::new(Config { body_limit: 1_000, ..Config::open() }, Clock::system(), 1);
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("loopback can be listened on");
    let address = listener.local_addr().expect("the listener has an address");
    tokio::spawn(serve(Arc::clone(&simulator), listener));
    (simulator, address)
}

/// Sends a head and some of a body that is said to have `length` bytes.
async fn send(address: SocketAddr, path: &str, headers: &str, length: usize, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the simulator listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-goog-api-key: key\r\nconnection: close\r\n{headers}\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("the connection is open");
    // Of a connection that is reset, writing fails sooner or later.
    let _ = stream.write_all(body).await;
    stream
}

/// The whole answer. None: the connection was reset, which the writing may have found out before.
async fn receive(mut stream: TcpStream) -> Option<String> {
    let mut raw = Vec::new();
    stream.read_to_end(&mut raw).await.ok()?;
    (!raw.is_empty()).then(|| String::from_utf8_lossy(&raw).into_owned())
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_default()
}

/// Starts a session of a file with this display name; gives its path.
async fn session(address: SocketAddr, display_name: &str) -> String {
    let body = format!("{{\"file\":{{\"displayName\":\"{display_name}\"}}}}");
    let headers = "x-goog-upload-protocol: resumable\r\nx-goog-upload-command: start\r\n";
    let stream = send(address, "/upload/v1beta/files", headers, body.len(), body.as_bytes()).await;
    let answer = receive(stream).await.expect("sessions start");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-length: 0"), "{answer}");
    let url = header(&answer, "x-goog-upload-url");
    url.strip_prefix(&format!("http://{address}")).expect("the address is absolute").to_owned()
}

async fn received(address: SocketAddr, path: &str) -> u64 {
    let answer = receive(send(address, path, "x-goog-upload-command: query\r\n", 0, b"").await).await;
    let answer = answer.expect("queries are answered");
    header(&answer, "x-goog-upload-size-received").parse().expect("the size is told")
}

fn command(command: &str, offset: u64) -> String {
    format!("x-goog-upload-command: {command}\r\nx-goog-upload-offset: {offset}\r\n")
}

#[tokio::test]
async fn uploads_of_any_size_are_taken_in() {
    let (simulator, address) = start();
    let path = session(address, "large").await;
    let body = vec![b'x'; 20 << 20];
    let stream = send(address, &path, &command("upload, finalize", 0), body.len(), &body).await;
    let answer = receive(stream).await.expect("the upload is answered");
    assert_eq!(header(&answer, "x-goog-upload-status"), "final", "{answer}");
    assert!(answer.contains("\"sizeBytes\": \"20971520\""), "{answer}");
    let name = answer.split("\"name\": \"").nth(1).and_then(|rest| rest.split('"').next());
    let kept = simulator.file_content(name.expect("a file has a name")).expect("its beginning is kept");
    assert_eq!(kept.len(), 1 << 20);
}

#[tokio::test]
async fn what_came_before_a_break_is_kept() {
    let (simulator, address) = start();
    let path = session(address, "broken").await;
    let body = vec![b'x'; 300_000];
    let stream = send(address, &path, &command("upload, finalize", 0), 1_000_000, &body).await;
    let mut size = 0;
    for _ in 0..1_000 {
        size = received(address, &path).await;
        if size == 300_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(size, 300_000);
    drop(stream);
    let stream = send(address, &path, &command("upload, finalize", 300_000), 5, b"yyyyy").await;
    let answer = receive(stream).await.expect("the rest is taken");
    assert!(answer.contains("\"sizeBytes\": \"300005\""), "{answer}");
    for _ in 0..1_000 {
        if simulator.counts().totals.aborted == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?}", simulator.counts().totals);
}

#[tokio::test]
async fn connections_are_cut_on_demand() {
    let (simulator, address) = start();
    let path = session(address, "{{cut=5000000}}").await;
    let body = vec![b'x'; 6_000_000];
    let stream = send(address, &path, &command("upload, finalize", 0), body.len(), &body).await;
    assert_eq!(receive(stream).await, None);
    assert_eq!(received(address, &path).await, 5_000_000);
    let rest = &body[5_000_000..];
    let stream = send(address, &path, &command("upload, finalize", 5_000_000), rest.len(), rest).await;
    let answer = receive(stream).await.expect("it is cut but once");
    assert!(answer.contains("\"sizeBytes\": \"6000000\""), "{answer}");
    let log: Value = simulator.log();
    assert_eq!((&log[1]["status"], &log[3]["status"]), (&Value::from(0), &Value::from(200)));
}

#[tokio::test]
async fn films_lead_elsewhere_and_tell_the_key() {
    let (_, address) = start();
    let ask = async |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(address).await.expect("the simulator listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nx-goog-api-key: key\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("the connection is open");
        receive(stream).await.expect("the answer is whole")
    };
    let quoted = |answer: &str, start: &str| {
        let rest = answer.split(start).nth(1).unwrap_or_else(|| panic!("{start} in {answer}"));
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let path = "/v1beta/models/veo-3.1-generate-preview:predictLongRunning";
    let body = r#"{"instances":[{"prompt":"{{bytes=5000000}} {{delay_ms=1}}"}]}"#;
    let begun = ask("POST", path, body).await;
    let operation = quoted(&begun, "\"name\": \"");
    tokio::time::sleep(Duration::from_millis(5)).await;
    let done = ask("GET", &format!("/v1/{operation}"), "").await;
    let path = quoted(&done, "https://generativelanguage.googleapis.com");
    let moved = ask("GET", &path, "").await;
    assert!(moved.starts_with("HTTP/1.1 302 Found\r\n"), "{moved}");
    assert_eq!(header(&moved, "x-goog-api-key"), "key");
    let location = header(&moved, "location").strip_prefix(&format!("http://{address}"));
    let film = ask("GET", location.expect("it is this host"), "").await;
    let (head, _) = film.split_once("\r\n\r\n").expect("there is a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!((header(head, "content-type"), header(head, "content-length")), ("video/mp4", "5000000"));
    assert!(!head.contains("transfer-encoding"), "{head}");
}
