//! Lists that are put together from those of all projects.

use std::collections::BTreeSet;

use libra_core::config::Config;
use serde_json::Value;

use crate::google::Google;
use crate::harness::{CLIENT, Call, Harness};
use crate::uploads::upload;
use crate::{call, harness, others, pool};

/// All pages of a list: how many there were, and the names on them.
fn listed(
    harness: &mut Harness,
    google: &mut Google,
    of: impl Fn(&str) -> Call,
    size: usize,
) -> (usize, Vec<String>) {
    let (mut pages, mut names, mut token) = (0, Vec::new(), String::new());
    loop {
        let path = format!("/v1beta/files?pageSize={size}&pageToken={token}");
        let seen = harness.send(&of(&path), |request| google.answer(request));
        assert_eq!(seen.status, 200, "{}", seen.text());
        let page: Value = serde_json::from_str(seen.text()).expect("JSON");
        let items = page["files"].as_array().cloned().unwrap_or_default();
        assert!(items.len() <= size);
        names.extend(items.iter().map(|item| item["name"].as_str().expect("a name").to_owned()));
        pages += 1;
        match page["nextPageToken"].as_str() {
            Some(next) => next.clone_into(&mut token),
            None => return (pages, names),
        }
        assert!(pages < 200, "the list ends");
    }
}

fn admins(path: &str) -> Call {
    call("GET", path, "").with("x-libra-admin", "the-administrators-token")
}

#[test]
fn every_object_is_listed_once_on_pages_of_any_size() {
    let mut google = Google::default();
    for (project, count) in [("p0", 7), ("p1", 0), ("p2", 1), ("p3", 12), ("p4", 3)] {
        for _ in 0..count {
            google.make(project, "files");
        }
    }
    for size in [1, 2, 3, 5, 7, 22, 23, 24, 100] {
        let mut harness = harness();
        let (pages, names) = listed(&mut harness, &mut google, admins, size);
        assert_eq!(names.len(), 23, "{size}");
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 23, "{size}: each once");
        // None is empty: the SDKs fail at that.
        assert_eq!(pages, 23_usize.div_ceil(size), "{size}");
    }
}

#[test]
fn a_page_makes_no_more_calls_than_a_platform_allows() {
    let mut google = Google::default();
    for project in ["p0", "p3", "p4"] {
        google.make(project, "files");
    }
    let mut harness = Harness::new(Config { most_calls: Some(2), ..pool() });
    let (pages, names) = listed(&mut harness, &mut google, admins, 10);
    assert_eq!(names.len(), 3);
    assert!(pages >= 2, "{pages}");
}

#[test]
fn a_client_sees_what_it_made() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.objects.insert("files/of-somebody".to_owned(), "p1".to_owned());
    upload(&mut harness, &mut google, "mine");
    let own = |path: &str| call("GET", path, "");
    let theirs = |path: &str| others("GET", path, "");
    assert_eq!(listed(&mut harness, &mut google, own, 10).1, ["files/o1"]);
    assert!(listed(&mut harness, &mut google, theirs, 10).1.is_empty());
    assert_eq!(listed(&mut harness, &mut google, admins, 10).1.len(), 2);
}

#[test]
fn a_full_page_is_the_last_one_where_the_rest_is_others() {
    let mut google = Google::default();
    let mut harness = harness();
    for number in 0..4 {
        upload(&mut harness, &mut google, &format!("mine {number}"));
        (0..5).for_each(|project| (0..40).for_each(|_| drop(google.make(&format!("p{project}"), "files"))));
    }
    let before = google.seen.len();
    let own = |path: &str| call("GET", path, "");
    let (pages, names) = listed(&mut harness, &mut google, own, 4);
    assert_eq!((pages, names.len()), (1, 4));
    let calls = google.seen.len() - before;
    assert!(calls <= 10, "five projects have two pages of a hundred each: {calls} calls");
    let (pages, names) = listed(&mut harness, &mut google, own, 3);
    assert_eq!((pages, names.len()), (2, 4));
}

#[test]
fn the_only_client_sees_all_that_its_keys_see() {
    let mut google = Google::default();
    google.objects.insert("files/of-before".to_owned(), "p1".to_owned());
    let clients = [libra_core::secret::ApiKey::new(CLIENT)];
    let mut harness = Harness::new(Config { clients: clients.into_iter().collect(), ..pool() });
    let own = |path: &str| call("GET", path, "");
    assert_eq!(listed(&mut harness, &mut google, own, 10).1, ["files/of-before"]);
}

#[test]
fn a_project_that_cannot_be_asked_is_missing_and_said_to_be() {
    let (mut harness, mut google) = (harness(), Google::default());
    google.make("p0", "files");
    google.dead = ["p3-k0", "p3-k1"].map(str::to_owned).into();
    let seen = harness.send(&admins("/v1beta/files"), |request| google.answer(request));
    assert_eq!(seen.status, 200, "{}", seen.text());
    assert_eq!(seen.header("x-libra-missing-projects"), Some("1"));
    assert!(seen.text().contains("files/o1"));
}

#[test]
fn a_token_that_was_not_made_here_is_refused() {
    let (mut harness, mut google) = (harness(), Google::default());
    let seen =
        harness.send(&call("GET", "/v1beta/files?pageToken=CAo", ""), |request| google.answer(request));
    assert_eq!(seen.status, 400, "{}", seen.text());
}

/// "12 keys = at most 12 projects": two of them are one's, which nobody has said.
#[test]
fn keys_that_list_the_same_file_share_a_project() {
    let mut google = Google::default();
    for _ in 0..5 {
        google.make("p1", "files");
    }
    let unsaid = pool().keys.into_iter().map(|key| libra_core::config::PoolKey { project: None, ..key });
    let mut harness = Harness::new(Config { keys: unsaid.collect(), ..pool() });
    assert_eq!(harness.gateway.project_counts().count, 10);
    for size in [2, 10] {
        let (_, names) = listed(&mut harness, &mut google, admins, size);
        assert_eq!(names.len(), 5, "each once: {names:?}");
    }
    assert_eq!(harness.gateway.project_counts().count, 9, "that they see the same is proof");
}
