//! TLS towards clients: a certificate from files that are read again when they change.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::settings::{TlsFiles, read_file};

/// How often the files are looked at. Whoever renews a certificate does so days before the old one ends.
const LOOKED_AT: Duration = Duration::from_secs(5);

/// What both sides may speak once they have shaken hands, the better first.
const PROTOCOLS: [&[u8]; 2] = [H2, b"http/1.1"];

/// The certificate with both protocols, and with HTTP/1.1 alone.
type Configs = [Arc<ServerConfig>; 2];

/// HTTP/2, as ALPN calls it.
pub(crate) const H2: &[u8] = b"h2";

/// The certificate in use.
pub(crate) struct Tls {
    files: TlsFiles,
    /// What the files held when they were last good.
    text: (String, String),
    configs: Arc<RwLock<Configs>>,
}

/// What hands the certificate to every new connection.
#[derive(Clone)]
pub(crate) struct Acceptor(Arc<RwLock<Configs>>);

/// Why the files are no use. Shows nothing of what is in them.
#[derive(Debug)]
pub(crate) struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// # Errors
    /// Files that cannot be read, or that hold no certificate with its key.
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let text = read(files)?;
        let configs = Arc::new(RwLock::new(server_configs(&text)?));
        Ok(Self { files: files.clone(), text, configs })
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        Acceptor(Arc::clone(&self.configs))
    }

    /// Looks at the files for as long as it is polled. Wrong ones are refused, and the old certificate stays.
    pub(crate) async fn look_after(mut self) {
        let mut refused = None;
        loop {
            tokio::time::sleep(LOOKED_AT).await;
            let files = self.files.clone();
            let Ok(found) = tokio::task::spawn_blocking(move || read(&files)).await else { return };
            if found.as_ref().is_ok_and(|text| *text == self.text) {
                refused = None;
                continue;
            }
            let made = found.and_then(|text| server_configs(&text).map(|configs| (text, configs)));
            match made {
                Ok((text, configs)) => {
                    // An assignment cannot be interrupted halfway.
                    *self.configs.write().unwrap_or_else(PoisonError::into_inner) = configs;
                    self.text = text;
                    refused = None;
                    tracing::info!("the TLS certificate was read again: new connections get the new one");
                }
                // Said once: a file may be half written, and is whole at the next look.
                Err(TlsError(problem)) if refused.as_ref() != Some(&problem) => {
                    tracing::warn!("the new TLS certificate cannot be used, the old one stays: {problem}");
                    refused = Some(problem);
                }
                Err(_) => {}
            }
        }
    }
}

impl Acceptor {
    /// For one handshake; `offers_two`: whether HTTP/2 may come of it.
    pub(crate) fn now(&self, offers_two: bool) -> TlsAcceptor {
        let configs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&configs[usize::from(!offers_two)]))
    }
}

fn read(files: &TlsFiles) -> Result<(String, String), TlsError> {
    let text = |variable: &str, path: &Path| {
        read_file(path).map_err(|error| TlsError(format!("{variable}: {}: {error}", path.display())))
    };
    Ok((text("LIBRA_TLS_CERT", &files.cert)?, text("LIBRA_TLS_KEY", &files.key)?))
}

fn server_configs((cert, key): &(String, String)) -> Result<Configs, TlsError> {
    let problem = |variable: &str, what: &dyn fmt::Display| TlsError(format!("{variable}: {what}"));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert.as_bytes()).collect();
    let chain = chain.map_err(|error| problem("LIBRA_TLS_CERT", &error))?;
    if chain.is_empty() {
        return Err(problem(
            "LIBRA_TLS_CERT",
            &"there is no certificate in the file (PEM: BEGIN CERTIFICATE)",
        ));
    }
    // The library's own words may quote what stands there.
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| problem("LIBRA_TLS_KEY", &"there is no private key in the file (PEM, not encrypted)"))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| problem("LIBRA_TLS_CERT, LIBRA_TLS_KEY", &error))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    let mut only_one = config.clone();
    only_one.alpn_protocols.remove(0);
    Ok([Arc::new(config), Arc::new(only_one)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_certificate_with_its_own_key_is_taken() {
        let made = || {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let (cert, key) = made();
        let (_, other) = made();
        assert!(server_configs(&(cert.clone(), key.clone())).is_ok());
        let check = |cert: &str, key: &str, says: &str| {
            let error = server_configs(&(cert.to_owned(), key.to_owned())).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("PRIVATE"), "{error}");
        };
        check(&cert, &other, "LIBRA_TLS_KEY");
        check("", &key, "no certificate");
        check(&cert, "", "no private key");
        check(&cert[..cert.len() / 2], &key, "LIBRA_TLS_CERT");
    }
}
