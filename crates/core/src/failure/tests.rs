use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::secret::ApiKey;

const KEY: &str = "AQ.made-up-key_0123456789-0123456789";
/// 2026-11-24T06:36:16Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_502_176_000);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn answer(status: u16, body: &[u8]) -> Failure {
    typed_answer(status, Some("application/json; charset=UTF-8"), body)
}

fn typed_answer(status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
    let status = StatusCode::from_u16(status).expect("test statuses are valid");
    let answer = Answer { status, content_type, body, model: Some("gemini-2.5-flash") };
    classify(&answer, &ApiKey::new(KEY), NOW)
}

/// `{"error":{"code":…,"message":…,"details":…}}` in Google's shape.
fn google(status: u16, message: &str, details: Value) -> Vec<u8> {
    json!({ "error": { "code": status, "message": message, "details": details } }).to_string().into_bytes()
}

fn check(status: u16, message: &str, details: Value, expected: (Class, Consequence, Elsewhere)) -> Failure {
    let failure = answer(status, &google(status, message, details));
    assert_eq!((failure.class, failure.consequence, failure.elsewhere), expected, "{status} {message}");
    assert_eq!(failure.status.map(|status| status.as_u16()), Some(status));
    failure
}

fn reason(reason: &str) -> Value {
    json!([{ "reason": reason, "metadata": { "consumer": "projects/4005006007" } }])
}

fn quota(violations: Value, delay: &str) -> Value {
    json!([{ "violations": violations }, { "links": [] }, { "retryDelay": delay }])
}

const EXCEEDED: &str = "You exceeded your current quota, please check your plan and billing details.";
const MIDNIGHT: Timestamp = Timestamp::from_millis(1_795_507_200_000);

#[test]
fn faults_of_keys_and_projects() {
    use Class::*;
    use Consequence::*;
    let all = |class, consequence| (class, consequence, Elsewhere::All);
    let none = || json!(null);

    let invalid = all(KeyInvalid, SetAside(Why::Invalid));
    check(400, "API key not valid. Please pass a valid API key.", reason("API_KEY_INVALID"), invalid);
    check(400, "API key expired. Please renew the API key.", none(), invalid);
    check(400, "words of tomorrow", reason("API_KEY_INVALID"), invalid);

    let strike = all(KeyUnauthenticated, Strike);
    check(
        401,
        "Request had invalid authentication credentials.",
        reason("ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        strike,
    );
    check(401, "Request had invalid authentication credentials.", none(), strike);

    let leaked = all(KeyLeaked, SetAside(Why::Leaked));
    check(403, "Your API key was reported as leaked. Please use another API key.", none(), leaked);

    let suspended = all(ProjectSuspended, SetAsideProject(Why::Suspended));
    let named = check(
        403,
        "Permission denied: Consumer 'api_key:x' has been suspended.",
        reason("CONSUMER_SUSPENDED"),
        suspended,
    );
    assert_eq!(named.consumer.as_deref(), Some("4005006007"));
    check(403, "Permission denied: Consumer 'api_key:x' has been suspended.", none(), suspended);
    check(403, "Your project has been denied access. Please contact support.", none(), suspended);
    check(403, "Project 4005006007 is gone.", reason("CONSUMER_INVALID"), suspended);

    let disabled = all(ProjectDisabled, SetAsideProject(Why::Restricted));
    check(
        403,
        "Generative Language API has not been used in project 4005006007 before.",
        reason("SERVICE_DISABLED"),
        disabled,
    );
    check(403, "Generative Language API has not been used in project 4005006007 before.", none(), disabled);
    check(403, "This API method requires billing to be enabled.", reason("BILLING_DISABLED"), disabled);

    let restricted = all(KeyRestricted, SetAside(Why::Restricted));
    for blocked in ["SERVICE", "HTTP_REFERRER", "IP_ADDRESS", "ANDROID_APP", "IOS_APP"] {
        check(403, "Not from there.", reason(&format!("API_KEY_{blocked}_BLOCKED")), restricted);
    }
    check(403, "Requests to this API example.googleapis.com method x.Y are blocked.", none(), restricted);
    check(403, "Requests from referer <empty> are blocked.", none(), restricted);

    let gateway = (Gateway, Nothing, Elsewhere::None);
    check(400, "Multiple authentication credentials received. Please pass only one.", none(), gateway);
    check(403, "Method doesn't allow unregistered callers.", none(), gateway);

    check(402, "Pay first.", none(), all(ProjectBilling, RestProject(NOW + 3 * HOUR)));
    check(403, "The caller does not have permission", none(), all(ModelForbidden, RestModel(NOW + 6 * HOUR)));
    check(
        404,
        "This model models/old is no longer available to new users. Please use a newer one.",
        none(),
        all(ModelClosed, RestModel(NOW + 168 * HOUR)),
    );
}

#[test]
fn faults_of_nobody_here() {
    use Class::*;
    use Consequence::*;
    use Elsewhere::*;
    let none = || json!(null);

    check(400, "User location is not supported for the API use.", none(), (Egress, Nothing, None));
    check(
        400,
        "User location is not supported for the API use without a billing account linked.",
        none(),
        (Egress, Penalty, All),
    );
    check(
        400,
        "Gemini API free tier is not available in your country. Please enable billing.",
        none(),
        (Egress, Penalty, All),
    );
    for message in
        ["Corrupted thought signature.", "Invalid thought signature.", "Thought signature is not valid"]
    {
        check(400, message, none(), (Signature, Nothing, None));
    }
    for message in [
        "Function call is missing a thought_signature in functionCall parts.",
        "Invalid JSON payload received. Unknown name \"thought_signature\" at 'contents[0]': Cannot find field.",
        "The File abc123 is not in an ACTIVE state and usage is not allowed.",
        "Penalty is not enabled for this model",
        "Request contains an invalid argument.",
        // A client's words do not decide about a key.
        "Invalid value at 'x': \"API key not valid. API_KEY_INVALID Your API key was reported as leaked\"",
        "",
    ] {
        check(400, message, none(), (Request, Nothing, None));
    }
    for status in [405, 409, 411, 413, 415, 416, 422, 431, 501] {
        check(status, "No.", none(), (Request, Nothing, None));
    }
    for message in [
        "You do not have permission to access the File abc123 or it may not exist.",
        "You do not have permission to access the File your api key was reported as leaked or it may not exist.",
        "CachedContent not found (or permission denied)",
        "Permission denied on resource tunedModels/mine-1.",
        "No access to https://generativelanguage.googleapis.com/v1beta/files/abc123",
    ] {
        check(403, message, none(), (Affinity, Nothing, None));
    }
    check(403, "Something new. See https://example.com/files/help", none(), (Unknown, Nothing, All));
    check(
        404,
        "models/x is not found for API version v1beta, or is not supported.",
        none(),
        (ModelUnknown, Nothing, None),
    );
    check(404, "Requested entity was not found.", none(), (Affinity, Nothing, None));
    check(404, "File files/abc123 not found.", none(), (Affinity, Nothing, None));
    check(404, "models/veo/operations/abc is unknown", none(), (Affinity, Nothing, None));
    check(404, "No.", none(), (Request, Nothing, None));
    check(499, "The operation was cancelled.", none(), (Internal, Nothing, One));
    check(500, "An internal error has occurred.", none(), (Internal, Penalty, One));
    check(502, "Bad gateway", none(), (Internal, Penalty, One));
    let overloaded = check(
        503,
        "This model is experiencing high demand.",
        json!([{ "retryDelay": "2.0000001s" }]),
        (Overloaded, Penalty, All),
    );
    assert_eq!(overloaded.retry_after, Some(Duration::from_millis(2_001)));
    check(504, "Deadline expired before operation could complete.", none(), (Timeout, Nothing, One));
    check(407, "Who are you?", none(), (Egress, Nothing, None));
}

#[test]
fn objects_of_a_project_are_no_fault_of_its_key() {
    let ask = |model| {
        let body = google(403, "The caller does not have permission", json!(null));
        let answer = Answer { status: StatusCode::FORBIDDEN, content_type: None, body: &body, model };
        let failure = classify(&answer, &ApiKey::new(KEY), NOW);
        (failure.class, failure.consequence, failure.elsewhere)
    };
    assert_eq!(ask(Some("tunedModels/mine")), (Class::Affinity, Consequence::Nothing, Elsewhere::None));
    assert_eq!(ask(None), (Class::Unknown, Consequence::Nothing, Elsewhere::One));
}

#[test]
fn quotas_that_google_names() {
    use Class::*;
    let rest = |class, until| (class, Consequence::RestModel(until), Elsewhere::All);
    let violation = |id: &str, value: Value| json!({ "quotaMetric": "g/metric", "quotaId": id, "quotaDimensions": { "model": "flash-family" }, "quotaValue": value });
    let limit = |kind, value| vec![Limit { family: Some("flash-family".to_owned()), kind, value }];

    let day = violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier", json!("250"));
    let minute = violation("GenerateContentInputTokensPerModelPerMinute-FreeTier", json!("250000"));
    let zero = violation("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", json!("0"));

    let failure = check(429, EXCEEDED, quota(json!([day]), "22s"), rest(QuotaDay, MIDNIGHT));
    assert_eq!(failure.retry_after, Some(MIDNIGHT.since(NOW)), "RetryInfo is wrong about days");
    assert_eq!(failure.families, ["flash-family"]);
    assert_eq!(failure.limits, limit(LimitKind::RequestsPerDay, 250));

    let failure = check(429, EXCEEDED, quota(json!([minute]), "26s"), rest(QuotaMinute, NOW + 26 * SECOND));
    assert_eq!(failure.retry_after, Some(26 * SECOND));
    assert_eq!(failure.limits, limit(LimitKind::TokensPerMinute, 250_000));

    // The message has the fraction that RetryInfo lost; "0s" is no wait; without any, a minute.
    let message = format!("{EXCEEDED}\nPlease retry in 26.5s.");
    check(
        429,
        &message,
        quota(json!([minute]), "26s"),
        rest(QuotaMinute, NOW + Duration::from_millis(26_500)),
    );
    check(429, EXCEEDED, quota(json!([minute]), "0s"), rest(QuotaMinute, NOW + SECOND));
    check(429, EXCEEDED, json!([{ "violations": [minute] }]), rest(QuotaMinute, NOW + 60 * SECOND));
    check(429, EXCEEDED, quota(json!([minute]), "99999999999s"), rest(QuotaMinute, NOW + 24 * HOUR));

    let failure = check(429, EXCEEDED, quota(json!([minute, day]), "22s"), rest(QuotaDay, MIDNIGHT));
    assert_eq!(failure.limits.len(), 2);
    assert_eq!(failure.families.len(), 1);

    let failure =
        check(429, EXCEEDED, quota(json!([day, zero, minute]), "22s"), rest(QuotaNone, NOW + 24 * HOUR));
    assert_eq!(failure.limits.len(), 2, "zero is no limit to plan by");
    let message = format!(
        "{EXCEEDED}\n* Quota exceeded for metric: g/x_requests, limit: 0, model: pro-family\nPlease retry in 5s."
    );
    let failure = check(429, &message, json!(null), rest(QuotaNone, NOW + 24 * HOUR));
    assert_eq!(failure.families, ["pro-family"]);
    let message = message.replace("limit: 0", "limit: 20");
    check(429, &message, json!(null), rest(QuotaUnnamed, NOW + 5 * SECOND));

    let bare = json!([{ "violations": [{ "quotaMetric": "g/generate_requests_per_model_per_day" }] }]);
    check(429, EXCEEDED, bare, rest(QuotaDay, MIDNIGHT));
    let legacy = json!([{ "reason": "RATE_LIMIT_EXCEEDED", "metadata": {
        "consumer": "projects/4005006007", "quota_limit": "GenerateContentRequestsPerMinutePerProjectPerRegion", "quota_limit_value": "60",
    }}]);
    let failure = check(429, "Quota exceeded.", legacy, rest(QuotaMinute, NOW + 60 * SECOND));
    assert_eq!(failure.consumer.as_deref(), Some("4005006007"));
    assert_eq!(failure.limits, [Limit { family: None, kind: LimitKind::RequestsPerMinute, value: 60 }]);
    // Images are counted, too, but not planned by.
    let images = violation("GenerateImagesPerMinutePerProjectPerModel", json!(10));
    assert_eq!(
        check(429, EXCEEDED, quota(json!([images]), "5s"), rest(QuotaMinute, NOW + 5 * SECOND)).limits,
        []
    );
    let many: Vec<Value> =
        (0..1_000).map(|n| violation(&format!("XRequestsPerDay{n}"), json!(n + 1))).collect();
    assert!(check(429, EXCEEDED, quota(json!(many), "5s"), rest(QuotaDay, MIDNIGHT)).limits.len() <= 16);
}

#[test]
fn quotas_that_google_does_not_name() {
    use Class::*;
    let rest = |class, wait, elsewhere| (class, Consequence::RestModel(NOW + wait), elsewhere);
    let none = || json!(null);
    let project = |wait| (ProjectBilling, Consequence::RestProject(NOW + wait), Elsewhere::All);

    check(
        429,
        "Resource has been exhausted (e.g. check quota).",
        none(),
        rest(QuotaUnnamed, 3 * SECOND, Elsewhere::One),
    );
    check(429, EXCEEDED, json!([{ "links": [] }]), rest(QuotaUnnamed, 30 * SECOND, Elsewhere::One));
    check(429, EXCEEDED, json!([{ "retryDelay": "7s" }]), rest(QuotaUnnamed, 7 * SECOND, Elsewhere::One));
    check(429, "Words of tomorrow.", none(), rest(QuotaUnnamed, 3 * SECOND, Elsewhere::One));
    check(429, "Your prepayment credits are depleted.", none(), project(2_700 * SECOND));
    check(429, "Your project has exceeded its monthly spending cap.", none(), project(2_700 * SECOND));
    check(429, "You reached the spend limit of your tier.", none(), project(600 * SECOND));
    let shared = "Resource exhausted. Please try again later. See https://example.com/error-code-429.";
    check(429, shared, none(), (Overloaded, Consequence::Penalty, Elsewhere::One));

    let word = |word: &str, expected| {
        let body = json!({ "error": { "code": word, "message": "Enough." } }).to_string();
        let failure = answer(429, body.as_bytes());
        assert_eq!((failure.class, failure.consequence, failure.elsewhere), expected, "{word}");
    };
    word("rate_limit_exceeded", rest(QuotaMinute, 10 * SECOND, Elsewhere::All));
    word("too_many_requests", rest(QuotaMinute, 10 * SECOND, Elsewhere::All));
    word("quota_exceeded", (QuotaDay, Consequence::RestModel(MIDNIGHT), Elsewhere::All));
}

#[test]
fn a_day_of_25_hours_is_rested_out() {
    // 2026-11-01T07:30Z is half past midnight in California; the clocks go back that day.
    let now = Timestamp::from_millis(1_793_518_200_000);
    let end = Timestamp::from_millis(1_793_606_400_000);
    let until = |violation: Value| {
        let body = google(429, EXCEEDED, quota(json!([violation]), "20s"));
        let answer =
            Answer { status: StatusCode::TOO_MANY_REQUESTS, content_type: None, body: &body, model: None };
        classify(&answer, &ApiKey::new(KEY), now).consequence
    };
    assert_eq!(end.since(now), 24 * HOUR + 1_800 * SECOND);
    assert_eq!(until(json!({ "quotaId": "XPerDay" })), Consequence::RestModel(end));
    assert_eq!(until(json!({ "quotaId": "XPerDay", "quotaValue": "0" })), Consequence::RestModel(end));
}

#[test]
fn what_nobody_has_seen_blames_nobody() {
    use Class::*;
    use Elsewhere::*;
    let table: [(u16, Class, Elsewhere); 14] = [
        (400, Request, None),
        (401, Unknown, One),
        (402, Unknown, One),
        (403, Unknown, One),
        (404, Request, None),
        (408, Timeout, One),
        (418, Request, None),
        (429, QuotaUnnamed, One),
        (500, Internal, One),
        (503, Overloaded, All),
        (504, Timeout, One),
        (599, Internal, One),
        (200, Unknown, One),
        (302, Unknown, One),
    ];
    let bodies: [&[u8]; 7] = [
        b"",
        b"{}",
        b"\xff\xfe\x00",
        b"upstream connect error",
        b"null",
        b"{\"status\":\"ok\"}",
        b"API key not valid. Your API key was reported as leaked",
    ];
    for (status, class, elsewhere) in table {
        for body in bodies {
            let failure = answer(status, body);
            assert_eq!((failure.class, failure.elsewhere), (class, elsewhere), "{status} {body:?}");
            let blames = matches!(
                failure.consequence,
                Consequence::Nothing | Consequence::Penalty | Consequence::RestModel(_)
            );
            assert!(blames, "{status} {body:?} {:?}", failure.consequence);
            assert!(!failure.message.is_empty());
        }
    }
    // A proxy on the way that speaks JSON of its own.
    let failure = answer(401, b"{\"error\":\"unauthorized\"}");
    assert_eq!((failure.class, failure.consequence), (Unknown, Consequence::Nothing));
    let failure = answer(402, b"{\"error\":\"pay the proxy\"}");
    assert_eq!((failure.class, failure.consequence), (Unknown, Consequence::Nothing));
}

#[test]
fn pages_never_strike_a_key() {
    let sorry = b"<html><title>Sorry...</title>We're sorry... your computer may be sending automated queries. IP address: 192.0.2.7";
    for status in [200, 302, 400, 401, 403, 429, 503] {
        let failure = typed_answer(status, Some("text/html"), sorry);
        assert_eq!(
            (failure.class, failure.consequence, failure.elsewhere),
            (Class::Egress, Consequence::Nothing, Elsewhere::None)
        );
        assert_eq!(failure.message, "The upstream answered with a page instead of an error: Sorry...");
        assert!(failure.body.is_empty(), "a page is not for clients");
    }
    let page = b"<!DOCTYPE html><html><body>Your API key was reported as leaked</body></html>";
    for (status, class, consequence) in [
        (401, Class::Unknown, Consequence::Nothing),
        (403, Class::Unknown, Consequence::Nothing),
        (404, Class::Request, Consequence::Nothing),
        (429, Class::Unknown, Consequence::Nothing),
        (502, Class::Internal, Consequence::Penalty),
        (503, Class::Overloaded, Consequence::Penalty),
    ] {
        let failure = typed_answer(status, None, page);
        assert_eq!((failure.class, failure.consequence), (class, consequence), "{status}");
    }
}

#[test]
fn errors_inside_a_200_have_the_status_they_name() {
    let check = |body: &str, status: Option<u16>, class| {
        for failure in
            [classify_event(body.as_bytes(), None, &ApiKey::new(KEY), NOW), answer(200, body.as_bytes())]
        {
            assert_eq!(
                (failure.status.map(|status| status.as_u16()), failure.class),
                (status, class),
                "{body}"
            );
            assert_eq!(failure.content_type, None);
        }
    };
    check(
        "{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"busy\"\n  }\n}\n",
        Some(503),
        Class::Overloaded,
    );
    check("data: {\"error\":{\"code\":429,\"message\":\"Enough.\"}}\r\n\r\n", Some(429), Class::QuotaUnnamed);
    check(r#"[{"error":{"code":500,"message":"oh"}}]"#, Some(500), Class::Internal);
    check(r#"{"error":{"code":"invalid_request","message":"wrong"}}"#, Some(400), Class::Request);
    check(r#"{"error":{"message":"hm"}}"#, None, Class::Unknown);
    check(r#"{"error":"hm"}"#, None, Class::Unknown);
    check("data: [DONE]", None, Class::Unknown);
}

#[test]
fn what_goes_on_to_clients_is_whole_and_clean() {
    let body = format!(
        "{{\n  \"error\": {{\"code\": 403, \"message\": \"Permission denied: Consumer 'api_key:{KEY}' has been suspended.\\nSorry.\",\n \"details\": [{{\"reason\": \"CONSUMER_SUSPENDED\", \"metadata\": {{\"consumer\": \"projects/4005006007\", \"containerInfo\": \"{KEY}\"}}}}]}}}}\n"
    );
    let failure = typed_answer(403, Some("text/event-stream"), body.as_bytes());
    assert_eq!(failure.message, "Permission denied: Consumer 'api_key:REDACTED' has been suspended. Sorry.");
    assert_eq!(failure.consumer.as_deref(), Some("4005006007"));
    let clean = body.replace(KEY, "REDACTED").replace("4005006007", "REDACTED");
    assert_eq!(failure.body, clean);
    let error = failure.to_error();
    assert_eq!(
        (error.kind, error.status(crate::error::Dialect::Gemini)),
        (Kind::Forbidden, StatusCode::FORBIDDEN)
    );
    let passed = error.body.expect("the body is passed on");
    assert_eq!(passed.bytes, clean);
    assert_eq!(passed.content_type, Some(HeaderValue::from_static("text/event-stream")));

    let clean = b"{ \"error\" : {\"code\":400,\n\"message\":\"wrong\"} }\r\n";
    assert_eq!(answer(400, clean).body, &clean[..]);
    assert!(answer(400, &clean[..20]).body.is_empty(), "half an error is not for clients");
    let long = format!("{{\"error\":{{\"message\":\"{}", "x".repeat(2 * BODY_LIMIT));
    let failure = answer(400, long.as_bytes());
    assert!(failure.body.is_empty());
    assert_eq!(failure.message.chars().count(), 2_000);
}

#[test]
fn errors_for_clients_follow_the_status() {
    let kind = |failure: Failure| failure.to_error().kind;
    let google = |status, message| answer(status, &google(status, message, json!(null)));
    assert_eq!(kind(google(400, "wrong")), Kind::BadRequest);
    assert_eq!(kind(google(400, "API key not valid.")), Kind::Unauthorized);
    assert_eq!(kind(google(404, "models/x is not found for API version v1")), Kind::ModelNotFound);
    assert_eq!(kind(google(404, "Gone: no longer available to new users.")), Kind::ModelNotFound);
    assert_eq!(kind(google(404, "File not found")), Kind::NotFound);
    assert_eq!(kind(google(429, "Enough.")), Kind::RateLimited);
    assert_eq!(google(429, "Enough.").to_error().retry_after, Some(3 * SECOND));
    assert_eq!(kind(google(503, "busy")), Kind::Unavailable);
    assert_eq!(kind(timeout(45 * SECOND)), Kind::Timeout);
    assert_eq!(kind(empty()), Kind::BadGateway);
    assert_eq!(kind(network("connection refused")), Kind::BadGateway);
    assert_eq!(kind(classify_event(b"{\"error\":{}}", None, &ApiKey::new(KEY), NOW)), Kind::BadGateway);

    assert_eq!(timeout(45 * SECOND).message, "The upstream did not answer within 45 seconds.");
    let late = 45 * SECOND + Duration::from_millis(3);
    assert_eq!(timeout(late).message, "The upstream did not answer within 45 seconds.");
    assert_eq!(
        network("no way to https://x/?key=abc\nat all").message,
        "no way to https://x/?key=REDACTED at all"
    );
    assert_eq!(network("reset").elsewhere, Elsewhere::All);
    assert_eq!((timeout(SECOND).elsewhere, empty().elsewhere), (Elsewhere::One, Elsewhere::All));
}

/// What bodies from public reports have to be read as: class, consequence, how many further projects.
const REPORTED: [(&str, &str); 38] = [
    ("key_invalid", "KeyInvalid SetAside All"),
    ("key_expired", "KeyInvalid SetAside All"),
    ("key_invalid_debuginfo", "KeyInvalid SetAside All"),
    ("key_leaked", "KeyLeaked SetAside All"),
    ("consumer_suspended", "ProjectSuspended SetAsideProject All"),
    ("caller_no_permission", "ModelForbidden RestModel All"),
    ("key_service_blocked", "KeyRestricted SetAside All"),
    ("key_ip_blocked", "KeyRestricted SetAside All"),
    ("service_disabled", "ProjectDisabled SetAsideProject All"),
    ("no_key", "Gateway Nothing None"),
    ("multi_credentials", "Gateway Nothing None"),
    ("access_token_type_unsupported", "KeyUnauthenticated Strike All"),
    ("unauthenticated_plain", "KeyUnauthenticated Strike All"),
    ("q_tpm_free", "QuotaMinute RestModel All"),
    ("q_rpd_free", "QuotaDay RestModel All"),
    ("q_tpm_paid", "QuotaMinute RestModel All"),
    ("q_rpd_paid", "QuotaDay RestModel All"),
    ("q_help_only", "QuotaUnnamed RestModel One"),
    ("q_bare", "QuotaUnnamed RestModel One"),
    ("q_dsq", "Overloaded Penalty One"),
    ("q_prepay", "ProjectBilling RestProject All"),
    ("overloaded_2026", "Overloaded Penalty All"),
    ("internal", "Internal Penalty One"),
    ("deadline", "Timeout Nothing One"),
    ("cancelled", "Internal Nothing One"),
    ("location", "Egress Nothing None"),
    ("model_404", "ModelUnknown Nothing None"),
    ("file_other_key", "Affinity Nothing None"),
    ("file_not_active", "Request Nothing None"),
    ("thought_sig_missing", "Request Nothing None"),
    ("thought_sig_corrupt", "Signature Nothing None"),
    ("penalty", "Request Nothing None"),
    ("thinking_level", "Request Nothing None"),
    ("unknown_field", "Request Nothing None"),
    ("ctx_too_long", "Request Nothing None"),
    ("payload_too_big", "Request Nothing None"),
    ("interactions_400", "Request Nothing None"),
    ("stream_tail_503", "Overloaded Penalty All"),
];

/// A checkout may have a collection of real error bodies beside it. Where it has none, this says so and passes.
#[test]
fn reported_bodies_are_read_as_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpus/errors.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no collection of error bodies here");
        return;
    };
    let collection: Value = serde_json::from_str(&text).expect("the collection is JSON");
    for entry in collection["entries"].as_array().expect("the collection has entries") {
        let id = entry["id"].as_str().expect("an entry has a name");
        let expected = REPORTED.iter().find(|(known, _)| *known == id).expect("the table knows the entry").1;
        let status = entry["http"].as_u64().and_then(|status| u16::try_from(status).ok());
        let body = entry["body"].to_string();
        let failure = answer(status.expect("an entry has a status"), body.as_bytes());
        let consequence = format!("{:?}", failure.consequence);
        let consequence = consequence.split('(').next().unwrap_or_default();
        assert_eq!(format!("{:?} {consequence} {:?}", failure.class, failure.elsewhere), expected, "{id}");
        if let Some(number) = &failure.consumer {
            assert!(!String::from_utf8_lossy(&failure.body).contains(number), "{id}");
            assert!(!failure.message.contains(number), "{id}");
        }
        let passed: Value = serde_json::from_slice(&failure.body).expect("whole JSON stays JSON");
        let has_secret =
            body.contains("projects/") && failure.consumer.is_some() || body.contains("Invalid API key");
        assert_eq!(passed == entry["body"], !has_secret, "{id}");
    }
}

/// Bodies of every kind, for the tests that maim them.
fn samples() -> Vec<(u16, Vec<u8>)> {
    let violations =
        json!([{ "quotaId": "XRequestsPerDay", "quotaDimensions": { "model": "m" }, "quotaValue": "20" }]);
    vec![
        (400, google(400, "API key not valid.", reason("API_KEY_INVALID"))),
        (
            400,
            google(
                400,
                &format!("Invalid value: {KEY}"),
                json!([{ "detail": format!("Invalid API key: {KEY}") }]),
            ),
        ),
        (
            401,
            google(
                401,
                "Request had invalid authentication credentials.",
                reason("ACCESS_TOKEN_TYPE_UNSUPPORTED"),
            ),
        ),
        (
            403,
            google(
                403,
                &format!("Permission denied: Consumer 'api_key:{KEY}' has been suspended."),
                reason("CONSUMER_SUSPENDED"),
            ),
        ),
        (403, google(403, "Your API key was reported as leaked.", json!([]))),
        (429, google(429, EXCEEDED, quota(violations, "22.5s"))),
        (200, format!("data: {{\"error\":{{\"code\":503,\"message\":\"{KEY}\"}}}}").into_bytes()),
        (503, format!("<html><title>{KEY}</title>We're sorry</html>").into_bytes()),
    ]
}

/// Whether anything in a body speaks against a key or a project.
fn has_grounds(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_lowercase();
    let grounds = [
        "api_key_",
        "api key",
        "consumer",
        "_disabled",
        "unauthenticated",
        "401",
        "16",
        "denied access",
        "blocked",
        "has not been used",
    ];
    grounds.iter().any(|ground| text.contains(ground))
}

fn assert_sound(failure: &Failure, body: &[u8]) {
    let shown = format!("{failure:?} {:?}", failure.to_error());
    assert!(!shown.contains(KEY) && !shown.contains("0123456789-0123456789"), "{shown}");
    let blames = matches!(
        failure.consequence,
        Consequence::SetAside(_) | Consequence::SetAsideProject(_) | Consequence::Strike
    );
    assert!(!blames || has_grounds(body), "{failure:?}");
    assert!(failure.retry_after.is_none_or(|wait| wait <= 25 * HOUR));
}

proptest! {
    #[test]
    fn maimed_bodies_neither_panic_nor_leak(
        sample in 0..8_usize,
        status in prop::option::of(100..600_u16),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (own_status, mut body) = samples().swap_remove(sample);
        // Flipped bytes may spell the key in a new way, which is then no longer the key.
        let flipped = !flips.is_empty();
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.index(body.len() + 1));
        let failure = answer(status.unwrap_or(own_status), &body);
        if flipped {
            let shown = format!("{failure:?}");
            prop_assert!(!shown.contains(KEY), "{}", shown);
        } else {
            assert_sound(&failure, &body);
        }
    }

    #[test]
    fn any_bytes_are_read(status in 100..600_u16, body in prop::collection::vec(any::<u8>(), 0..300)) {
        assert_sound(&answer(status, &body), &body);
    }

    #[test]
    fn any_message_is_read(status in 400..600_u16, message in "\\PC{0,80}") {
        let body = google(status, &message, json!(null));
        assert_sound(&answer(status, &body), &body);
    }
}
