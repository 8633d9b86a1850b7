//! Files that come: where they go, and that their bytes follow them.

use crate::google::Google;
use crate::harness::{Call, End, Harness, Seen};
use crate::{call, harness};
use libra_core::exchange::{Op, Step};

/// Begins an upload. The path and query of the address at which it goes on.
fn start(harness: &mut Harness, google: &mut Google) -> (Seen, String) {
    let mut start = call("POST", "/upload/v1beta/files", r#"{"file":{"displayName":"a"}}"#);
    start.headers.push(("x-goog-upload-protocol", "resumable".to_owned()));
    start.headers.push(("x-goog-upload-command", "start".to_owned()));
    start.headers.push(("x-goog-upload-header-content-length", "10".to_owned()));
    let seen = harness.send(&start, |request| google.answer(request));
    assert_eq!(seen.status, 200, "{}", seen.text());
    let address = seen.header("x-goog-upload-url").expect("an address").to_owned();
    let path = address.strip_prefix("http://libra.example").expect("the gateway's address").to_owned();
    (seen, path)
}

/// Uploads a file. Its answer.
pub(crate) fn upload(harness: &mut Harness, google: &mut Google, bytes: &str) -> serde_json::Value {
    let (_, path) = start(harness, google);
    let seen = harness.send(&piece(&path, "upload, finalize", 0, bytes), |request| google.answer(request));
    assert_eq!((seen.status, seen.header("x-goog-upload-status")), (200, Some("final")), "{}", seen.text());
    serde_json::from_str(seen.text()).expect("JSON")
}

fn piece(path: &str, command: &str, offset: u64, bytes: &str) -> Call {
    let mut call = call("PUT", path, bytes);
    call.headers[2].1 = "application/octet-stream".to_owned();
    call.headers.push(("x-goog-upload-command", command.to_owned()));
    call.headers.push(("x-goog-upload-offset", offset.to_string()));
    call
}

#[test]
fn bytes_follow_their_upload_and_prompts_their_files() {
    let (mut harness, mut google) = (harness(), Google::default());
    let (seen, path) = start(&mut harness, &mut google);
    assert_eq!(seen.header("x-goog-upload-status"), Some("active"));
    assert_eq!(seen.header("x-goog-upload-chunk-granularity"), Some("8388608"));
    assert_eq!(seen.header("x-goog-upload-control-url"), seen.header("x-goog-upload-url"));
    assert!(seen.header("x-goog-api-key").is_none());
    let first = piece(&path, "upload", 0, "01234");
    let second = piece(&path, "upload, finalize", 5, "56789");
    assert_eq!(harness.send(&first, |request| google.answer(request)).status, 200);
    let seen = harness.send(&second, |request| google.answer(request));
    assert!(seen.text().contains("\"uri\": \"http://libra.example/v1beta/files/o1\""), "{}", seen.text());
    let keys = google.keys_of("/upload/");
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert!(!google.seen.iter().any(|seen| seen.1.contains("libra_owner")), "that is nobody else's business");

    let prompt =
        r#"{"contents":[{"parts":[{"fileData":{"fileUri":"http://libra.example/v1beta/files/o1"}}]}]}"#;
    for _ in 0..3 {
        let ask = call("POST", "/v1beta/models/gemini-2.5-flash:generateContent", prompt);
        let seen = harness.send(&ask, |request| google.answer(request));
        assert_eq!(seen.status, 200, "{}", seen.text());
        assert_eq!(seen.calls.len(), 1);
        let (_, _, key, body) = google.seen.last().expect("a request");
        assert_eq!(key, google.keys_of("/upload/")[0]);
        assert!(body.contains("\"https://generativelanguage.googleapis.com/v1beta/files/o1\""), "{body}");
    }
}

#[test]
fn a_client_makes_its_files_in_one_project() {
    let (mut harness, mut google) = (harness(), Google::default());
    for number in 0..6 {
        upload(&mut harness, &mut google, &format!("file {number}"));
    }
    let project = google.objects["files/o1"].clone();
    assert!(google.objects.values().all(|other| *other == project), "{:?}", google.objects);
    let prompt = r#"{"contents":[{"parts":[{"file_data":{"file_uri":"files/o1"}},{"fileData":{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/o6"}}]}]}"#;
    let ask = call("POST", "/v1beta/models/m:generateContent", prompt);
    assert_eq!(harness.send(&ask, |request| google.answer(request)).status, 200);
    assert_eq!(google.seen.last().map(|seen| seen.3.as_str()), Some(prompt), "nothing to be turned");
}

#[test]
fn files_that_come_at_the_same_time_go_to_one_project() {
    let harness = harness();
    let keys = [(); 6].map(|()| {
        let mut start = call("POST", "/upload/v1beta/files", r#"{"file":{"displayName":"a"}}"#);
        start.headers.push(("x-goog-upload-command", "start".to_owned()));
        let mut exchange = harness.exchange(&start);
        let step = exchange.poll(harness.now);
        let Step::Start(_, Op::Upstream(request)) = step else { panic!("{step:?}") };
        // None has been answered.
        std::mem::forget(exchange);
        request.headers()["x-goog-api-key"].to_str().expect("ASCII")[..2].to_owned()
    });
    assert!(keys.iter().all(|project| *project == keys[0]), "{keys:?}");
}

#[test]
fn another_key_of_the_same_project_takes_the_next_file() {
    let (mut harness, mut google) = (harness(), Google::default());
    upload(&mut harness, &mut google, "one");
    let maker = google.keys_of("/upload/")[0].to_owned();
    google.dead.push(maker.clone());
    upload(&mut harness, &mut google, "two");
    let projects: Vec<&String> = google.objects.values().collect();
    assert_eq!(projects[0], projects[1]);
    // Where the whole project is lost, another one becomes the home.
    google.dead.extend([0, 1].map(|key| format!("{}-k{key}", &maker[..2])));
    upload(&mut harness, &mut google, "three");
    upload(&mut harness, &mut google, "four");
    let projects: Vec<&String> = google.objects.values().collect();
    assert_eq!(projects[2], projects[3]);
    assert_ne!(projects[0], projects[2]);
}

#[test]
fn new_files_go_where_an_old_one_was_found() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.objects.insert("files/old".to_owned(), "p3".to_owned());
    let seen = harness.send(&call("GET", "/v1beta/files/old", ""), |request| google.answer(request));
    assert_eq!(seen.status, 200);
    upload(&mut harness, &mut google, "new");
    assert_eq!(google.objects["files/o1"], "p3");
}

#[test]
fn an_upload_goes_on_after_a_cut() {
    // A connection that had served before breaks as one that was closed while idle does.
    for end in [End::Refused, End::Stale] {
        let (mut harness, mut google) = (harness(), Google::default());
        let (_, path) = start(&mut harness, &mut google);
        google.cut = Some((3, end));
        let whole = piece(&path, "upload, finalize", 0, "0123456789");
        let seen = harness.send(&whole, |request| google.answer(request));
        assert_eq!(seen.status, 200, "{}", seen.text());
        assert_eq!(google.uploads["u0"].1, b"0123456789");
        assert_eq!(seen.calls.len(), 3, "the piece, the question, the rest");
    }
}

#[test]
fn an_upload_goes_on_with_another_key_of_its_project_or_with_its_only_one() {
    for (keys, expected) in [(2, 2), (1, 1)] {
        let mut config = crate::pool();
        config.keys.retain(|key| keys == 2 || key.key.expose().ends_with("-k0"));
        let (mut harness, mut google) = (Harness::new(config), Google::default());
        let (_, path) = start(&mut harness, &mut google);
        google.cut = Some((3, End::Refused));
        let seen = harness
            .send(&piece(&path, "upload, finalize", 0, "0123456789"), |request| google.answer(request));
        assert_eq!((seen.status, seen.calls.len()), (200, 3), "{}", seen.text());
        let used: std::collections::BTreeSet<&String> = seen.calls.iter().collect();
        assert_eq!(used.len(), expected, "{:?}", seen.calls);
    }
}

#[test]
fn an_upload_needs_no_key_and_no_other_client_gets_it() {
    let (mut harness, mut google) = (harness(), Google::default());
    let (_, path) = start(&mut harness, &mut google);
    let mut check = |change: &dyn Fn(&mut Call), expected: u16| {
        let mut piece = piece(&path, "query", 0, "");
        change(&mut piece);
        let seen = harness.send(&piece, |request| google.answer(request));
        assert_eq!(seen.status, expected, "{}", seen.text());
    };
    check(&|_| {}, 200);
    check(&|piece| drop(piece.headers.remove(0)), 200);
    check(&|piece| piece.headers[0].1 = "other-client".to_owned(), 403);
    check(&|piece| piece.path = piece.path.replace("u0", "u1"), 403);
    check(&|piece| piece.path = format!("{}0", piece.path), 403);
    check(
        &|piece| {
            piece.headers.remove(0);
            piece.path = piece.path.replace("u0", "u1");
        },
        401,
    );
}

#[test]
fn a_restart_loses_no_upload() {
    let (mut harness, mut google) = (harness(), Google::default());
    let (_, path) = start(&mut harness, &mut google);
    let mut harness = crate::harness();
    let seen = harness.send(&piece(&path, "upload, finalize", 0, "0123"), |request| google.answer(request));
    assert_eq!(seen.status, 200, "{}", seen.text());
}
