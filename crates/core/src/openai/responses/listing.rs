//! What is told of an answer that was kept.

use std::sync::Arc;

use bytes::Bytes;

use super::input::Item;
use super::store::Turn;
use crate::error::Error;
use crate::json;

/// OpenAI's own bounds on a page.
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;

/// The answer to a deletion.
pub(crate) fn deleted(id: &str) -> Bytes {
    let mut out = br#"{"id":"#.to_vec();
    json::string(&mut out, id);
    out.extend_from_slice(br#","object":"response","deleted":true}"#);
    out.into()
}

/// A page of what the model was given, the newest first unless asked otherwise.
///
/// # Errors
/// 400, with the parameter at fault.
pub(crate) fn input_items(turn: &Arc<Turn>, query: &str) -> Result<Bytes, Error> {
    let (mut limit, mut ascending, mut after) = (PAGE, false, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (name.as_ref(), value.as_ref()) {
            ("limit", value) => match value.parse() {
                Ok(wanted @ 1..=LARGEST_PAGE) => limit = wanted,
                _ => {
                    let message =
                        format!("Invalid value for 'limit': expected a number from 1 to {LARGEST_PAGE}.");
                    return Err(Error::bad_request(message, "limit"));
                }
            },
            ("order", "asc") => ascending = true,
            ("order", "desc") => ascending = false,
            ("order", _) => {
                return Err(Error::bad_request(
                    "Invalid value for 'order': expected 'asc' or 'desc'.",
                    "order",
                ));
            }
            ("after", _) => after = Some(value),
            _ => {}
        }
    }
    let mut items = turn.given();
    if !ascending {
        items.reverse();
    }
    let start = match after {
        None => 0,
        Some(after) => 1 + items.iter().position(|item| item.id == after).ok_or_else(|| nowhere(&after))?,
    };
    let page: Vec<&Item> = items.iter().skip(start).take(limit).collect();
    let mut out = br#"{"object":"list","data":["#.to_vec();
    for (number, item) in page.iter().enumerate() {
        out.extend_from_slice(if number > 0 { b"," } else { b"" });
        out.extend_from_slice(item.json.as_bytes());
    }
    for (name, item) in [(&br#"],"first_id":"#[..], page.first()), (br#","last_id":"#, page.last())] {
        out.extend_from_slice(name);
        match item {
            Some(item) => json::string(&mut out, &item.id),
            None => out.extend_from_slice(b"null"),
        }
    }
    let more: &[u8] = if start + page.len() < items.len() { b"true}" } else { b"false}" };
    out.extend_from_slice(br#","has_more":"#);
    out.extend_from_slice(more);
    Ok(out.into())
}

fn nowhere(after: &str) -> Error {
    let after: String = after.chars().filter(|char| !char.is_control()).take(100).collect();
    Error::bad_request(format!("There is no item with id '{after}' in this response's input."), "after")
}
