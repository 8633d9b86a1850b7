//! Single values: each function reads one kind, or says in words what is wrong and what is allowed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Uri;
use ipnet::IpNet;

use super::lists::split;
use super::variables::quoted;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;

pub(super) const DEFAULT_PORT: u16 = 8080;

/// The longest time that can be set. Longer waits for one request are a mistake of the unit.
const LONGEST: Duration = Duration::from_hours(24);

/// The most attempts of one request.
const MOST_ATTEMPTS: u32 = 100;

/// The most sessions at a time. Each has two connections, which are files, and a process has a million of those at most.
const MOST_SESSIONS: usize = 100_000;

/// The most requests that may wait at a time. Each holds a connection, and most hold a body.
const LONGEST_QUEUE: usize = 100_000;

/// The most entries of a list of networks; a request may be matched against all.
const MAX_NETWORKS: usize = 1000;

/// The longest path prefix, in bytes.
const MAX_PATH_BYTES: usize = 256;

/// `45s`, `500ms`, `2m`, `1h`; a number alone is seconds.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = number_and_unit(text);
    let scale = match unit.as_str() {
        "ms" => 1,
        "" | "s" | "sec" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => 0,
    };
    match number.and_then(|number| number.checked_mul(scale)).map(Duration::from_millis) {
        Some(time) if scale > 0 && !time.is_zero() && time <= LONGEST => Ok(time),
        _ => Err(format!(
            "{} is no time from 1ms to 24h; write 45s, 500ms, 2m, 1h or a number of seconds",
            quoted(text)
        )),
    }
}

/// A [`duration`], or 0 or off: none.
pub(super) fn duration_or_none(text: &str) -> Result<Option<Duration>, String> {
    let (number, _) = number_and_unit(text);
    if number == Some(0) || switch(text) == Ok(false) {
        return Ok(None);
    }
    duration(text).map(Some).map_err(|problem| format!("{problem}, or 0 for none"))
}

/// A share in percent, up to a hundred; off: none.
pub(super) fn percent_or_none(text: &str) -> Result<Option<u8>, String> {
    if switch(text) == Ok(false) && text != "0" {
        return Ok(None);
    }
    let number = text.strip_suffix(['%', '％']).unwrap_or(text).trim_end();
    match number.parse::<u8>() {
        Ok(percent) if percent <= 100 => Ok(Some(percent)),
        _ => Err(format!("{} is no share from 0% to 100%, nor off", quoted(text))),
    }
}

/// How many requests may wait.
pub(super) fn queue_size(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|size| (1..=LONGEST_QUEUE).contains(size)).ok_or_else(|| {
        format!("{} is no number from 1 to {LONGEST_QUEUE} (LIBRA_QUEUE_WAIT=0 lets none wait)", quoted(text))
    })
}

/// How many sessions there may be.
pub(super) fn sessions(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|sessions| *sessions <= MOST_SESSIONS);
    number.ok_or_else(|| format!("{} is no number from 0 to {MOST_SESSIONS}", quoted(text)))
}

/// `32MiB`, `32m` (1024 to the power), `32MB` (1000 to the power), `33554432`.
///
/// # Errors
/// A text that is no size, or one that is not within these bounds, in words.
pub fn size(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text);
    let scale = match unit.as_str() {
        "" | "b" => Some(1),
        "k" | "kib" => Some(KIB),
        "m" | "mib" => Some(MIB),
        "g" | "gib" => Some(GIB),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        _ => None,
    };
    match number.zip(scale).and_then(|(number, scale)| number.checked_mul(scale)) {
        Some(bytes) if (least..=most).contains(&bytes) => Ok(bytes),
        _ => Err(format!(
            "{} is no size from {} to {}; write 32MiB, 32MB, 32m or a number of bytes",
            quoted(text),
            in_words(least),
            in_words(most)
        )),
    }
}

fn in_words(bytes: u64) -> String {
    match bytes {
        bytes if bytes >= GIB => format!("{}GiB", bytes / GIB),
        bytes if bytes >= KIB => format!("{}KiB", bytes / KIB),
        bytes => bytes.to_string(),
    }
}

fn number_and_unit(text: &str) -> (Option<u64>, String) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.parse().ok(), unit.trim().to_ascii_lowercase())
}

/// on or off, in the ways people write it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "1" | "yes" => Ok(true),
        "off" | "false" | "0" | "no" => Ok(false),
        _ => Err(format!("{} is not one of on, off (or true, false, yes, no, 1, 0)", quoted(text))),
    }
}

/// One of a few words; capitals and underscores do not matter.
pub(super) fn choice<T: Copy>(text: &str, allowed: &[(&str, T)]) -> Result<T, String> {
    let word = text.to_ascii_lowercase().replace('_', "-");
    allowed.iter().find(|(name, _)| *name == word).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = allowed.iter().map(|(name, _)| *name).collect();
        format!("{} is not one of {}", quoted(text), names.join(", "))
    })
}

/// A number of attempts.
pub(super) fn attempts(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|number| (1..=MOST_ATTEMPTS).contains(number))
        .ok_or_else(|| format!("{} is no number from 1 to {MOST_ATTEMPTS}", quoted(text)))
}

/// A port of its own.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{} is no port from 0 to 65535", quoted(text)))
}

/// `127.0.0.1:8080`, `[::]:8080`, `localhost:8080`, `:8080` (all addresses), `8080` (this machine only).
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let problem = || {
        format!(
            "{} is no address to listen on; write 127.0.0.1:8080, [::]:8080, localhost:8080 or :8080 (all addresses)",
            quoted(text)
        )
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.parse() {
        return Ok(SocketAddr::new(ip, DEFAULT_PORT));
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("localhost", text));
    let ip = match host {
        "" | "*" => Ipv4Addr::UNSPECIFIED,
        "localhost" => Ipv4Addr::LOCALHOST,
        _ => return Err(problem()),
    };
    port.parse().map(|port| SocketAddr::new(IpAddr::V4(ip), port)).map_err(|_| problem())
}

/// A path prefix: empty, or `/like/this`.
pub(super) fn base_path(text: &str) -> Result<String, String> {
    let path = text.trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    let mut segments = path.split('/');
    if path.len() > MAX_PATH_BYTES
        || segments.any(|segment| matches!(segment, "" | "." | "..") || !segment.chars().all(fits))
    {
        return Err(format!("{} is no path; write it like /gemini", quoted(text)));
    }
    Ok(format!("/{path}"))
}

/// Where clients reach the gateway, without a slash at the end.
pub(super) fn public_url(text: &str) -> Result<String, String> {
    let address = address(text)?.to_string();
    Ok(address.trim_end_matches('/').to_owned())
}

/// The upstream's address, without the version that the gateway adds itself.
pub(super) fn upstream(text: &str) -> Result<Uri, String> {
    let uri = address(text)?;
    let last = uri.path().rsplit('/').next().unwrap_or_default();
    if matches!(last, "v1" | "v1beta" | "v1alpha") {
        return Err(format!("ends in /{last}; leave it out, as clients say which version they want"));
    }
    Ok(uri)
}

/// The base URL of an OpenAI-compatible service, also where the whole address of its chat was pasted.
pub(super) fn service_url(text: &str) -> Result<Uri, String> {
    let text = text.trim_end_matches('/');
    address(text.strip_suffix("/chat/completions").unwrap_or(text))
}

/// An http or https address without credentials, query and fragment. Never quoted, as it may hold a password.
fn address(text: &str) -> Result<Uri, String> {
    let problem =
        |problem: &str| format!("{problem}; write it like https://example.com or https://example.com/path");
    if text.contains(['?', '#']) {
        return Err(problem("is an address with a query or a fragment"));
    }
    let uri: Uri = text.trim_end_matches('/').parse().map_err(|_| problem("is no address"))?;
    let Some(authority) = uri.authority() else { return Err(problem("is no address")) };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(problem("is no http or https address"));
    }
    if authority.as_str().contains('@') {
        return Err(problem("holds a user name or password, which would be sent nowhere"));
    }
    let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
    if authority.host().is_empty() || (!port.is_empty() && uri.port_u16().is_none()) {
        return Err(problem("is no address with a host and, if any, a port from 1 to 65535"));
    }
    Ok(uri)
}

/// Whether what is sent to the address cannot be read on its way: over TLS, or within this machine.
pub(super) fn is_private_way(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    address.scheme_str() == Some("https")
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The model name of another service: anything that fits into JSON and a log line.
pub(super) fn foreign_model(text: &str) -> Result<String, String> {
    if text.len() > 256 || text.chars().any(char::is_control) {
        return Err(format!("{} is no model name of at most 256 characters", quoted(text)));
    }
    Ok(text.to_owned())
}

/// Networks in CIDR form, addresses, and the words `loopback` and `private`.
pub(crate) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];
    const PRIVATE: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];
    let mut networks = Vec::new();
    for entry in split(text).iter() {
        let known = match entry.to_ascii_lowercase().as_str() {
            "loopback" => &LOOPBACK[..],
            "private" => &PRIVATE[..],
            _ => &[],
        };
        if known.is_empty() {
            networks.push(network(entry)?);
        } else {
            networks.extend(known.iter().filter_map(|network| network.parse::<IpNet>().ok()));
        }
        if networks.len() > MAX_NETWORKS {
            return Err(format!("holds more than {MAX_NETWORKS} networks"));
        }
    }
    Ok(networks)
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse::<IpNet>().ok().or_else(address).map(|network| network.trunc()).ok_or_else(|| {
        format!("{} is no network; write 10.0.0.0/8, 192.0.2.1, loopback or private", quoted(text))
    })
}
