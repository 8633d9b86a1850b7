//! Media too large to stand in a request. Gemini refuses bodies above a bound and wants what is in them as files; so they
//! are taken out of a body that is too large, the largest first, until the rest fits. In their place stands a
//! [mark](Large::mark), which is no address of anything, for whoever sends the request to replace.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use super::request::{Blob, FileData, GenerateContentRequest, Part};

/// The largest body that Gemini takes: "Request payload size exceeds the limit: 20971520 bytes. Please use the File API".
pub(crate) const BODY_LIMIT: usize = 20_971_520;

/// What is smaller stays, as an upload costs more than it saves.
const SMALLEST: usize = 64 << 10;

/// So many are taken out. Each is an upload for which a client waits.
const MOST: usize = 64;

/// What stands before the digest in a mark. No client's address begins like this: those have `://` in them.
const MARK: &str = "inline:";

/// A medium that was taken out of a body.
#[derive(Clone, PartialEq, Eq)]
pub struct Large {
    mime_type: String,
    base64: String,
    digest: String,
}

impl Large {
    fn new(blob: &Blob<'_>) -> Self {
        let mut digest = Sha256::new_with_prefix(blob.mime_type.as_bytes());
        digest.update([0]);
        digest.update(blob.data.as_bytes());
        Self {
            mime_type: blob.mime_type.clone().into_owned(),
            base64: blob.data.clone().into_owned(),
            digest: URL_SAFE_NO_PAD.encode(digest.finalize()),
        }
    }

    /// What stands for it in the body.
    pub(crate) fn mark(&self) -> String {
        format!("{MARK}{}", self.digest)
    }

    /// What tells it from all others.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The digest in a mark.
    pub(crate) fn digest_of_mark(mark: &str) -> Option<&str> {
        mark.strip_prefix(MARK)
    }

    /// How many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        self.base64.len()
    }

    /// The upload of it in one request: content type and body. None: its base64 is none.
    pub(crate) fn as_related(&self) -> Option<(String, Vec<u8>)> {
        let boundary = format!("libra-{}", self.digest);
        let metadata = serde_json::json!({ "file": { "displayName": "inline", "mimeType": self.mime_type } });
        let mut body = Vec::with_capacity(self.base64.len() / 4 * 3 + 512);
        body.extend_from_slice(
            format!("--{boundary}\r\ncontent-type: application/json\r\n\r\n{metadata}\r\n--{boundary}\r\n")
                .as_bytes(),
        );
        // A type is a header here, and a client's word.
        let plain = self.mime_type.bytes().all(|byte| byte.is_ascii_graphic());
        let mime_type = if plain { self.mime_type.as_str() } else { "application/octet-stream" };
        body.extend_from_slice(format!("content-type: {mime_type}\r\n\r\n").as_bytes());
        let before = body.len();
        if STANDARD.decode_vec(&self.base64, &mut body).is_err() {
            body.truncate(before);
            STANDARD_NO_PAD.decode_vec(self.base64.trim_end_matches('='), &mut body).ok()?;
        }
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Some((format!("multipart/related; boundary={boundary}"), body))
    }
}

impl fmt::Debug for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Large")
            .field("mime_type", &self.mime_type)
            .field("size", &self.size())
            .finish_non_exhaustive()
    }
}

impl<'a> GenerateContentRequest<'a> {
    /// Takes media out of a request whose body has this size, until the rest is no larger than `limit`.
    pub(super) fn take_out(&mut self, size: usize, limit: usize) -> Vec<Arc<Large>> {
        let mut media = self.media();
        media.sort_by_key(|(size, _)| Reverse(*size));
        let mut rest = size;
        let mut large: Vec<Arc<Large>> = Vec::new();
        for (size, part) in media.into_iter().filter(|(size, _)| *size >= SMALLEST).take(MOST) {
            if rest <= limit {
                break;
            }
            let Some(blob) = part.inline_data.take() else { continue };
            rest -= size;
            let medium = Large::new(&blob);
            part.file_data = Some(FileData {
                mime_type: Some(Cow::Owned(medium.mime_type.clone())),
                file_uri: Cow::Owned(medium.mark()),
                place: None,
            });
            // One that stands there twice is uploaded once.
            if !large.iter().any(|known| known.digest == medium.digest) {
                large.push(Arc::new(medium));
            }
        }
        large
    }

    /// The parts that hold media, each with its size.
    pub(super) fn media(&mut self) -> Vec<(usize, &mut Part<'a>)> {
        let mut media = Vec::new();
        for part in self.contents.iter_mut().flat_map(|content| &mut content.parts) {
            match &part.inline_data {
                Some(blob) => media.push((blob.data.len(), part)),
                None => {
                    let parts = part.function_response.iter_mut().flat_map(|response| &mut response.parts);
                    let with_size =
                        |part: &'_ Part<'a>| part.inline_data.as_ref().map(|blob| blob.data.len());
                    media.extend(parts.filter_map(|part| Some((with_size(part)?, part))));
                }
            }
        }
        media
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemini::request::Content;

    fn blob(kind: &'static str, size: usize) -> Part<'static> {
        let data = Cow::Owned("QUJD".repeat(size / 4));
        Part { inline_data: Some(Blob { mime_type: Cow::Borrowed(kind), data }), ..Part::default() }
    }

    fn request(parts: Vec<Part<'static>>) -> GenerateContentRequest<'static> {
        GenerateContentRequest {
            contents: vec![Content { role: None, parts }],
            ..GenerateContentRequest::default()
        }
    }

    #[test]
    fn the_largest_go_first_and_no_more_than_needed() {
        let check = |sizes: &[usize], limit: usize, expected: &[usize]| {
            let size: usize = sizes.iter().sum();
            let mut request = request(sizes.iter().map(|size| blob("image/png", *size)).collect());
            let taken: Vec<usize> = request.take_out(size, limit).iter().map(|large| large.size()).collect();
            assert_eq!(taken, expected, "{sizes:?}");
            let left = request.media().len();
            assert_eq!(left + taken.len(), sizes.len());
        };
        check(&[100_000, 400_000, 200_000], 700_000, &[]);
        check(&[100_000, 400_000, 200_000], 300_000, &[400_000]);
        check(&[100_000, 400_000, 200_000], 299_999, &[400_000, 200_000]);
        check(&[100_000, 400_000, 60_000], 0, &[400_000, 100_000]);
    }

    #[test]
    fn one_medium_is_taken_out_once() {
        let mut request = request(vec![
            blob("image/png", 100_000),
            blob("image/png", 100_000),
            blob("image/jpeg", 100_000),
        ]);
        let large = request.take_out(300_000, 0);
        assert_eq!(large.len(), 2);
        assert_ne!(large[0].mark(), large[1].mark());
        let json = String::from_utf8(crate::json::with_plain(&request, 0).expect("JSON")).expect("UTF-8");
        assert_eq!(json.matches(&large[0].mark()).count() + json.matches(&large[1].mark()).count(), 3);
        assert_eq!(Large::digest_of_mark(&large[0].mark()), Some(large[0].digest()));
        assert!(!format!("{large:?}").contains("QUJD"));
    }

    #[test]
    fn an_upload_has_the_bytes() {
        let large = Large::new(&Blob { mime_type: "image/png".into(), data: "QUJD".into() });
        let (kind, body) = large.as_related().expect("base64");
        let boundary = kind.strip_prefix("multipart/related; boundary=").expect("a boundary");
        let body = String::from_utf8(body).expect("text");
        assert!(body.contains("content-type: image/png\r\n\r\nABC\r\n--"), "{body}");
        assert!(body.ends_with(&format!("\r\n--{boundary}--\r\n")));
        let unpadded = Large::new(&Blob { mime_type: "a/b\r\nx: y".into(), data: "QUI".into() });
        let (_, body) = unpadded.as_related().expect("base64 without padding");
        assert!(String::from_utf8_lossy(&body).contains("application/octet-stream\r\n\r\nAB\r\n--"));
        assert!(Large::new(&Blob { mime_type: "a/b".into(), data: "!".into() }).as_related().is_none());
    }
}
