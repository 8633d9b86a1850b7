//! Opens what is listened on: addresses, sockets in the file system, and what systemd has opened already.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;

use super::tls::Acceptor;
use crate::settings::ListenAt;

/// Connections that wait to be accepted. The usual 1,024 costs a burst of clients a second each.
const BACKLOG: i32 = 4096;

/// What is listened on.
pub(crate) enum Listener {
    /// An address, with TLS or without.
    Tcp { socket: TcpListener, tls: Option<Acceptor> },
    /// A socket in the file system: for a proxy on the same machine.
    #[cfg(unix)]
    Unix(UnixSocket),
}

/// Its file goes with it.
#[cfg(unix)]
pub(crate) struct UnixSocket(pub(super) UnixListener, Option<PathBuf>);

#[cfg(unix)]
impl Drop for UnixSocket {
    fn drop(&mut self) {
        if let Some(path) = &self.1 {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Opens the first address; where systemd has opened sockets, these are it and all the others.
pub(crate) fn listen(address: SocketAddr, tls: Option<&Acceptor>) -> io::Result<(SocketAddr, Vec<Listener>)> {
    let inherited = inherited(tls)?;
    if !inherited.is_empty() {
        let first = inherited.iter().find_map(|listener| match listener {
            Listener::Tcp { socket, .. } => socket.local_addr().ok(),
            #[cfg(unix)]
            Listener::Unix(_) => None,
        });
        return Ok((first.unwrap_or(address), inherited));
    }
    let socket = open(address)?;
    Ok((socket.local_addr()?, vec![Listener::Tcp { socket, tls: tls.cloned() }]))
}

/// Opens a further address.
///
/// # Errors
/// What cannot be opened, with its name.
pub(crate) fn listen_also(place: &ListenAt, tls: Option<&Acceptor>) -> Result<Listener, String> {
    let opened = |address: SocketAddr, tls: Option<Acceptor>| {
        let socket = open(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
        Ok(Listener::Tcp { socket, tls })
    };
    match place {
        ListenAt::Plain(address) => opened(*address, None),
        ListenAt::Secure(address) => opened(*address, tls.cloned()),
        #[cfg(unix)]
        ListenAt::Unix(path) => {
            let socket =
                unix(path).map_err(|error| format!("cannot listen on unix:{}: {error}", path.display()))?;
            Ok(Listener::Unix(UnixSocket(socket, Some(path.clone()))))
        }
        #[cfg(not(unix))]
        ListenAt::Unix(_) => Err("this system has no unix sockets".to_owned()),
    }
}

/// Opens an address by itself.
pub(crate) fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A socket's file stays behind when its process is killed. One on which somebody listens is left alone.
#[cfg(unix)]
fn unix(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt as _;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// What systemd has opened for this service (socket activation).
#[cfg(target_os = "linux")]
fn inherited(tls: Option<&Acceptor>) -> io::Result<Vec<Listener>> {
    let mut sockets = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for at in 0..sockets.len() {
        if let Ok(Some(socket)) = sockets.take_tcp_listener(at) {
            socket.set_nonblocking(true)?;
            listeners.push(Listener::Tcp { socket: TcpListener::from_std(socket)?, tls: tls.cloned() });
        } else if let Ok(Some(socket)) = sockets.take_unix_listener(at) {
            socket.set_nonblocking(true)?;
            listeners.push(Listener::Unix(UnixSocket(UnixListener::from_std(socket)?, None)));
        }
    }
    Ok(listeners)
}

#[cfg(not(target_os = "linux"))]
fn inherited(_: Option<&Acceptor>) -> io::Result<Vec<Listener>> {
    Ok(Vec::new())
}
