//! Sessions that go on in the project that has them.

use libra_core::gateway::Gateway;
use libra_core::live::{Input, Outgoing};
use libra_core::secret::ApiKey;

use crate::harness::{CLIENT, START, config};
use crate::play::{PATH, Play, READY, SETUP, accept, five, head, said};

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
    assert_eq!(asks("h9"), std::slice::from_ref(&owner));
    assert_eq!(asks("h8"), [owner]);
    assert!(asks("h7").len() > 1);
}
