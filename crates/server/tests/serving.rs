//! How libra is reached and how it ends: TLS, HTTP/2, several addresses, the drain, and the way out through proxies.

mod running;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::client::conn::{http1, http2};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use libra_simulator::{Condition, Fault};
use running::{CLIENT, GENERATE, Running, STREAM, native, simulator};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

const HEALTHY: Condition = Condition::Healthy;

async fn start(settings: &[(&str, &str)]) -> Running {
    let settings: Vec<_> = [("LIBRA_KEYS", "pool-key")].iter().chain(settings).copied().collect();
    Running::start(simulator(&[("pool-key", HEALTHY)]), &settings).await
}

fn address(running: &Running) -> &str {
    running.base.split_once("://").expect("an address").1
}

async fn connect(running: &Running) -> TcpStream {
    TcpStream::connect(address(running)).await.expect("a connection")
}

type Two = http2::SendRequest<Full<Bytes>>;

async fn two<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Two {
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

fn post(path: &str, body: String) -> Request<Full<Bytes>> {
    Request::post(format!("http://libra.test{path}"))
        .header("x-goog-api-key", CLIENT)
        .header("content-type", "application/json")
        .body(Full::new(body.into()))
        .expect("a request")
}

fn signal(running: &Running, name: &str) {
    let done = Command::new("kill").args([name, &running.process().to_string()]).status();
    assert!(done.expect("kill").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_in_the_clear() {
    let running = start(&[]).await;
    let mut sender = two(connect(&running).await).await;
    let answers = (0..20).map(|_| sender.send_request(post(STREAM, native("Hello {{chunks=5}}"))));
    for answer in futures_util::future::join_all(answers).await {
        let answer = answer.expect("an answer");
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
        let body = answer.into_body().collect().await.expect("whole").to_bytes();
        assert!(body.windows(12).any(|part| part == b"finishReason"));
    }
    // What is not asked for with a known key is refused as over HTTP/1.1.
    let stranger = Request::post("http://libra.test/v1/chat/completions").body(Full::default());
    let answer = sender.send_request(stranger.expect("a request")).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_runs_over_http_2() {
    let running = start(&[]).await;
    let (mut sender, connection) =
        http2::handshake::<_, _, Empty<Bytes>>(TokioExecutor::new(), TokioIo::new(connect(&running).await))
            .await
            .expect("a handshake");
    tokio::spawn(connection);
    let path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
    let connect = || {
        Request::builder()
            .method(Method::CONNECT)
            .uri(format!("http://libra.test{path}?key={CLIENT}"))
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"))
            .body(Empty::new())
            .expect("a request")
    };
    // The server's settings say that it can; they come after the handshake.
    let mut answer = sender.send_request(connect()).await;
    while answer.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = sender.send_request(connect()).await;
    }
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    let upgraded = TokioIo::new(hyper::upgrade::on(answer).await.expect("a stream"));
    let mut socket = WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await;
    let setup = serde_json::json!({ "setup": { "model": "models/gemini-live-2.5-flash-preview" } });
    futures_util::SinkExt::send(&mut socket, Message::text(setup.to_string())).await.expect("it is open");
    let said = futures_util::StreamExt::next(&mut socket).await.expect("a message").expect("a good one");
    assert!(said.to_text().expect("text").contains("setupComplete"), "{said:?}");
}

/// A certificate for `localhost` in files of its own.
struct Certificate {
    folder: PathBuf,
    der: Vec<u8>,
}

impl Certificate {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("libra-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut made = Self { folder, der: Vec::new() };
        made.renew();
        made
    }

    fn renew(&mut self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        self.der = made.cert.der().to_vec();
        std::fs::write(self.path("cert.pem"), made.cert.pem()).expect("written");
        std::fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn start_with_tls(certificate: &Certificate, more: &[(&str, &str)]) -> Running {
    let (cert, key) = (certificate.path("cert.pem"), certificate.path("key.pem"));
    let tls = [("LIBRA_TLS_CERT", cert.as_str()), ("LIBRA_TLS_KEY", key.as_str())];
    start(&tls.iter().chain(more).copied().collect::<Vec<_>>()).await
}

/// A connection to libra, which has to show the certificate with this file's text.
async fn secure(running: &Running, pem: &str, alpn: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    let certs = rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes());
    roots.add_parsable_certificates(certs.map(|cert| cert.expect("a certificate")));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, connect(running).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_its_certificate_renewed() {
    let mut certificate = Certificate::new("renewed");
    let running = start_with_tls(&certificate, &[]).await;
    assert!(running.base.starts_with("https://"));
    let pem =
        |certificate: &Certificate| std::fs::read_to_string(certificate.path("cert.pem")).expect("a file");
    let first = pem(&certificate);
    let stream = secure(&running, &first, b"h2").await.expect("a handshake");
    let answer = two(stream).await.send_request(post(GENERATE, native("Hello"))).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let stream = secure(&running, &first, b"http/1.1").await.expect("a handshake");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    let answer = sender.send_request(post(GENERATE, native("Hello"))).await.expect("an answer");
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_11));

    // A wrong one is refused, and the old one stays.
    std::fs::write(certificate.path("cert.pem"), "nothing").expect("written");
    wait_for(|| running.log().contains("the old one stays")).await;
    assert!(secure(&running, &first, b"h2").await.is_ok());
    certificate.renew();
    wait_for(|| running.log().contains("read again")).await;
    assert!(secure(&running, &first, b"h2").await.is_err());
    assert!(secure(&running, &pem(&certificate), b"h2").await.is_ok());
    assert!(!running.log().contains("PRIVATE KEY"));
}

async fn wait_for(mut is_so: impl FnMut() -> bool) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it has not come to be within 15 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_knocks_with_the_wrong_protocol_is_told() {
    let certificate = Certificate::new("wrong");
    let running = start_with_tls(&certificate, &[]).await;
    let mut plain = connect(&running).await;
    plain.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.expect("an end");
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");

    let running = start(&[]).await;
    let error = secure(&running, "", b"h2").await.expect_err("no TLS here").to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    wait_for(|| running.log().contains("LIBRA_TLS_CERT")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_more_addresses_and_a_socket_in_the_file_system() {
    let socket = std::env::temp_dir().join(format!("libra-{}.sock", std::process::id()));
    // As a process that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&socket).expect("a socket"));
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let also = format!("{free},unix:{}", socket.display());
    let mut running = start(&[("LIBRA_LISTEN_ALSO", &also)]).await;
    assert_eq!(running.get("/health").await.0, 200);
    let health =
        || Request::get("/health").header("host", "x").body(Full::<Bytes>::default()).expect("a request");
    let (mut one, connection) =
        http1::handshake(TokioIo::new(UnixStream::connect(&socket).await.expect("it listens")))
            .await
            .expect("HTTP");
    tokio::spawn(connection);
    assert_eq!(one.send_request(health()).await.expect("an answer").status(), 200);
    let (mut one, connection) =
        http1::handshake(TokioIo::new(TcpStream::connect(free).await.expect("it listens")))
            .await
            .expect("HTTP");
    tokio::spawn(connection);
    assert_eq!(one.send_request(health()).await.expect("an answer").status(), 200);
    signal(&running, "-TERM");
    assert!(running.wait().success());
    assert!(!socket.exists(), "its file goes with it");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_answers_end_nothing_new_begins() {
    let mut running = start(&[]).await;
    let mut sender = two(connect(&running).await).await;
    let slow = post(STREAM, native("{{chunks=10}} {{delay_ms=200}}"));
    let answer = sender.send_request(slow).await.expect("an answer");
    signal(&running, "-TERM");
    let began = Instant::now();
    while TcpStream::connect(address(&running)).await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(1), "new connections are still taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let body = answer.into_body().collect().await.expect("the whole stream").to_bytes();
    assert!(body.windows(12).any(|part| part == b"finishReason"));
    assert!(running.wait().success());
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// A connection on which an answer is under way is kept to its end; what else it carries is served, but for the
/// question whether to send more.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_ends_is_not_ready() {
    let running = start(&[]).await;
    let mut bare = connect(&running).await;
    let body = native("{{chunks=5}} {{delay_ms=200}}");
    let head = format!(
        "POST {STREAM} HTTP/1.1\r\nhost: x\r\nx-goog-api-key: {CLIENT}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(running.get("/ready").await.0, 200);
    bare.write_all(head.as_bytes()).await.expect("sent");
    // A request whose head has begun when the signal comes.
    let mut asking = connect(&running).await;
    asking.write_all(b"GET /ready HTTP/1.1\r\nhost: x\r\n").await.expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal(&running, "-TERM");
    tokio::time::sleep(Duration::from_millis(100)).await;
    asking.write_all(b"\r\n").await.expect("sent");
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.expect("an end");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("ending"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_drain_has_an_end_and_a_second_signal_is_one() {
    for (drain, signals) in [("1s", 1), ("1h", 2)] {
        let mut running = start(&[("LIBRA_DRAIN", drain)]).await;
        let slow = running.request(Method::POST, STREAM, native("{{chunks=1000}} {{delay_ms=100}}"));
        let answer = running.send(slow).await;
        assert_eq!(answer.status(), 200);
        let began = Instant::now();
        for _ in 0..signals {
            signal(&running, "-TERM");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(running.wait().success());
        assert!(began.elapsed() < Duration::from_secs(5), "{drain}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_health_can_be_asked_for_without_another_program() {
    let health = |settings: &[(&str, &str)]| {
        let mut asked = Command::new(env!("CARGO_BIN_EXE_libra"));
        asked.arg("health").env_clear().envs(settings.iter().copied()).current_dir(std::env::temp_dir());
        asked.output().expect("libra runs").status.success()
    };
    let running = start(&[]).await;
    assert!(health(&[("LIBRA_LISTEN", address(&running))]));
    let certificate = Certificate::new("health");
    let (cert, key) = (certificate.path("cert.pem"), certificate.path("key.pem"));
    let secure = start_with_tls(&certificate, &[]).await;
    let tls = [("LIBRA_TLS_CERT", cert.as_str()), ("LIBRA_TLS_KEY", key.as_str())];
    assert!(health(&[[("LIBRA_LISTEN", address(&secure))].as_slice(), &tls].concat()));
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    assert!(!health(&[("LIBRA_LISTEN", &free.to_string())]));
}

/// An HTTP proxy that counts its tunnels, which end with its task; `elsewhere`: where all of them lead.
async fn proxy(listener: TcpListener, tunnels: Arc<AtomicUsize>, elsewhere: Option<String>) {
    let mut open = tokio::task::JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let (tunnels, elsewhere) = (Arc::clone(&tunnels), elsewhere.clone());
        open.spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            assert!(head.to_ascii_lowercase().contains("proxy-authorization: basic "), "{head}");
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let target = elsewhere.unwrap_or(target);
            let mut server = TcpStream::connect(target).await?;
            tunnels.fetch_add(1, Ordering::Relaxed);
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await.map(drop)
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_keep_to_their_proxies_and_a_dead_one_costs_no_key_anything() {
    let keys: Vec<String> = (0..12).map(|n| format!("pool-key-{n}")).collect();
    let conditions: Vec<_> = keys.iter().map(|key| (key.as_str(), HEALTHY)).collect();
    let mut proxies = Vec::new();
    let mut addresses = Vec::new();
    for _ in 0..3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        addresses
            .push(format!("http://user:word-of-the-proxy@{}", listener.local_addr().expect("an address")));
        let tunnels = Arc::new(AtomicUsize::new(0));
        proxies.push((tokio::spawn(proxy(listener, Arc::clone(&tunnels), None)), tunnels));
    }
    let settings = [("LIBRA_KEYS", keys.join(",")), ("LIBRA_PROXIES", addresses.join(","))];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let more = [("LIBRA_STRATEGY", "round-robin"), ("LIBRA_AFFINITY", "off")];
    let running = Running::start(simulator(&conditions), &[settings, more].concat()).await;
    let ask = async || {
        for _ in 0..24 {
            assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200, "{}", running.log());
        }
    };
    ask().await;
    let tunnels = |at: usize| -> usize { proxies[at].1.load(Ordering::Relaxed) };
    assert!((0..3).all(|at| tunnels(at) > 0), "{:?}", [tunnels(0), tunnels(1), tunnels(2)]);
    // One dies: its projects go on with the others, and no request is the worse for it.
    proxies[0].0.abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = running.simulator.counts().totals.requests;
    ask().await;
    assert_eq!(running.simulator.counts().totals.requests - before, 24, "each is asked once");
    let log = running.log();
    assert!(log.contains("is left out for"), "{log}");
    assert!(!log.contains("word-of-the-proxy") && !log.contains("set aside"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_that_it_is_there_that_it_lives_and_that_it_ends() {
    let path = std::env::temp_dir().join(format!("libra-notify-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = tokio::net::UnixDatagram::bind(&path).expect("a socket");
    let hear = async |expected: &str| {
        let mut said = [0; 256];
        let hear = async {
            loop {
                let length = socket.recv(&mut said).await.expect("a message");
                if said[..length].starts_with(expected.as_bytes()) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), hear).await.expect(expected);
    };
    let notify = path.display().to_string();
    let mut running = start(&[("NOTIFY_SOCKET", &notify), ("WATCHDOG_USEC", "400000")]).await;
    hear("READY=1").await;
    hear("WATCHDOG=1").await;
    hear("WATCHDOG=1").await;
    signal(&running, "-TERM");
    hear("STOPPING=1").await;
    assert!(running.wait().success());
    let _ = std::fs::remove_file(&path);
}

/// The simulator behind TLS, as a company's proxy shows it: with a certificate that nobody has heard of.
async fn behind_tls(certificate: &Certificate, upstream: String) -> String {
    let pem = |file: &str| std::fs::read(certificate.path(file)).expect("a file");
    let cert = rustls::pki_types::CertificateDer::from_pem_slice(&pem("cert.pem")).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(&pem("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(client).await?;
                let mut server = TcpStream::connect(upstream).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_ones_own_is_trusted_where_that_is_set() {
    let certificate = Certificate::new("trusted");
    let simulator = simulator(&[("pool-key", HEALTHY)]);
    let listener = libra_simulator::listen(([127, 0, 0, 1], 0).into()).expect("a port");
    let plain = listener.local_addr().expect("an address").to_string();
    tokio::spawn(libra_simulator::serve(Arc::clone(&simulator), listener));
    let upstream = behind_tls(&certificate, plain).await;
    let cert = certificate.path("cert.pem");
    for (ca_file, status) in [(cert.as_str(), 200), ("", 502)] {
        let settings = [("LIBRA_KEYS", "pool-key"), ("LIBRA_CA_FILE", ca_file)];
        let running = Running::start_with(Arc::clone(&simulator), &upstream, &settings);
        let (answered, body) = running.post(GENERATE, native("Hello")).await;
        assert_eq!(answered, status, "{ca_file:?}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_goes_through_the_proxy_that_it_names_and_no_other() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://user:word-of-the-proxy@{}", listener.local_addr().expect("an address"));
    let tunnels = Arc::new(AtomicUsize::new(0));
    tokio::spawn(proxy(listener, Arc::clone(&tunnels), None));
    let keys = [("key-of-a", HEALTHY), ("key-of-b", HEALTHY)];
    // Nothing listens where the other one's is.
    let projects = serde_json::json!({
        "a": { "proxy": address },
        "b": { "proxy": "http://user:word-of-the-proxy@127.0.0.1:9" },
    });
    let settings = [("LIBRA_KEYS", "a:key-of-a,b:key-of-b"), ("LIBRA_PROJECTS", &projects.to_string())];
    let settings = settings.each_ref().map(|(name, value)| (*name, &**value));
    let running = Running::start(simulator(&keys), &settings).await;
    for _ in 0..6 {
        assert_eq!(running.post(GENERATE, native("Hello")).await.0, 200, "{}", running.log());
    }
    assert!(tunnels.load(Ordering::Relaxed) > 0);
    let counts = running.simulator.counts();
    assert_eq!(counts.keys["key-of-b"].requests, 0, "{counts:?}");
    assert!(!running.log().contains("word-of-the-proxy"), "{}", running.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_google_does_not_serve_is_the_proxys_fault() {
    let names: Vec<String> = (0..8).map(|n| format!("pool-key-{n}")).collect();
    let of = |condition: Condition| names.iter().map(|key| (key.as_str(), condition)).collect::<Vec<_>>();
    // What Google is through the bad proxy.
    let refuses = simulator(&of(running::faulty(Fault::Location)));
    let listener = libra_simulator::listen(([127, 0, 0, 1], 0).into()).expect("a port");
    let elsewhere = listener.local_addr().expect("an address").to_string();
    tokio::spawn(libra_simulator::serve(Arc::clone(&refuses), listener));
    let mut addresses = Vec::new();
    for elsewhere in [Some(elsewhere), None] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        addresses.push(format!("http://user:word@{}", listener.local_addr().expect("an address")));
        tokio::spawn(proxy(listener, Arc::default(), elsewhere));
    }
    let settings = [("LIBRA_KEYS", names.join(",")), ("LIBRA_PROXIES", addresses.join(","))];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let more = [("LIBRA_STRATEGY", "round-robin"), ("LIBRA_AFFINITY", "off")];
    let running = Running::start(simulator(&of(HEALTHY)), &[settings, more].concat()).await;
    for _ in 0..24 {
        let (status, body) = running.post(GENERATE, native("Hello")).await;
        assert_eq!(status, 200, "{body}\n{}", running.log());
    }
    assert!(running.logs("Google does not serve its address"), "{}", running.log());
    let refused = refuses.counts().totals.requests;
    assert!((1..=2).contains(&refused), "{refused} requests were sent to where none is served");
}
