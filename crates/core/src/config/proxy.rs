//! Proxies that the upstream is reached through. Their addresses may hold passwords, which nothing shows.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use zeroize::Zeroizing;

use super::lists::split;

/// The most proxies. Each has connections of its own.
const MAX_PROXIES: usize = 256;

/// The longest address, in bytes.
const MAX_ADDRESS_BYTES: usize = 2048;

/// The address of a proxy: `http://`, `socks5://` or `socks5h://`, with a host, and a user and a password where it wants
/// them. Prints without these.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    text: Arc<Zeroizing<String>>,
    shown: Arc<str>,
}

impl ProxyAddress {
    /// Reads an address. Without a scheme it is an HTTP proxy's, as elsewhere.
    ///
    /// # Errors
    /// What is wrong, in words that show nothing of the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let problem = || "is no proxy; write http://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT";
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = scheme.to_ascii_lowercase();
        if text.len() > MAX_ADDRESS_BYTES || !["http", "socks5", "socks5h"].contains(&scheme.as_str()) {
            return Err(problem().to_owned());
        }
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| problem())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(problem)?;
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        Ok(Self {
            shown: format!("{scheme}://{host}{port}").into(),
            text: Arc::new(Zeroizing::new(format!("{scheme}://{rest}"))),
        })
    }

    /// The whole address, with what opens the proxy. For the connection to it, and for nothing else.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// A list of proxies, parted as lists of keys are.
///
/// # Errors
/// The entry that is no proxy, by its number.
pub fn read_proxies(text: &str) -> Result<Vec<ProxyAddress>, String> {
    let entries = split(text);
    let proxies = entries.iter().enumerate().map(|(index, entry)| {
        ProxyAddress::parse(entry).map_err(|problem| format!("entry {} {problem}", index + 1))
    });
    let mut proxies = proxies.collect::<Result<Vec<_>, String>>()?;
    let mut seen = std::collections::HashSet::new();
    proxies.retain(|proxy| seen.insert(proxy.text.to_string()));
    if proxies.len() > MAX_PROXIES {
        return Err(format!("has {} proxies; at most {MAX_PROXIES} are allowed", proxies.len()));
    }
    Ok(proxies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_shown_without_what_opens_it() {
        let check = |text: &str, whole: &str, shown: &str| {
            let proxy = ProxyAddress::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!((proxy.expose(), proxy.to_string().as_str()), (whole, shown), "{text}");
            assert_eq!(format!("{proxy:?}"), shown);
        };
        check("socks5://user:pass@h:1080", "socks5://user:pass@h:1080", "socks5://h:1080");
        check(" HTTP://h ", "http://h", "http://h");
        check("h:3128", "http://h:3128", "http://h:3128");
        for text in ["", "ftp://h", "https://secret@h", "http://", "socks5://secret word@h"] {
            let problem = ProxyAddress::parse(text).expect_err(text);
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn proxies_are_a_list_without_doubles() {
        let shown = |text: &str| read_proxies(text).map(|list| format!("{list:?}"));
        assert_eq!(shown("http://a, socks5h://b\nhttp://a"), Ok("[http://a, socks5h://b]".to_owned()));
        assert!(shown("http://a,gopher://b").is_err_and(|problem| problem.starts_with("entry 2 ")));
    }
}
