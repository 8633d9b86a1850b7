//! `/admin`, and what answers carry in their heads.

mod harness;

use bytes::Bytes;
use harness::{Call, Canned, End, Harness, config};
use http::{Method, Request};
use libra_core::config::{Config, PoolKey};
use libra_core::event::Event;
use libra_core::pool::{Explanation, PoolView, Verdict};
use libra_core::secret::ApiKey;

const TOKEN: &str = "token-of-the-administration";
const BEARER: &str = "Bearer token-of-the-administration";
const GOOD: &str =
    r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP"}]}"#;

fn administered() -> Config {
    let mut config = config(&["pool-key-one", "pool-key-two"]);
    config.keys[1] = PoolKey { project: Some("team".to_owned()), ..config.keys[1].clone() };
    Config { admin_token: Some(ApiKey::new(TOKEN)), ..config }
}

fn never(request: &Request<Option<Bytes>>) -> Canned {
    panic!("{} went upstream", request.uri())
}

fn call(method: Method, path: &str, bearer: &str) -> Call {
    Call { method, ..Call::get(path).without_key().with("authorization", bearer) }
}

#[test]
fn without_a_token_there_is_no_such_path() {
    let ask = |method: &Method, path: &str| {
        let seen = Harness::new(config(&["pool-key-one"])).send(&call(method.clone(), path, BEARER), never);
        let text = seen.text().replace(path, "PATH");
        (seen.status, seen.header("access-control-allow-origin").map(str::to_owned), text)
    };
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let unknown = ask(&method, "/adminis/pool");
        for path in ["/admin", "/admin/pool", "/admin/explain", "/admin/else"] {
            assert_eq!(ask(&method, path), unknown, "{method} {path}");
        }
    }
}

#[test]
fn the_token_opens_and_browsers_stay_out() {
    let check = |method: Method, path: &str, bearer: &str, status: u16, says: &str| {
        let seen = Harness::new(administered()).send(&call(method.clone(), path, bearer), never);
        assert_eq!(seen.status, status, "{method} {path}: {}", seen.text());
        assert!(seen.text().contains(says), "{method} {path}: {}", seen.text());
        let cors: Vec<_> = seen.headers.keys().filter(|name| name.as_str().starts_with("access-")).collect();
        assert!(cors.is_empty(), "{method} {path}: {cors:?}");
        assert!(seen.header("x-libra-request-id").is_some_and(|id| id.len() == 16));
    };
    check(Method::GET, "/admin/pool", BEARER, 200, "2 keys = at most 2 projects (unverified)");
    check(Method::GET, "/admin/pool", "bearer token-of-the-administration", 200, "");
    check(Method::HEAD, "/admin/pool", BEARER, 200, "");
    check(Method::GET, "/admin/explain?model=gemini-2.5-flash&tokens=10", BEARER, 200, "\"tokens\": 10,");
    check(Method::GET, "/admin/explain", BEARER, 400, "Name a model");
    check(Method::GET, "/admin/explain?model=m&tokens=many", BEARER, 400, "tokens is a number");
    check(Method::GET, "/admin/explain?model=m&tokens=-1", BEARER, 400, "tokens is a number");
    check(Method::GET, "/admin/explain?model=..", BEARER, 404, "is not served here");
    check(Method::GET, "/admin/else", BEARER, 404, "There is /admin/pool");
    check(Method::POST, "/admin/pool", BEARER, 405, "takes GET");
    check(Method::GET, "/admin/projects/join", BEARER, 405, "takes POST");
    check(Method::POST, "/admin/projects/split", BEARER, 400, "Send JSON");
    for path in ["/admin", "/admin/pool", "/admin/explain?model=m", "/admin/else", "/admin/projects/join"] {
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            for wrong in ["Bearer token-of-the-administratio", "Bearer client-key", "Bearer ", "token", ""] {
                check(method.clone(), path, wrong, 401, "LIBRA_ADMIN_TOKEN");
            }
        }
    }
    let query = format!("/admin/pool?key={TOKEN}");
    let seen = Harness::new(administered()).send(&Call::get(&query).without_key(), never);
    assert_eq!(seen.status, 401, "a token in an address ends up in logs");
}

#[test]
fn the_pool_is_shown_and_explained_without_its_keys() {
    let mut harness = Harness::new(administered());
    harness.send(&Call::native(), |request| match request.headers()["x-goog-api-key"].to_str() {
        Ok("pool-key-one") => Canned::json(
            400,
            r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"API key not valid.","details":[
                {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#,
        ),
        _ => Canned::json(200, GOOD),
    });
    let seen = harness.send(&call(Method::GET, "/admin/pool", BEARER), never);
    assert!(!seen.text().contains("pool-key"), "{}", seen.text());
    let view: PoolView = serde_json::from_slice(&seen.body).expect("a view");
    assert_eq!((view.keys.all, view.keys.usable), (2, 1));
    let path = "/admin/explain?model=models/gemini-2.5-flash";
    let seen = harness.send(&call(Method::GET, path, BEARER), never);
    let explained: Explanation = serde_json::from_slice(&seen.body).expect("an explanation");
    assert_eq!(explained.model, "gemini-2.5-flash");
    assert_eq!(explained.projects[0].verdict, Verdict::NoUsableKey);
    assert_eq!(explained.picked.map(|picked| picked.project).as_deref(), Some("team"));
}

#[test]
fn every_answer_names_its_request_and_tells_administrators_more() {
    let stream = format!("data: {GOOD}\n\n");
    let cases = [
        (Call::native(), Some("project-")),
        (Call::native_stream(), Some("project-")),
        (Call::chat(), Some("project-")),
        (Call::chat_stream(), Some("project-")),
        (Call::get("/v1/models"), Some("project-")),
        (Call::post("/v1/chat/completions", "no JSON"), None),
        (Call::native().without_key(), None),
        (Call::get("/health"), None),
        (Call::get("/nothing"), None),
        (Call { method: Method::OPTIONS, ..Call::chat() }, None),
    ];
    let mut harness = Harness::new(Config { keys: config(&["pool-key-one"]).keys, ..administered() });
    let mut ids = std::collections::HashSet::new();
    for (call, project) in cases {
        for (shown, is_admin) in
            [(None, false), (Some("another-long-token-that-is-wrong"), false), (Some(TOKEN), true)]
        {
            let call = match shown {
                Some(token) => call.clone().with("x-libra-admin", token),
                None => call.clone(),
            };
            let mut went_up = 0;
            let seen = harness.send(&call, |request| {
                went_up += 1;
                let forbidden = |value: &str| value.contains("token") || value.contains("libra");
                for (name, value) in request.headers() {
                    let value = value.to_str().expect("ASCII");
                    assert!(!forbidden(name.as_str()) && !forbidden(value), "{name}: {value}");
                }
                match request.uri().path() {
                    path if path.ends_with("streamGenerateContent") => Canned::sse(stream.clone()),
                    path if path.ends_with("models") => Canned::json(200, r#"{"models":[]}"#),
                    _ => Canned::json(200, GOOD),
                }
            });
            let context = format!("{} {shown:?}: {:?}", call.path, seen.headers);
            let id = seen.header("x-libra-request-id").expect("every answer has one").to_owned();
            assert!(ids.insert(id.clone()), "{context}");
            assert_eq!(
                seen.header("x-libra-attempts"),
                is_admin.then_some(if went_up == 1 { "1" } else { "0" }),
                "{context}"
            );
            let told = seen.header("x-libra-project");
            let expected = project.filter(|_| is_admin && went_up == 1);
            assert!(
                told.is_some() == expected.is_some()
                    && told.unwrap_or("").starts_with(expected.unwrap_or("")),
                "{context}"
            );
            let logged = seen.events.iter().find_map(|event| match event {
                Event::Finished(end) => Some(end.request.to_string()),
                _ => None,
            });
            assert_eq!(logged, (went_up == 1).then_some(id), "{context}");
            assert_eq!(seen.header("access-control-allow-origin"), Some("*"), "{context}");
        }
    }
}

#[test]
fn administrators_are_told_of_refusals_too() {
    let mut harness = Harness::new(administered());
    let call = Call::native().with("x-libra-admin", TOKEN);
    let seen = harness.send(&call, |_| Canned::nothing(End::Refused));
    assert!(seen.status >= 500);
    assert_eq!((seen.header("x-libra-attempts"), seen.header("x-libra-project")), (Some("2"), None));
    let failed = seen.events.iter().filter_map(|event| match event {
        Event::AttemptFailed { request, .. } => Some(request.to_string()),
        _ => None,
    });
    let id = seen.header("x-libra-request-id").expect("an id");
    assert_eq!(failed.collect::<Vec<_>>(), [id, id]);
}

#[test]
fn a_clients_own_keys_are_no_projects_of_the_pool() {
    let mut harness = Harness::new(Config { admin_token: Some(ApiKey::new(TOKEN)), ..config(&[]) });
    let call = Call::native().with("x-libra-admin", TOKEN);
    let seen = harness.send(&call, |_| Canned::json(200, GOOD));
    assert_eq!((seen.header("x-libra-attempts"), seen.header("x-libra-project")), (Some("1"), None));
}

#[test]
fn keys_are_joined_and_split_by_hand() {
    let keys =
        ["a-key-that-is-long", "b-key-that-is-long", "team:c-key-that-is-long", "team:d-key-that-is-long"];
    let pool_key = |text: &&str| match text.split_once(':') {
        Some((project, key)) => PoolKey {
            key: ApiKey::new(key),
            project: Some(project.to_owned()),
            ..PoolKey::from(ApiKey::new(key))
        },
        None => PoolKey { label: Some(format!("label of {}", &text[..1])), ..ApiKey::new(text).into() },
    };
    let config = Config { keys: keys.iter().map(pool_key).collect(), ..administered() };
    let mut harness = Harness::new(config);
    let name = |key: &str| ApiKey::new(key).id().to_string();
    let [a, b, c, d] = keys.map(|key| name(key.rsplit(':').next().expect("a key")));
    let mut tell = |page: &str, body: String| {
        let call = call(Method::POST, &format!("/admin/projects/{page}"), BEARER);
        let seen = harness.send(&Call { body: body.into(), ..call }, never);
        assert!(!seen.text().contains("-key-that-is-long"), "{}", seen.text());
        (seen.status, seen.text().to_owned())
    };
    let mut check = |page: &str, names: &[&str], expected: (u16, &str)| {
        let (status, body) = tell(page, serde_json::json!({ "keys": names }).to_string());
        assert!(status == expected.0 && body.contains(expected.1), "{page} {names:?}: {status} {body}");
    };
    check("join", &[&a, &b], (200, "4 keys = 2 projects"));
    check("split", &[&a[..12]], (200, "4 keys = 3 projects"));
    check("split", &[&a], (400, "a project of its own already"));
    check("join", &[&a, "team"], (200, "4 keys = 2 projects"));
    check("split", &["team"], (200, "4 keys = 4 projects"));
    check("join", &[&c, &d, &c], (200, "4 keys = 3 projects"));
    check("split", &["team"], (200, "4 keys = 4 projects"));
    check("join", &["label of a", &b], (200, "4 keys = 3 projects"));
    check("join", &[&a], (400, "at least two keys"));
    check("join", &[&a, "nobody"], (400, "Name 2 of the list is no key and no project"));
    check("join", &[&a, "key-"], (400, "Name 2 of the list is no key and no project"));
    check("join", &["a-key-that-is-long", &b], (400, "Name 1 of the list is a key itself"));
    check("split", &[], (400, "Name a key"));
    for body in ["", "[]", "{\"keys\": 5}", "{\"keys\": [], \"more\": 1}", "{"] {
        assert_eq!(tell("join", body.to_owned()).0, 400, "{body}");
    }
    let packed = call(Method::POST, "/admin/projects/join", BEARER).with("content-encoding", "gzip");
    assert_eq!(harness.send(&Call { body: "packed".into(), ..packed }, never).status, 415);
}
