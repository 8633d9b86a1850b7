//! Images that a chat names by address, fetched over real connections, and what is not fetched.

mod running;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use libra_simulator::Condition;
use running::{CHAT, Running, simulator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const PNG_BASE64: &str = "iVBORw0KGgogYW5kIHNvIG9u";

/// A server that has its connections answered one by one; `answer` gets the head of each request.
async fn server<F, A>(ip: Ipv4Addr, answer: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(String, TcpStream) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((ip, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let connections = Arc::new(AtomicUsize::new(0));
    let (answer, count) = (Arc::new(answer), Arc::clone(&connections));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut head = Vec::new();
                let mut byte = [0; 1];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
                    head.push(byte[0]);
                }
                answer(String::from_utf8_lossy(&head).into_owned(), stream).await;
            });
        }
    });
    (address, connections)
}

async fn say(mut stream: TcpStream, head: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
}

/// A site with an image.
async fn site(ip: Ipv4Addr) -> (SocketAddr, Arc<AtomicUsize>) {
    server(ip, |head, stream| async move {
        assert!(head.starts_with("GET /cat"), "{head}");
        assert!(head.contains(concat!("user-agent: libra/", env!("CARGO_PKG_VERSION"), "\r\n")), "{head}");
        for secret in ["authorization", "x-goog-api-key", "cookie"] {
            assert!(!head.contains(secret), "{head}");
        }
        say(stream, "200 OK\r\ncontent-type: application/octet-stream", PNG).await;
    })
    .await
}

/// A Gemini that says how often the image was in the request.
async fn gemini() -> String {
    let (address, _) = server(Ipv4Addr::LOCALHOST, |head, mut stream| async move {
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
        let _ = stream.read_exact(&mut body).await;
        let images = String::from_utf8_lossy(&body).matches(PNG_BASE64).count();
        let answer = format!(
            r#"{{"candidates":[{{"content":{{"role":"model","parts":[{{"text":"{images} images"}}]}},"finishReason":"STOP"}}]}}"#
        );
        say(stream, "200 OK\r\ncontent-type: application/json", answer.as_bytes()).await;
    })
    .await;
    format!("http://{address}")
}

async fn libra(settings: &[(&str, &str)]) -> Running {
    let pool = [("LIBRA_KEYS", "pool-key")];
    let settings: Vec<_> = pool.iter().chain(settings).copied().collect();
    Running::start_with(simulator(&[("pool-key", Condition::Healthy)]), &gemini().await, &settings)
}

fn chat(addresses: &[String]) -> String {
    let parts: Vec<_> = addresses
        .iter()
        .map(|address| serde_json::json!({ "type": "image_url", "image_url": { "url": address } }))
        .collect();
    let messages = serde_json::json!([{ "role": "user", "content": parts }]);
    serde_json::json!({ "model": "gemini-2.5-flash", "messages": messages }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_are_fetched_once_and_redirects_followed() {
    let (image, fetched) = site(Ipv4Addr::LOCALHOST).await;
    let (door, _) = server(Ipv4Addr::LOCALHOST, move |_, stream| async move {
        say(stream, &format!("302 Found\r\nlocation: http://{image}/cat?from=door"), b"there").await;
    })
    .await;
    let running = libra(&[("LIBRA_FETCH_ALLOW", "127.0.0.1")]).await;
    let body =
        chat(&[format!("http://{image}/cat"), format!("http://{door}/"), format!("http://{image}/cat")]);
    for _ in 0..3 {
        let (status, text) = running.post(CHAT, body.clone()).await;
        assert_eq!(status, 200, "{text}");
        assert!(text.contains("3 images"), "{text}");
    }
    assert_eq!(fetched.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_public_is_not_connected_to() {
    let (image, connections) = site(Ipv4Addr::new(127, 0, 0, 2)).await;
    let (door, _) = server(Ipv4Addr::LOCALHOST, move |_, stream| async move {
        say(stream, &format!("302 Found\r\nlocation: http://{image}/cat"), b"there").await;
    })
    .await;
    let strict = libra(&[]).await;
    let allowing = libra(&[("LIBRA_FETCH_ALLOW", "127.0.0.1")]).await;
    let port = image.port();
    for (running, address) in [
        (&strict, format!("http://{image}/cat")),
        (&strict, format!("http://[::ffff:127.0.0.2]:{port}/cat")),
        (&strict, format!("http://localhost:{port}/cat")),
        (&allowing, format!("http://{image}/cat")),
        (&allowing, format!("http://{door}/")),
    ] {
        let (status, text) = running.post(CHAT, chat(std::slice::from_ref(&address))).await;
        assert_eq!(status, 400, "{address}: {text}");
        assert!(text.contains("its address is not a public one"), "{address}: {text}");
        assert!(text.contains("invalid_image_url"), "{address}: {text}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    assert!(strict.logs("a file cannot be fetched"), "{}", strict.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_and_silent_servers_are_given_up() {
    let (endless, _) = server(Ipv4Addr::LOCALHOST, |_, mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n";
        let _ = stream.write_all(head.as_bytes()).await;
        while stream.write_all(&[0; 65_536]).await.is_ok() {}
    })
    .await;
    let (silent, _) = server(Ipv4Addr::LOCALHOST, |_, stream| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(stream);
    })
    .await;
    let settings =
        [("LIBRA_FETCH_ALLOW", "loopback"), ("LIBRA_FETCH_LIMIT", "1MiB"), ("LIBRA_FETCH_TIMEOUT", "1s")];
    let running = libra(&settings).await;
    let began = Instant::now();
    let (status, text) = running.post(CHAT, chat(&[format!("http://{endless}/x")])).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("it is larger than 1048576 bytes (LIBRA_FETCH_LIMIT)"), "{text}");
    let (status, text) = running.post(CHAT, chat(&[format!("http://{silent}/x")])).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("it did not come in time (LIBRA_FETCH_TIMEOUT)"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_the_fetch() {
    let left = Arc::new(AtomicUsize::new(0));
    let (slow, asked) = server(Ipv4Addr::LOCALHOST, {
        let left = Arc::clone(&left);
        move |_, mut stream| {
            let left = Arc::clone(&left);
            async move {
                if stream.read(&mut [0; 1]).await.unwrap_or(0) == 0 {
                    left.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    })
    .await;
    let running = libra(&[("LIBRA_FETCH_ALLOW", "loopback")]).await;
    let request = running.request(Method::POST, CHAT, chat(&[format!("http://{slow}/x")]));
    let patience = Duration::from_millis(500);
    // A client of its own, as a kept connection would not tell that nobody waits.
    let client = running.http.clone();
    assert!(tokio::time::timeout(patience, client.request(request)).await.is_err());
    for _ in 0..100 {
        if left.load(Ordering::SeqCst) == 1 {
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the fetch goes on\n{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_by_name() {
    let (proxy, asked) = server(Ipv4Addr::LOCALHOST, |head, mut stream| async move {
        assert!(head.starts_with("CONNECT images.example:80 "), "{head}");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let mut request = [0; 4096];
        let read = stream.read(&mut request).await.unwrap_or(0);
        assert!(request[..read].starts_with(b"GET /cat HTTP/1.1\r\n"));
        say(stream, "200 OK", PNG).await;
    })
    .await;
    let proxy = format!("http://{proxy}");
    let running = libra(&[("ALL_PROXY", &proxy), ("NO_PROXY", "127.0.0.1")]).await;
    let (status, text) = running.post(CHAT, chat(&["http://images.example/cat".to_owned()])).await;
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("1 images"), "{text}");
    for inner in ["http://metadata.google.internal/", "http://10.0.0.1/", "http://localhost/"] {
        let (status, text) = running.post(CHAT, chat(&[inner.to_owned()])).await;
        assert_eq!(status, 400, "{text}");
        assert!(text.contains("its address is not a public one"), "{text}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
