//! Addresses of the web, read strictly where they say which host is meant, and leniently behind it.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The longest address, in bytes. Signed ones have some hundreds; servers seldom take more than this.
const LONGEST: usize = 8 << 10;

/// The longest name of a host and of a part of it, by the rules of DNS.
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// What people leave unescaped in paths and queries and no request line may hold.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// An http or https address without credentials, whose host is a name or an address in its usual form.
///
/// Prints as its host alone: the rest may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    uri: Uri,
    https: bool,
}

/// What is wrong with an address, in words that go on after "the address".
pub type Problem = &'static str;

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text.len() > LONGEST {
            return Err("is too long");
        }
        let (scheme, rest) = text.split_once("://").ok_or("is no http or https address")?;
        let https = match scheme {
            scheme if scheme.eq_ignore_ascii_case("https") => true,
            scheme if scheme.eq_ignore_ascii_case("http") => false,
            _ => return Err("is no http or https address"),
        };
        Self::of(https, rest)
    }

    /// `rest` is what follows `://`.
    fn of(https: bool, rest: &str) -> Result<Self, Problem> {
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("holds a user name or a password");
        }
        let (host, port) = match authority.rsplit_once(':') {
            // The last colon of an IPv6 address stands before its bracket.
            Some((host, port)) if !port.contains(']') => (host, Some(port).filter(|port| !port.is_empty())),
            _ => (authority, None),
        };
        let host = host_of(host)?;
        let port = match port {
            None => String::new(),
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => match port.parse::<u16>() {
                Ok(port) if port > 0 => format!(":{port}"),
                _ => return Err("names a port that there is not"),
            },
            Some(_) => return Err("names a port that there is not"),
        };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let path = utf8_percent_encode(path, ESCAPED);
        let scheme = if https { "https" } else { "http" };
        let uri = format!("{scheme}://{host}{port}{slash}{path}");
        if uri.len() > LONGEST {
            return Err("is too long");
        }
        let uri = uri.parse().map_err(|_| "is no http or https address")?;
        Ok(Self { uri, https })
    }

    /// Where a redirect from here leads.
    ///
    /// # Errors
    /// What is wrong with the new address.
    pub fn redirect(&self, location: &str) -> Result<Self, Problem> {
        let location = location.trim();
        if location.is_empty() || location.len() > LONGEST {
            return Err("names nothing");
        }
        let authority = self.uri.authority().map_or("", http::uri::Authority::as_str);
        let relative = location.split('#').next().unwrap_or_default();
        let next = if has_scheme(location) {
            Self::parse(location)
        } else if let Some(rest) = location.strip_prefix("//") {
            Self::of(self.https, rest)
        } else if relative.starts_with('/') {
            Self::of(self.https, &format!("{authority}{}", without_dots(relative)))
        } else if relative.starts_with('?') || relative.is_empty() {
            Self::of(self.https, &format!("{authority}{}{relative}", self.uri.path()))
        } else {
            let folder = self.uri.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            Self::of(self.https, &format!("{authority}{}", without_dots(&format!("{folder}/{relative}"))))
        }?;
        if self.https && !next.https {
            return Err("is http, where https was");
        }
        Ok(next)
    }

    /// For a request.
    pub const fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The host, in lower case; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// What stands behind the last slash of the path: perhaps a file's name.
    pub fn name(&self) -> &str {
        self.uri.path().rsplit('/').next().unwrap_or_default()
    }

    /// Whether Google itself knows what is there: its own files, and videos of YouTube.
    pub fn is_googles(&self) -> bool {
        let host = self.host();
        let is_video = ["youtube.com", "youtube-nocookie.com", "youtu.be"].iter().any(|known| {
            let rest = host.strip_suffix(known);
            rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        is_video || host == "generativelanguage.googleapis.com"
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.host())
    }
}

/// Whether a reference names its scheme.
fn has_scheme(location: &str) -> bool {
    let scheme = location.split([':', '/', '?', '#']).next().unwrap_or_default();
    location[scheme.len()..].starts_with(':')
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// A host in the one form that means the same to everybody.
fn host_of(text: &str) -> Result<String, Problem> {
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address.map(|address| format!("[{address}]")).ok_or("names no host");
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if !name.is_ascii() {
        return Err("names a host in letters beyond ASCII; write it in its xn-- form");
    }
    let fits = |label: &str| {
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > LONGEST_HOST || !name.split('.').all(fits) {
        return Err("names no host");
    }
    // `0177.1`, `0x7f000001` and `2130706433` are 127.0.0.1 to some and names to others.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number && name.parse::<Ipv4Addr>().is_err() {
        return Err("names its host by a number; write it like 192.0.2.1");
    }
    Ok(name)
}

/// A path, perhaps with a query, without `.` and `..`.
fn without_dots(reference: &str) -> String {
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: &str| {
            let read = Address::parse(text);
            let read = read.map_or_else(str::to_owned, |address| address.uri().to_string());
            assert_eq!(read, expected, "{text}");
        };
        check("http://example.com", "http://example.com/");
        check(" HTTPS://Example.COM./a.png?b=1#c ", "https://example.com/a.png?b=1");
        check("https://example.com?b", "https://example.com/?b");
        check("http://example.com:/x", "http://example.com/x");
        check("http://example.com:8080/x", "http://example.com:8080/x");
        check(
            "https://a_b.example.com/猫 1.png?q=\"é\"",
            "https://a_b.example.com/%E7%8C%AB%201.png?q=%22%C3%A9%22",
        );
        check("https://example.com/a%20b\\c", "https://example.com/a%20b%5Cc");
        check("http://192.0.2.1/x", "http://192.0.2.1/x");
        check("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]:80/x");
        check("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]/");
        for numbers in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://1.2.3.0x10/",
            "http://127.0.0.1.2/",
        ] {
            check(numbers, "names its host by a number; write it like 192.0.2.1");
        }
        for none in [
            "http://",
            "http:///x",
            "http://./",
            "http://a..b/",
            "http://exa mple.com/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://a%2eb/",
            "http://example.com\\evil.example/",
        ] {
            check(none, "names no host");
        }
        for credentials in [
            "http://user@example.com/",
            "http://user:password@example.com/",
            "http://example.com\\@evil.example/",
        ] {
            check(credentials, "holds a user name or a password");
        }
        for port in ["http://a:0/", "http://a:65536/", "http://a:x/", "http://a:-1/", "http://a:+80/"] {
            check(port, "names a port that there is not");
        }
        for other in
            ["ftp://example.com/", "file:///etc/passwd", "//example.com/", "example.com", "gopher://a/"]
        {
            check(other, "is no http or https address");
        }
        check("http://bücher.example/", "names a host in letters beyond ASCII; write it in its xn-- form");
        check(&format!("http://a/{}", "x".repeat(9000)), "is too long");
        check(&format!("http://a/{}", "é".repeat(2000)), "is too long");
    }

    #[test]
    fn redirects() {
        let check = |from: &str, to: &str, expected: &str| {
            let next = Address::parse(from).expect("an address").redirect(to);
            let next = next.map_or_else(str::to_owned, |address| address.uri().to_string());
            assert_eq!(next, expected, "{from} {to}");
        };
        let from = "https://example.com/a/b?c";
        check(from, "https://other.example/x", "https://other.example/x");
        check(from, "//other.example/x", "https://other.example/x");
        check(from, "/x?y", "https://example.com/x?y");
        check(from, "x", "https://example.com/a/x");
        check(from, "../x/./y/..?z", "https://example.com/x/?z");
        check(from, "../../../x", "https://example.com/x");
        check(from, "?d", "https://example.com/a/b?d");
        check(from, "x:y", "is no http or https address");
        check(from, "./x:y", "https://example.com/a/x:y");
        check(from, "http://example.com/x", "is http, where https was");
        check("http://example.com/", "https://example.com/x", "https://example.com/x");
        check("http://example.com:81/", "/x", "http://example.com:81/x");
        check(from, "javascript:alert(1)", "is no http or https address");
        check(from, "https://u:p@example.com/", "holds a user name or a password");
        check(from, "", "names nothing");
    }

    #[test]
    fn what_google_knows_itself() {
        let check = |text: &str, expected| {
            assert_eq!(Address::parse(text).expect("an address").is_googles(), expected, "{text}");
        };
        check("https://www.youtube.com/watch?v=x", true);
        check("https://youtu.be/x", true);
        check("https://YouTube.com/x", true);
        check("https://generativelanguage.googleapis.com/v1beta/files/x", true);
        check("https://notyoutube.com/x", false);
        check("https://youtube.com.example/x", false);
        check("https://storage.googleapis.com/x", false);
    }

    proptest::proptest! {
        #[test]
        fn what_is_read_means_one_thing(text in "(https?://)?[a-z0-9x.:@/?#%\\\\\\[\\] é-]{0,40}", to in "[a-z0-9.:@/?#%\\\\ é-]{0,20}") {
            let Ok(address) = Address::parse(&text) else { return Ok(()) };
            let again = Address::parse(&address.uri().to_string());
            assert_eq!(again.as_ref(), Ok(&address), "{text}");
            assert!(!address.host().is_empty() && address.host().is_ascii(), "{text}");
            assert!(!address.uri().authority().expect("an authority").as_str().contains('@'), "{text}");
            if let Ok(next) = address.redirect(&to) {
                assert_eq!(Address::parse(&next.uri().to_string()), Ok(next), "{text} {to}");
            }
        }
    }

    #[test]
    fn nothing_but_the_host_is_printed() {
        let address = Address::parse("https://example.com/secret?token=secret").expect("an address");
        assert_eq!(format!("{address:?}"), "Address(example.com)");
    }
}
