//! How sessions end.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use libra_core::config::Config;
use libra_core::event::LiveEndedBy;
use libra_core::gateway::Gateway;
use libra_core::live::{Ended, Fault, Frame, Input, Outgoing};
use proptest::prelude::*;

use crate::harness::config;
use crate::play::{LEAKED, Play, READY, SETUP, binary, close, five, said};

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
