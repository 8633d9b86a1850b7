//! Embeddings: texts to `batchEmbedContents`, and its vectors back.
//!
//! Gemini takes a hundred texts a request, so that a longer list becomes several ([`Request::batches`]), each answered
//! for itself; their entries are put together in order. Vectors that were cut to fewer dimensions come from some models
//! as they were cut; OpenAI's always have length one, and so do these.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::endpoint::Fragment;
use super::texts::Texts;
use super::tokens::Tokens;
use crate::error::{Error, Kind};
use crate::fields;
use crate::gemini::request::{Content, Part};
use crate::gemini::response::UsageMetadata;
use crate::json;
use crate::tokens::estimate;

/// `batchEmbedContents` takes so many texts.
const BATCH: usize = 100;

/// OpenAI's bound on `input`.
const MOST_INPUTS: usize = 2048;

/// A vector whose length is this far from one is brought to one; what is nearer is rounding.
const ROUNDING: f64 = 1e-4;

/// A request to `/v1/embeddings`, as far as it says anything to Gemini.
#[derive(Debug, Clone, Deserialize)]
pub struct Request {
    /// The model, as the client names it.
    #[serde(default, deserialize_with = "fields::or_default")]
    pub model: String,
    input: Option<Texts>,
    #[serde(default, deserialize_with = "fields::lenient_whole")]
    dimensions: Option<i64>,
    encoding_format: Option<String>,
}

impl Request {
    /// Reads a body.
    ///
    /// # Errors
    /// 400, with the field at fault as OpenAI names it.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let request: Self = fields::parse(body)?;
        if request.model.trim().is_empty() {
            return Err(Error::bad_request("you must provide a model parameter", "model"));
        }
        let texts = match &request.input {
            None => return Err(Error::bad_request("Missing required parameter: 'input'.", "input")),
            Some(Texts(texts)) => texts,
        };
        if texts.is_empty() || texts.len() > MOST_INPUTS {
            let message = format!("'input' has to hold 1 to {MOST_INPUTS} texts; it holds {}.", texts.len());
            return Err(Error::bad_request(message, "input"));
        }
        if let Some(at) = texts.iter().position(String::is_empty) {
            return Err(Error::bad_request("'input' cannot be an empty string.", format!("input[{at}]")));
        }
        if request.dimensions.is_some_and(|dimensions| dimensions <= 0) {
            return Err(Error::bad_request("'dimensions' has to be at least 1.", "dimensions"));
        }
        match request.encoding_format.as_deref() {
            None | Some("float" | "base64") => Ok(request),
            Some(_) => Err(Error::bad_request(
                "Invalid value for 'encoding_format'. Supported values are: 'float' and 'base64'.",
                "encoding_format",
            )),
        }
    }

    /// How many requests to Gemini it takes.
    pub fn batches(&self) -> usize {
        self.texts().len().div_ceil(BATCH)
    }

    fn texts(&self) -> &[String] {
        self.input.as_ref().map(|Texts(texts)| texts.as_slice()).unwrap_or_default()
    }

    /// The texts of a batch, and the number of the first of them.
    fn batch(&self, number: usize) -> (usize, &[String]) {
        let first = number * BATCH;
        (first, self.texts().chunks(BATCH).nth(number).unwrap_or_default())
    }

    /// The body for `models/{model}:batchEmbedContents`.
    pub fn to_gemini(&self, model: &str, batch: usize) -> Bytes {
        let name = full_name(model);
        let requests = self.batch(batch).1.iter().map(|text| self.single(text, &name));
        let body = BatchEmbedContentsRequest { requests: requests.collect() };
        serde_json::to_vec(&body).expect("strings and numbers can be written").into()
    }

    /// Each text as a request of its own, as the lines of a batch's input are.
    pub(super) fn singles(&self, model: &str) -> Vec<Vec<u8>> {
        let name = full_name(model);
        let singles = self.texts().iter().map(|text| self.single(text, &name));
        singles.map(|one| serde_json::to_vec(&one).expect("strings and numbers can be written")).collect()
    }

    fn single<'a>(&self, text: &'a str, model: &'a str) -> EmbedContentRequest<'a> {
        EmbedContentRequest {
            model,
            content: Content { role: None, parts: vec![Part::text(text)] },
            output_dimensionality: self.dimensions,
        }
    }

    /// Whether vectors are to come in base64.
    pub(super) fn is_base64(&self) -> bool {
        self.encoding_format.as_deref() == Some("base64")
    }

    /// The entries of `data` that come of a batch, commas between them.
    ///
    /// # Errors
    /// 502 where the body is no answer, or has not a vector for each text.
    pub fn entries(&self, answer: &[u8], batch: usize) -> Result<Fragment, Error> {
        let (first, texts) = self.batch(batch);
        let not_vectors = || Error::new(Kind::BadGateway, "the upstream's answer does not hold the vectors");
        let answer: BatchEmbedContentsResponse = serde_json::from_slice(answer).map_err(|_| not_vectors())?;
        let is_whole = answer.embeddings.len() == texts.len();
        if !is_whole || answer.embeddings.iter().flat_map(|one| &one.values).any(|value| !value.is_finite()) {
            return Err(not_vectors());
        }
        let mut out = Vec::new();
        for (number, Embedding { values }) in (first..).zip(answer.embeddings) {
            if number > first {
                out.push(b',');
            }
            entry(&mut out, number, values, self.is_base64());
        }
        // Not every model counts.
        let counted = answer.usage_metadata.map_or(0, |usage| usage.prompt_token_count);
        let input = match counted {
            0 => texts.iter().map(|text| estimate(text.as_bytes())).sum(),
            counted => counted,
        };
        Ok(Fragment { bytes: out, tokens: Tokens { input, ..Tokens::default() } })
    }

    /// The whole answer, from the entries of all batches in order.
    pub fn answer(&self, batches: &[Fragment]) -> Bytes {
        let size: usize = batches.iter().map(|batch| batch.bytes.len() + 1).sum();
        let mut entries = Vec::with_capacity(size);
        Fragment::join(batches, &mut entries);
        let tokens = batches.iter().map(|batch| batch.tokens).sum::<Tokens>().input;
        list(&self.model, &entries, tokens)
    }
}

/// The model's name as Google wants it in each request.
fn full_name(model: &str) -> String {
    if model.contains('/') { model.to_owned() } else { format!("models/{model}") }
}

/// An answer with these vectors, which come from a batch.
pub(super) fn whole(
    model: &str,
    vectors: impl IntoIterator<Item = Vec<f32>>,
    tokens: u64,
    base64: bool,
) -> Bytes {
    let mut entries = Vec::new();
    for (number, values) in vectors.into_iter().enumerate() {
        if number > 0 {
            entries.push(b',');
        }
        entry(&mut entries, number, values, base64);
    }
    list(model, &entries, tokens)
}

/// One of `data`.
fn entry(out: &mut Vec<u8>, number: usize, mut values: Vec<f32>, base64: bool) {
    normalise(&mut values);
    out.extend_from_slice(br#"{"object":"embedding","index":"#);
    json::number(out, number as u64);
    out.extend_from_slice(br#","embedding":"#);
    if base64 {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        out.push(b'"');
        out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
        out.push(b'"');
    } else {
        serde_json::to_writer(&mut *out, &values).expect("numbers can be written, and a buffer takes them");
    }
    out.push(b'}');
}

fn list(model: &str, entries: &[u8], tokens: u64) -> Bytes {
    let mut out = Vec::with_capacity(entries.len() + 160 + model.len());
    out.extend_from_slice(br#"{"object":"list","data":["#);
    out.extend_from_slice(entries);
    out.extend_from_slice(br#"],"model":"#);
    json::string(&mut out, model);
    out.extend_from_slice(br#","usage":{"prompt_tokens":"#);
    json::number(&mut out, tokens);
    out.extend_from_slice(br#","total_tokens":"#);
    json::number(&mut out, tokens);
    out.extend_from_slice(b"}}");
    out.into()
}

/// Brings a vector to length one.
fn normalise(values: &mut [f32]) {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 && (length - 1.0).abs() > ROUNDING {
        for value in values {
            *value = (f64::from(*value) / length) as f32;
        }
    }
}

#[derive(Serialize)]
struct BatchEmbedContentsRequest<'a> {
    requests: Vec<EmbedContentRequest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedContentRequest<'a> {
    /// As the path has it; Google wants it in each.
    model: &'a str,
    content: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchEmbedContentsResponse {
    #[serde(default)]
    embeddings: Vec<Embedding>,
    usage_metadata: Option<UsageMetadata>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_get_length_one() {
        let check = |mut values: Vec<f32>, expected: &[f32]| {
            normalise(&mut values);
            assert_eq!(values, expected);
        };
        check(vec![3.0, 4.0], &[0.6, 0.8]);
        check(vec![0.0, 0.0], &[0.0, 0.0]);
        // Rounding is left as it came.
        check(vec![0.600_01, 0.8], &[0.600_01, 0.8]);
        check(vec![], &[]);
        check(vec![f32::MAX, f32::MAX], &[std::f32::consts::FRAC_1_SQRT_2; 2]);
    }
}
