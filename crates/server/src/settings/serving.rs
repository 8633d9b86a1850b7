//! How clients reach the gateway beyond its first address: more addresses, TLS, bounds on connections, the end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use libra_core::config::{ConfigError, quoted, read_duration, read_listen};

/// The most addresses beside the first.
const MAX_ADDRESSES: usize = 16;

/// What is set of listening and ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Serving {
    /// `LIBRA_LISTEN_ALSO`.
    pub(crate) also: Vec<ListenAt>,
    /// `LIBRA_TLS_CERT` and `LIBRA_TLS_KEY`.
    pub(crate) tls: Option<TlsFiles>,
    /// `LIBRA_DRAIN`.
    pub(crate) drain: Duration,
    /// `LIBRA_CONNECTIONS`. None: by what the machine has.
    pub(crate) connections: Option<usize>,
    /// `LIBRA_CONNECTIONS_PER_ADDRESS`. None: a number for addresses that are not private.
    pub(crate) of_address: Option<usize>,
}

/// A further address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListenAt {
    Plain(SocketAddr),
    Secure(SocketAddr),
    Unix(PathBuf),
}

/// A certificate with its chain, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Serving {
    /// # Errors
    /// The first variable that cannot be used.
    pub(super) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let value = |name: &str| {
            let text = lookup(name).map(|text| text.trim_matches([' ', '\t', '\n', '"', '\'']).to_owned());
            text.filter(|text| !text.is_empty())
        };
        let problem = |name: &str| {
            let name = name.to_owned();
            move |problem: String| ConfigError::new(name, problem)
        };
        let number = |name: &str, least: usize| {
            value(name)
                .map(|text| {
                    let number = text.parse().ok().filter(|number| (least..=1_000_000).contains(number));
                    number.ok_or_else(|| format!("{} is no number from {least} to 1000000", quoted(&text)))
                })
                .transpose()
                .map_err(problem(name))
        };
        let tls = match (value("LIBRA_TLS_CERT"), value("LIBRA_TLS_KEY")) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
            (Some(_), None) => {
                return Err(ConfigError::new("LIBRA_TLS_CERT", "needs LIBRA_TLS_KEY, the key's file, too"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::new(
                    "LIBRA_TLS_KEY",
                    "needs LIBRA_TLS_CERT, the certificate's file, too",
                ));
            }
        };
        let also = value("LIBRA_LISTEN_ALSO").map(|text| addresses(&text, tls.is_some())).transpose();
        let drain = value("LIBRA_DRAIN").map(|text| read_duration(&text)).transpose();
        Ok(Self {
            also: also.map_err(problem("LIBRA_LISTEN_ALSO"))?.unwrap_or_default(),
            tls,
            drain: drain.map_err(problem("LIBRA_DRAIN"))?.unwrap_or(Duration::from_secs(30)),
            connections: number("LIBRA_CONNECTIONS", 10)?,
            of_address: number("LIBRA_CONNECTIONS_PER_ADDRESS", 0)?,
        })
    }
}

fn addresses(text: &str, has_tls: bool) -> Result<Vec<ListenAt>, String> {
    let entries = text.split([',', ';', '\n', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    let addresses = entries.map(|entry| {
        if let Some(path) = entry.strip_prefix("unix:") {
            if !cfg!(unix) {
                return Err("this system has no unix sockets".to_owned());
            }
            if !path.starts_with('/') {
                return Err(format!("{}: write unix:/PATH, from the root", quoted(entry)));
            }
            return Ok(ListenAt::Unix(path.into()));
        }
        match entry.strip_prefix("tls:") {
            Some(_) if !has_tls => {
                Err("an address with TLS needs LIBRA_TLS_CERT and LIBRA_TLS_KEY".to_owned())
            }
            Some(address) => read_listen(address).map(ListenAt::Secure),
            None => read_listen(entry).map(ListenAt::Plain),
        }
    });
    let addresses: Vec<_> = addresses.collect::<Result<_, _>>()?;
    if addresses.len() > MAX_ADDRESSES {
        return Err(format!("has {} addresses; at most {MAX_ADDRESSES} are allowed", addresses.len()));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Serving, String> {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Serving::read(lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_say_how_they_are_spoken_to() {
        let serving = read(&[
            ("LIBRA_TLS_CERT", "c.pem"),
            ("LIBRA_TLS_KEY", "k.pem"),
            ("LIBRA_LISTEN_ALSO", "127.0.0.1:81, tls:0.0.0.0:82,unix:/run/libra.sock"),
        ]);
        let expected = [
            ListenAt::Plain(SocketAddr::from(([127, 0, 0, 1], 81))),
            ListenAt::Secure(SocketAddr::from(([0, 0, 0, 0], 82))),
            ListenAt::Unix("/run/libra.sock".into()),
        ];
        assert_eq!(serving.map(|serving| serving.also), Ok(expected.into()));
        assert_eq!(read(&[]).map(|serving| serving.drain), Ok(Duration::from_secs(30)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |variables: &[(&str, &str)], says: &str| {
            let problem = read(variables).expect_err(says);
            assert!(problem.contains(says), "{problem}");
        };
        check(&[("LIBRA_TLS_CERT", "c.pem")], "LIBRA_TLS_KEY");
        check(&[("LIBRA_TLS_KEY", "k.pem")], "LIBRA_TLS_CERT");
        check(&[("LIBRA_LISTEN_ALSO", "tls::443")], "needs LIBRA_TLS_CERT");
        check(&[("LIBRA_LISTEN_ALSO", "unix:run")], "unix:/PATH");
        check(&[("LIBRA_LISTEN_ALSO", "nowhere")], "LIBRA_LISTEN_ALSO");
        check(&[("LIBRA_DRAIN", "soon")], "LIBRA_DRAIN");
        check(&[("LIBRA_CONNECTIONS", "3")], "LIBRA_CONNECTIONS");
    }
}
