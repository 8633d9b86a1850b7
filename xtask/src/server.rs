//! A server started for the length of a task.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::command::shown;

/// How long a server may take to listen. A debug build on a busy machine takes seconds, never this long.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the servers of this project print, followed by their address, once they accept connections.
const LISTENING: &str = "listening on http://";

/// A running server. Dropping it ends the process.
pub struct Server {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Server {
    /// Starts a server that says on standard output where it listens; everything it prints goes to `log`.
    pub fn start(command: &mut Command, log: &Path) -> Result<Self, String> {
        let said = shown(command);
        let mut log_file = create(log)?;
        let errors =
            log_file.try_clone().map_err(|error| format!("cannot share {}: {error}", log.display()))?;
        let began = Instant::now();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start `{said}`: {error}"))?;
        let output = child.stdout.take().expect("standard output is piped");
        let (sender, receiver) = mpsc::channel();
        // Reads on after the address, so that the server never blocks on a full pipe.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(address) = listening(&line) {
                    // Only the first address is waited for.
                    let _ = sender.send((address, began.elapsed()));
                }
                // The log helps a person; a full disk must not end the task.
                let _ = writeln!(log_file, "{line}");
            }
        });
        // Made first, so that the child is ended when the wait fails.
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), started_in: PATIENCE };
        let Ok((address, started_in)) = receiver.recv_timeout(PATIENCE) else {
            return Err(format!("`{said}` did not say where it listens; its output is in {}", log.display()));
        };
        server.address = address;
        server.started_in = started_in;
        Ok(server)
    }

    /// Starts a server that says nothing, and waits until `address` accepts connections.
    pub fn start_at(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self, String> {
        let said = shown(command);
        let log_file = create(log)?;
        let output =
            log_file.try_clone().map_err(|error| format!("cannot share {}: {error}", log.display()))?;
        let began = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log_file)
            .spawn()
            .map_err(|error| format!("cannot start `{said}`: {error}"))?;
        let mut server = Self { child, address, started_in: PATIENCE };
        while began.elapsed() < PATIENCE {
            if TcpStream::connect(address).is_ok() {
                server.started_in = began.elapsed();
                return Ok(server);
            }
            if server.ended() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("`{said}` does not listen on {address}; its output is in {}", log.display()))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// From the moment before the process was made to the line with its address.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Asks the server to stop, and waits until its process has ended.
    pub fn stop(mut self) -> Result<(), String> {
        let id = self.child.id().to_string();
        crate::command::ask(Command::new("kill").args(["-TERM", &id]))
            .ok_or_else(|| format!("cannot send SIGTERM to process {id}"))?;
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if self.ended() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!("process {id} did not stop within {} s of SIGTERM", PATIENCE.as_secs()))
    }

    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address that nothing listens on at the moment.
pub fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on loopback: {error}"))
}

fn create(log: &Path) -> Result<File, String> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    }
    File::create(log).map_err(|error| format!("cannot write {}: {error}", log.display()))
}

fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '[' | ']')));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_a_line() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(
                listening(line),
                expected.map(|address| address.parse().expect("an address")),
                "{line}"
            );
        };
        check("listening on http://127.0.0.1:8080", Some("127.0.0.1:8080"));
        check("2026-11-24 INFO listening on http://127.0.0.1:8080/ with 12 keys", Some("127.0.0.1:8080"));
        check("listening on http://[::1]:9", Some("[::1]:9"));
        check("listening on http://", None);
        check("not yet", None);
    }
}
