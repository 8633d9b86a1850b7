//! The Live API over TCP: the handshake of a WebSocket, and messages in and out. What is said is in [`talk`].

mod talk;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{Request, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

use self::talk::{Said, Talk};
use crate::asked::Asked;
use crate::call::{self, Call, Operation};
use crate::clock::UnixMillis;
use crate::errors::{Form, GoogleError, NOT_FOUND_PAGE};
use crate::fault::Fault;
use crate::json;
use crate::models::Model;
use crate::plan::{HTML, JSON, Reply};
use crate::simulator::{Caller, ProjectId, Simulator, Ticket};

/// A session that begins once the connection is a WebSocket. The connection's own task runs it then.
pub(crate) type Waiting = Arc<Mutex<Option<Session>>>;

/// The longest reason of a close, in bytes.
const LONGEST_REASON: usize = 123;

/// How long a client may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// The services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    Content,
    Constrained,
    Music,
}

/// A session whose handshake is done.
pub(crate) struct Session {
    upgrade: OnUpgrade,
    ticket: Ticket,
    guest: Guest,
}

/// Who has come, and what for.
struct Guest {
    simulator: Arc<Simulator>,
    caller: Caller,
    service: Service,
    version: &'static str,
    /// The setup that a token grants; null where the client may choose.
    constraint: Value,
}

/// Whether a request is for the Live API.
pub(crate) fn is_asked_for(uri: &Uri) -> bool {
    uri.path().starts_with("/ws/")
}

/// The answer to a handshake. Where it is one, the session is left in `waiting`.
pub(crate) fn answer(
    simulator: &Arc<Simulator>,
    mut request: Request<Incoming>,
    waiting: &Waiting,
) -> (Reply, HeaderMap) {
    let refuse = |error: &GoogleError| (Reply::error(error, Form::Single), HeaderMap::new());
    let Some((service, version)) = read_path(request.uri()) else {
        return (Reply::whole(404, HTML, NOT_FOUND_PAGE), HeaderMap::new());
    };
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY).cloned() else {
        return refuse(&GoogleError::invalid("Expected a WebSocket upgrade."));
    };
    let now = simulator.clock().now();
    let token = token(request.headers(), request.uri());
    let credential = match (&token, call::credential(request.headers(), request.uri())) {
        (None, credential) => credential,
        // A token is a credential, too.
        (Some(_), Ok(_)) => Err(GoogleError::several_credentials()),
        (Some(token), Err(_)) => Ok(token.clone()),
    };
    let (mut caller, ticket) = simulator.enter(&credential, ("live", "bidiGenerateContent"), "", now);
    let mut constraint = Value::Null;
    if let (Some(token), Ok(_)) = (&token, &credential) {
        let Some(grant) = simulator.redeem_token(token) else {
            ticket.done();
            return refuse(&GoogleError::key_invalid());
        };
        caller.project = Some(grant.project);
        caller.fault = None;
        constraint = grant.setup;
    }
    if let Err(error) = &credential {
        return refuse(error);
    }
    let guest = Guest { simulator: Arc::clone(simulator), caller, service, version, constraint };
    if let Some(error) = guest.refused_at_once(now) {
        ticket.done();
        return refuse(&error);
    }
    let session = Session { upgrade: hyper::upgrade::on(&mut request), ticket, guest };
    *waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    (Reply::whole(101, JSON, Bytes::new()), headers)
}

/// Service and version of a path.
fn read_path(uri: &Uri) -> Option<(Service, &'static str)> {
    let path = percent_decode_str(uri.path()).decode_utf8().ok()?;
    let (version, method) =
        path.strip_prefix("/ws/google.ai.generativelanguage.")?.split_once(".GenerativeService.")?;
    let version = ["v1", "v1beta", "v1alpha"].into_iter().find(|known| *known == version)?;
    let service = match method {
        "BidiGenerateContent" => Service::Content,
        "BidiGenerateContentConstrained" => Service::Constrained,
        "BidiGenerateMusic" => Service::Music,
        _ => return None,
    };
    Some((service, version))
}

/// The ephemeral token that a request brings.
fn token(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let in_header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let in_header = in_header.and_then(|value| value.strip_prefix("Token ")).map(str::to_owned);
    in_header.or_else(|| call::query(uri, "access_token").map(|token| token.into_owned()))
}

impl Guest {
    /// Most faults of a key are told before the upgrade, as over HTTP.
    fn refused_at_once(&self, now: UnixMillis) -> Option<GoogleError> {
        let fault = self.caller.fault.filter(|fault| fault.is_of_the_key())?;
        let later = matches!(fault, Fault::Invalid | Fault::Expired);
        if later { None } else { self.error(fault, "", now) }
    }

    fn error(&self, fault: Fault, model: &str, now: UnixMillis) -> Option<GoogleError> {
        let request = Request::new(Bytes::new());
        let call = Call { version: self.version, model: model.to_owned(), operation: Operation::Generate };
        let (simulator, caller) = (&*self.simulator, &self.caller);
        let asked = Asked { simulator, request: &request, call: &call, caller, now };
        asked.refuse(fault, 60_000 - now % 60_000)
    }

    /// What stands against a setup: the key, and the quotas.
    fn admit(&self, model: &'static Model) -> Result<(), Said> {
        let now = self.simulator.clock().now();
        let project = self.caller.project.ok_or_else(|| closing(&GoogleError::key_invalid()))?;
        let fault = match self.simulator.take(project, model, 1, now) {
            Ok(()) => self.caller.fault,
            Err(_) => self.caller.fault.or(Some(Fault::MinuteLimit)),
        };
        match fault.and_then(|fault| self.error(fault, model.id, now)) {
            Some(error) => Err(closing(&error)),
            None => Ok(()),
        }
    }

    /// The number of the project.
    fn project(&self) -> u64 {
        match self.caller.project {
            Some(ProjectId::Configured(place)) => place as u64,
            Some(ProjectId::Own(place)) => 1_000_000 + place as u64,
            None => u64::MAX,
        }
    }
}

impl Session {
    /// Runs to its end.
    pub(crate) async fn run(self) {
        let Self { upgrade, ticket, guest } = self;
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        let mut talk = Talk::new(guest.service, guest.version, guest.project()).within(&guest.constraint);
        while let Some(Ok(message)) = socket.next().await {
            let text = match message {
                Message::Text(text) => text.as_str().to_owned(),
                Message::Binary(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Message::Close(_) => break,
                _ => continue,
            };
            for said in talk.hear(&text, |model| guest.admit(model)) {
                if !say(&mut socket, said).await {
                    return;
                }
            }
        }
        ticket.done();
    }
}

/// An error as the close that it is here.
fn closing(error: &GoogleError) -> Said {
    let code = match error.status {
        400 | 401 => 1007,
        403 | 404 => 1008,
        _ => 1011,
    };
    Said::Close(code, error.body["error"]["message"].as_str().unwrap_or_default().to_owned())
}

/// False: the client is gone, or was told to go.
async fn say<S>(socket: &mut WebSocketStream<S>, said: Said) -> bool
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    // Google sends JSON in binary messages.
    let message = |value: &Value| Message::Binary(json::pretty(value).into());
    match said {
        Said::Message(value) => socket.send(message(&value)).await.is_ok(),
        Said::Many { value, count, delay } => {
            for _ in 0..count {
                tokio::time::sleep(delay).await;
                if socket.send(message(&value)).await.is_err() {
                    return false;
                }
            }
            true
        }
        Said::Close(code, mut reason) => {
            reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
            let close = CloseFrame { code: code.into(), reason: reason.into() };
            if socket.send(Message::Close(Some(close))).await.is_ok() {
                let goodbye = async { while let Some(Ok(_)) = socket.next().await {} };
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
            }
            false
        }
    }
}
