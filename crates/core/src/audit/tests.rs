use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use super::*;
use crate::failure::LimitKind;
use crate::secret::ApiKey;

/// 2026-11-24T06:36:16Z; Pacific midnight is at 08:00.
const NOW: Timestamp = Timestamp::from_millis(1_795_502_176_000);

fn models(names: &[&str]) -> Arc<[String]> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn key(name: &str) -> PoolKey {
    PoolKey::from(ApiKey::new(name))
}

fn answer(status: u16, body: &serde_json::Value) -> CheckAnswer {
    let status = StatusCode::from_u16(status).expect("test statuses are valid");
    Ok((status, HeaderMap::new(), Bytes::from(body.to_string())))
}

fn counted() -> CheckAnswer {
    answer(200, &json!({ "totalTokens": 1 }))
}

fn generated() -> CheckAnswer {
    answer(200, &json!({ "candidates": [{ "content": { "parts": [{ "text": "Hi" }] } }] }))
}

fn refused(code: u16, status: &str, message: &str, details: serde_json::Value) -> CheckAnswer {
    let error = json!({ "code": code, "message": message, "status": status, "details": details });
    answer(code, &json!({ "error": error }))
}

fn reason(code: u16, status: &str, reason: &str, consumer: &str) -> CheckAnswer {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
        "metadata": { "consumer": consumer },
    });
    refused(code, status, "No.", json!([info]))
}

fn quota(id: &str, value: &str) -> CheckAnswer {
    let violation = json!({
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": id, "quotaDimensions": { "location": "global", "model": "one" }, "quotaValue": value,
    });
    let details = json!([
        { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s" },
    ]);
    refused(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)
}

fn invalid() -> CheckAnswer {
    reason(400, "INVALID_ARGUMENT", "API_KEY_INVALID", "")
}

fn unauthenticated() -> CheckAnswer {
    refused(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", json!([]))
}

fn location() -> CheckAnswer {
    refused(400, "FAILED_PRECONDITION", "User location is not supported for the API use.", json!([]))
}

const DAY: &str = "GenerateRequestsPerDayPerProjectPerModel-FreeTier";
const MINUTE: &str = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier";

/// Gives the answers in turn; all of them have to be asked for, and none more.
fn audit(key: PoolKey, names: &[&str], answers: &[CheckAnswer]) -> KeyReport {
    let origin = Uri::from_static("http://upstream.example");
    let mut audit = KeyAudit::new(key, models(names));
    for (number, answer) in answers.iter().enumerate() {
        let request = audit.next(&origin).unwrap_or_else(|| panic!("request {number} is not made"));
        let method = if number == 0 { ":countTokens" } else { ":generateContent" };
        assert!(request.uri().path().ends_with(method), "{number}: {}", request.uri());
        audit.heard(answer, NOW);
    }
    assert!(audit.next(&origin).is_none(), "{} answers are enough", answers.len());
    assert!(answers.len() <= most_requests(1, names.len()));
    audit.report()
}

#[test]
fn a_key_is_asked_no_more_than_it_takes() {
    let check = |names: &[&str], answers: &[CheckAnswer], expected: &[State]| {
        let states: Vec<State> =
            audit(key("k"), names, answers).findings.iter().map(|finding| finding.state).collect();
        assert_eq!(states, expected, "{answers:?}");
    };
    use State::*;
    let lost = || Err("reset".to_owned());
    check(&["one"], &[counted(), generated()], &[Answers]);
    check(&["one", "two"], &[counted(), generated(), quota(DAY, "20")], &[Answers, DayUsedUp]);
    check(&["one", "two"], &[counted(), quota(MINUTE, "5"), generated()], &[MinuteUsedUp, Answers]);
    check(&["one", "two"], &[invalid()], &[Invalid, Invalid]);
    check(&["one", "two"], &[counted(), invalid()], &[Invalid, Invalid]);
    check(&["one"], &[unauthenticated(), unauthenticated()], &[Unauthenticated]);
    check(&["one"], &[unauthenticated(), generated()], &[Answers]);
    check(&["one", "two"], &[lost(), lost()], &[Unreachable, Unreachable]);
    check(&["one"], &[lost(), generated()], &[Answers]);
    check(&["one", "two"], &[location()], &[AddressRefused, AddressRefused]);
    check(&["one"], &[quota(MINUTE, "5"), generated()], &[Answers]);
    let unknown = || refused(404, "NOT_FOUND", "models/one is not found for API version v1beta", json!([]));
    check(&["one", "two"], &[unknown(), unknown(), generated()], &[ModelUnknown, Answers]);
    let suspended = || reason(403, "PERMISSION_DENIED", "CONSUMER_SUSPENDED", "projects/1");
    check(&["one"], &[suspended()], &[Suspended]);
    let limited = || answer(200, &json!({ "candidates": [{ "finishReason": "PUP_LIMITED_DISABLED" }] }));
    check(&["one"], &[counted(), limited()], &[Suspended]);
    let overloaded = || refused(503, "UNAVAILABLE", "The model is overloaded.", json!([]));
    check(&["one"], &[counted(), overloaded()], &[Overloaded]);
    check(&["one"], &[counted(), answer(200, &json!({}))], &[Failed]);
    check(&["one"], &[counted(), answer(200, &json!({ "error": { "code": 503 } }))], &[Overloaded]);
    let thoughts =
        || answer(200, &json!({ "candidates": [{ "content": {}, "finishReason": "MAX_TOKENS" }] }));
    check(&["one"], &[counted(), thoughts()], &[Answers]);
    check(&["one"], &[counted(), quota(DAY, "0")], &[NoQuota]);
}

#[test]
fn limits_say_until_when() {
    let midnight = NOW.next_pacific_midnight();
    let check = |refusal: CheckAnswer, until: Option<Timestamp>, limits: usize| {
        let report = audit(key("k"), &["one"], &[counted(), refusal.clone()]);
        assert_eq!(report.findings[0].until, until, "{refusal:?}");
        assert_eq!(report.findings[0].limits.len(), limits, "{refusal:?}");
    };
    check(quota(DAY, "20"), Some(midnight), 1);
    check(quota(MINUTE, "5"), Some(NOW + Duration::from_secs(22)), 1);
    check(quota(DAY, "0"), None, 0);
    check(reason(403, "PERMISSION_DENIED", "CONSUMER_SUSPENDED", "projects/1"), None, 0);
    let closed = refused(404, "NOT_FOUND", "This model is no longer available to new users.", json!([]));
    check(closed, None, 0);
}

fn report(project: Option<&str>, consumer: Option<&str>, states: &[State]) -> KeyReport {
    let finding = |state: &State| Finding { state: *state, until: None, message: None, limits: Vec::new() };
    KeyReport {
        key: "......".to_owned(),
        project: project.map(str::to_owned),
        consumer: consumer.map(str::to_owned),
        findings: states.iter().map(finding).collect(),
    }
}

#[test]
fn projects_are_counted_by_what_is_known() {
    let check = |keys: &[(Option<&str>, Option<&str>, State)], numbers: &[Option<usize>], expected| {
        let reports: Vec<KeyReport> = keys
            .iter()
            .map(|(project, consumer, state)| report(*project, *consumer, std::slice::from_ref(state)))
            .collect();
        assert_eq!(project_of_each(&reports), numbers);
        let Projects { keys, count, unknown } = summarize(&reports, &models(&["one"])).projects;
        assert_eq!((keys, count, unknown), expected);
    };
    use State::{Answers, Invalid, NoQuota};
    check(&[], &[], (0, 0, 0));
    check(&[(None, None, Answers), (None, None, NoQuota)], &[None, None], (2, 2, 2));
    check(
        &[(Some("a"), None, Answers), (Some("b"), None, Answers), (Some("a"), None, Answers)],
        &[Some(1), Some(2), Some(1)],
        (3, 2, 0),
    );
    // Google says that a and b are the same.
    check(
        &[
            (Some("a"), Some("projects/1"), Answers),
            (Some("b"), Some("projects/1"), Answers),
            (Some("b"), None, Answers),
            (None, Some("projects/2"), Answers),
        ],
        &[Some(1), Some(1), Some(1), Some(2)],
        (4, 2, 0),
    );
    // Google says that the settings join what is apart.
    check(
        &[(Some("a"), Some("projects/1"), Answers), (Some("a"), Some("projects/2"), Answers)],
        &[Some(1), Some(2)],
        (2, 2, 0),
    );
    // The dead belong to nothing that could be used.
    check(&[(None, None, Invalid), (Some("a"), None, Answers)], &[None, Some(1)], (1, 1, 0));
}

#[test]
fn a_summary_counts_every_key_once() {
    let names = ["one", "two"];
    let reports = [
        audit(key("a"), &names, &[counted(), generated(), generated()]),
        audit(key("b"), &names, &[counted(), quota(DAY, "20"), generated()]),
        audit(key("c"), &names, &[counted(), quota(MINUTE, "5"), quota(DAY, "20")]),
        audit(key("d"), &names, &[invalid()]),
        KeyReport::unchecked(&key("e"), names.len()),
    ];
    let summary = summarize(&reports, &models(&names));
    assert_eq!((summary.keys, summary.healthy, summary.is_healthy()), (5, 1, false));
    assert_eq!(summary.dead, BTreeMap::from([(State::Invalid, 1)]));
    let midnight = NOW.next_pacific_midnight();
    assert_eq!(summary.limited, Standing { keys: 2, first: Some(midnight), last: Some(midnight) });
    let one = &summary.models[0];
    assert_eq!((one.answering(), one.asked), (1, 4));
    assert_eq!(one.states.values().map(|standing| standing.keys).sum::<usize>(), 5);
    let (all, by_state) = one.waste();
    assert_eq!(all, 0.75);
    let quarter = [State::Invalid, State::DayUsedUp, State::MinuteUsedUp].map(|state| (state, 0.25));
    assert_eq!(by_state, quarter);
    let limit = |kind, value| NamedLimit { family: Some("one".to_owned()), kind, value, keys: 1 };
    let expected = [limit(LimitKind::RequestsPerDay, 20), limit(LimitKind::RequestsPerMinute, 5)];
    assert_eq!(one.limits, expected);
    assert_eq!(summarize(&[], &models(&names)).models[0].waste(), (0.0, Vec::new()));
}
