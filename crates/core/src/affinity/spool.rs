//! What clients have uploaded lately, as long as there is room: a file can then be uploaded again, to a project that has
//! room where its own has none, and a cache can be written out.

use std::collections::{BTreeMap, HashMap, VecDeque};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::name::ObjectName;

/// The spool gets this part of the common memory, on top of it.
pub(crate) const SHARE: u64 = 8;

/// The largest file that is kept. Larger ones are no longer worth a second upload within a request.
pub(crate) const LARGEST: usize = 32 << 20;

/// So many things are kept, however small, and so many uploads can be under way.
const MOST: usize = 10_000;

/// A file's bytes, as they can be uploaded in one request.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) media_type: String,
    /// What the client has said of the file: `{"file": {…}}`, or empty.
    metadata: Bytes,
    pieces: Vec<Bytes>,
}

/// The spool.
#[derive(Debug)]
pub(crate) struct Spool {
    limit: usize,
    size: usize,
    kept: HashMap<ObjectName, Kept>,
    /// In the order in which they came; the oldest make room.
    order: VecDeque<ObjectName>,
}

#[derive(Debug)]
enum Kept {
    /// A file, or an upload under way.
    File(Content),
    /// The body that made a cache.
    Cache(Bytes),
}

impl Spool {
    /// How many things are kept, and how many bytes they take, and may.
    pub(crate) fn sizes(&self) -> [(usize, usize); 2] {
        [(self.kept.len().max(self.order.len()), MOST), (self.size, self.limit)]
    }

    /// A spool of so many bytes.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            size: 0,
            kept: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// An upload has begun.
    pub(crate) fn begin(&mut self, upload: &ObjectName, media_type: &str, metadata: Bytes) {
        let content = Content { media_type: media_type.to_owned(), metadata, pieces: Vec::new() };
        self.keep(upload.clone(), Kept::File(content));
    }

    /// A piece of an upload has arrived. One that was not kept, or does not follow, ends the keeping.
    pub(crate) fn add(&mut self, upload: &ObjectName, offset: u64, piece: Option<Bytes>) {
        let Some(Kept::File(content)) = self.kept.get_mut(upload) else { return };
        let size = content.size();
        match piece {
            Some(piece) if offset == size as u64 && size + piece.len() <= LARGEST => {
                self.size += piece.len();
                content.pieces.push(piece);
                self.make_room();
            }
            _ => self.forget(upload),
        }
    }

    /// An upload is over, and is this file now.
    pub(crate) fn finish(&mut self, upload: &ObjectName, file: ObjectName) {
        if let Some(Kept::File(content)) = self.take(upload) {
            self.keep(file, Kept::File(content));
        }
    }

    /// The body that made a cache.
    pub(crate) fn keep_cache(&mut self, cache: ObjectName, body: Bytes) {
        if body.len() <= LARGEST {
            self.keep(cache, Kept::Cache(body));
        }
    }

    /// A file's bytes, if they are still there.
    pub(crate) fn file(&self, name: &ObjectName) -> Option<&Content> {
        match self.kept.get(name)? {
            Kept::File(content) => Some(content),
            Kept::Cache(_) => None,
        }
    }

    /// What a cache was made of.
    pub(crate) fn cache(&self, name: &ObjectName) -> Option<&Bytes> {
        match self.kept.get(name)? {
            Kept::Cache(body) => Some(body),
            Kept::File(_) => None,
        }
    }

    /// An object is gone.
    pub(crate) fn forget(&mut self, name: &ObjectName) {
        self.take(name);
    }

    fn keep(&mut self, name: ObjectName, kept: Kept) {
        self.take(&name);
        self.size += kept.size();
        self.order.push_back(name.clone());
        self.kept.insert(name, kept);
        self.make_room();
    }

    fn take(&mut self, name: &ObjectName) -> Option<Kept> {
        let kept = self.kept.remove(name)?;
        self.size -= kept.size();
        self.order.retain(|other| other != name);
        Some(kept)
    }

    fn make_room(&mut self) {
        while self.size > self.limit || self.order.len() > MOST {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some(kept) = self.kept.remove(&oldest) {
                self.size -= kept.size();
            }
        }
    }
}

impl Kept {
    fn size(&self) -> usize {
        match self {
            Self::File(content) => content.size() + content.metadata.len(),
            Self::Cache(body) => body.len(),
        }
    }
}

impl Content {
    fn size(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// The upload of it in one request: content type and body. `seed` makes the boundary.
    pub(crate) fn as_related(&self, seed: &str) -> (String, Bytes) {
        let boundary = format!("libra-{seed}");
        let metadata: &[u8] = if self.metadata.is_empty() { b"{}" } else { &self.metadata };
        let mut body = Vec::with_capacity(self.size() + metadata.len() + 256);
        body.extend_from_slice(format!("--{boundary}\r\ncontent-type: application/json\r\n\r\n").as_bytes());
        body.extend_from_slice(metadata);
        let head = format!("\r\n--{boundary}\r\ncontent-type: {}\r\n\r\n", self.media_type);
        body.extend_from_slice(head.as_bytes());
        self.pieces.iter().for_each(|piece| body.extend_from_slice(piece));
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        (format!("multipart/related; boundary={boundary}"), body.into())
    }
}

/// A prompt that uses a cache, with what the cache was made of in its place. None: one of the two is no such thing.
pub(crate) fn written_out(prompt: &[u8], cache: &[u8]) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Contents<'a> {
        #[serde(borrow, default)]
        contents: Vec<&'a RawValue>,
    }
    // Their order means nothing; what stands in them stays as it was written.
    type Fields<'a> = BTreeMap<String, &'a RawValue>;
    let (own, cached): (Contents<'_>, Contents<'_>) =
        (serde_json::from_slice(prompt).ok()?, serde_json::from_slice(cache).ok()?);
    let fields: Fields<'_> = serde_json::from_slice(prompt).ok()?;
    let made_of: Fields<'_> = serde_json::from_slice(cache).ok()?;
    let mut out = b"{\"contents\":[".to_vec();
    for (at, content) in cached.contents.iter().chain(&own.contents).enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { b"," });
        out.extend_from_slice(content.get().as_bytes());
    }
    out.push(b']');
    let carried = |name: &str| {
        matches!(name, "systemInstruction" | "system_instruction" | "tools" | "toolConfig" | "tool_config")
    };
    let own = fields
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "contents" | "cachedContent" | "cached_content"));
    for (name, value) in made_of.iter().filter(|(name, _)| carried(name)).chain(own) {
        out.extend_from_slice(format!(",{}:", serde_json::Value::from(name.as_str())).as_bytes());
        out.extend_from_slice(value.get().as_bytes());
    }
    out.push(b'}');
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ObjectName {
        ObjectName::of_text(text, |_| false).expect("a name")
    }

    #[test]
    fn an_upload_in_pieces_is_a_file_in_the_end() {
        let mut spool = Spool::new(100);
        let upload = ObjectName::opaque("uploads", "u").expect("a name");
        spool.begin(&upload, "text/plain", Bytes::from_static(b"{}"));
        spool.add(&upload, 0, Some(Bytes::from_static(b"one ")));
        spool.add(&upload, 4, Some(Bytes::from_static(b"two")));
        spool.finish(&upload, name("files/a"));
        let content = spool.file(&name("files/a")).expect("a file");
        let (kind, body) = content.as_related("x");
        assert_eq!(kind, "multipart/related; boundary=libra-x");
        let body = String::from_utf8(body.to_vec()).expect("text");
        assert!(body.contains("content-type: text/plain\r\n\r\none two\r\n--libra-x--"), "{body}");
        assert!(spool.file(&name("files/b")).is_none());
        spool.forget(&name("files/a"));
        assert_eq!((spool.size, spool.order.len()), (0, 0));
    }

    #[test]
    fn what_has_gaps_or_is_too_much_is_not_kept() {
        let mut spool = Spool::new(100);
        let upload = |number: u32| ObjectName::opaque("uploads", &number.to_string()).expect("a name");
        spool.begin(&upload(0), "a/b", Bytes::new());
        spool.add(&upload(0), 5, Some(Bytes::from_static(b"gap")));
        spool.finish(&upload(0), name("files/a"));
        assert!(spool.file(&name("files/a")).is_none());
        for number in 1..10 {
            spool.begin(&upload(number), "a/b", Bytes::new());
            spool.add(&upload(number), 0, Some(Bytes::from(vec![0; 30])));
            spool.finish(&upload(number), name(&format!("files/f{number}")));
            assert!(spool.size <= 100);
        }
        assert!(spool.file(&name("files/f9")).is_some() && spool.file(&name("files/f1")).is_none());
    }

    #[test]
    fn a_cache_is_written_out() {
        let check = |prompt: &str, cache: &str, expected: Option<&str>| {
            let out = written_out(prompt.as_bytes(), cache.as_bytes());
            assert_eq!(out.as_deref().map(|out| std::str::from_utf8(out).expect("UTF-8")), expected);
        };
        check(
            r#"{"cachedContent":"cachedContents/c","contents":[{"a":1}],"generationConfig":{"x":1.0}}"#,
            r#"{"model":"models/m","contents":[{"b":2}],"systemInstruction":{"c":3},"tools":[{}],"ttl":"60s"}"#,
            Some(
                r#"{"contents":[{"b":2},{"a":1}],"systemInstruction":{"c":3},"tools":[{}],"generationConfig":{"x":1.0}}"#,
            ),
        );
        check(r#"{"cached_content":"c"}"#, "{}", Some(r#"{"contents":[]}"#));
        check("[]", "{}", None);
        check("{", "{}", None);
    }
}
