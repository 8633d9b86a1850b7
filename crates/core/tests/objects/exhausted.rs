//! The project that has the objects of a request has no room for it.

use crate::google::Google;
use crate::harness::{Call, Harness, Seen};
use crate::uploads::upload;
use crate::{call, harness};

const PROMPT: &str = "/v1beta/models/m:generateContent";

fn send(harness: &mut Harness, google: &mut Google, call: &Call) -> Seen {
    harness.send(call, |request| google.answer(request))
}

fn owner(google: &Google, name: &str) -> String {
    google.objects[name].clone()
}

#[test]
fn files_are_uploaded_again_where_there_is_room() {
    let (mut harness, mut google) = (harness(), Google::default());
    upload(&mut harness, &mut google, "one");
    upload(&mut harness, &mut google, "two");
    let home = owner(&google, "files/o1");
    google.used_up.push(home.clone());
    let ask = call(
        "POST",
        PROMPT,
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"http://libra.example/v1beta/files/o1"}},{"fileData":{"fileUri":"files/o2"}}]}]}"#,
    );
    let seen = send(&mut harness, &mut google, &ask);
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(seen.calls.len(), 4, "the refusal, two copies, the prompt");
    let (_, _, key, body) = google.seen.last().expect("a request").clone();
    assert_ne!(key[..2], home[..2]);
    for copy in ["files/o3", "files/o4"] {
        let address = format!("\"https://generativelanguage.googleapis.com/v1beta/{copy}\"");
        assert!(body.contains(&address), "{body}");
        assert_eq!(owner(&google, copy)[..2], key[..2]);
    }
    let copied = google.seen.iter().find(|seen| seen.1.contains("multipart")).expect("a copy");
    assert!(copied.3.contains("one") && copied.3.contains("displayName"), "{}", copied.3);

    let listed = send(&mut harness, &mut google, &call("GET", "/v1beta/files", ""));
    assert!(listed.text().contains("files/o2") && !listed.text().contains("files/o3"), "{}", listed.text());
    upload(&mut harness, &mut google, "three");
    assert_eq!(owner(&google, "files/o5"), home, "in a minute there is room again");
}

#[test]
fn a_project_without_room_for_the_day_loses_its_clients() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.for_today = true;
    upload(&mut harness, &mut google, "one");
    let home = owner(&google, "files/o1");
    google.used_up.push(home.clone());
    let ask = call("POST", PROMPT, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/o1"}}]}]}"#);
    assert_eq!(send(&mut harness, &mut google, &ask).status, 200);
    upload(&mut harness, &mut google, "two");
    assert_ne!(owner(&google, "files/o3"), home, "the next ones are made where there is room");
}

#[test]
fn what_is_not_at_hand_is_refused_with_the_true_time() {
    let mut google = Google::default();
    google.objects.insert("files/old".to_owned(), "p2".to_owned());
    google.used_up.push("p2".to_owned());
    let mut harness = harness();
    let ask = call("POST", PROMPT, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/old"}}]}]}"#);
    let seen = send(&mut harness, &mut google, &ask);
    assert_eq!((seen.status, seen.header("retry-after")), (429, Some("40")), "{}", seen.text());
    let seen = send(&mut harness, &mut google, &ask);
    assert_eq!((seen.status, seen.calls.len()), (429, 0), "nobody is asked in vain");
}

#[test]
fn a_cache_is_written_out_where_there_is_room() {
    let (mut harness, mut google) = (harness(), Google::default());
    let make = call(
        "POST",
        "/v1beta/cachedContents",
        r#"{"model":"models/m","contents":[{"role":"user","parts":[{"text":"a long text"}]}],"ttl":"300s"}"#,
    );
    assert_eq!(send(&mut harness, &mut google, &make).status, 200);
    google.used_up.push(owner(&google, "cachedContents/o1"));
    let ask = call(
        "POST",
        PROMPT,
        r#"{"contents":[{"role":"user","parts":[{"text":"and?"}]}],"cachedContent":"cachedContents/o1"}"#,
    );
    let seen = send(&mut harness, &mut google, &ask);
    assert_eq!((seen.status, seen.calls.len()), (200, 2), "{}", seen.text());
    let (.., body) = google.seen.last().expect("a request");
    let expected = r#"{"contents":[{"role":"user","parts":[{"text":"a long text"}]},{"role":"user","parts":[{"text":"and?"}]}]}"#;
    assert_eq!(body, expected);
}

#[test]
fn files_of_two_projects_meet_in_one_of_them() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.objects.insert("files/old".to_owned(), "p4".to_owned());
    upload(&mut harness, &mut google, "new");
    if owner(&google, "files/o1") == "p4" {
        google.objects.insert("files/old".to_owned(), "p3".to_owned());
    }
    let there = owner(&google, "files/old");
    let ask = call(
        "POST",
        PROMPT,
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/o1"}},{"fileData":{"fileUri":"files/old"}}]}]}"#,
    );
    let seen = send(&mut harness, &mut google, &ask);
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(google.seen.last().map(|seen| seen.2[..2].to_owned()), Some(there));
}

#[test]
fn what_cannot_move_is_as_patient_as_the_queue() {
    let mut google = Google::default();
    google.objects.insert("files/old".to_owned(), "p2".to_owned());
    google.used_up.push("p2".to_owned());
    let patient = |wait| libra_core::config::Config {
        queue_wait: std::time::Duration::from_secs(wait),
        ..crate::pool()
    };
    let ask = call("POST", PROMPT, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/old"}}]}]}"#);
    for (wait, expected) in [(39, 429), (50, 200)] {
        let mut harness = Harness::new(patient(wait));
        google.used_up = vec!["p2".to_owned()];
        let mut refused = 0;
        let seen = harness.send(&ask, |request| {
            let answer = google.answer(request);
            if answer.status == 429 {
                refused += 1;
                // There is room again by the time that Google names.
                google.used_up.clear();
            }
            answer
        });
        assert_eq!((seen.status, refused), (expected, 1), "{wait}: {}", seen.text());
        assert!(expected == 429 || seen.took.as_secs() >= 40, "{:?}", seen.took);
    }
}
