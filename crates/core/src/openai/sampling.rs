//! Settings that chats and completions have in common, as Gemini takes them.

use crate::gemini::draft::MOST_STOP_SEQUENCES;
use crate::gemini::model::Model;

/// Some clients say "no limit" with 0 or -1.
pub(super) fn positive(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

/// The most tokens of an answer, streamed or in one piece.
pub(super) fn longest(tokens: Option<i64>, streams: bool, model: Model) -> Option<u64> {
    let bound = model.longest_whole_answer().filter(|_| !streams).unwrap_or(u64::MAX);
    positive(tokens).map(|tokens| tokens.min(bound))
}

pub(super) fn penalty(penalty: Option<f64>, model: Model) -> Option<f64> {
    penalty.filter(|penalty| *penalty != 0.0 && model.takes_penalties())
}

/// OpenAI's seeds have 64 bits, Gemini's 32: equal seeds stay equal.
pub(super) fn seed(seed: i64) -> i32 {
    i32::try_from(seed).unwrap_or((seed & 0x7FFF_FFFF) as i32)
}

pub(super) fn stop_sequences(stop: &[String]) -> Vec<&str> {
    stop.iter().map(String::as_str).filter(|stop| !stop.is_empty()).take(MOST_STOP_SEQUENCES).collect()
}
