//! How long Google says to wait: `RetryInfo.retryDelay`, or a sentence in the message.
//!
//! Google sends no `Retry-After`. Delays are rounded up to milliseconds and bounded by [`LONGEST`]; what is
//! negative, not a number or of an unknown unit is none.

use std::time::Duration;

use serde_json::Value;

/// No wait that Google names is longer: even a daily quota is back within 25 hours.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A `google.protobuf.Duration`: `"45.837906927s"`, or `{"seconds": 45, "nanos": 837906927}`.
pub(super) fn from_json(value: &Value) -> Option<Duration> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(seconds) => parse(&seconds.to_string()),
        Value::Object(parts) => {
            let seconds = parts.get("seconds").map_or(Some(0), whole)?;
            let nanos = parts.get("nanos").map_or(Some(0), whole)?;
            Some(bounded(u128::from(seconds) * 1_000_000_000 + u128::from(nanos)))
        }
        _ => None,
    }
}

/// "Please retry in 48.939935699s." somewhere in a message, which may also be in milliseconds or hours.
pub(super) fn from_message(lower_case: &str) -> Option<Duration> {
    let at =
        ["retry in ", "retry after "].iter().find_map(|words| Some(lower_case.find(words)? + words.len()))?;
    let rest = &lower_case[at..];
    let end = rest.find(|c: char| !matches!(c, '0'..='9' | '.' | 'h' | 'm' | 's')).unwrap_or(rest.len());
    parse(rest[..end].trim_end_matches('.'))
}

/// `1h2m3.5s`, `950ms`, `26s`; a bare number counts seconds.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let (unit, after) = split_unit(after)?;
        nanos = nanos.saturating_add(scaled(number, unit)?);
        rest = after;
    }
    Some(bounded(nanos))
}

/// The unit at the start of `text`, in nanoseconds, and what follows it.
fn split_unit(text: &str) -> Option<(u128, &str)> {
    const UNITS: [(&str, u128); 4] =
        [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000)];
    if text.is_empty() {
        return Some((1_000_000_000, text));
    }
    UNITS.iter().find_map(|&(name, unit)| Some((unit, text.strip_prefix(name)?)))
}

/// A decimal number times `unit`, rounded up.
fn scaled(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digit = |byte: u8| u128::from(byte - b'0');
    let whole = whole.bytes().fold(0_u128, |sum, byte| sum.saturating_mul(10).saturating_add(digit(byte)));
    let mut part = 0;
    let mut scale = unit;
    // Past twelve places no unit has anything left.
    for byte in fraction.bytes().take(12) {
        part += digit(byte) * scale / 10;
        scale /= 10;
    }
    Some(whole.saturating_mul(unit).saturating_add(part))
}

/// A whole number, which proto JSON writes as a string when it has 64 bits.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn bounded(nanos: u128) -> Duration {
    let millis = u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX);
    Duration::from_millis(millis).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_read_in_every_form() {
        let check = |json: &str, expected: Option<u64>| {
            let value: Value = serde_json::from_str(json).expect("test values are JSON");
            assert_eq!(from_json(&value), expected.map(Duration::from_millis), "{json}");
        };
        check(r#""45.837906927s""#, Some(45_838));
        check(r#""26s""#, Some(26_000));
        check(r#""1.5s""#, Some(1_500));
        check(r#""0s""#, Some(0));
        check(r#""0.000000001s""#, Some(1));
        check(r#"".5s""#, Some(500));
        check(r#""250ms""#, Some(250));
        check(r#""1h2m3.5s""#, Some(3_723_500));
        check(r#""30""#, Some(30_000));
        check("30", Some(30_000));
        check("1.25", Some(1_250));
        check(r#"{"seconds":"26","nanos":500000000}"#, Some(26_500));
        check(r#"{"seconds":26}"#, Some(26_000));
        check(r#""3155760000s""#, Some(86_400_000));
        check(r#"{"seconds":18446744073709551615,"nanos":4294967295}"#, Some(86_400_000));
        check(&format!("\"{}s\"", "9".repeat(500)), Some(86_400_000));
        for none in
            [r#""-3s""#, r#""NaNs""#, r#""""#, r#""s""#, r#"".s""#, r#""1.2.3s""#, r#""1e9s""#, r#""5 s""#]
        {
            check(none, None);
        }
        for none in ["-3", "null", "[]", r#"{"seconds":-1}"#, r#"{"seconds":"x"}"#, r#""5d""#, r#""٣s""#] {
            check(none, None);
        }
    }

    #[test]
    fn delays_are_found_in_messages() {
        let check = |message: &str, expected: Option<u64>| {
            assert_eq!(from_message(message), expected.map(Duration::from_millis), "{message}");
        };
        check("over quota.\nplease retry in 48.939935699s.", Some(48_940));
        check("please retry in 831.5ms", Some(832));
        check("please retry in 14h3m.", Some(50_580_000));
        check("please retry after 20s or so", Some(20_000));
        check("please retry in a while", None);
        check("retry in ", None);
        check("please wait 20s", None);
    }
}
