//! Answers that were kept, for the client that asked for them: to go on from, and under `/v1/responses/{id}`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use crate::error::{Error, Kind};
use crate::gateway::{Gateway, no_room, too_large};
use crate::memory::Held;
use crate::openai::responses::store::Turn;
use crate::openai::responses::{Item, ResponsesRequest, listing, no_previous};
use crate::route::Act;
use crate::secret::KeyId;
use crate::time::Timestamp;

/// The items of a request, with what they refer to in its place, and the answer that it goes on from. All of it counts
/// like a body that the client has sent.
///
/// # Errors
/// 400 for an answer that is not there, 413 where it is too much altogether, 503 where there is no room for it.
pub(crate) fn gone_on_from(
    request: &ResponsesRequest,
    id: &str,
    (gateway, client): (&Gateway, KeyId),
    held: &mut Held,
    now: Timestamp,
) -> Result<(Vec<Item>, Option<Arc<Turn>>), Error> {
    let mut items = request.items(id)?;
    let mut answers = gateway.answers();
    let limit = gateway.config().body_limit;
    let mut hold = |size: usize| {
        let within = held.bytes().saturating_add(size as u64) <= limit;
        match within && held.grow(size) {
            true => Ok(()),
            false if within => Err(no_room()),
            false => Err(too_large(limit)),
        }
    };
    for item in items.iter_mut().filter(|item| item.is_reference) {
        if let Some(found) = answers.item(client, &item.id, now) {
            hold(found.size())?;
            *item = found;
        }
    }
    let Some(previous) = request.previous_response_id.as_deref() else { return Ok((items, None)) };
    let answer = answers.find(client, previous, now).ok_or_else(|| no_previous(previous))?;
    if !answer.turn.may_be_followed() {
        let message =
            "The conversation has become too long to go on from its last response: send it as 'input'.";
        return Err(Error::bad_request(message, "previous_response_id"));
    }
    hold(answer.turn.size())?;
    Ok((items, Some(Arc::clone(&answer.turn))))
}

/// Does what is asked with an answer.
///
/// # Errors
/// 404 where this client has no such answer; 400 for what cannot be done with it.
pub(crate) fn answer(
    gateway: &Gateway,
    client: KeyId,
    id: &str,
    act: Act,
    query: &str,
    now: Timestamp,
) -> Result<Response<Bytes>, Error> {
    let found = gateway.answers().find(client, id, now);
    let Some(found) = found else {
        let id: String = id.chars().filter(|char| !char.is_control()).take(100).collect();
        return Err(Error::new(Kind::NotFound, format!("Response with id '{id}' not found.")));
    };
    let asked = |name: &str, value: &str| {
        form_urlencoded::parse(query.as_bytes()).any(|(key, asked)| key == name && asked == value)
    };
    let body = match act {
        Act::Get if asked("stream", "true") => {
            let message = "A response that is kept is whole: it can be had without 'stream' only.";
            return Err(Error::bad_request(message, "stream"));
        }
        Act::Get => found.body.clone(),
        Act::Delete => {
            gateway.answers().remove(client, id);
            listing::deleted(id)
        }
        Act::InputItems => listing::input_items(&found.turn, query)?,
        Act::Cancel => {
            let message =
                "Only responses that are made in the background can be cancelled, and none are here.";
            return Err(Error::new(Kind::BadRequest, message));
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
