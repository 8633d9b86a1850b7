//! What files hold, and how it is downloaded.

use std::sync::LazyLock;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, LOCATION,
    TRANSFER_ENCODING, UPGRADE,
};

use crate::errors::{Form, GoogleError};
use crate::objects::{Asking, File, header};
use crate::plan::{JSON, Reply};

/// What is there of what a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing: it was too large, or others came after it.
    Gone,
    /// The beginning, or all of it.
    Kept(Bytes),
    /// [`PATTERN`], again and again, up to the file's size.
    Pattern,
}

/// Stands for a film of any size. Its length is prime, so that a range that is read at a wrong place does not fit.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| {
    const LENGTH: usize = 1_048_573;
    let mut random = fastrand::Rng::with_seed(1);
    let start = *b"\0\0\0\x18ftypisom\0\0\x02\0isommp41";
    start.into_iter().chain(std::iter::repeat_with(|| random.u8(..))).take(LENGTH).collect()
});

impl Content {
    /// How many bytes of memory it takes.
    pub(crate) fn held(&self) -> usize {
        match self {
            Self::Kept(content) => content.len(),
            Self::Gone | Self::Pattern => 0,
        }
    }

    /// The bytes from `start` up to `end`, in pieces that share their memory.
    fn pieces(&self, start: u64, end: u64) -> Vec<Bytes> {
        match self {
            Self::Gone => Vec::new(),
            Self::Kept(content) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(content.len());
                vec![content.slice(place(start)..place(end))]
            }
            Self::Pattern => {
                let length = PATTERN.len() as u64;
                let mut pieces = Vec::new();
                let mut at = start;
                while at < end {
                    let from = at % length;
                    let up_to = length.min(from + (end - at));
                    pieces.push(PATTERN.slice(from as usize..up_to as usize));
                    at += up_to - from;
                }
                pieces
            }
        }
    }
}

/// The 302 that leads to the bytes. Google's front end writes the request's headers into it, the key among them.
pub(crate) fn elsewhere(asking: &Asking<'_>) -> Reply {
    let error = GoogleError::elsewhere();
    let mut reply = Reply::whole(302, JSON, error.bytes(Form::Single));
    reply.headers = echoed(asking.request.headers());
    let uri = asking.request.uri();
    let path = uri.path_and_query().map_or_else(|| uri.path(), |path| path.as_str());
    reply.with("location", &format!("{}/download{path}", asking.origin()))
}

fn echoed(headers: &HeaderMap) -> HeaderMap {
    /// What would say something wrong about the answer itself.
    const OWN: &[HeaderName] =
        &[CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, TRANSFER_ENCODING, UPGRADE];
    let mut echoed = headers.clone();
    OWN.iter().for_each(|name| {
        echoed.remove(name);
    });
    for (name, more) in [("accept-encoding", "gzip(gfe)"), ("user-agent", "gzip(gfe)")] {
        let told = header(headers, name);
        if let Ok(value) = format!("{told},{more}").parse()
            && !told.is_empty()
        {
            echoed.insert(name, value);
        }
    }
    echoed
}

/// The bytes, or a part of them.
pub(crate) fn download(asking: &Asking<'_>, file: &File) -> Result<Reply, GoogleError> {
    let (start, end, status) = match asking.header("range") {
        "" => (0, file.size, 200),
        range => match part(range, file.size) {
            Some(Ok((start, end))) => (start, end, 206),
            Some(Err(())) => {
                let error = Reply::error(&GoogleError::out_of_range(), Form::Single);
                return Ok(error.with("content-range", &format!("bytes */{}", file.size)));
            }
            // What is no range of bytes is as if it were not there.
            None => (0, file.size, 200),
        },
    };
    let pieces = file.content.pieces(start, end);
    let told: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let mut reply = Reply::pieces(status, "application/octet-stream", pieces.into())
        .with("content-type", &file.mime)
        .with("content-length", &told.to_string())
        .with("cache-control", "private, max-age=0")
        .with("accept-ranges", "bytes")
        .with("server", "UploadServer");
    if status == 206 {
        let last = end.saturating_sub(1);
        reply = reply.with("content-range", &format!("bytes {start}-{last}/{}", file.size));
    }
    Ok(reply)
}

/// The part that `Range` names, its end excluded. `Err`: the file has no such part. None: it names none.
fn part(range: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    if last.contains(',') {
        return None;
    }
    let (start, end) = match (first.trim(), last.trim()) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(size)),
    };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}

impl Asking<'_> {
    /// Where the client found this host, `http://127.0.0.1:8080`.
    pub(crate) fn origin(&self) -> String {
        origin(self.request.headers())
    }
}

/// Where the client of these headers found this host.
pub(crate) fn origin(headers: &HeaderMap) -> String {
    match header(headers, HOST.as_str()) {
        "" => "https://generativelanguage.googleapis.com".to_owned(),
        host => format!("http://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_parts() {
        let check = |range: &str, expected| assert_eq!(part(range, 10), expected, "{range}");
        check("bytes=0-3", Some(Ok((0, 4))));
        check("bytes=8-", Some(Ok((8, 10))));
        check("bytes=8-99", Some(Ok((8, 10))));
        check("bytes=-3", Some(Ok((7, 10))));
        check("bytes=10-", Some(Err(())));
        check("bytes=5-4", Some(Err(())));
        check("bytes=-0", Some(Err(())));
        check("bytes=0-1,3-4", None);
        check("lines=1-2", None);
        check("bytes=a-b", None);
    }

    #[test]
    fn parts_of_the_pattern_fit_together() {
        let whole = Content::Pattern.pieces(0, 3_000_000).concat();
        assert_eq!(whole.len(), 3_000_000);
        assert!(whole[4..].starts_with(b"ftyp"));
        let (first, second) =
            (Content::Pattern.pieces(0, 1_234_567), Content::Pattern.pieces(1_234_567, 3_000_000));
        assert!([first, second].concat().concat() == whole);
    }
}
