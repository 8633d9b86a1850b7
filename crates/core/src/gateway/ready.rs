//! `/ready`: whether there is a key to serve with, and where requests leave from.
//!
//! Google refuses some countries, whatever the key ([`Class::Egress`](crate::failure::Class::Egress)). Who runs a gateway
//! where a platform chooses the place learns it here: which place it is, where the platform says so, and when Google
//! refused it last.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use super::Gateway;
use crate::time::Timestamp;

/// A refusal is told for so long: a platform may have moved the gateway since.
const TOLD: Duration = Duration::from_secs(3600);

/// No region's name is longer.
const LONGEST: usize = 40;

const ADVICE: &str = "Gemini does not serve the place that requests leave from. Run the gateway in another region: see \
                      docs/edge.md. Gemini 不在请求发出地提供服务，请换一个区域，见 docs/edge.zh-CN.md。";

/// Where requests leave from, as a platform calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A region or data centre.
    pub region: String,
    /// Its country, in two letters, where it is known.
    pub country: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Exit(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    place: Option<Place>,
    refused: Option<Timestamp>,
}

impl Gateway {
    /// Says where requests leave from. What is no name is left out.
    pub fn leaves_from(&self, place: Place) {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.len() <= LONGEST
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if is_name(&place.region) && place.country.as_deref().is_none_or(is_name) {
            self.exit.known(|known| known.place = Some(place));
        }
    }

    /// Google has refused the place that requests leave from.
    pub(crate) fn refused_here(&self, now: Timestamp) {
        self.exit.known(|known| known.refused = Some(now));
    }

    pub(super) fn ready(&self, now: Timestamp) -> Response<Bytes> {
        let (all, usable) = self.pool_size();
        let (status, word) = match all > 0 && usable == 0 {
            true => (StatusCode::SERVICE_UNAVAILABLE, "no usable key"),
            false => (StatusCode::OK, "ready"),
        };
        let mut said = json!({ "status": word });
        self.exit.known(|known| {
            if let Some(place) = &known.place {
                said["region"] = json!(place.region);
                if let Some(country) = &place.country {
                    said["country"] = json!(country);
                }
            }
            if let Some(refused) = known.refused.filter(|refused| now.since(*refused) <= TOLD) {
                said["location_refused"] =
                    json!({ "seconds_ago": now.since(refused).as_secs(), "what_to_do": ADVICE });
            }
        });
        let mut response = Response::new(Bytes::from(said.to_string()));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

impl Exit {
    fn known(&self, with: impl FnOnce(&mut Known)) {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
