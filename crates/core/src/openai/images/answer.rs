//! Images that were drawn, in OpenAI's shape.

use bytes::Bytes;

use super::Request;
use crate::error::{Error, Kind};
use crate::gemini::response::{Blob, GenerateContentResponse, Part, Text};
use crate::json;
use crate::openai::endpoint::{Fragment, blocked};
use crate::openai::tokens::Tokens;

/// So much of what a model says in place of an image is told.
const MOST_SAID: usize = 500;

impl Request {
    /// The entry of `data` for an image.
    ///
    /// # Errors
    /// 400 where Gemini would not draw, 502 where the body is no answer or holds no image.
    pub fn entry(&self, answer: &[u8]) -> Result<Fragment, Error> {
        let body = GenerateContentResponse::read(answer)?;
        let tokens = Tokens::read(body.usage_metadata);
        // Models that think show drafts among their thoughts; the last image is the one meant.
        let image = parts(&body).filter_map(|part| part.inline_data.as_ref()).last();
        let Some(image) = image.filter(|image| image.data.is_some()) else { return Err(refusal(&body)) };
        let mut out = Vec::with_capacity(image.data.map_or(0, |data| data.literal().len()) + 64);
        if self.as_url && !self.stream {
            out.extend_from_slice(br#"{"url":"data:"#);
            out.extend_from_slice(image.mime_type.map_or("image/png", Text::escaped).as_bytes());
            out.extend_from_slice(b";base64,");
        } else {
            out.extend_from_slice(br#"{"b64_json":""#);
        }
        out.extend_from_slice(image.data.map(Text::escaped).unwrap_or_default().as_bytes());
        out.extend_from_slice(br#"""#);
        if self.stream {
            out.extend_from_slice(br#","output_format":"#);
            json::string(&mut out, format(image));
        }
        out.push(b'}');
        Ok(Fragment { bytes: out, tokens })
    }

    /// The whole answer, from the entries of all images: an object, or the events of a stream.
    pub fn answer(&self, images: &[Fragment]) -> Bytes {
        let tokens: Tokens = images.iter().map(|image| image.tokens).sum();
        let mut out = Vec::with_capacity(images.iter().map(|image| image.bytes.len() + 400).sum());
        if self.stream {
            for image in images {
                self.event(image, &mut out);
            }
            return out.into();
        }
        out.extend_from_slice(br#"{"created":"#);
        json::number(&mut out, self.created);
        out.extend_from_slice(br#","data":["#);
        Fragment::join(images, &mut out);
        out.extend_from_slice(br#"],"usage":"#);
        usage(tokens, &mut out);
        out.push(b'}');
        out.into()
    }

    /// The event that tells of an image that is complete.
    fn event(&self, image: &Fragment, out: &mut Vec<u8>) {
        let kind = if self.sources.is_some() { "image_edit.completed" } else { "image_generation.completed" };
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(br#"","created_at":"#);
        json::number(out, self.created);
        out.extend_from_slice(br#","size":"auto","quality":"auto","background":"auto","usage":"#);
        usage(image.tokens, out);
        out.push(b',');
        out.extend_from_slice(&image.bytes[1..]);
        out.extend_from_slice(b"\n\n");
    }
}

fn parts<'b, 'a>(answer: &'b GenerateContentResponse<'a>) -> impl Iterator<Item = &'b Part<'a>> {
    answer
        .candidates
        .iter()
        .filter_map(|candidate| candidate.content.as_ref())
        .flat_map(|content| content.parts.iter())
}

/// `png`, `jpeg`, `webp`.
fn format<'a>(image: &Blob<'a>) -> &'a str {
    let mime_type = image.mime_type.map_or("image/png", Text::escaped);
    mime_type.strip_prefix("image/").unwrap_or("png")
}

/// Why there is no image.
fn refusal(answer: &GenerateContentResponse<'_>) -> Error {
    if let Some(error) = blocked(answer) {
        return error;
    }
    let said: String = parts(answer)
        .filter(|part| part.thought != Some(true))
        .filter_map(|part| part.text.map(Text::decode))
        .collect();
    let said = said.trim();
    if said.is_empty() {
        return Error::new(Kind::BadGateway, "the upstream's answer holds no image");
    }
    let said: String = said.chars().take(MOST_SAID).collect();
    Error::new(Kind::Blocked, format!("The model answered with words and drew nothing: {said}"))
}

fn usage(tokens: Tokens, out: &mut Vec<u8>) {
    for (name, count) in [
        (&br#"{"total_tokens":"#[..], tokens.total()),
        (br#","input_tokens":"#, tokens.input),
        (br#","output_tokens":"#, tokens.output),
        (br#","input_tokens_details":{"text_tokens":"#, tokens.text()),
        (br#","image_tokens":"#, tokens.media),
    ] {
        out.extend_from_slice(name);
        json::number(out, count);
    }
    out.extend_from_slice(b"}}");
}
