//! The Live API: the real binary between a WebSocket client and the simulator, over loopback.

mod running;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use libra_simulator::{Condition, Fault, Simulator};
use running::{CLIENT, Running, faulty, simulator};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

const SERVICE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
const MODEL: &str = "models/gemini-live-2.5-flash-preview";

type Socket = WebSocketStream<TcpStream>;

/// Asks libra for a WebSocket at this path.
async fn dial(libra: &Running, path: &str) -> Result<(Socket, Response), Error> {
    let address = libra.base.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await.expect("libra listens");
    let request = format!("ws://{address}{path}").into_client_request().expect("a request");
    tokio_tungstenite::client_async(request, stream).await
}

/// A session with this setup, to where it is ready.
async fn session(libra: &Running, setup: Value) -> Socket {
    let (mut socket, head) = dial(libra, &format!("/{SERVICE}?key={CLIENT}")).await.expect("an upgrade");
    assert!(head.headers().contains_key("x-libra-request-id"));
    assert_eq!(head.headers()["access-control-allow-origin"], "*");
    socket.send(Message::text(json!({ "setup": setup }).to_string())).await.expect("it is open");
    assert_eq!(hear(&mut socket).await, json!({ "setupComplete": {} }));
    socket
}

fn setup() -> Value {
    json!({ "model": MODEL, "generationConfig": { "responseModalities": ["TEXT"] } })
}

async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(30), socket.next()).await;
        match message.expect("a message in time").expect("a message").expect("a good one") {
            Message::Ping(_) => {}
            message => return message,
        }
    }
}

async fn hear(socket: &mut Socket) -> Value {
    match next(socket).await {
        // Google's messages are binary, and stay so.
        Message::Binary(bytes) => serde_json::from_slice(&bytes).expect("JSON"),
        other => panic!("{other:?}"),
    }
}

async fn says(socket: &mut Socket, text: &str) {
    let turns = json!([{ "role": "user", "parts": [{ "text": text }] }]);
    let message = json!({ "client_content": { "turns": turns, "turnComplete": true } });
    socket.send(Message::text(message.to_string())).await.expect("it is open");
}

/// All messages to the end of a turn, and the text in them.
async fn turn(socket: &mut Socket) -> (Vec<Value>, String) {
    let (mut messages, mut text) = (Vec::new(), String::new());
    loop {
        let message = hear(socket).await;
        if let Some(part) = message["serverContent"]["modelTurn"]["parts"][0]["text"].as_str() {
            text.push_str(part);
        }
        let is_last = message["serverContent"]["turnComplete"] == true;
        messages.push(message);
        if is_last {
            return (messages, text);
        }
    }
}

async fn closed(socket: &mut Socket) -> (u16, String) {
    match next(socket).await {
        Message::Close(Some(CloseFrame { code, reason })) => (code.into(), reason.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

async fn start(keys: &[(&str, Condition)]) -> Running {
    start_with(simulator(keys), keys, &[]).await
}

async fn start_with(simulator: Arc<Simulator>, keys: &[(&str, Condition)], more: &[(&str, &str)]) -> Running {
    let pool: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
    let pool = pool.join(",");
    let settings: Vec<(&str, &str)> = [("LIBRA_KEYS", pool.as_str())].iter().chain(more).copied().collect();
    Running::start(simulator, &settings).await
}

const HEALTHY: [(&str, Condition); 5] = [
    ("live-key-1", Condition::Healthy),
    ("live-key-2", Condition::Healthy),
    ("live-key-3", Condition::Healthy),
    ("live-key-4", Condition::Healthy),
    ("live-key-5", Condition::Healthy),
];

#[tokio::test]
async fn a_conversation_with_a_tool() {
    let libra = start(&HEALTHY[..1]).await;
    let mut with_tool = setup();
    with_tool["tools"] = json!([{ "functionDeclarations": [{ "name": "get_weather" }] }]);
    let mut socket = session(&libra, with_tool).await;
    says(&mut socket, "hello").await;
    let (messages, text) = turn(&mut socket).await;
    assert!(text.contains("You said “hello”."), "{text}");
    assert!(messages.last().expect("an end")["usageMetadata"]["totalTokenCount"].is_number());
    says(&mut socket, "Please use get_weather.").await;
    let call = hear(&mut socket).await["toolCall"]["functionCalls"][0].clone();
    let result = json!({ "id": call["id"], "name": call["name"], "response": { "celsius": 21 } });
    let response = json!({ "toolResponse": { "functionResponses": [result] } });
    socket.send(Message::binary(response.to_string())).await.expect("it is open");
    assert!(turn(&mut socket).await.1.contains("21"));
    says(&mut socket, "{{go_away=30}}").await;
    assert_eq!(hear(&mut socket).await, json!({ "goAway": { "timeLeft": "30s" } }));
    turn(&mut socket).await;
    socket.close(Some(CloseFrame { code: 1000.into(), reason: "done".into() })).await.expect("it is open");
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    let said = wait_for(&libra, "a live session has ended").await;
    for part in ["by=Client", "code=1000", "attempts=1", "frames_up=5", "tokens="] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!libra.log().contains("live-key-1") && !libra.log().contains(CLIENT), "no key is logged");
}

async fn wait_for(libra: &Running, what: &str) -> String {
    for _ in 0..100 {
        if let Some(line) = libra.log().lines().find(|line| line.contains(what)) {
            return line.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no {what:?} in {}", libra.log());
}

#[tokio::test]
async fn a_session_is_resumed_with_its_project() {
    let libra = start(&HEALTHY).await;
    let mut resuming = setup();
    resuming["sessionResumption"] = json!({});
    for turns in 1..=5 {
        let mut socket = session(&libra, resuming).await;
        let first = hear(&mut socket).await;
        assert!(first["sessionResumptionUpdate"]["newHandle"].is_string(), "{first}");
        says(&mut socket, "hello").await;
        let (_, text) = turn(&mut socket).await;
        assert!(text.starts_with(&format!("Turn {turns}.")), "{text}");
        let handle = hear(&mut socket).await["sessionResumptionUpdate"]["newHandle"].clone();
        resuming = setup();
        resuming["sessionResumption"] = json!({ "handle": handle });
        drop(socket);
    }
    let used = libra.simulator.counts().keys.into_values().filter(|counts| counts.requests > 0);
    assert_eq!(used.map(|counts| counts.requests).collect::<Vec<_>>(), [5], "one project had them all");

    // Another gateway does not know whose the session is, and finds out.
    let other = start_with(Arc::clone(&libra.simulator), &HEALTHY, &[]).await;
    let mut socket = session(&other, resuming).await;
    hear(&mut socket).await;
    says(&mut socket, "hello").await;
    assert!(turn(&mut socket).await.1.starts_with("Turn 6."));
    let mut unknown = setup();
    unknown["sessionResumption"] = json!({ "handle": "nobody's" });
    let (mut socket, _) = dial(&other, &format!("{SERVICE}?key={CLIENT}")).await.expect("an upgrade");
    let message = Message::text(json!({ "setup": unknown }).to_string());
    socket.send(message).await.expect("it is open");
    assert_eq!(closed(&mut socket).await, (1008, "BidiGenerateContent session not found".to_owned()));
}

#[tokio::test]
async fn keys_that_cannot_serve_are_passed_over() {
    let keys = [
        ("key-leaked", faulty(Fault::Leaked)),
        ("key-invalid", faulty(Fault::Invalid)),
        ("key-limited", faulty(Fault::MinuteLimit)),
        ("key-good", Condition::Healthy),
    ];
    let libra = start(&keys).await;
    for _ in 0..4 {
        let mut socket = session(&libra, setup()).await;
        says(&mut socket, "hello").await;
        assert!(turn(&mut socket).await.1.contains("hello"));
    }
    assert_eq!(libra.simulator.counts().key("key-good").requests, 4);
    let log = libra.log();
    for class in ["KeyLeaked", "KeyInvalid", "Quota"] {
        assert!(log.contains(class), "{class}: {log}");
    }
}

#[tokio::test]
async fn closes_pass_in_both_directions() {
    let libra = start(&HEALTHY[..1]).await;
    let mut socket = session(&libra, setup()).await;
    says(&mut socket, "{{close=1011:Deadline expired before operation could complete.}}").await;
    let expected = (1011, "Deadline expired before operation could complete.".to_owned());
    assert_eq!(closed(&mut socket).await, expected);
    // What is wrong with the request is told in Google's words.
    let (mut socket, _) = dial(&libra, &format!("{SERVICE}?key={CLIENT}")).await.expect("an upgrade");
    let wrong = json!({ "setup": { "model": "models/none" } });
    socket.send(Message::text(wrong.to_string())).await.expect("it is open");
    let (code, reason) = closed(&mut socket).await;
    assert!(code == 1008 && reason.starts_with("models/none is not found for API version"), "{reason}");
}

#[tokio::test]
async fn a_slow_client_slows_google() {
    const MESSAGE: usize = 100 << 10;
    const COUNT: usize = 600;
    let libra = start(&HEALTHY[..1]).await;
    let mut socket = session(&libra, setup()).await;
    let before = resident(&libra);
    says(&mut socket, &format!("{{{{chunks={COUNT}}}}} {{{{chunk_bytes={MESSAGE}}}}}")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = resident(&libra).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes are held for a client that does not read");
    let (messages, text) = turn(&mut socket).await;
    assert!(text.len() > COUNT * MESSAGE && messages.len() > COUNT, "all of it comes in the end");
}

/// How much memory libra takes, in bytes.
fn resident(libra: &Running) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", libra.process())).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
    line.split_whitespace().nth(1).and_then(|size| size.parse::<usize>().ok()).expect("a number") << 10
}

#[tokio::test]
async fn own_keys_serve_their_own_sessions() {
    let mut keys = HEALTHY.to_vec();
    keys.push(("own-key-1", Condition::Healthy));
    keys.push(("own-key-2", Condition::Healthy));
    let libra = start_with(simulator(&keys), &HEALTHY, &[]).await;
    let path = format!("{SERVICE}?key=own-key-1,own-key-2");
    let (mut socket, _) = dial(&libra, &path).await.expect("an upgrade");
    socket.send(Message::text(json!({ "setup": setup() }).to_string())).await.expect("it is open");
    assert_eq!(hear(&mut socket).await, json!({ "setupComplete": {} }));
    let used = libra.simulator.counts().keys.into_iter().filter(|(_, counts)| counts.requests > 0);
    let used: Vec<String> = used.map(|(key, _)| key).collect();
    assert!(used.len() == 1 && used[0].starts_with("own-key-"), "{used:?}");
}

#[tokio::test]
async fn a_token_is_good_with_the_project_that_minted_it() {
    // What others minted is theirs; here nothing but what was minted through the gateway is served.
    let strict = [("LIBRA_CLIENT_KEYS", "deny")];
    let libra = start_with(simulator(&HEALTHY), &HEALTHY, &strict).await;
    let constrained = SERVICE.replace("v1beta", "v1alpha") + "Constrained";
    for _ in 0..5 {
        let (status, token) = libra.post("/v1alpha/auth_tokens", "{}").await;
        assert_eq!(status, 200, "{token}");
        let token: Value = serde_json::from_str(&token).expect("JSON");
        let path = format!("{constrained}?access_token={}", token["name"].as_str().expect("a name"));
        let (mut socket, _) = dial(&libra, &path).await.expect("an upgrade");
        socket.send(Message::text(json!({ "setup": setup() }).to_string())).await.expect("it is open");
        assert_eq!(hear(&mut socket).await, json!({ "setupComplete": {} }));
        says(&mut socket, "hello").await;
        assert!(turn(&mut socket).await.1.contains("hello"));
    }
    let path = format!("{constrained}?access_token=auth_tokens/unknown");
    let refused = dial(&libra, &path).await.expect_err("nobody minted it here");
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 401), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_in_geminis_words() {
    let libra = start(&HEALTHY[..1]).await;
    let (status, body) = libra.get(SERVICE).await;
    assert!(status == 400 && body.contains("WebSocket"), "{status} {body}");
    let refused = dial(&libra, SERVICE).await.expect_err("there is no key");
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 401), "{refused:?}");
    let (status, body) = libra.post(SERVICE, "{}").await;
    assert_eq!(status, 405, "{body}");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_told() {
    let libra = start(&HEALTHY[..1]).await;
    let mut socket = session(&libra, setup()).await;
    let large = Message::binary(vec![b'x'; 17 << 20]);
    let (code, reason) = match socket.send(large).await {
        Ok(()) => closed(&mut socket).await,
        Err(error) => panic!("the client is read to its end: {error}"),
    };
    assert_eq!((code, reason.as_str()), (1009, "A message may have 16 MiB at most."));
}

#[tokio::test]
async fn a_restart_says_goodbye() {
    let mut libra = start(&HEALTHY[..1]).await;
    let mut socket = session(&libra, setup()).await;
    let killed = std::process::Command::new("kill").arg(libra.process().to_string()).status();
    assert!(killed.expect("kill runs").success());
    assert_eq!(closed(&mut socket).await, (1001, "The gateway is being restarted.".to_owned()));
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    let ended = tokio::task::spawn_blocking(move || libra.wait());
    let status = tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it ends in time");
    assert!(status.expect("it ended").success());
}

/// A Gemini that answers handshakes with what it is given, and tells their heads.
async fn gemini<F, A>(serve: F) -> String
where
    F: Fn(TcpStream) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn messages_pass_byte_for_byte() {
    let upstream = gemini(|stream| async move {
        let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
        // The setup first; then an echo, once all is there.
        let _ = socket.next().await;
        let _ = socket.send(Message::text("{\"setupComplete\" : {}}")).await;
        let mut heard = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            if message != Message::text("that is all") {
                heard.push(message);
                continue;
            }
            for message in heard.drain(..) {
                let _ = socket.send(message).await;
            }
        }
    })
    .await;
    let libra = Running::start_with(simulator(&[]), &upstream, &[("LIBRA_KEYS", "pool-key")]);
    let (mut socket, _) = dial(&libra, &format!("{SERVICE}?key={CLIENT}")).await.expect("an upgrade");
    let messages = [
        Message::text(format!("{{ \"setup\" : {{ \"model\": \"{MODEL}\" , \"x\": 1.0 }} }}")),
        Message::text("{ \"a\" : 1.0, \"\\u00e9\": \"é 语\" }"),
        Message::binary(b"{ \"a\" : 1.0 }\n".to_vec()),
        Message::binary(vec![0, 159, 146, 150]),
        Message::text(""),
        Message::binary(vec![b'y'; 3 << 20]),
    ];
    socket.send(messages[0].clone()).await.expect("it is open");
    assert_eq!(next(&mut socket).await, Message::text("{\"setupComplete\" : {}}"));
    let began = Instant::now();
    for message in &messages[1..] {
        socket.send(message.clone()).await.expect("it is open");
    }
    socket.send(Message::text("that is all")).await.expect("it is open");
    for message in &messages[1..] {
        assert!(next(&mut socket).await == *message, "{} bytes", message.len());
    }
    assert!(began.elapsed() < Duration::from_secs(10), "no side waits for the other, or for a ping");
}

#[tokio::test]
async fn googles_key_goes_up_in_its_header_alone() {
    let (heads, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let upstream = gemini(move |mut stream| {
        let heads = heads.clone();
        async move {
            let (mut head, mut byte) = (Vec::new(), [0; 1]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.unwrap_or(0) > 0 {
                head.push(byte[0]);
            }
            let _ = heads.send(String::from_utf8_lossy(&head).to_ascii_lowercase());
            let wrong = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-accept: wrong\r\n\r\n";
            let _ = stream.write_all(wrong.as_bytes()).await;
        }
    })
    .await;
    let libra = Running::start_with(simulator(&[]), &upstream, &[("LIBRA_KEYS", "pool-key")]);
    let (mut socket, _) = dial(&libra, &format!("{SERVICE}?key={CLIENT}&x=1")).await.expect("an upgrade");
    socket.send(Message::text(json!({ "setup": setup() }).to_string())).await.expect("it is open");
    let head = seen.recv().await.expect("a head");
    assert!(head.starts_with(&format!("get {SERVICE}?x=1 http/1.1\r\n").to_ascii_lowercase()), "{head}");
    for field in ["x-goog-api-key: pool-key\r\n", "upgrade: websocket\r\n", "sec-websocket-version: 13\r\n"] {
        assert_eq!(head.matches(field).count(), 1, "{field} in {head}");
    }
    assert!(!head.contains(CLIENT) && !head.contains("origin"), "{head}");
    let (code, reason) = closed(&mut socket).await;
    assert!(code == 1011 && !reason.contains("pool-key"), "{code} {reason}");
}

#[tokio::test]
async fn sessions_are_bounded_and_idle_ones_end() {
    let more = [("LIBRA_LIVE_SESSIONS", "1"), ("LIBRA_LIVE_IDLE", "500ms")];
    let libra = start_with(simulator(&HEALTHY[..1]), &HEALTHY[..1], &more).await;
    let mut socket = session(&libra, setup()).await;
    let refused = dial(&libra, &format!("{SERVICE}?key={CLIENT}")).await.expect_err("there is one already");
    assert!(matches!(&refused, Error::Http(answer) if answer.status() == 503), "{refused:?}");
    assert_eq!(closed(&mut socket).await, (1001, "Nothing was said for 0.5 s.".to_owned()));
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    wait_for(&libra, "a live session has ended").await;
    session(&libra, setup()).await;
}
