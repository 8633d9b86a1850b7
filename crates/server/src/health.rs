//! `libra health`: whether the gateway of this machine lives, for containers whose image has nothing to ask with.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A gateway that takes longer does not live.
const WITHIN: Duration = Duration::from_secs(5);

/// Asks the gateway that listens there.
///
/// # Errors
/// What is wrong, in a line.
pub(crate) fn ask(listen: SocketAddr, base_path: &str, has_tls: bool) -> Result<(), String> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, listen.port());
    let head = answer(address, base_path).map_err(|error| format!("no answer from {address}: {error}"))?;
    // With TLS, a question in the clear is answered by a gateway that lives, too: its certificate names another host.
    let expected = if has_tls { "HTTP/1.1 400 " } else { "HTTP/1.1 200 " };
    if head.starts_with(expected) {
        return Ok(());
    }
    Err(format!("{address} answers {:?}", head.lines().next().unwrap_or_default()))
}

fn answer(address: SocketAddr, base_path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    let question = format!("GET {base_path}/health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(question.as_bytes())?;
    let mut head = Vec::new();
    stream.take(1 << 10).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).into_owned())
}
