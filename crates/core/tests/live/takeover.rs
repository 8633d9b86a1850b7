//! Before Google is ready: another key takes over, or the client is told why none does.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use libra_core::config::Config;
use libra_core::event::Event;
use libra_core::failure::Class;
use libra_core::gateway::Gateway;
use libra_core::live::{Ended, Frame, Input, Outgoing};

use crate::harness::config;
use crate::play::{LEAKED, Play, READY, SETUP, binary, five, said};

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
