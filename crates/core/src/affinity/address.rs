//! Addresses in answers lead to this gateway; in requests they are turned back.
//!
//! An SDK goes where an answer says: to upload a file's bytes, to look whether a video is ready, to fetch it. At Google it
//! would stand with a key that only this gateway knows. What is replaced is the beginning of a string that is an address
//! from its first to its last character, and nothing else of an answer.

use std::ops::Range;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Uri;
use http::header::{HOST, HeaderMap, HeaderValue};
use memchr::memmem;
use percent_encoding::percent_decode_str;
use sha2::Sha256;

use super::name::{GOOGLE, ObjectName};
use crate::config::Config;
use crate::secret::{ApiKey, KeyId};

/// The parameter of an upload's address that says whose it is.
pub(crate) const OWNER: &str = "libra_owner";

/// So many bytes of the signature go into an address: guessing one takes 2^127 tries.
const SIGNATURE: usize = 16;

/// By which address a client has called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Called {
    host: Option<HeaderValue>,
    https: bool,
}

/// Where this gateway is, as one client calls it: `https://libra.example/base`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Public {
    base: String,
    /// Where the upstream says that it is, as it stands in its answers, without a slash at the end.
    upstream: [String; 2],
    /// The hosts of addresses that are about our objects.
    hosts: [String; 3],
}

/// Whose an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UploadOwner {
    pub(crate) key: KeyId,
    pub(crate) client: KeyId,
    signature: [u8; SIGNATURE],
}

impl Called {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
        Self { host: headers.get(HOST).cloned(), https }
    }

    /// The gateway's address as this client calls it. Only the client itself reads it, so its own word will do.
    pub(crate) fn base(&self, base_path: &str) -> String {
        let host = self.host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or("");
        let plausible = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
        let host = if plausible { host } else { "HOST" };
        format!("{}://{host}{base_path}", if self.https { "https" } else { "http" })
    }

    /// The same, with all that addresses are read and written by.
    pub(crate) fn public(&self, config: &Config) -> Public {
        let base = config.public_url.clone().unwrap_or_else(|| self.base(&config.base_path));
        Public::new(base, &config.upstream)
    }
}

impl Public {
    pub(crate) fn new(base: String, upstream: &Uri) -> Self {
        let upstream_base = upstream.to_string().trim_end_matches('/').to_owned();
        let host = |address: &str| {
            let host = address.split_once("://").map_or(address, |(_, rest)| rest);
            host.split('/').next().unwrap_or_default().to_owned()
        };
        let hosts = [GOOGLE.to_owned(), host(&base), host(&upstream_base)];
        Self { base, upstream: [format!("https://{GOOGLE}"), upstream_base], hosts }
    }

    /// Whether addresses of this host are about objects here.
    pub(crate) fn is_ours(&self, host: &str) -> bool {
        self.hosts.iter().any(|ours| ours == host)
    }

    /// The object that a text names.
    pub(crate) fn object(&self, text: &str) -> Option<ObjectName> {
        ObjectName::of_text(text, |host| self.is_ours(host))
    }

    /// An address of the upstream's as a client has to use it. None: it leads elsewhere.
    pub(crate) fn downward(&self, address: &str) -> Option<String> {
        let path = self.upstream.iter().find_map(|upstream| address.strip_prefix(upstream.as_str()))?;
        path.starts_with('/').then(|| format!("{}{path}", self.base))
    }

    /// An answer with the upstream's addresses in it turned to this gateway.
    pub(crate) fn body_downward(&self, body: Bytes) -> Bytes {
        let mut turned: Vec<u8> = Vec::new();
        let mut kept = 0;
        let mut places: Vec<(usize, usize)> = Vec::new();
        for upstream in &self.upstream {
            let quoted = format!("\"{upstream}/");
            let finder = memmem::Finder::new(quoted.as_bytes());
            for at in finder.find_iter(&body) {
                let escaped = at > 0 && body[at - 1] == b'\\';
                if !escaped && is_address(&body[at + 1..]) {
                    places.push((at + 1, upstream.len()));
                }
            }
        }
        if places.is_empty() {
            return body;
        }
        places.sort_unstable();
        places.dedup();
        for (at, length) in places {
            turned.extend_from_slice(&body[kept..at]);
            turned.extend_from_slice(self.base.as_bytes());
            kept = at + length;
        }
        turned.extend_from_slice(&body[kept..]);
        turned.into()
    }

    /// What an address of this gateway's in a request is for the upstream. None: it is to stay as it is.
    pub(crate) fn upward(&self, address: &str) -> Option<String> {
        let (scheme, rest) = address.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        if !matches!(scheme, "http" | "https") || host == GOOGLE || !self.is_ours(host) {
            return None;
        }
        let versions = ["v1beta/", "v1alpha/", "v1/"];
        let at = versions.iter().filter_map(|version| path.find(version)).min()?;
        Some(format!("{}/{}", self.upstream[0], &path[at..]))
    }

    /// The address of an upload for a client, with the word of whose it is. None: it is no address of the upstream's.
    pub(crate) fn upload(&self, address: &str, key: &ApiKey, client: KeyId) -> Option<String> {
        let downward = self.downward(address)?;
        let id = upload_id(address.split_once('?')?.1)?;
        let owner = UploadOwner { key: key.id(), client, signature: sign(key, client, &id) };
        Some(format!("{downward}&{OWNER}={}", owner.write()))
    }
}

/// A body with other addresses at these places, which are in order.
pub(crate) fn put(body: Bytes, places: &[(Range<usize>, String)]) -> Bytes {
    let mut turned: Vec<u8> = Vec::new();
    let mut kept = 0;
    for (span, address) in places.iter().filter(|(span, _)| span.end <= body.len()) {
        if span.start < kept {
            continue;
        }
        turned.extend_from_slice(&body[kept..span.start]);
        // Names and versions need no escapes; whatever else a client writes must not end the string.
        let quoted = serde_json::to_string(address).unwrap_or_default();
        turned.extend_from_slice(quoted.trim_matches('"').as_bytes());
        kept = span.end;
    }
    if kept == 0 {
        return body;
    }
    turned.extend_from_slice(&body[kept..]);
    turned.into()
}

impl UploadOwner {
    /// What an upload's query says of its owner.
    pub(crate) fn find(query: &str) -> Option<Self> {
        let (_, value) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == OWNER)?;
        let mut parts = value.split('.');
        let mut id = || u64::from_str_radix(parts.next()?, 16).ok().map(KeyId::from_u64);
        let (key, client) = (id()?, id()?);
        let digits = parts.next().filter(|digits| digits.len() == SIGNATURE * 2 && digits.is_ascii())?;
        let mut signature = [0; SIGNATURE];
        for (at, byte) in signature.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).ok()?;
        }
        Some(Self { key, client, signature })
    }

    /// Whether this key has signed it for this upload.
    pub(crate) fn is_signed_by(&self, key: &ApiKey, query: &str) -> bool {
        use subtle::ConstantTimeEq as _;
        upload_id(query).is_some_and(|id| {
            key.id() == self.key && sign(key, self.client, &id).ct_eq(&self.signature).into()
        })
    }

    fn write(&self) -> String {
        let digits: String = self.signature.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{:x}.{:x}.{digits}", self.key.as_u64(), self.client.as_u64())
    }
}

/// The upload that a query is about.
pub(crate) fn upload_id(query: &str) -> Option<String> {
    let id = query.split('&').find_map(|pair| pair.strip_prefix("upload_id="))?;
    let id = percent_decode_str(id).decode_utf8_lossy();
    (!id.is_empty() && id.len() <= 4096).then(|| id.into_owned())
}

/// Signed with the key that began the upload: whoever can check it can also use it, after a restart and on another
/// instance alike.
fn sign(key: &ApiKey, client: KeyId, upload: &str) -> [u8; SIGNATURE] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).expect("a key of any length will do");
    mac.update(b"libra upload\0");
    mac.update(&client.as_u64().to_be_bytes());
    mac.update(upload.as_bytes());
    let digest = mac.finalize().into_bytes();
    digest[..SIGNATURE].try_into().expect("a SHA-256 has 32 bytes")
}

/// Whether a string goes on as an address to its closing quote.
fn is_address(text: &[u8]) -> bool {
    const LONGEST: usize = 8 << 10;
    let text = &text[..text.len().min(LONGEST)];
    match memchr::memchr2(b'"', b'\\', text) {
        Some(end) => text[end] == b'"' && !text[..end].iter().any(|byte| *byte <= b' '),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public() -> Public {
        Public::new("http://libra.example:8080/base".to_owned(), &Uri::from_static("http://127.0.0.1:9"))
    }

    #[test]
    fn addresses_of_the_upstream_lead_here() {
        let check = |body: &'static str, expected: &str| {
            let turned = public().body_downward(Bytes::from_static(body.as_bytes()));
            assert_eq!(std::str::from_utf8(&turned).expect("UTF-8"), expected);
        };
        check(
            r#"{"uri": "https://generativelanguage.googleapis.com/v1beta/files/a","b":"http://127.0.0.1:9/x"}"#,
            r#"{"uri": "http://libra.example:8080/base/v1beta/files/a","b":"http://libra.example:8080/base/x"}"#,
        );
        for same in [
            r#"{"text":"see https://generativelanguage.googleapis.com/v1beta/files/a"}"#,
            r#"{"text":"\"https://generativelanguage.googleapis.com/v1beta/files/a\""}"#,
            r#"{"text":"https://generativelanguage.googleapis.com/v1beta/files/a is the file"}"#,
            r#"{"uri":"https://generativelanguage.googleapis.com.evil.example/v1beta/files/a"}"#,
            r#"{"uri":"https://generativelanguage.googleapis.com/v1beta"#,
            "{}",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn addresses_of_the_gateway_are_turned_back() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(public().upward(address).as_deref(), expected, "{address}");
        };
        check(
            "http://libra.example:8080/base/v1beta/files/a",
            Some("https://generativelanguage.googleapis.com/v1beta/files/a"),
        );
        check(
            "http://127.0.0.1:9/v1/files/a:download?alt=media",
            Some("https://generativelanguage.googleapis.com/v1/files/a:download?alt=media"),
        );
        check("https://generativelanguage.googleapis.com/v1beta/files/a", None);
        check("https://elsewhere.example/v1beta/files/a", None);
        check("files/a", None);
        let body = Bytes::from_static(br#"{"fileUri":"http://127.0.0.1:9/v1beta/files/a","x":1}"#);
        let upward = public().upward("http://127.0.0.1:9/v1beta/files/a").expect("an address of ours");
        let turned = put(body, &[(12..45, upward)]);
        let expected = r#"{"fileUri":"https://generativelanguage.googleapis.com/v1beta/files/a","x":1}"#;
        assert_eq!(turned, expected);
    }

    #[test]
    fn an_uploads_address_says_whose_it_is_and_cannot_be_made_up() {
        let (key, other) = (ApiKey::new("pool-key"), ApiKey::new("other-key"));
        let client = ApiKey::new("client").id();
        let google = "https://generativelanguage.googleapis.com/upload/v1beta/files?upload_id=AJ-x_1&upload_protocol=resumable";
        let address = public().upload(google, &key, client).expect("an address");
        assert!(address.starts_with("http://libra.example:8080/base/upload/v1beta/files?upload_id=AJ-x_1&"));
        assert!(!address.contains("pool-key"));
        let query = address.split_once('?').expect("a query").1;
        let owner = UploadOwner::find(query).expect("an owner");
        assert_eq!((owner.key, owner.client), (key.id(), client));
        assert!(owner.is_signed_by(&key, query));
        assert!(!owner.is_signed_by(&other, query));
        assert!(!owner.is_signed_by(&key, &query.replace("AJ-x_1", "AJ-x_2")));
        let forged = query.replace(&format!("{:x}", client.as_u64()), "1234");
        assert!(!UploadOwner::find(&forged).expect("an owner").is_signed_by(&key, &forged));
        for junk in ["", "libra_owner=", "libra_owner=1.2", "libra_owner=1.2.3", "libra_owner=1.2.%zz"] {
            assert_eq!(UploadOwner::find(junk), None, "{junk}");
        }
    }
}
