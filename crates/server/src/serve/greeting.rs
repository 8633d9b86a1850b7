//! What a client speaks, by its first bytes, and what those are told who knock with the wrong protocol.
//!
//! The bytes are looked at and left where they are, so that HTTP/1.1 pays one call of the system a connection for it.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// How often is looked again where fewer bytes have come than tell.
const AGAIN: Duration = Duration::from_millis(10);

/// What a client on a plain address speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// HTTP/1.1, or nothing that is known; hyper says what is wrong with it.
    One,
    /// HTTP/2 with prior knowledge.
    Two,
    /// A TLS handshake.
    Tls,
}

/// Waits for the first bytes and says what they are.
///
/// # Errors
/// The connection has ended before.
pub(crate) async fn spoken(stream: &TcpStream) -> io::Result<Spoken> {
    let mut first = [0; 3];
    loop {
        let seen = stream.peek(&mut first).await?;
        match recognise(&first[..seen]) {
            Some(spoken) => return Ok(spoken),
            None if seen == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            // What was seen stays, so that there is nothing to wait for but time.
            None => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// None: more has to come.
fn recognise(first: &[u8]) -> Option<Spoken> {
    // RFC 9113, 3.4: the preface begins with "PRI", which is no method of anybody's.
    const PREFACE: &[u8] = b"PRI";
    // RFC 8446, 5.1: a record of a handshake, version 3.x.
    const HANDSHAKE: &[u8] = &[22, 3];
    if first.len() >= PREFACE.len() && first.starts_with(PREFACE) {
        return Some(Spoken::Two);
    }
    if first.len() >= HANDSHAKE.len() && first.starts_with(HANDSHAKE) {
        return Some(Spoken::Tls);
    }
    if PREFACE.starts_with(first) || HANDSHAKE.starts_with(first) {
        return None;
    }
    Some(Spoken::One)
}

/// Whether what came instead of a handshake is a request in the clear.
pub(crate) async fn is_plain(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; 1];
    stream.peek(&mut first).await.map(|seen| seen > 0 && first[0].is_ascii_uppercase())
}

/// The alert "protocol version" (RFC 8446, 6.2), as a TLS client understands nothing else.
pub(crate) const NO_TLS_HERE: &[u8] = &[21, 3, 3, 0, 2, 2, 70];

/// For a client that speaks in the clear where TLS is spoken.
pub(crate) const NO_PLAIN_HERE: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    connection: close\r\ncontent-length: 56\r\n\r\nThis address speaks TLS: call it with https:// instead.\n";

/// For a client for which there is no place.
pub(crate) const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 5\r\nconnection: close\r\ncontent-length: 45\r\n\r\nToo many connections. Try again in a moment.\n";

/// Says it, and lets the client read it: closing at once over what it has sent would take it back.
pub(crate) async fn tell(stream: TcpStream, words: &[u8]) {
    /// A client that does not close by then has read it, or never will.
    const LINGERS: Duration = Duration::from_secs(1);
    /// So much of what it has sent is taken, in pieces of a kilobyte.
    const PIECES: usize = 64;
    let told = async {
        let mut rest = words;
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        let stream = socket2::SockRef::from(&stream);
        stream.shutdown(std::net::Shutdown::Write)
    };
    let listen = async {
        if told.await.is_err() {
            return;
        }
        let mut piece = [0; 1024];
        let mut pieces = 0;
        while pieces < PIECES && stream.readable().await.is_ok() {
            match stream.try_read(&mut piece) {
                Ok(0) => return,
                Ok(_) => pieces += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    let _ = tokio::time::timeout(LINGERS, listen).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell() {
        let check = |first: &[u8], expected| assert_eq!(recognise(first), expected, "{first:?}");
        check(b"PRI", Some(Spoken::Two));
        check(b"PR", None);
        check(b"", None);
        check(b"POS", Some(Spoken::One));
        check(b"PRO", Some(Spoken::One));
        check(b"G", Some(Spoken::One));
        check(&[22], None);
        check(&[22, 3, 1], Some(Spoken::Tls));
        check(&[22, 9], Some(Spoken::One));
        check(&[0xff], Some(Spoken::One));
    }

    #[test]
    fn answers_are_as_long_as_they_say() {
        for answer in [NO_PLAIN_HERE, FULL] {
            let text = std::str::from_utf8(answer).expect("text");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head} {}", body.len());
        }
    }
}
