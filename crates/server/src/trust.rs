//! Whom connections over TLS believe: Mozilla's list, which is compiled in, the system's, and what the user adds.
//!
//! The system's is where a company's own authority stands; the list that is compiled in is for containers without any.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::settings::{SettingsError, read_file, reason};

/// What connections to servers are made with.
///
/// # Errors
/// A file of `LIBRA_CA_FILE` that cannot be read or holds no certificate.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    // What of them cannot be read is left out: the others serve.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let problem = |what: &str| SettingsError::new(format!("LIBRA_CA_FILE: {}: {what}", path.display()));
        let text = read_file(path).map_err(|error| problem(&reason(&error)))?;
        let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let certs = certs.map_err(|error| problem(&error.to_string()))?;
        let (added, _) = roots.add_parsable_certificates(certs);
        if added == 0 {
            return Err(problem("there is no certificate in it (PEM: BEGIN CERTIFICATE)"));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::new(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
