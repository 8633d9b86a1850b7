//! As much of HTTP as these runs need: one request a connection, bodies of any size.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};

/// What is sent or read at a time.
const PIECE: usize = 256 << 10;

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    /// The beginning of the body.
    pub(super) beginning: String,
    /// The size of all of it.
    pub(super) size: u64,
}

impl Answer {
    /// A field of the head.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// A request whose body is `before`, so many zeros, and `after`.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Lines of the head, each with its end.
    pub(super) head: &'a str,
    pub(super) before: &'a str,
    pub(super) zeros: u64,
    pub(super) after: &'a str,
}

/// Sends a request, and reads its answer to the end.
pub(super) fn send(server: SocketAddr, request: &Request<'_>) -> Result<Answer, String> {
    let named = |error: io::Error| format!("{} {}: {error}", request.method, request.path);
    exchange(server, request).map_err(named)
}

fn exchange(server: SocketAddr, request: &Request<'_>) -> io::Result<Answer> {
    let Request { method, path, head, before, zeros, after } = request;
    let mut stream = TcpStream::connect(server)?;
    let length = before.len() as u64 + zeros + after.len() as u64;
    // With 1.0 the answer ends with the connection.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nhost: {server}\r\ncontent-length: {length}\r\n{head}\r\n{before}"
    )?;
    let piece = vec![0; PIECE];
    let mut left = *zeros;
    while left > 0 {
        let now = left.min(PIECE as u64);
        stream.write_all(&piece[..now as usize])?;
        left -= now;
    }
    stream.write_all(after.as_bytes())?;
    read(stream)
}

fn read(mut stream: impl Read) -> io::Result<Answer> {
    let mut buffer = vec![0; PIECE];
    let mut beginning = Vec::new();
    let mut size = 0;
    let mut head: Option<String> = None;
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        if head.is_some() {
            size += count as u64;
            let room = PIECE.saturating_sub(beginning.len());
            beginning.extend_from_slice(&buffer[..count.min(room)]);
            continue;
        }
        beginning.extend_from_slice(&buffer[..count]);
        if let Some(end) = beginning.windows(4).position(|window| window == b"\r\n\r\n") {
            head = Some(String::from_utf8_lossy(&beginning[..end]).into_owned());
            beginning.drain(..end + 4);
            size = beginning.len() as u64;
        }
    }
    let head = head.ok_or_else(|| io::Error::other("no answer"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok(Answer { status, head, beginning: String::from_utf8_lossy(&beginning).into_owned(), size })
}

/// The body of an answer with status 200.
pub(super) fn ask(server: SocketAddr, method: &str, path: &str, body: &str) -> Result<String, String> {
    let head = "content-type: application/json\r\n";
    let answer = send(server, &Request { method, path, head, before: body, zeros: 0, after: "" })?;
    match answer.status {
        200 => Ok(answer.beginning),
        status => Err(format!("{method} {path}: {status} {}", answer.beginning)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_to_their_end() {
        let answer = read(&b"HTTP/1.0 201 Created\r\nX-One: 1\r\n\r\nbody"[..]).expect("an answer");
        assert_eq!((answer.status, answer.size, answer.beginning.as_str()), (201, 4, "body"));
        assert_eq!(answer.header("x-one"), Some("1"));
        assert!(read(&b"HTTP/1.0 200 OK"[..]).is_err());
    }
}
