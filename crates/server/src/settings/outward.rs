//! How the gateway reaches the network: proxies, and what it trusts.

use std::path::PathBuf;

use libra_core::config::{ConfigError, ProxyAddress, read_proxies};

use super::Proxies;

/// What is set of the way out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Outward {
    /// `HTTPS_PROXY` and its like: for every address.
    pub(crate) proxies: Proxies,
    /// `LIBRA_PROXIES`: for Gemini. They take the place of the others there.
    pub(crate) several: Vec<ProxyAddress>,
    /// `LIBRA_CA_FILE`: what is trusted besides the system's certificates and Mozilla's.
    pub(crate) ca_file: Option<PathBuf>,
}

impl Outward {
    /// # Errors
    /// The first variable that cannot be used.
    pub(super) fn read(
        proxies: Proxies,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        for (variable, proxy) in [("HTTPS_PROXY", &proxies.https), ("ALL_PROXY", &proxies.all)] {
            if let Some(proxy) = proxy.as_deref().filter(|proxy| !proxy.is_empty()) {
                ProxyAddress::parse(proxy).map_err(|problem| ConfigError::new(variable, problem))?;
            }
        }
        let several = lookup("LIBRA_PROXIES").map(|text| read_proxies(&text)).transpose();
        Ok(Self {
            proxies,
            several: several
                .map_err(|problem| ConfigError::new("LIBRA_PROXIES", problem))?
                .unwrap_or_default(),
            ca_file: lookup("LIBRA_CA_FILE").map(|path| path.trim().into()),
        })
    }
}
