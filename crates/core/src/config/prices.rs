//! What models cost, for the money that a project may cost in a day.

use serde_json::{Map, Value};
use wildmatch::WildMatch;

use super::lists::json_error;
use super::models;
use super::projects::{nothing_left, taken};
use super::variables::quoted;

/// The most prices; each answer of a project with a limit on its cost is matched against all.
const MAX_PRICES: usize = 1000;

/// The highest price of a million tokens, in whatever money prices are in.
const MOST: f64 = 1e6;

/// What models cost, for a million tokens, in any money: it is only compared with what a day may cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Price {
    /// The models meant, by Gemini's names. The first pattern that matches counts.
    pub models: WildMatch,
    /// For a million tokens of input.
    pub input: f64,
    /// For a million tokens of output, thoughts included.
    pub output: f64,
}

impl Price {
    /// What an exchange cost.
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> f64 {
        // Counts of tokens are far below the 2^53 that a float tells apart.
        (input_tokens as f64 * self.input + output_tokens as f64 * self.output) / 1e6
    }
}

/// `pattern=input/output;pattern=input/output`, or a JSON object of patterns to `"input/output"` or to objects
/// of the two.
pub(super) fn prices(text: &str) -> Result<Vec<Price>, String> {
    let prices = if text.starts_with('{') {
        let table: Map<String, Value> = serde_json::from_str(text).map_err(|error| json_error(&error))?;
        let price = |(pattern, value): (String, Value)| {
            let price = match &value {
                Value::String(text) => parted(text),
                _ => None,
            };
            match price {
                Some(price) => one(&pattern, Some(price)),
                None => table_of(value)
                    .map_err(|problem| format!("{}: {problem}", quoted(&pattern)))
                    .and_then(|price| one(&pattern, price)),
            }
        };
        table.into_iter().map(price).collect::<Result<Vec<_>, _>>()?
    } else {
        text.split([',', ';', '，', '；', '\n'])
            .map(models::trimmed)
            .filter(|entry| !entry.is_empty())
            .map(|entry| match entry.split_once(['=', '＝']) {
                Some((pattern, price)) => one(models::trimmed(pattern), parted(price)),
                None => Err(format!("{} is not of the form pattern=input/output", quoted(entry))),
            })
            .collect::<Result<Vec<_>, _>>()?
    };
    if prices.len() > MAX_PRICES {
        return Err(format!("has {} prices; at most {MAX_PRICES} are allowed", prices.len()));
    }
    Ok(prices)
}

fn one(pattern: &str, price: Option<(f64, f64)>) -> Result<Price, String> {
    let fits = |price: &f64| (0.0..=MOST).contains(price);
    match price.filter(|(input, output)| fits(input) && fits(output)) {
        Some((input, output)) => Ok(Price { models: models::pattern(pattern)?, input, output }),
        None => Err(format!(
            "{} needs the prices of a million tokens of input and of output, from 0 to {MOST}; write \
             pattern=1.25/10",
            quoted(pattern)
        )),
    }
}

/// `1.25/10`.
fn parted(text: &str) -> Option<(f64, f64)> {
    let (input, output) = text.split_once('/')?;
    Some((models::trimmed(input).parse().ok()?, models::trimmed(output).parse().ok()?))
}

/// `{"input": 1.25, "output": 10}`.
fn table_of(mut value: Value) -> Result<Option<(f64, f64)>, String> {
    let Some(table) = value.as_object_mut() else { return Ok(None) };
    let number = |value: Value| value.as_f64().ok_or_else(|| "is no number".to_owned());
    let price = taken(table, "input", number)?.zip(taken(table, "output", number)?);
    nothing_left(table, "input and output")?;
    Ok(price)
}
