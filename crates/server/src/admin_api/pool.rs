//! The pool and explanations over HTTP: core's own views.

use serde::Deserialize;
use utoipa::IntoParams;

use super::keys::within;
use super::problem::Problem;
use super::{AdminApi, Answer};
use crate::clock;

/// The request to explain.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainAsked {
    /// The model; an alias will do.
    #[param(min_length = 1, max_length = 256)]
    model: String,
    /// Its input tokens.
    #[serde(default = "one")]
    #[param(required = false, minimum = 0, maximum = 1000000000)]
    tokens: u64,
}

const fn one() -> u64 {
    1
}

impl AdminApi {
    pub(super) fn pool(&self) -> Result<Answer, Problem> {
        Answer::json(&self.gateway.view(clock::now()))
    }

    pub(super) fn explain(&self, asked: ExplainAsked) -> Result<Answer, Problem> {
        within("model", Some(&asked.model), 256)?;
        if asked.tokens > 1_000_000_000 {
            return Err(Problem::wrong_field("tokens", "tokens: expected a number up to 1000000000."));
        }
        let explained = self.gateway.explain(&asked.model, asked.tokens, clock::now());
        Answer::json(&explained.map_err(|error| Problem::not_found(error.message))?)
    }
}
