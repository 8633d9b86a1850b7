//! Sessions of the Live API against a scripted Google, in virtual time.

mod harness;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use harness::{CLIENT, START, config};
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use libra_core::config::{ClientKeys, Config};
use libra_core::event::{Event, LiveEnded, LiveEndedBy, Usage};
use libra_core::failure::Class;
use libra_core::gateway::{Accepted, Gateway, Head};
use libra_core::live::{Close, Ended, Fault, Frame, Input, Outgoing, Session, Step};
use libra_core::secret::ApiKey;
use libra_core::time::Timestamp;
use proptest::prelude::*;

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";
const SETUP: &str =
    r#"{"setup": {"model": "models/gemini-2.5-flash", "generationConfig": {"temperature": 1.0}}}"#;
const READY: &str = r#"{"setupComplete": {}}"#;
const LEAKED: &str = r#"{"error":{"code":403,"message":"Your API key was reported as leaked. Please use another API key.","status":"PERMISSION_DENIED"}}"#;

/// What goes on between a client, the gateway and Google.
struct Play {
    session: Session,
    now: Timestamp,
    /// What Google was asked for.
    asked: Vec<Request<()>>,
    /// What Google got since the last connection.
    up: Vec<Outgoing>,
    down: Vec<Outgoing>,
    dropped: usize,
    waits_until: Timestamp,
    is_over: bool,
    events: Vec<Event>,
}

fn head(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers: HeaderMap = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("a value")))
    .collect();
    for (name, value) in fields {
        headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
    }
    headers
}

fn accept(
    gateway: &Arc<Gateway>,
    uri: &str,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<Session, Response<Bytes>> {
    let uri = uri.parse().expect("a URI");
    let head = Head { method: &Method::GET, uri: &uri, headers, peer: [127, 0, 0, 1].into() };
    match gateway.accept(&head, now) {
        Accepted::Upgrade(session) => Ok(*session),
        Accepted::Reply(reply) => Err(reply),
        other => panic!("{other:?}"),
    }
}

impl Play {
    fn of(session: Session) -> Self {
        let mut play = Self {
            session,
            now: START,
            asked: Vec::new(),
            up: Vec::new(),
            down: Vec::new(),
            dropped: 0,
            waits_until: START,
            is_over: false,
            events: Vec::new(),
        };
        play.settle();
        play
    }

    fn with(gateway: &Arc<Gateway>) -> Self {
        let session = accept(gateway, PATH, &head(&[("x-goog-api-key", CLIENT)]), START);
        Self::of(session.expect("a session"))
    }

    fn settle(&mut self) {
        loop {
            match self.session.poll(self.now) {
                Step::Connect(request) => {
                    self.asked.push(*request);
                    self.up.clear();
                }
                Step::Disconnect => self.dropped += 1,
                Step::Wait(until) => {
                    let (up, down) = (self.up.len(), self.down.len());
                    self.up.extend(std::iter::from_fn(|| self.session.to_upstream(self.now)));
                    self.down.extend(std::iter::from_fn(|| self.session.to_client(self.now)));
                    if (up, down) == (self.up.len(), self.down.len()) {
                        self.waits_until = until;
                        break;
                    }
                }
                Step::End => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.events.extend(self.session.take_events());
    }

    fn tell(&mut self, input: Input) {
        self.session.handle(input, self.now);
        self.settle();
    }

    fn client(&mut self, text: &str) {
        assert!(self.session.reads_client());
        self.tell(Input::FromClient(Frame::text(text.to_owned())));
    }

    fn google(&mut self, text: &str) {
        assert!(self.session.reads_upstream());
        self.tell(Input::FromUpstream(binary(text)));
    }

    fn connected(&mut self) {
        self.tell(Input::Connected(HeaderMap::new()));
    }

    /// To where frames pass.
    fn ready(gateway: &Arc<Gateway>) -> Self {
        let mut play = Self::with(gateway);
        play.client(SETUP);
        play.connected();
        play.google(READY);
        play.down.clear();
        play.up.clear();
        play
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.settle();
    }

    fn key(&self) -> &str {
        self.asked.last().expect("it was asked").headers()["x-goog-api-key"].to_str().expect("a key")
    }

    fn closed(&self) -> (u16, &str) {
        match self.down.last() {
            Some(Outgoing::Close(Some(close))) => (close.code, &close.reason),
            other => panic!("no close: {other:?}"),
        }
    }

    fn end(&self) -> &LiveEnded {
        let mut ends = self.events.iter().filter_map(|event| match event {
            Event::LiveEnded(end) => Some(end),
            _ => None,
        });
        let end = ends.next().expect("an end");
        assert_eq!(ends.next(), None, "there is one end");
        end
    }
}

fn binary(text: &str) -> Frame {
    Frame { payload: Bytes::from(text.to_owned()), is_text: false }
}

fn close(code: u16, reason: &str) -> Close {
    Close { code, reason: reason.to_owned() }
}

fn said(code: u16, reason: &str) -> Ended {
    Ended::Said(Some(close(code, reason)))
}

fn five() -> Arc<Gateway> {
    Gateway::new(config(&["key-1", "key-2", "key-3", "key-4", "key-5"]), 1)
}

#[test]
fn what_is_refused_before_the_upgrade() {
    let check = |gateway: &Arc<Gateway>, uri: &str, headers: &HeaderMap, expected: u16, says: &str| {
        let reply = accept(gateway, uri, headers, START).expect_err(uri);
        let body = String::from_utf8_lossy(reply.body()).into_owned();
        assert_eq!(reply.status(), expected, "{uri}: {body}");
        assert!(body.starts_with(r#"{"error":{"code":"#) && body.contains(says), "{uri}: {body}");
        assert_eq!(reply.headers()["access-control-allow-origin"], "*");
    };
    let gateway = five();
    let good = head(&[("x-goog-api-key", CLIENT)]);
    let mut plain = good.clone();
    plain.remove("upgrade");
    check(&gateway, PATH, &plain, 400, "Upgrade: websocket");
    check(&gateway, PATH, &head(&[]), 401, "No API key");
    check(&gateway, PATH, &head(&[("x-goog-api-key", "stranger")]), 401, "may not use");
    check(
        &gateway,
        "/ws/google.ai.generativelanguage.v9.GenerativeService.BidiGenerateContent",
        &good,
        404,
        "nothing",
    );
    let busy = Gateway::new(Config { live_sessions: 1, ..config(&["key-1"]) }, 1);
    let first = accept(&busy, PATH, &good, START).expect("one may be");
    check(&busy, PATH, &good, 503, "LIBRA_LIVE_SESSIONS");
    drop(first);
    assert!(accept(&busy, PATH, &good, START).is_ok(), "it was given back");
    let mut play = Play::with(&busy);
    play.client(SETUP);
    play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    drop(play);
    check(&busy, PATH, &good, 503, "No key of this gateway");
}

#[test]
fn every_path_leads_to_googles_and_one_credential_goes_up() {
    let check = |base: &str, uri: &str, expected: &str| {
        let gateway = Gateway::new(Config { base_path: base.to_owned(), ..config(&["key-1"]) }, 1);
        let fields = [
            ("authorization", "Bearer client-key"),
            ("user-agent", "google-genai-sdk/3.4.0"),
            ("origin", "https://where.example"),
            ("cookie", "a=b"),
            ("sec-websocket-protocol", "x"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let session = accept(&gateway, uri, &head(&fields), START).expect("a session");
        let answer = session.head();
        assert_eq!(answer.status(), 101);
        assert!(answer.headers().contains_key("x-libra-request-id"));
        assert_eq!(answer.headers()["access-control-allow-origin"], "*");
        let mut play = Play::of(session);
        play.client(SETUP);
        let request = &play.asked[0];
        assert_eq!(
            request.uri().path_and_query().map(ToString::to_string).as_deref(),
            Some(expected),
            "{uri}"
        );
        let mut names: Vec<&str> = request.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["user-agent", "x-goog-api-key"]);
        assert_eq!(play.key(), "key-1");
    };
    const SERVICE: &str = "google.ai.generativelanguage.v1.GenerativeService.BidiGenerateContent";
    let google = format!("/ws/{SERVICE}");
    check("", &google, &google);
    check("", &format!("//ws/{SERVICE}?key={CLIENT}"), &google);
    check("", &format!("/v1beta/ws/{SERVICE}?alt=ws&key={CLIENT}"), &format!("{google}?alt=ws"));
    check("/gemini", &format!("/gemini//ws/{SERVICE}/"), &google);
    let music = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic";
    check("", music, music);
}

#[test]
fn frames_pass_as_they_are() {
    let mut play = Play::with(&five());
    assert!(play.asked.is_empty(), "nobody is asked before the model is known");
    let setup = binary(SETUP);
    play.tell(Input::FromClient(setup.clone()));
    assert_eq!(play.asked.len(), 1);
    play.connected();
    assert_eq!(play.up, [Outgoing::Frame(setup)]);
    play.google(READY);
    assert_eq!(play.down, [Outgoing::Frame(binary(READY))]);
    play.client("{ \"realtimeInput\" : 1.0 }");
    assert_eq!(play.up.last(), Some(&Outgoing::Frame(Frame::text("{ \"realtimeInput\" : 1.0 }".to_owned()))));
    let turn = r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":11,"responseTokenCount":2,"totalTokenCount":13}}"#;
    play.google(turn);
    play.google(turn);
    assert_eq!(play.down.last(), Some(&Outgoing::Frame(binary(turn))));
    play.tell(Input::ClientEnded(said(1000, "done")));
    assert_eq!(play.up.last(), Some(&Outgoing::Close(Some(close(1000, "done")))));
    assert!(!play.is_over);
    play.tell(Input::UpstreamEnded(said(1000, "")));
    assert!(play.is_over);
    let end = play.end();
    assert_eq!((end.by, end.code, end.attempts), (LiveEndedBy::Client, 1000, 1));
    assert_eq!((end.up.frames, end.down.frames), (2, 3));
    assert_eq!(end.down.bytes, (READY.len() + 2 * turn.len()) as u64);
    assert_eq!(end.usage, Some(Usage { prompt: 22, total: 26 }));
    assert!(end.key.is_some());
}

#[test]
fn until_google_is_ready_another_key_takes_over() {
    type Fail = fn(&mut Play);
    const REFUSED: Fail = |play| {
        play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    };
    let failures: [(&str, Fail, Class); 8] = [
        ("an error status", REFUSED, Class::KeyLeaked),
        (
            "no connection",
            |play| play.tell(Input::Failed { stale: false, message: "refused".into() }),
            Class::Network,
        ),
        (
            "a leaked key",
            |play| {
                play.connected();
                let reason = "Your API key was reported as leaked. Please use another API key.";
                play.tell(Input::UpstreamEnded(said(1008, reason)));
            },
            Class::KeyLeaked,
        ),
        (
            "an invalid key",
            |play| {
                play.connected();
                play.tell(Input::UpstreamEnded(said(
                    1007,
                    "API key not valid. Please pass a valid API key.",
                )));
            },
            Class::KeyInvalid,
        ),
        (
            "a quota",
            |play| {
                play.connected();
                play.tell(Input::UpstreamEnded(said(1011, "You exceeded your current quota, please check")));
            },
            Class::QuotaUnnamed,
        ),
        (
            "a connection that breaks",
            |play| {
                play.connected();
                play.tell(Input::UpstreamEnded(Ended::Lost));
            },
            Class::Network,
        ),
        (
            "an error as a message",
            |play| {
                play.connected();
                play.google(LEAKED);
                assert_eq!(play.dropped, 1);
            },
            Class::KeyLeaked,
        ),
        (
            "silence",
            |play| {
                play.connected();
                play.pass(Duration::from_secs(46));
                assert_eq!(play.dropped, 1);
            },
            Class::Timeout,
        ),
    ];
    for (name, fail, class) in failures {
        let mut play = Play::with(&five());
        play.client(SETUP);
        play.client("one");
        let first = play.key().to_owned();
        fail(&mut play);
        assert_eq!(play.asked.len(), 2, "{name}");
        assert_ne!(play.key(), first, "{name}");
        play.down.retain(|out| *out != Outgoing::Ping);
        assert!(play.down.is_empty(), "{name}: {:?}", play.down);
        let found = play.events.iter().find_map(|event| match event {
            Event::AttemptFailed { class, .. } => Some(*class),
            _ => None,
        });
        assert_eq!(found, Some(class), "{name}");
        play.client("two");
        play.connected();
        assert_eq!(play.up, [Outgoing::Frame(Frame::text(SETUP.to_owned()))], "{name}: the same setup");
        play.google(READY);
        let then = ["one", "two"].map(|text| Outgoing::Frame(Frame::text(text.to_owned())));
        assert_eq!(play.up[1..], then, "{name}: what was held follows in its order");
    }
}

#[test]
fn a_dead_connection_is_nobodys_fault() {
    let mut play = Play::with(&five());
    play.client(SETUP);
    let first = play.key().to_owned();
    play.tell(Input::Failed { stale: true, message: "closed".into() });
    assert_eq!((play.asked.len(), play.key()), (2, first.as_str()));
    assert!(play.events.is_empty());
}

#[test]
fn once_google_is_ready_nothing_fails_over_and_closes_pass() {
    let check = |ended: Ended, expected: Option<Close>, code: u16| {
        let mut play = Play::ready(&five());
        play.tell(Input::UpstreamEnded(ended));
        assert_eq!(play.down, [Outgoing::Close(expected)]);
        assert_eq!(play.asked.len(), 1);
        play.tell(Input::ClientEnded(said(code, "")));
        assert!(play.is_over);
        assert_eq!((play.end().by, play.end().code), (LiveEndedBy::Upstream, code));
    };
    check(said(1011, "Deadline expired."), Some(close(1011, "Deadline expired.")), 1011);
    check(said(1008, "models/x is not found"), Some(close(1008, "models/x is not found")), 1008);
    check(said(4321, ""), Some(close(4321, "")), 4321);
    check(Ended::Said(None), None, 1005);
    check(Ended::Lost, Some(close(1011, "The connection to Google broke.")), 1011);
    check(
        said(1008, "Consumer 'api_key:AIzaSyA-0123456789-0123456789-012345678'"),
        Some(close(1008, "Consumer 'api_key:REDACTED'")),
        1008,
    );
}

#[test]
fn what_google_says_at_the_end_is_learned() {
    let gateway = Gateway::new(config(&["key-1"]), 1);
    let mut play = Play::ready(&gateway);
    play.tell(Input::UpstreamEnded(said(
        1008,
        "Your API key was reported as leaked. Please use another API key.",
    )));
    assert_eq!(gateway.pool_size(), (1, 0));
    assert!(play.events.iter().any(|event| matches!(event, Event::SetAside { .. })));
}

#[test]
fn the_last_message_goes_before_the_close() {
    let mut play = Play::ready(&five());
    play.session.handle(Input::FromUpstream(binary("last")), play.now);
    play.session.handle(Input::UpstreamEnded(said(1000, "")), play.now);
    play.settle();
    assert_eq!(play.down, [Outgoing::Frame(binary("last")), Outgoing::Close(Some(close(1000, "")))]);
}

#[test]
fn models_are_those_that_are_served_here() {
    let gateway = Gateway::new(
        Config {
            model_aliases: Config::from_vars(
                |name| (name == "LIBRA_MODEL_ALIASES").then(|| "voice=gemini-2.5-flash".to_owned()),
                |_| Err(String::new()),
            )
            .expect("an alias")
            .0
            .model_aliases,
            models_deny: vec![wildmatch("gemini-*-pro")],
            ..config(&["key-1"])
        },
        1,
    );
    let mut play = Play::with(&gateway);
    play.client(r#"{"setup": { "model":"models/voice", "x": 1.0 } }"#);
    play.connected();
    let expected = r#"{"setup": { "model":"models/gemini-2.5-flash", "x": 1.0 } }"#;
    assert_eq!(play.up, [Outgoing::Frame(Frame::text(expected.to_owned()))]);

    let check = |first: &str, code: u16, says: &str| {
        let mut play = Play::with(&gateway);
        play.client(first);
        let (told, reason) = play.closed();
        assert!(told == code && reason.contains(says), "{first}: {told} {reason}");
        assert!(play.asked.is_empty());
        play.tell(Input::ClientEnded(said(code, "")));
        assert!(play.is_over);
        assert_eq!((play.end().by, play.end().code), (LiveEndedBy::Gateway, code));
    };
    check(r#"{"setup":{"model":"models/gemini-2.5-pro"}}"#, 1008, "gemini-2.5-pro is not served");
    check(r#"{"clientContent":{}}"#, 1007, "first message");
    check("hello", 1007, "JSON");
    check(r#"{"setup":{}}"#, 1007, "setup.model");
    check(r#"{"setup":{"model":"a/../b"}}"#, 1008, "not served");
}

fn wildmatch(pattern: &str) -> wildmatch::WildMatch {
    wildmatch::WildMatch::new(pattern)
}

#[test]
fn a_fault_of_the_request_is_told_in_googles_words_at_once() {
    let mut play = Play::with(&five());
    play.client(SETUP);
    play.connected();
    let reason = "models/gemini-2.5-flash is not found for API version v1beta, or is not supported for bidiGenerateContent.";
    play.tell(Input::UpstreamEnded(said(1008, reason)));
    assert_eq!(play.closed(), (1008, reason));
    assert_eq!(play.asked.len(), 1);
    assert_eq!(play.end_after_goodbye().attempts, 1);
}

impl Play {
    fn end_after_goodbye(&mut self) -> &LiveEnded {
        self.tell(Input::ClientEnded(said(1000, "")));
        assert!(self.is_over);
        self.end()
    }
}

#[test]
fn when_nobody_has_room_the_client_hears_when() {
    let gateway = Gateway::new(Config { queue_wait: Duration::ZERO, ..config(&["key-1", "key-2"]) }, 1);
    let mut play = Play::with(&gateway);
    play.client(SETUP);
    for _ in 0..2 {
        let body = r#"{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaDimensions":{"model":"gemini-2.5-flash"},"quotaValue":"10"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"37s"}]}}"#;
        play.tell(Input::Refused(StatusCode::TOO_MANY_REQUESTS, HeaderMap::new(), body.into()));
    }
    let (code, reason) = play.closed();
    assert_eq!(code, 1013);
    assert_eq!(reason, "Try again in 37 s: every project is at its limit for gemini-2.5-flash.");

    // With patience, what rests for less than that is waited for.
    let gateway = Gateway::new(Config { queue_wait: Duration::from_secs(60), ..config(&["key-1"]) }, 1);
    let mut play = Play::with(&gateway);
    play.client(SETUP);
    play.connected();
    play.tell(Input::UpstreamEnded(said(1011, "Resource has been exhausted (e.g. check quota).")));
    assert_eq!(play.closed().1, "Try again in 3 s: every project is at its limit for gemini-2.5-flash.");
    let mut next = Play::with(&gateway);
    next.client(SETUP);
    assert!(next.asked.is_empty() && next.down.is_empty());
    next.pass(Duration::from_secs(4));
    assert_eq!(next.key(), "key-1");
}

#[test]
fn a_close_about_a_quota_says_nothing_of_other_projects() {
    let mut play = Play::with(&five());
    play.client(SETUP);
    for _ in 0..4 {
        play.connected();
        play.tell(Input::UpstreamEnded(said(
            1011,
            "You exceeded your current quota, please check your plan",
        )));
    }
    assert_eq!((play.asked.len(), play.down.len()), (5, 0));
    play.connected();
    play.google(READY);
    assert_eq!(play.down, [Outgoing::Frame(binary(READY))]);
}

#[test]
fn dead_keys_are_no_fault_of_the_client() {
    let mut play = Play::with(&Gateway::new(config(&["key-1", "key-2"]), 1));
    play.client(SETUP);
    for _ in 0..2 {
        play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    }
    let (code, reason) = play.closed();
    assert!(code == 1011 && reason.contains("No key of this gateway"), "{code} {reason}");
}

#[test]
fn a_session_is_resumed_with_its_project() {
    let gateway = five();
    let mut first = Play::ready(&gateway);
    let owner = first.key().to_owned();
    first.google(r#"{"sessionResumptionUpdate":{"newHandle":"handle-1","resumable":true}}"#);
    drop(first);
    let resumes = |handle: &str| {
        format!(
            r#"{{"setup":{{"model":"models/gemini-2.5-flash","sessionResumption":{{"handle":"{handle}"}}}}}}"#
        )
    };
    for _ in 0..5 {
        let mut play = Play::with(&gateway);
        play.client(&resumes("handle-1"));
        assert_eq!(play.key(), owner);
        // It is too old: nobody else knows it.
        play.connected();
        play.tell(Input::UpstreamEnded(said(1008, "BidiGenerateContent session not found")));
        assert_eq!(play.closed(), (1008, "BidiGenerateContent session not found"));
        assert_eq!(play.asked.len(), 1);
    }

    // One that nobody has seen: the projects are asked in turn, and none of them is to blame.
    let mut play = Play::with(&gateway);
    play.client(&resumes("unknown"));
    let mut keys = vec![play.key().to_owned()];
    for _ in 0..3 {
        play.connected();
        play.tell(Input::UpstreamEnded(said(1008, "BidiGenerateContent session not found")));
        keys.push(play.key().to_owned());
    }
    play.connected();
    play.google(READY);
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
    assert_eq!(gateway.pool_size(), (5, 5));

    // Nobody knows it.
    let mut play = Play::with(&gateway);
    play.client(&resumes("nobody's"));
    while !matches!(play.down.last(), Some(Outgoing::Close(_))) {
        play.connected();
        play.tell(Input::UpstreamEnded(said(1007, "Request contains an invalid argument.")));
    }
    assert_eq!(play.asked.len(), 5);
    assert_eq!(play.closed(), (1007, "Request contains an invalid argument."));
}

#[test]
fn a_project_that_does_not_know_a_session_is_asked_once() {
    let mut settings = config(&["key-1", "key-2", "key-3"]);
    settings.strategy = libra_core::config::Strategy::Headroom;
    for (key, project) in settings.keys.iter_mut().zip(["a", "a", "b"]) {
        key.project = Some(project.to_owned());
    }
    for _ in 0..4 {
        let gateway = Gateway::new(settings.clone(), 1);
        let mut play = Play::with(&gateway);
        play.client(r#"{"setup":{"model":"models/m","sessionResumption":{"handle":"unknown"}}}"#);
        let first = play.key().to_owned();
        play.connected();
        play.tell(Input::UpstreamEnded(said(1008, "BidiGenerateContent session not found")));
        assert_eq!(play.key() == "key-3", first != "key-3", "{first} {}", play.key());
        play.connected();
        play.tell(Input::UpstreamEnded(said(1008, "BidiGenerateContent session not found")));
        assert_eq!((play.asked.len(), play.closed().0), (2, 1008));
    }
}

#[test]
fn a_session_of_another_client_is_not_resumed() {
    let mut settings = config(&["key-1", "key-2"]);
    settings.clients = [CLIENT, "another-client"].into_iter().map(ApiKey::new).collect();
    let gateway = Gateway::new(settings, 1);
    let mut first = Play::ready(&gateway);
    first.google(r#"{"sessionResumptionUpdate":{"newHandle":"handle-1","resumable":true}}"#);
    let session = accept(&gateway, PATH, &head(&[("x-goog-api-key", "another-client")]), START);
    let mut play = Play::of(session.expect("a session"));
    play.client(r#"{"setup":{"model":"models/m","sessionResumption":{"handle":"handle-1"}}}"#);
    assert_eq!(play.closed(), (1008, "The session to resume is another client's."));
    assert!(play.asked.is_empty());
}

#[test]
fn nobody_is_served_with_another_clients_own_key() {
    let gateway = five();
    let begin = |keys: &str| {
        let session = accept(&gateway, &format!("{PATH}?key={keys}"), &head(&[]), START);
        Play::of(session.expect("a session"))
    };
    let mut first = begin("annas-1,annas-2");
    first.client(SETUP);
    first.connected();
    first.google(r#"{"sessionResumptionUpdate":{"newHandle":"handle-1","resumable":true}}"#);
    let resumed = r#"{"setup":{"model":"models/m","sessionResumption":{"handle":"handle-1"}}}"#;
    for _ in 0..3 {
        let mut other = begin("berts-1,berts-2");
        other.client(resumed);
        assert!(other.key().starts_with("berts-"), "{}", other.key());
        let mut same = begin("annas-1,annas-2");
        same.client(resumed);
        assert_eq!(same.key(), first.key());
    }
}

#[test]
fn older_handles_of_a_session_are_forgotten() {
    let gateway = five();
    let mut play = Play::ready(&gateway);
    gateway.take_changes();
    for number in 0..10 {
        play.google(&format!(
            r#"{{"sessionResumptionUpdate":{{"newHandle":"h{number}","resumable":true}}}}"#
        ));
    }
    let owner = play.key().to_owned();
    let asks = |handle: &str| {
        let keys = (0..8).map(|_| {
            let mut play = Play::with(&gateway);
            play.client(&format!(
                r#"{{"setup":{{"model":"models/m","sessionResumption":{{"handle":"{handle}"}}}}}}"#
            ));
            play.key().to_owned()
        });
        let mut keys: Vec<String> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    };
    assert_eq!(asks("h9"), [owner.clone()]);
    assert_eq!(asks("h8"), [owner]);
    assert!(asks("h7").len() > 1);
}

#[test]
fn own_keys_are_served_with_themselves() {
    let gateway = five();
    let session = accept(&gateway, &format!("{PATH}?key=own-1,own-2"), &head(&[]), START);
    let mut play = Play::of(session.expect("a session"));
    play.client(SETUP);
    let first = play.key().to_owned();
    assert!(first.starts_with("own-"), "{first}");
    play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    let second = play.key().to_owned();
    assert!(second.starts_with("own-") && second != first, "{second}");
    play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into()));
    let (code, reason) = play.closed();
    assert!(code == 1008 && reason.contains("reported as leaked"), "{code} {reason}");
    assert_eq!(gateway.pool_size(), (5, 5), "the pool has learned nothing");
}

#[test]
fn an_ephemeral_token_goes_up_alone() {
    let path = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained";
    let gateway = five();
    let token = [("authorization", "Token auth_tokens/abc-123"), ("x-goog-api-key", "auth_tokens/abc-123")];
    let mut play = Play::of(accept(&gateway, path, &head(&token), START).expect("a session"));
    play.client(r#"{"setup":{}}"#);
    let request = &play.asked[0];
    let expected = format!("{path}?access_token=auth_tokens/abc-123");
    assert_eq!(request.uri().path_and_query().map(ToString::to_string), Some(expected));
    assert!(request.headers().is_empty(), "{:?}", request.headers());
    play.connected();
    play.tell(Input::UpstreamEnded(said(1008, "Token auth_tokens/abc-123 has expired")));
    let (code, reason) = play.closed();
    assert!(code == 1008 && !reason.contains("abc-123"), "{code} {reason}");
    assert_eq!(play.asked.len(), 1, "there is no other token");

    let strict = Gateway::new(Config { client_keys: ClientKeys::Deny, ..config(&["key-1"]) }, 1);
    assert_eq!(accept(&strict, path, &head(&token), START).expect_err("a stranger").status(), 401);
}

#[test]
fn a_client_is_read_as_far_as_there_is_room() {
    let mut play = Play::with(&five());
    assert!(play.session.reads_client() && !play.session.reads_upstream());
    play.client(SETUP);
    let mut held = 0;
    while play.session.reads_client() {
        play.client(&"x".repeat(100 << 10));
        held += 1;
        assert!(held < 100);
    }
    assert_eq!(held, 11, "1 MiB, and the message that passed it");
    play.connected();
    play.google(READY);
    assert_eq!(play.up.len(), 1 + held);
    assert!(play.session.reads_client());
    // From here on one message is under way in each direction.
    play.session.handle(Input::FromClient(binary("a")), play.now);
    play.session.handle(Input::FromUpstream(binary("b")), play.now);
    assert!(!play.session.reads_client() && !play.session.reads_upstream());
    assert!(play.session.to_client(play.now).is_some());
    assert!(!play.session.reads_client() && play.session.reads_upstream());
    assert!(play.session.to_upstream(play.now).is_some());
    assert!(play.session.reads_client());
}

#[test]
fn little_messages_are_held_within_bounds_too() {
    let mut play = Play::with(&five());
    play.client(SETUP);
    let mut held = 0;
    while play.session.reads_client() {
        play.client("x");
        held += 1;
    }
    assert_eq!(held, 64);
}

#[test]
fn a_session_has_its_time() {
    let ends = |settings: Config, wait: u64, says: &str| {
        let mut play = Play::ready(&Gateway::new(settings, 1));
        play.pass(Duration::from_secs(wait - 1));
        play.down.retain(|out| *out != Outgoing::Ping);
        assert_eq!(play.down, []);
        play.pass(Duration::from_secs(1));
        let (code, reason) = play.closed();
        assert!(code == 1001 && reason.contains(says), "{code} {reason}");
        assert_eq!(play.up, [Outgoing::Close(Some(close(1001, "")))]);
        play.pass(Duration::from_secs(6));
        assert!(play.is_over, "nobody waits for ever for a goodbye");
        assert_eq!((play.end().by, play.end().code), (LiveEndedBy::Gateway, 1001));
    };
    ends(config(&["key-1"]), 600, "Nothing was said for 600 s.");
    let limited = Config { live_limit: Some(Duration::from_secs(30)), ..config(&["key-1"]) };
    ends(limited, 30, "may last for 30 s");

    let mut play = Play::ready(&five());
    for _ in 0..100 {
        play.pass(Duration::from_secs(500));
        play.google("{}");
    }
    assert!(!play.is_over, "whoever speaks stays");

    let mut silent = Play::with(&five());
    silent.pass(Duration::from_secs(30));
    assert_eq!(silent.closed().0, 1008);
}

#[test]
fn a_long_session_keeps_its_lease() {
    let gateway = Gateway::new(Config { live_idle: None, ..config(&["key-1"]) }, 1);
    let mut play = Play::ready(&gateway);
    let in_flight = |now| {
        gateway.due(now);
        gateway.view(now).each_project[0].keys[0].in_flight
    };
    for minutes in 0..180 {
        play.pass(Duration::from_secs(60));
        assert_eq!(in_flight(play.now), 1, "{minutes} min");
    }
    let now = play.now;
    drop(play);
    assert_eq!(in_flight(now), 0);
}

#[test]
fn signs_of_life_keep_proxies_from_closing() {
    let mut play = Play::ready(&five());
    for _ in 0..60 {
        play.pass(Duration::from_secs(1));
    }
    assert_eq!(play.down, [Outgoing::Ping, Outgoing::Ping, Outgoing::Ping]);
}

#[test]
fn a_client_that_leaves_takes_the_session_along() {
    // Before Google is ready.
    for connected in [false, true] {
        let mut play = Play::with(&five());
        play.client(SETUP);
        if connected {
            play.connected();
        }
        play.tell(Input::ClientEnded(Ended::Lost));
        assert!(play.is_over);
        assert_eq!((play.end().by, play.end().code), (LiveEndedBy::Client, 1006));
    }
    // And after.
    let mut play = Play::ready(&five());
    play.tell(Input::ClientEnded(Ended::Lost));
    assert_eq!(play.up, [Outgoing::Close(Some(close(1001, "")))]);
    play.tell(Input::UpstreamEnded(Ended::Lost));
    assert!(play.is_over);
}

#[test]
fn a_stop_ends_it_at_any_time() {
    let stages: [fn() -> Play; 4] = [
        || Play::with(&five()),
        || {
            let mut play = Play::with(&five());
            play.client(SETUP);
            play
        },
        || {
            let mut play = Play::with(&five());
            play.client(SETUP);
            play.connected();
            play
        },
        || Play::ready(&five()),
    ];
    for stage in stages {
        let mut play = stage();
        play.tell(Input::Stop);
        assert_eq!(play.closed(), (1001, "The gateway is being restarted."));
        play.tell(Input::ClientEnded(said(1001, "")));
        play.tell(Input::UpstreamEnded(Ended::Lost));
        assert!(play.is_over);
        play.end();
    }
}

#[test]
fn a_client_that_breaks_the_protocol_is_told() {
    let mut play = Play::ready(&five());
    play.tell(Input::ClientFault(Fault::TooLarge));
    assert_eq!(play.closed().0, 1009);
    let mut play = Play::with(&five());
    play.tell(Input::ClientFault(Fault::Malformed));
    assert_eq!(play.closed().0, 1007);
}

#[test]
fn a_session_that_is_dropped_is_told_of_once() {
    let mut play = Play::ready(&five());
    play.session.abandon(play.now);
    play.session.abandon(play.now);
    play.settle();
    assert!(play.is_over);
    play.end();
}

fn any_input() -> impl Strategy<Value = u8> {
    0..16u8
}

proptest! {
    /// Whatever happens in whatever order, a session goes on or ends, once, and asks for nothing without end.
    #[test]
    fn any_order_of_events_ends(inputs in proptest::collection::vec(any_input(), 0..40)) {
        let mut play = Play::with(&five());
        for input in inputs {
            if play.is_over {
                break;
            }
            let now = play.now;
            match input {
                0 => play.tell(Input::FromClient(Frame::text(SETUP.to_owned()))),
                1 => play.tell(Input::FromClient(binary("{}"))),
                2 | 3 => play.connected(),
                4 | 5 => play.tell(Input::FromUpstream(binary(READY))),
                6 => play.tell(Input::FromUpstream(binary(LEAKED))),
                7 => play.tell(Input::Refused(StatusCode::FORBIDDEN, HeaderMap::new(), LEAKED.into())),
                8 => play.tell(Input::Failed { stale: true, message: String::new() }),
                9 => play.tell(Input::Failed { stale: false, message: String::new() }),
                10 => play.tell(Input::UpstreamEnded(said(1011, "Internal error encountered."))),
                11 => play.tell(Input::UpstreamEnded(Ended::Lost)),
                12 => play.tell(Input::ClientEnded(Ended::Said(None))),
                13 => play.tell(Input::ClientFault(Fault::Malformed)),
                14 => play.tell(Input::Stop),
                _ => play.pass(Duration::from_secs(31)),
            }
            prop_assert!(play.now >= now && play.asked.len() <= 10);
        }
        // Time alone ends it.
        for _ in 0..40 {
            play.pass(Duration::from_secs(601));
        }
        prop_assert!(play.is_over);
        play.end();
    }
}
