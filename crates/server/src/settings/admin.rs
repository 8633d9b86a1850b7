//! Where the administration is.

use std::net::SocketAddr;

use libra_core::config::{ConfigError, read_listen};

/// `LIBRA_ADMIN_LISTEN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdminPlace {
    /// Nothing is set.
    Usual,
    /// There is none.
    Nowhere,
    /// Where clients are served, too.
    Same,
    /// At an address of its own.
    At(SocketAddr),
}

impl AdminPlace {
    /// # Errors
    /// The value is no address.
    pub(super) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let Some(text) = lookup("LIBRA_ADMIN_LISTEN") else { return Ok(Self::Usual) };
        match text.trim().to_ascii_lowercase().as_str() {
            "off" => Ok(Self::Nowhere),
            "same" => Ok(Self::Same),
            text => read_listen(text).map(Self::At).map_err(|problem| {
                ConfigError::new("LIBRA_ADMIN_LISTEN", format!("{problem}, same (as LIBRA_LISTEN) or off"))
            }),
        }
    }

    /// What it comes to for a service that listens there. `is_public`: others than this machine reach it.
    ///
    /// Where only this machine reaches the service, the administration is at the same address. Where others do, it has one
    /// that they do not reach: the next port, on this machine alone.
    pub(crate) fn beside(self, service: SocketAddr, is_public: bool) -> Listens {
        match self {
            Self::Nowhere => Listens::Nowhere,
            Self::Same => Listens::Same,
            Self::At(address) if address == service && address.port() != 0 => Listens::Same,
            Self::At(address) => Listens::Apart { address, named: true },
            Self::Usual if !is_public => Listens::Same,
            Self::Usual => {
                Listens::Apart { address: ([127, 0, 0, 1], next(service.port())).into(), named: false }
            }
        }
    }
}

/// Where `/admin` is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    Nowhere,
    /// Where clients are served.
    Same,
    /// At an address of its own, which somebody has named or not.
    Apart {
        address: SocketAddr,
        named: bool,
    },
}

fn next(port: u16) -> u16 {
    match port {
        // The system chooses.
        0 => 0,
        u16::MAX => port - 1,
        port => port + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_public_has_its_administration_elsewhere() {
        let check = |set: &str, service: &str, expected: Listens| {
            let place = AdminPlace::read(|_| (!set.is_empty()).then(|| set.to_owned())).expect("a place");
            let service: SocketAddr = service.parse().expect("an address");
            assert_eq!(place.beside(service, !service.ip().is_loopback()), expected, "{set} {service}");
        };
        let apart =
            |address: &str, named| Listens::Apart { address: address.parse().expect("an address"), named };
        check("", "127.0.0.1:8080", Listens::Same);
        check("", "[::1]:8080", Listens::Same);
        check("", "0.0.0.0:8080", apart("127.0.0.1:8081", false));
        check("", "[::]:65535", apart("127.0.0.1:65534", false));
        check("", "192.0.2.7:0", apart("127.0.0.1:0", false));
        check("off", "127.0.0.1:8080", Listens::Nowhere);
        check("Same", "0.0.0.0:8080", Listens::Same);
        check("0.0.0.0:8080", "0.0.0.0:8080", Listens::Same);
        check(":9000", "127.0.0.1:8080", apart("0.0.0.0:9000", true));
        assert!(AdminPlace::read(|_| Some("somewhere".to_owned())).is_err());
    }
}
