//! `libra pool` and `libra explain`: ask the running gateway, and show what it says; or tell it which keys share a project.

mod text;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::uri::Scheme;
use http::{Method, Request, StatusCode, Uri};
use jiff::tz::TimeZone;
use libra_core::pool::{Explanation, PoolView, ProjectCounts};
use libra_core::secret::ApiKey;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::{Asked, PoolChange, PoolOptions, Question};
use crate::settings::{Listens, Outward, Settings, read_file, reason};
use crate::trust;
use crate::upstream::Upstream;
use crate::{BAD_USAGE, StartError, checks, say};

/// More than the largest pool takes, with every model.
const MOST_BYTES: usize = 1 << 30;

/// `libra pool`, `libra pool join` and `libra pool split`.
///
/// # Errors
/// The gateway does not run, has no administration, does not take the token, or refuses the change.
pub(crate) async fn pool(settings: &Settings, options: &PoolOptions) -> Result<ExitCode, StartError> {
    let asked = &options.asked;
    let Some(gateway) = Gateway::find(settings, asked) else { return Ok(ExitCode::from(BAD_USAGE)) };
    if let Some(change) = &options.change {
        let (path, keys) = match change {
            PoolChange::Join { keys } => ("/admin/projects/join", keys),
            PoolChange::Split { keys } => ("/admin/projects/split", keys),
        };
        let answer = gateway.tell(path, &json!({ "keys": keys })).await?;
        if asked.json {
            say(&answer);
        } else {
            let changed: Changed = gateway.read(&answer)?;
            say(&format!("Projects  {}", changed.projects.summary));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let answer = gateway.ask("/admin/pool").await?;
    if asked.json {
        say(&answer);
    } else {
        let view: PoolView = gateway.read(&answer)?;
        say(text::pool(&view, &TimeZone::system()).trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// `libra explain`. The exit code is 0 if somebody would serve.
///
/// # Errors
/// The gateway does not run, has no administration, does not take the token, or does not serve the model.
pub(crate) async fn explain(settings: &Settings, question: &Question) -> Result<ExitCode, StartError> {
    let Some(gateway) = Gateway::find(settings, &question.asked) else {
        return Ok(ExitCode::from(BAD_USAGE));
    };
    let answer = gateway.ask(&question.path()).await?;
    let explanation: Explanation = gateway.read(&answer)?;
    if question.asked.json {
        say(&answer);
    } else {
        say(text::explanation(&explanation, &TimeZone::system()).trim_end());
    }
    Ok(if explanation.picked.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Question {
    fn path(&self) -> String {
        // What is a letter or a digit needs no escape, and no model has much else.
        let model: String = self.model.bytes().map(escaped).collect();
        format!("/admin/explain?model={model}&tokens={}", self.tokens)
    }
}

/// A byte in a query.
fn escaped(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

/// What the gateway says to a change.
#[derive(Deserialize)]
struct Changed {
    projects: ProjectCounts,
}

/// The running gateway, as this command reaches it.
pub(crate) struct Gateway {
    /// Scheme, authority and path, without a slash at the end.
    base: String,
    token: ApiKey,
    upstream: Upstream,
}

impl Gateway {
    /// Where it is and how to be let in. If that is not known, it has been said why.
    fn find(settings: &Settings, asked: &Asked) -> Option<Self> {
        let found = Self::found(settings, asked);
        found.inspect_err(|problem| eprintln!("libra: {problem}")).ok()
    }

    /// # Errors
    /// Where it is, or how to be let in, is not known.
    pub(crate) fn found(settings: &Settings, asked: &Asked) -> Result<Self, String> {
        let token = token_of(settings)?;
        let tls =
            trust::client_config(settings.outward.ca_file.as_deref()).map_err(|error| error.to_string())?;
        let (base, upstream) = match &asked.url {
            Some(url) => (base_of(url)?, Upstream::new(&settings.outward, &tls, None)),
            // This machine is not behind a proxy.
            None => {
                let listen = settings.config.listen;
                let address = match settings.administration() {
                    Listens::Nowhere => {
                        return Err("there is no administration (LIBRA_ADMIN_LISTEN=off)".to_owned());
                    }
                    Listens::Same => listen,
                    Listens::Apart { address, .. } => address,
                };
                let base = format!("{}{}", local(address), settings.config.base_path);
                (base, Upstream::new(&Outward::default(), &tls, None))
            }
        };
        Ok(Self { base, token, upstream })
    }

    /// What opens it.
    pub(crate) fn token(&self) -> &ApiKey {
        &self.token
    }

    /// What the gateway says at this path.
    async fn ask(&self, path: &str) -> Result<String, StartError> {
        self.request(&Method::GET, path, Bytes::new()).await
    }

    /// What the gateway says to this.
    async fn tell(&self, path: &str, what: &Value) -> Result<String, StartError> {
        self.request(&Method::POST, path, what.to_string().into()).await
    }

    /// What the gateway answers; the body is JSON.
    ///
    /// # Errors
    /// It does not run, does not take the token, or refuses.
    pub(crate) async fn request(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<String, StartError> {
        let base = &self.base;
        let mut token = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_| "LIBRA_ADMIN_TOKEN: it has characters that no header can carry")?;
        token.set_sensitive(true);
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let mut request = request.body(Some(body))?;
        request.headers_mut().insert(AUTHORIZATION, token);
        let answer = checks::ask_up_to(MOST_BYTES, request, &self.upstream).await;
        let (status, _, body) = answer.map_err(|problem| {
            format!(
                "no gateway answers at {base} ({problem}): start it there, or say where it is with --url or --listen"
            )
        })?;
        if status.is_success() {
            return Ok(String::from_utf8(body.into()).map_err(|_| self.is_another())?);
        }
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let says = |field: &str| error["error"][field].as_str().unwrap_or_default().to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED => {
                format!(
                    "the gateway at {base} does not take this LIBRA_ADMIN_TOKEN: it was started with another"
                )
            }
            StatusCode::NOT_FOUND if says("message").starts_with("There is nothing at") => format!(
                "the gateway at {base} has no /admin: set LIBRA_ADMIN_TOKEN for it, too, and start it again"
            ),
            _ if error["error"].is_object() => format!("the gateway at {base} says: {}", says("message")),
            _ => self.is_another(),
        }
        .into())
    }

    fn read<T: serde::de::DeserializeOwned>(&self, answer: &str) -> Result<T, StartError> {
        serde_json::from_str(answer).map_err(|_| self.is_another().into())
    }

    fn is_another(&self) -> String {
        format!("what answers at {} is not Libra, or another version of it", self.base)
    }
}

/// The token that is set, or that a gateway of this machine has made, or the one for looking.
fn token_of(settings: &Settings) -> Result<ApiKey, String> {
    if let Some(token) = &settings.config.admin_token {
        return Ok(token.clone());
    }
    let file = settings.store.folder().ok().map(token_file);
    if let Some(file) = file.as_ref().filter(|file| file.exists()) {
        let read = read_file(file).map_err(|error| format!("{}: {}", file.display(), reason(&error)))?;
        return Ok(ApiKey::new(&read));
    }
    settings.config.admin_read_token.clone().ok_or_else(|| {
        let file = file.map_or_else(String::new, |file| format!(", and there is no {}", file.display()));
        format!("LIBRA_ADMIN_TOKEN is not set{file}: set it to the token of the running gateway")
    })
}

/// Where the administration's token is in a data folder, unless it is set.
pub(crate) fn token_file(folder: &Path) -> PathBuf {
    folder.join("admin-token")
}

/// The address at which a gateway of this machine is reached that listens there.
fn local(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listen.port()))
}

/// An address that was named, with the path under which the gateway is served.
fn base_of(url: &str) -> Result<String, String> {
    let problem = || "--url: write http://HOST:PORT or https://HOST, with the gateway's path if it has one";
    let address: Uri = url.trim().parse().map_err(|_| problem())?;
    let plain = address.query().is_none() && address.authority().is_some_and(|a| !a.as_str().contains('@'));
    match address.scheme() {
        Some(scheme) if plain && [Scheme::HTTP, Scheme::HTTPS].contains(scheme) => {
            Ok(url.trim().trim_end_matches('/').to_owned())
        }
        _ => Err(problem().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_is_found_where_it_listens() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(local(listen.parse().expect("an address")), expected);
        };
        check("127.0.0.1:8080", "http://127.0.0.1:8080");
        check("0.0.0.0:80", "http://127.0.0.1:80");
        check("[::]:80", "http://[::1]:80");
        check("192.0.2.7:9", "http://192.0.2.7:9");
    }

    #[test]
    fn addresses_are_taken_as_people_write_them() {
        let check = |url: &str, expected: Option<&str>| {
            assert_eq!(base_of(url).ok().as_deref(), expected, "{url}");
        };
        check("http://localhost:8080", Some("http://localhost:8080"));
        check(" https://libra.example/gateway/ ", Some("https://libra.example/gateway"));
        for bad in
            ["localhost:8080", "libra.example", "ftp://a", "http://a?b=c", "http://user:word@a", "", "/a"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn models_are_escaped() {
        let asked = Asked::default();
        let question = Question { asked, model: "a/b-1.5&c=模".to_owned(), tokens: 7 };
        assert_eq!(question.path(), "/admin/explain?model=a/b-1.5%26c%3D%E6%A8%A1&tokens=7");
    }
}
