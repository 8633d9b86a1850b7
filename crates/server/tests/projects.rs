//! Which keys share a project, found out with a file in each: at the start, and for whoever has keys checked.

mod running;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::HeaderValue;
use libra_simulator::{Clock, Config, Limits, Project, Simulator};
use running::{CLIENT, Running, text};
use serde_json::{Value, json};

const KEYS: [&str; 4] =
    ["a-long-key-of-one-1", "a-long-key-of-two-1", "a-long-key-of-one-2", "a-long-key-of-two-2"];

fn two_projects() -> Arc<Simulator> {
    let project = |name: &str, keys: [&str; 2]| Project::new(name, Limits::default(), &keys);
    let projects = vec![project("one", [KEYS[0], KEYS[2]]), project("two", [KEYS[1], KEYS[3]])];
    Simulator::new(Config { projects, ..Config::default() }, Clock::system(), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_finds_its_projects_at_the_start_where_it_may() {
    for (setting, expected) in
        [("on", "4 keys = 2 projects"), ("off", "4 keys = at most 4 projects (unverified)")]
    {
        let simulator = two_projects();
        let pool = KEYS.join(",");
        let settings = [("LIBRA_KEYS", pool.as_str()), ("LIBRA_PROJECT_PROBE", setting)];
        let running = Running::start(Arc::clone(&simulator), &settings).await;
        let mut said = running.log();
        for _ in 0..100 {
            if said.contains(expected) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            said = running.log();
        }
        assert!(said.contains(expected), "{setting}: {said}");
        assert!(!said.contains("a-long-key"), "{said}");
        assert_eq!(simulator.files_kept(), 0, "nothing is left behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_client_is_told_which_keys_share_a_project() {
    let simulator = two_projects();
    let running =
        Running::start(Arc::clone(&simulator), &[("LIBRA_KEYS", "some-other-key-of-the-pool")]).await;
    let verify = async |client: Option<&str>, path: &str| {
        let mut request = running.request(Method::POST, path, "");
        let headers = request.headers_mut();
        headers.remove("authorization");
        headers.insert("x-goog-api-key", HeaderValue::from_str(&KEYS.join(",")).expect("a value"));
        if let Some(client) = client {
            headers.insert("authorization", format!("Bearer {client}").parse().expect("a value"));
        }
        let answer = running.send(request).await;
        (answer.status().as_u16(), text(answer).await.expect("text"))
    };
    let (status, body) = verify(Some(CLIENT), "/verify?format=json&projects=1").await;
    assert_eq!(status, 200, "{body}");
    let results: Vec<Value> = serde_json::from_str(&body).expect("JSON");
    assert_eq!(results.len(), 5);
    let found = &results[4];
    assert_eq!(found["unclear"], json!([]), "{found}");
    assert_eq!(found["projects"].as_array().map(Vec::len), Some(2), "{found}");
    assert!(!body.contains("a-long-key"), "{body}");
    assert_eq!(simulator.files_kept(), 0);
    let (_, body) = verify(Some(CLIENT), "/verify?projects=1").await;
    assert!(body.trim_end().ends_with("\"unclear\":[]}"), "{body}");
    assert_eq!(verify(None, "/verify?projects=1").await.0, 401);
    let (_, body) = verify(Some(CLIENT), "/verify?format=json").await;
    assert_eq!(serde_json::from_str::<Vec<Value>>(&body).expect("JSON").len(), 4);
}
