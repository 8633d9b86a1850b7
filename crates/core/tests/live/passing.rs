//! Messages and closes that pass, and who is read when.

use libra_core::config::{Config, Strategy};
use libra_core::event::{Event, LiveEndedBy, Usage};
use libra_core::gateway::Gateway;
use libra_core::live::{Close, Ended, Frame, Input, Outgoing};

use crate::harness::{START, config};
use crate::play::{Play, READY, SETUP, binary, close, five, said};

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
    assert_eq!(end.usage, Some(Usage { prompt: 22, total: 26, ..Usage::default() }));
    assert!(end.key.is_some());
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
        said(1008, "Consumer 'api_key:AIza-not-a-real-key_0000000000'"),
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
fn the_tokens_of_every_turn_are_counted() {
    let settings = Config { strategy: Strategy::Headroom, ..config(&["key-1"]) };
    let gateway = Gateway::new(settings, 1);
    // Of a model that nobody has proven there are no counts: the first session proves it.
    drop(Play::ready(&gateway));
    let counted = |now| gateway.view(now).each_project[0].models[0].tokens_per_minute.used;
    let before = counted(START);
    let mut play = Play::ready(&gateway);
    for turn in 1..=3 {
        play.google(r#"{"usageMetadata":{"promptTokenCount":1000,"totalTokenCount":1100}}"#);
        assert_eq!(counted(play.now) - before, turn * 1_000);
    }
}
