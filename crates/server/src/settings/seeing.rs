//! What is shown of the running gateway, and to whom: metrics, traces, log, webhook.

use std::net::SocketAddr;

use http::Uri;
use libra_core::config::{ConfigError, quoted, read_size};
use libra_core::secret::ApiKey;

use crate::telemetry::log;
use crate::telemetry::webhook;

/// A metrics token that is shorter could be guessed.
const TOKEN: usize = 16;

/// So much of a body is shown where no size is named, and where a large one is.
const SHOWN: usize = 2048;
const MOST_SHOWN: u64 = 16 << 10;

/// What is set of what is shown.
#[derive(Debug, Clone)]
pub(crate) struct SeeingSettings {
    /// `LIBRA_METRICS_TOKEN`.
    pub(crate) metrics_token: Option<ApiKey>,
    /// `LIBRA_METRICS_LISTEN`.
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// `LIBRA_LOG_FORMAT`.
    pub(crate) log_format: log::Format,
    /// `LIBRA_LOG_BODIES`: so many bytes of each.
    pub(crate) log_bodies: Option<usize>,
    /// `LIBRA_WEBHOOK` and what belongs to it.
    pub(crate) webhook: Option<webhook::Address>,
    /// `LIBRA_OTLP` and what belongs to it.
    #[cfg(feature = "otlp")]
    pub(crate) otlp: Option<crate::telemetry::otlp::Collector>,
}

impl SeeingSettings {
    /// Reads what is set.
    ///
    /// # Errors
    /// The first variable that cannot be used.
    pub(super) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let metrics_token = lookup("LIBRA_METRICS_TOKEN").map(|token| ApiKey::new(token.trim()));
        if metrics_token.as_ref().is_some_and(|token| token.expose().len() < TOKEN) {
            let problem = format!("is too short: it needs {TOKEN} characters or more");
            return Err(ConfigError::new("LIBRA_METRICS_TOKEN", problem));
        }
        let metrics_listen = match setting(&lookup, "LIBRA_METRICS_LISTEN") {
            None => None,
            Some(text) if is_off(&text) => None,
            Some(text) => Some(text.parse().map_err(|_| {
                let problem = format!("{} is no address and port, like 127.0.0.1:9464", quoted(&text));
                ConfigError::new("LIBRA_METRICS_LISTEN", problem)
            })?),
        };
        let log_format = match setting(&lookup, "LIBRA_LOG_FORMAT").as_deref() {
            None | Some("pretty") => log::Format::Pretty,
            Some("json") => log::Format::Json,
            Some(other) => return Err(one_of("LIBRA_LOG_FORMAT", other, "pretty, json")),
        };
        let log_bodies = match setting(&lookup, "LIBRA_LOG_BODIES").as_deref() {
            None => None,
            Some(text) if is_off(text) => None,
            Some("on" | "true" | "yes") => Some(SHOWN),
            Some(size) => {
                let size = read_size(size, 1, MOST_SHOWN)
                    .map_err(|problem| ConfigError::new("LIBRA_LOG_BODIES", problem))?;
                Some(usize::try_from(size).unwrap_or(SHOWN))
            }
        };
        Ok(Self {
            metrics_token,
            metrics_listen,
            log_format,
            log_bodies,
            webhook: webhook(&lookup)?,
            #[cfg(feature = "otlp")]
            otlp: otlp(&lookup)?,
        })
    }
}

fn webhook(lookup: &impl Fn(&str) -> Option<String>) -> Result<Option<webhook::Address>, ConfigError> {
    let Some(text) = lookup("LIBRA_WEBHOOK").map(|text| text.trim().to_owned()).filter(|text| !is_off(text))
    else {
        return Ok(None);
    };
    let url = address(&text).map_err(|problem| ConfigError::new("LIBRA_WEBHOOK", problem))?;
    let format = match setting(lookup, "LIBRA_WEBHOOK_FORMAT").as_deref() {
        None | Some("json") => webhook::Format::Json,
        Some("slack") => webhook::Format::Slack,
        Some("discord") => webhook::Format::Discord,
        Some("feishu") => webhook::Format::Feishu,
        Some("dingtalk") => webhook::Format::DingTalk,
        Some(other) => {
            return Err(one_of("LIBRA_WEBHOOK_FORMAT", other, "json, slack, discord, feishu, dingtalk"));
        }
    };
    let secret = lookup("LIBRA_WEBHOOK_SECRET").map(|secret| ApiKey::new(secret.trim()));
    Ok(Some(webhook::Address { url, secret, format }))
}

#[cfg(feature = "otlp")]
fn otlp(
    lookup: &impl Fn(&str) -> Option<String>,
) -> Result<Option<crate::telemetry::otlp::Collector>, ConfigError> {
    use crate::telemetry::otlp::{Collector, Sampling};

    let named = ["LIBRA_OTLP", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .into_iter()
        .find_map(|name| Some((name, lookup(name)?.trim().to_owned())));
    let Some((name, text)) = named.filter(|(_, text)| !is_off(text)) else { return Ok(None) };
    address(&text).map_err(|problem| ConfigError::new(name, problem))?;
    let mut headers = Vec::new();
    for pair in lookup("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default().split(',') {
        if let Some((header, value)) = pair.split_once('=') {
            headers.push((header.trim().to_owned(), ApiKey::new(value.trim())));
        }
    }
    let ratio = |name: &str| -> Result<Option<f64>, ConfigError> {
        let Some(text) = setting(lookup, name) else { return Ok(None) };
        let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let problem = || ConfigError::new(name, format!("{} is no number from 0 to 1", quoted(&text)));
        ratio.map(Some).ok_or_else(problem)
    };
    let argument = ratio("OTEL_TRACES_SAMPLER_ARG")?.unwrap_or(1.0);
    let mut sampling = match setting(lookup, "OTEL_TRACES_SAMPLER").as_deref() {
        None | Some("parentbased_always_on") => Sampling { ratio: 1.0, by_parent: true },
        Some("always_on") => Sampling { ratio: 1.0, by_parent: false },
        Some("always_off") => Sampling { ratio: 0.0, by_parent: false },
        Some("traceidratio") => Sampling { ratio: argument, by_parent: false },
        Some("parentbased_always_off") => Sampling { ratio: 0.0, by_parent: true },
        Some("parentbased_traceidratio") => Sampling { ratio: argument, by_parent: true },
        Some(other) => {
            let known = "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, \
                         parentbased_traceidratio";
            return Err(one_of("OTEL_TRACES_SAMPLER", other, known));
        }
    };
    if let Some(ratio) = ratio("LIBRA_TRACE_RATIO")? {
        sampling.ratio = ratio;
    }
    Ok(Some(Collector { endpoint: text, headers, sampling }))
}

fn setting(lookup: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    lookup(name).map(|text| text.trim().to_ascii_lowercase())
}

fn is_off(text: &str) -> bool {
    ["off", "false", "no", "0"].contains(&text.to_ascii_lowercase().as_str())
}

fn one_of(name: &str, found: &str, known: &str) -> ConfigError {
    ConfigError::new(name, format!("{} is not one of {known}", quoted(found)))
}

/// An address may hold a token: it is not shown.
fn address(text: &str) -> Result<Uri, &'static str> {
    let uri: Option<Uri> = text.parse().ok();
    let is_good = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    };
    uri.filter(is_good).ok_or("is no address that begins with http:// or https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<SeeingSettings, String> {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        SeeingSettings::read(lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_shown_unless_it_is_set() {
        let settings = read(&[]).expect("all have defaults");
        assert_eq!(settings.log_format, log::Format::Pretty);
        assert!(settings.metrics_listen.is_none() && settings.metrics_token.is_none());
        assert!(settings.webhook.is_none() && settings.log_bodies.is_none());
        #[cfg(feature = "otlp")]
        assert!(settings.otlp.is_none());
    }

    #[test]
    fn settings_are_read_and_hide_secrets() {
        let settings = read(&[
            ("LIBRA_METRICS_TOKEN", "a-secret-of-the-tests"),
            ("LIBRA_METRICS_LISTEN", "127.0.0.1:9464"),
            ("LIBRA_LOG_FORMAT", "JSON"),
            ("LIBRA_LOG_BODIES", "on"),
            ("LIBRA_WEBHOOK", "https://hooks.example/a-secret-of-the-tests"),
            ("LIBRA_WEBHOOK_SECRET", "a-secret-of-the-tests"),
            ("LIBRA_WEBHOOK_FORMAT", "slack"),
            ("LIBRA_OTLP", "http://a-secret-of-the-tests@127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a-secret-of-the-tests"),
            ("LIBRA_TRACE_RATIO", "0.25"),
        ]);
        let settings = settings.expect("good settings");
        assert_eq!((settings.log_format, settings.log_bodies), (log::Format::Json, Some(SHOWN)));
        assert_eq!(settings.webhook.as_ref().map(|hook| hook.format), Some(webhook::Format::Slack));
        #[cfg(feature = "otlp")]
        assert_eq!(settings.otlp.as_ref().map(|otlp| otlp.sampling.ratio), Some(0.25));
        assert!(!format!("{settings:?}").contains("a-secret-of"), "{settings:?}");
    }

    #[test]
    fn what_cannot_be_used_is_told_without_the_value() {
        let check = |name: &str, value: &str, expected: &str| {
            let error = read(&[(name, value)]).map(|_| ()).expect_err("it cannot be used");
            assert_eq!(error, format!("{name}: {expected}"));
        };
        check("LIBRA_METRICS_TOKEN", "short", "is too short: it needs 16 characters or more");
        check("LIBRA_METRICS_LISTEN", "x", "\"x\" is no address and port, like 127.0.0.1:9464");
        check("LIBRA_LOG_FORMAT", "xml", "\"xml\" is not one of pretty, json");
        check("LIBRA_WEBHOOK", "hooks.example", "is no address that begins with http:// or https://");
        #[cfg(feature = "otlp")]
        check("LIBRA_OTLP", "collector:4318", "is no address that begins with http:// or https://");
    }
}
