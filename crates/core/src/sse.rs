//! Bytes in, events out: how an answer's body is divided into whole events.
//!
//! Gemini streams in two framings: server-sent events (`?alt=sse`) and one JSON array whose elements arrive one
//! by one. In both an event is a JSON object. The decoder takes chunks split anywhere and copies nothing where a
//! chunk ends with an event, which is how they come from Google.
//!
//! Lines end in CR LF (Google) or LF. A lone CR is no line end here: Google sends none, and JSON text cannot
//! hold one.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use memchr::{memchr_iter, memrchr_iter};

/// How a stream is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// `data: {…}` and a blank line.
    Sse,
    /// `[{…}`, `,{…}`, … `]`.
    Array,
}

/// Divides a body into events.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// Bytes not looked at yet.
    chunk: Bytes,
    /// The beginning of an event whose end has not come.
    partial: BytesMut,
    /// How much of `partial` is known to hold no end.
    scanned: usize,
    scanner: Scanner,
}

/// One event with the bytes around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    framing: Framing,
    /// All bytes, separators included: what a pass-through forwards.
    pub raw: Bytes,
}

impl Decoder {
    /// A decoder at the beginning of a body.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            chunk: Bytes::new(),
            partial: BytesMut::new(),
            scanned: 0,
            scanner: Scanner::new(framing),
        }
    }

    /// How this body is divided.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Takes the next chunk. Everything of the one before must have been asked for.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// The next whole event, if there is one.
    pub fn next_frame(&mut self) -> Option<Frame> {
        let raw = self.take(Scanner::first_end)?;
        Some(Frame { framing: self.framing, raw })
    }

    /// All whole events there are, in one piece: for a pass-through.
    pub fn whole(&mut self) -> Option<Bytes> {
        self.take(Scanner::last_end)
    }

    fn take(&mut self, end: fn(&mut Scanner, &[u8], usize) -> Option<usize>) -> Option<Bytes> {
        if self.partial.is_empty() {
            if self.chunk.is_empty() {
                return None;
            }
            if let Some(end) = end(&mut self.scanner, &self.chunk, 0) {
                return Some(self.chunk.split_to(end));
            }
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
            self.scanned = self.partial.len();
            return None;
        }
        if !self.chunk.is_empty() {
            self.partial.extend_from_slice(&self.chunk);
            self.chunk = Bytes::new();
        }
        let end = end(&mut self.scanner, &self.partial, self.scanned);
        self.scanned = if end.is_some() { 0 } else { self.partial.len() };
        end.map(|end| self.partial.split_to(end).freeze())
    }

    /// The size of what is held back, in bytes.
    pub fn held(&self) -> usize {
        self.chunk.len() + self.partial.len()
    }

    /// Gives up holding back: what there is of an event whose end has not come. Its end is still recognised.
    pub fn overflow(&mut self) -> Bytes {
        let part = self.rest();
        self.scanner.remember(&part);
        part
    }

    /// What is left when the body has ended, or all that is held.
    pub fn rest(&mut self) -> Bytes {
        self.scanned = 0;
        if self.partial.is_empty() {
            return std::mem::take(&mut self.chunk);
        }
        self.partial.extend_from_slice(&self.chunk);
        self.chunk = Bytes::new();
        self.partial.split().freeze()
    }
}

impl Frame {
    /// What is left of a body, taken as an event.
    pub fn of_rest(framing: Framing, raw: Bytes) -> Self {
        Self { framing, raw }
    }

    /// The event's JSON. None for an event without data (a comment, a blank line, the end of the array).
    ///
    /// Google has been seen to end a stream with a bare, pretty-printed `{"error": …}` without `data:`; such
    /// text counts as data.
    pub fn data(&self) -> Option<Cow<'_, [u8]>> {
        match self.framing {
            Framing::Array => self.element().map(Cow::Borrowed),
            Framing::Sse => self.event_data(),
        }
    }

    fn element(&self) -> Option<&[u8]> {
        let start = self.raw.iter().position(|&byte| byte == b'{')?;
        let end = memchr::memrchr(b'}', &self.raw)?;
        self.raw.get(start..=end)
    }

    fn event_data(&self) -> Option<Cow<'_, [u8]>> {
        let mut data: Option<Cow<'_, [u8]>> = None;
        for line in self.raw.split(|&byte| byte == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some(value) = line.strip_prefix(b"data:") else { continue };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
        data.or_else(|| {
            let bare = self.raw.trim_ascii();
            (bare.starts_with(b"{") || bare.starts_with(b"[")).then_some(Cow::Borrowed(bare))
        })
    }
}

/// Finds where events end. Carries what it has to know from one stretch of bytes to the next.
#[derive(Debug)]
struct Scanner {
    framing: Framing,
    /// Sse: the two bytes before the buffer, after an overflow.
    before: [u8; 2],
    /// Array: how many brackets and braces are open.
    depth: u32,
    /// Array: inside a string, and whether the last byte was its backslash.
    in_string: bool,
    escaped: bool,
}

impl Scanner {
    fn new(framing: Framing) -> Self {
        Self { framing, before: [0; 2], depth: 0, in_string: false, escaped: false }
    }

    /// After `buffer` has been handed out in the middle of an event.
    fn remember(&mut self, buffer: &[u8]) {
        for &byte in &buffer[buffer.len().saturating_sub(2)..] {
            self.before = [self.before[1], byte];
        }
    }

    /// The end of the first event in `buffer`, none of which ends before `from`.
    fn first_end(&mut self, buffer: &[u8], from: usize) -> Option<usize> {
        match self.framing {
            Framing::Sse => {
                let at = memchr_iter(b'\n', &buffer[from..])
                    .map(|at| from + at)
                    .find(|&at| self.is_blank(buffer, at))?;
                self.before = [0; 2];
                Some(at + 1)
            }
            Framing::Array => self.element_end(buffer, from),
        }
    }

    /// The end of the last whole event in `buffer`.
    fn last_end(&mut self, buffer: &[u8], from: usize) -> Option<usize> {
        match self.framing {
            Framing::Sse => {
                let at = memrchr_iter(b'\n', &buffer[from..])
                    .map(|at| from + at)
                    .find(|&at| self.is_blank(buffer, at))?;
                self.before = [0; 2];
                Some(at + 1)
            }
            Framing::Array => {
                let mut end = None;
                let mut from = from;
                // The state after the last whole element is the state to go on with: what follows is scanned
                // again when more has come.
                while let Some(next) = self.element_end(buffer, from) {
                    end = Some(next);
                    from = next;
                }
                if end.is_some() {
                    self.depth = 1;
                    self.in_string = false;
                    self.escaped = false;
                }
                end
            }
        }
    }

    /// Whether the line feed at `at` ends a blank line.
    fn is_blank(&self, buffer: &[u8], at: usize) -> bool {
        let byte = |back: usize| match at.checked_sub(back) {
            Some(at) => buffer[at],
            None => self.before[(2 + at).saturating_sub(back).min(1)],
        };
        byte(1) == b'\n' || (byte(1) == b'\r' && byte(2) == b'\n')
    }

    /// The end of the next element of the array: behind the brace that leaves only the array open.
    fn element_end(&mut self, buffer: &[u8], from: usize) -> Option<usize> {
        for (at, &byte) in buffer.iter().enumerate().skip(from) {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 1 && byte == b'}' {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSE: &str =
        "data: {\"a\":\"1\\n\\n\"}\r\n\r\ndata: {\"b\":2}\r\n\r\n: comment\n\ndata: [1,\ndata: 2]\n\n";
    const ARRAY: &str = "[{\"a\":\"}]\\\"{\"}\n,\r\n{\"b\":{\"c\":[{}]}}\n]\n";

    fn frames(framing: Framing, body: &str, cuts: &[usize]) -> (Vec<String>, String) {
        let mut decoder = Decoder::new(framing);
        let mut data = Vec::new();
        let mut passed = Vec::new();
        let mut from = 0;
        for &to in cuts.iter().chain([&body.len()]) {
            decoder.push(Bytes::copy_from_slice(&body.as_bytes()[from..to]));
            while let Some(frame) = decoder.next_frame() {
                passed.extend_from_slice(&frame.raw);
                data.extend(frame.data().map(|data| String::from_utf8_lossy(&data).into_owned()));
            }
            from = to;
        }
        passed.extend_from_slice(&decoder.rest());
        (data, String::from_utf8(passed).expect("the body was UTF-8"))
    }

    fn check(framing: Framing, body: &str, expected: &[&str]) {
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let (data, passed) = frames(framing, body, &[first, second]);
                assert_eq!(data, expected, "split at {first} and {second}");
                assert_eq!(passed, body, "split at {first} and {second}");
            }
        }
        let everywhere: Vec<usize> = (1..body.len()).collect();
        assert_eq!(frames(framing, body, &everywhere).0, expected);
    }

    #[test]
    fn events_are_found_however_the_body_is_split() {
        check(Framing::Sse, SSE, &["{\"a\":\"1\\n\\n\"}", "{\"b\":2}", "[1,\n2]"]);
        check(Framing::Array, ARRAY, &["{\"a\":\"}]\\\"{\"}", "{\"b\":{\"c\":[{}]}}"]);
    }

    /// What a pass-through forwards ends with an event as soon as there is one, and nothing is lost.
    fn check_whole(framing: Framing, body: &str, ends: &[usize]) {
        for cut in 0..=body.len() {
            let mut decoder = Decoder::new(framing);
            let mut passed = 0;
            let mut from = 0;
            for to in [cut, body.len()] {
                decoder.push(Bytes::copy_from_slice(&body.as_bytes()[from..to]));
                while let Some(piece) = decoder.whole() {
                    assert_eq!(&body.as_bytes()[passed..passed + piece.len()], piece);
                    passed += piece.len();
                }
                let expected = ends.iter().copied().filter(|&end| end <= to).max().unwrap_or(0);
                assert_eq!(passed, expected, "cut at {cut}, up to {to}");
                from = to;
            }
            assert_eq!(passed + decoder.rest().len(), body.len());
        }
    }

    #[test]
    fn whole_events_are_passed_at_once() {
        let ends = |part: &str, body: &str| -> Vec<usize> {
            body.match_indices(part).map(|(at, part)| at + part.len()).collect()
        };
        let body = "data: {\"a\":1}\r\n\r\ndata: {\"b\":2}\r\n\r\ndata: {\"c\"";
        check_whole(Framing::Sse, body, &ends("\r\n\r\n", body));
        let body = "[{\"a\":\"x\"}\n,\r\n{\"b\":{}}\n,\r\n{\"c\":\"";
        check_whole(Framing::Array, body, &[10, 22]);
    }

    #[test]
    fn the_end_is_recognised_after_an_overflow() {
        for cut in 1..16 {
            let body = "data: {\"a\":1}\r\n\r\ndata: {}\r\n\r\n";
            let mut decoder = Decoder::new(Framing::Sse);
            decoder.push(Bytes::copy_from_slice(&body.as_bytes()[..cut]));
            assert_eq!(decoder.next_frame(), None);
            assert_eq!(decoder.overflow().len(), cut);
            decoder.push(Bytes::copy_from_slice(&body.as_bytes()[cut..]));
            assert_eq!(decoder.next_frame().expect("the end of the first").raw.len(), 17 - cut, "cut {cut}");
            assert_eq!(decoder.next_frame().expect("the second").raw, "data: {}\r\n\r\n");
        }
    }

    #[test]
    fn a_bare_error_counts_as_data() {
        let frame = Frame::of_rest(Framing::Sse, Bytes::from_static(b"{\n  \"error\": {\n  }\n}\n"));
        assert_eq!(frame.data().as_deref(), Some(&b"{\n  \"error\": {\n  }\n}"[..]));
        let frame = Frame::of_rest(Framing::Array, Bytes::from_static(b"\n]\n"));
        assert_eq!(frame.data(), None);
    }
}
