//! Addresses, names, slots and schedules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::harness::{Call, Canned, Harness, START, config};
use http::{HeaderMap, HeaderValue, Method};
use libra_core::config::{Config, PoolKey, Strategy};
use libra_core::failure::{Class, Consequence, Elsewhere, Failure, Why};
use libra_core::gateway::{Accepted, Gateway, Head};
use libra_core::pool::{Pick, Pool, PoolSettings, Want};
use libra_core::secret::ApiKey;

const GOOD: &str = r#"{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP","index":0}]}"#;

fn verify(gateway: &std::sync::Arc<Gateway>, peer: IpAddr, headers: &[(&'static str, String)]) -> Accepted {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).expect("ASCII"));
    }
    let uri = "/verify".parse().expect("a path");
    gateway.accept(&Head { method: &Method::POST, uri: &uri, headers: &map, peer }, START)
}

/// On a socket for both kinds of addresses IPv4 clients come as `::ffff:a.b.c.d`: they are many, not one.
#[test]
fn mapped_addresses_are_those_of_ipv4() {
    let gateway = Gateway::new(config(&["pool-key"]), 1);
    let peer = |last| IpAddr::V6(Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped());
    let keys =
        |n: u8| vec![("x-goog-api-key", (0..5).map(|k| format!("k{n}-{k}")).collect::<Vec<_>>().join(","))];
    for n in 0..4 {
        let accepted = verify(&gateway, peer(n), &keys(n));
        assert!(matches!(accepted, Accepted::Verify(_)), "client {n}: {accepted:?}");
    }
}

/// And a proxy that comes so is the proxy that the operator named.
#[test]
fn a_trusted_proxy_with_a_mapped_address_is_trusted() {
    let networks = vec!["10.0.0.0/8".parse().expect("a network")];
    let gateway = Gateway::new(Config { trusted_proxies: networks, ..config(&["pool-key"]) }, 1);
    let proxy = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
    for n in 0..4 {
        let headers = vec![
            ("x-goog-api-key", (0..5).map(|k| format!("k{n}-{k}")).collect::<Vec<_>>().join(",")),
            ("x-forwarded-for", format!("198.51.100.{n}")),
        ];
        let accepted = verify(&gateway, proxy, &headers);
        assert!(matches!(accepted, Accepted::Verify(_)), "client {n}: {accepted:?}");
    }
}

/// "A trusted client 100": its own key is not one of them.
#[test]
fn a_trusted_client_may_check_a_hundred_keys() {
    let gateway = Gateway::new(config(&["pool-key"]), 1);
    let keys = (0..100).map(|n| format!("key-{n}")).collect::<Vec<_>>().join(",");
    let headers =
        vec![("x-goog-api-key", keys), ("authorization", format!("Bearer {}", crate::harness::CLIENT))];
    let accepted = verify(&gateway, IpAddr::V6(Ipv6Addr::LOCALHOST), &headers);
    assert!(matches!(accepted, Accepted::Verify(_)), "{accepted:?}");
}

/// A tuned model belongs to one project: that another may not use it is no fault. Each is asked for it once.
#[test]
fn a_tuned_model_of_another_project_is_a_matter_of_affinity() {
    let body = r#"{"error":{"code":403,"message":"The caller does not have permission","status":"PERMISSION_DENIED"}}"#;
    let call = Call::post("/v1beta/tunedModels/mine:generateContent", "{}");
    let mut harness = Harness::new(config(&["a", "b", "c"]));
    let seen = harness.send(&call, |_| Canned::json(403, body));
    let again = harness.send(&call, |_| Canned::json(200, GOOD));
    assert_eq!((seen.calls.len(), seen.status), (4, 403), "{}", seen.text());
    assert_eq!((again.calls.len(), again.status), (1, 200), "{}", again.text());
}

/// Aliases are for models of other services, not for a project's own.
#[test]
fn a_tuned_models_name_is_no_alias() {
    let mut path = String::new();
    let _ = Harness::new(config(&["only"])).send(
        &Call::post("/v1beta/tunedModels/gpt-of-mine:generateContent", "{}"),
        |request| {
            path = request.uri().path().to_owned();
            Canned::json(200, GOOD)
        },
    );
    assert_eq!(path, "/v1beta/tunedModels/gpt-of-mine:generateContent");
}

/// What the list of models names can be asked for.
#[test]
fn a_tuned_model_that_is_listed_can_chat() {
    let list = r#"{"models":[{"name":"tunedModels/mine"}]}"#;
    let mut harness = Harness::new(config(&["only"]));
    let listed = harness.send(&Call::get("/v1/models"), |_| Canned::json(200, list));
    assert!(listed.text().contains("\"tunedModels/mine\""), "{}", listed.text());
    let body = r#"{"model":"tunedModels/mine","messages":[{"role":"user","content":"Hi"}]}"#;
    let mut path = String::new();
    let _ = harness.send(&Call::post("/v1/chat/completions", body), |request| {
        path = request.uri().path().to_owned();
        Canned::json(200, GOOD)
    });
    assert_eq!(path, "/v1beta/tunedModels/mine:generateContent");
}

fn failure(consequence: Consequence) -> Failure {
    Failure { consequence, ..Failure::new(Class::KeyInvalid, Elsewhere::All, "") }
}

/// A key that is taken back and fails again is tried again later and later.
#[test]
fn probes_of_a_key_that_fails_again_become_rare() {
    let key = ApiKey::new("pool-key-one");
    let mut pool = Pool::new(&[PoolKey::from(key.clone())], PoolSettings::only(Strategy::RoundRobin), 1);
    let mut now = START;
    let mut probes = 0;
    // Counting tokens works, generating does not: each probe restores, the next request sets aside.
    while now < START + Duration::from_secs(86_400) {
        pool.failed(key.id(), Some("m"), &failure(Consequence::SetAside(Why::Restricted)), now);
        now = pool.next_deadline(now).expect("a probe is planned");
        for _ in pool.due(now) {
            probes += 1;
            pool.probed(key.id(), true, now);
        }
    }
    assert!(probes <= 8, "{probes} probes, and as many failed requests, in a day");
}

/// A client's key in a slot whose former key was set aside is like any other.
#[test]
fn a_slot_of_a_key_that_was_set_aside_serves_its_next_key() {
    let mut pool = Pool::for_guests(1, Strategy::RoundRobin, 1);
    let (first, second) = (ApiKey::new("first"), ApiKey::new("second"));
    for key in [&first, &second] {
        let keys = [key.clone()];
        let want = Want { model: Some("m"), own: Some(&keys), ..Want::default() };
        assert!(matches!(pool.pick(&want, START), Pick::Ready { .. }));
        let why =
            pool.failed(key.id(), Some("m"), &failure(Consequence::SetAsideProject(Why::Suspended)), START);
        assert_eq!(why, Some(Why::Suspended), "{key}");
    }
}

/// Defaults by operation hold for `GET /v1/models/…`, too.
#[test]
fn the_aliases_of_every_operation_can_be_looked_up() {
    for model in ["gpt-4o", "text-embedding-3-small", "gpt-image-1", "claude-sonnet-4"] {
        let mut path = String::new();
        let _ = Harness::new(config(&["only"])).send(&Call::get(&format!("/v1/models/{model}")), |request| {
            path = request.uri().path().to_owned();
            Canned::json(200, r#"{"name":"models/x"}"#)
        });
        assert!(path.starts_with("/v1beta/models/gemini-"), "{model}: {path}");
        assert!(model != "gpt-image-1" || path.contains("image"), "{model}: {path}");
    }
}
