//! Media that the request names by address, fetched before its first attempt.
//!
//! A file that cannot be had is the request's fault: no key has been chosen yet, and none is struck.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use http::{Request, StatusCode};

use super::{Op, OpId, Outcome, Single, Step};
use crate::auth::Access;
use crate::config::{Config, Fetch};
use crate::error::{Error, Kind};
use crate::event::Event;
use crate::fetch::address::Address;
use crate::gateway::{Gateway, no_room};
use crate::gemini::media_type;
use crate::gemini::remote::{Accepts, Media, Medium, Place, Remote};
use crate::memory::Held;
use crate::time::Timestamp;
use crate::tokens;

/// So many addresses a request may name. A long conversation has some dozens of images.
const MOST: usize = 100;

/// So many are fetched at a time: as many as browsers ask of one server.
const AT_ONCE: usize = 6;

/// So many redirects are followed, as the next page is seldom further away.
const MOST_REDIRECTS: u8 = 5;

const AGENT: &str = concat!("libra/", env!("CARGO_PKG_VERSION"));

/// How far the media of a request are.
#[derive(Debug)]
pub(super) enum Gathering {
    /// It is not known yet whether there are any.
    Due,
    /// They are being fetched.
    Running(Box<Fetching>),
    /// There is nothing to fetch, or all is there.
    Done,
}

/// What is being fetched.
#[derive(Debug)]
pub(super) struct Fetching {
    /// Not begun; the next one is last.
    wanted: Vec<Remote>,
    running: Vec<Download>,
    media: Media,
    /// How many bytes have come, of all files, each as often as it stands in the request.
    size: u64,
    deadline: Timestamp,
}

/// One file on its way.
#[derive(Debug)]
struct Download {
    op: OpId,
    remote: Remote,
    /// The address that the client named, and where its redirects have led.
    first: Address,
    address: Address,
    redirects: u8,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be asked for at its new address.
    Redirected,
    /// Asked for.
    Asked,
    /// Its bytes are coming.
    Coming { content_type: Option<String>, may_be_kept: bool, bytes: BytesMut, held: Held },
}

/// What has come of an outcome.
enum Progress {
    More,
    Redirected,
    Whole(&'static str, Bytes),
}

/// Why a file cannot be had.
enum Trouble {
    /// Words that go on after "cannot be fetched".
    Problem(String),
    /// The gateway has no room for it now.
    NoRoom,
}

impl Single {
    /// The next step to the media that the request names by address; none once all are there.
    pub(super) fn fetch_media(&mut self, now: Timestamp) -> Option<Step> {
        let mut fetching = match std::mem::replace(&mut self.gathering, Gathering::Done) {
            Gathering::Done => return None,
            Gathering::Running(fetching) => fetching,
            Gathering::Due => match self.to_be_fetched(now) {
                Ok(None) => return None,
                Ok(Some(fetching)) => Box::new(fetching),
                Err(error) => {
                    self.refuse(&error, now);
                    return Some(self.advance(now));
                }
            },
        };
        let next = match self.next_of(&mut fetching, now) {
            Ok(None) => self.place(std::mem::take(&mut fetching.media)).map(|()| None),
            next => next,
        };
        match next {
            Ok(Some(step)) => {
                self.gathering = Gathering::Running(fetching);
                Some(step)
            }
            Ok(None) => None,
            Err(error) => {
                self.cancel.extend(fetching.operations());
                self.refuse(&error, now);
                Some(self.advance(now))
            }
        }
    }

    fn to_be_fetched(&self, now: Timestamp) -> Result<Option<Fetching>, Error> {
        let (config, remote) = (self.gateway.config(), self.task.remote());
        let Some(first) = remote.first() else { return Ok(None) };
        match (config.fetch, &self.access) {
            (Fetch::Off, _) => {
                let message = "Files are not fetched from the web here (LIBRA_FETCH); send them as data URLs. \
                     此网关不获取网络地址上的文件，请改用 data URL。";
                return Err(bad_request(&first.place, message.to_owned()));
            }
            (Fetch::Pass, _) | (Fetch::Trusted, Access::Own(_)) => return Ok(None),
            (Fetch::Trusted, Access::Pool { .. }) => {}
        }
        if let Some(further) = remote.get(MOST) {
            let message = format!(
                "A request may name at most {MOST} files by address. 一次请求最多可引用 {MOST} 个网络文件。"
            );
            return Err(bad_request(&further.place, message));
        }
        Ok(Some(Fetching {
            wanted: remote.iter().rev().cloned().collect(),
            running: Vec::new(),
            media: Media::default(),
            size: 0,
            deadline: (now + config.fetch_timeout).min(self.times.deadline),
        }))
    }

    /// None: all is there.
    fn next_of(&mut self, fetching: &mut Fetching, now: Timestamp) -> Result<Option<Step>, Error> {
        if now >= fetching.deadline {
            let late = fetching.running.first().map(|late| (&late.remote.place, late.first.host()));
            let (place, host) = match (late, fetching.wanted.last()) {
                (Some((place, host)), _) => (place, host),
                (None, Some(next)) => (&next.place, ""),
                (None, None) => return Ok(None),
            };
            return Err(self.no_file(place, host, "it did not come in time (LIBRA_FETCH_TIMEOUT)"));
        }
        let redirected = |download: &&mut Download| matches!(download.state, State::Redirected);
        if let Some(download) = fetching.running.iter_mut().find(redirected) {
            download.op = self.new_op();
            download.state = State::Asked;
            return Ok(Some(Step::Start(download.op, Op::Fetch(request(&download.address)))));
        }
        while fetching.running.len() < AT_ONCE {
            let Some(remote) = fetching.wanted.pop() else { break };
            let address = match Address::parse(&remote.address) {
                Ok(address) => address,
                Err(problem) => return Err(self.no_address(&remote.place, problem)),
            };
            let kept = self.gateway.media().find(&address.uri().to_string(), now);
            if let Some(kept) = kept.filter(|kept| kept.fits(remote.place.accepts)) {
                fetching.size =
                    fetching.size.saturating_add((kept.size() / 4 * 3).saturating_mul(remote.times));
                if fetching.size > together(&self.gateway.config()) {
                    return Err(self.no_file(
                        &remote.place,
                        address.host(),
                        &too_much(&self.gateway.config()),
                    ));
                }
                fetching.media.insert(remote.address, kept);
                continue;
            }
            let op = self.new_op();
            let step = Step::Start(op, Op::Fetch(request(&address)));
            let first = address.clone();
            fetching.running.push(Download { op, remote, first, address, redirects: 0, state: State::Asked });
            return Ok(Some(step));
        }
        Ok((!fetching.running.is_empty()).then_some(Step::WaitUntil(fetching.deadline)))
    }

    /// Takes in what has come of an operation, if it is one that fetches.
    ///
    /// # Errors
    /// The outcome, where it belongs to another operation.
    pub(super) fn fetched(&mut self, op: OpId, outcome: Outcome, now: Timestamp) -> Result<(), Outcome> {
        let Gathering::Running(fetching) = &mut self.gathering else { return Err(outcome) };
        let Some(at) = fetching.running.iter().position(|download| download.op == op) else {
            return Err(outcome);
        };
        let Fetching { running, size, .. } = &mut **fetching;
        match running[at].take(outcome, size, &self.gateway) {
            Ok(Progress::More) => {}
            Ok(Progress::Redirected) => self.cancel.push(op),
            Ok(Progress::Whole(kind, bytes)) => {
                let download = running.swap_remove(at);
                let mut held = self.gateway.share();
                if held.grow(bytes.len().div_ceil(3) * 4) {
                    let medium = Arc::new(Medium::new(kind, STANDARD.encode(&bytes), held));
                    if matches!(download.state, State::Coming { may_be_kept: true, .. }) {
                        let address = download.first.uri().to_string();
                        self.gateway.media().keep(address, &medium, now);
                    }
                    fetching.media.insert(download.remote.address, medium);
                } else {
                    self.give_up_fetching(&no_room(), now);
                }
            }
            Err(trouble) => {
                let download = running.swap_remove(at);
                let error = match trouble {
                    Trouble::NoRoom => no_room(),
                    Trouble::Problem(problem) => {
                        self.no_file(&download.remote.place, download.first.host(), &problem)
                    }
                };
                self.cancel.push(op);
                self.give_up_fetching(&error, now);
            }
        }
        Ok(())
    }

    fn give_up_fetching(&mut self, error: &Error, now: Timestamp) {
        if let Gathering::Running(fetching) = std::mem::replace(&mut self.gathering, Gathering::Done) {
            self.cancel.extend(fetching.operations());
        }
        self.refuse(error, now);
    }

    /// Puts what was fetched in the place of its addresses.
    fn place(&mut self, media: Media) -> Result<(), Error> {
        self.task.place(media)?;
        let body = self.task.translated_body().unwrap_or_default();
        if !self.held.grow(body.len()) {
            return Err(no_room());
        }
        self.tokens = tokens::estimate(&body);
        Ok(())
    }

    fn no_address(&mut self, place: &Place, problem: &str) -> Error {
        let what = word(place.accepts);
        self.note_failed("", problem);
        bad_request(place, format!("The address of the {what} {problem}. 文件地址无效。"))
    }

    fn no_file(&mut self, place: &Place, host: &str, problem: &str) -> Error {
        let what = word(place.accepts);
        self.note_failed(host, problem);
        bad_request(
            place,
            format!("The {what} at {host} cannot be fetched: {problem}. 无法获取 {host} 上的文件。"),
        )
    }

    fn note_failed(&mut self, host: &str, problem: &str) {
        self.events.push(Event::FetchFailed {
            request: self.mark.id(),
            host: host.to_owned(),
            message: problem.to_owned(),
        });
    }
}

impl Fetching {
    /// The operations under way.
    fn operations(&self) -> impl Iterator<Item = OpId> {
        let asked = |download: &&Download| !matches!(download.state, State::Redirected);
        self.running.iter().filter(asked).map(|download| download.op)
    }
}

impl Download {
    /// `size` is how much of all files has come.
    fn take(&mut self, outcome: Outcome, size: &mut u64, gateway: &Gateway) -> Result<Progress, Trouble> {
        let config = &gateway.config();
        match outcome {
            Outcome::Head(status, headers) if status.is_redirection() && headers.contains_key(LOCATION) => {
                self.redirects += 1;
                if self.redirects > MOST_REDIRECTS {
                    return Err(format!("it redirects more than {MOST_REDIRECTS} times").into());
                }
                let location = headers.get(LOCATION).map(HeaderValue::as_bytes).unwrap_or_default();
                let next = self.address.redirect(&String::from_utf8_lossy(location));
                self.address =
                    next.map_err(|problem| format!("it redirects to an address that {problem}"))?;
                self.state = State::Redirected;
                return Ok(Progress::Redirected);
            }
            Outcome::Head(status, headers) => self.begin(status, &headers, config, gateway.share())?,
            Outcome::Chunk(chunk) => {
                let State::Coming { bytes, held, .. } = &mut self.state else { return Ok(Progress::More) };
                *size = size.saturating_add((chunk.len() as u64).saturating_mul(self.remote.times));
                if (bytes.len() + chunk.len()) as u64 > config.fetch_limit {
                    return Err(too_large(config).into());
                }
                if *size > together(config) {
                    return Err(too_much(config).into());
                }
                if !held.grow(chunk.len()) {
                    return Err(Trouble::NoRoom);
                }
                bytes.extend_from_slice(&chunk);
            }
            Outcome::End => {
                let State::Coming { content_type, bytes, .. } = &mut self.state else {
                    return Err("its answer broke off".to_owned().into());
                };
                let accepts = self.remote.place.accepts;
                let kind = media_type::of(content_type.as_deref(), self.address.name(), bytes, accepts);
                let kind = kind.map_err(|what| format!("it is {what}"))?;
                return Ok(Progress::Whole(kind, std::mem::take(bytes).freeze()));
            }
            Outcome::Failed { message, .. } => return Err(message.into()),
            // Of a body that the client streams; there is none here.
            Outcome::TooLarge => {}
        }
        Ok(Progress::More)
    }

    /// The head of an answer that is no redirect.
    fn begin(
        &mut self,
        status: StatusCode,
        headers: &HeaderMap,
        config: &Config,
        held: Held,
    ) -> Result<(), Trouble> {
        if status != StatusCode::OK {
            return Err(format!("its server answered {}", status.as_u16()).into());
        }
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        if text(CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err("it comes compressed, unasked".to_owned().into());
        }
        let length = text(CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        if length.is_some_and(|length| length > config.fetch_limit) {
            return Err(too_large(config).into());
        }
        let content_type = text(CONTENT_TYPE).map(str::to_owned);
        media_type::may_be(content_type.as_deref(), self.remote.place.accepts)
            .map_err(|what| format!("it is {what}"))?;
        let may_be_kept =
            !text(CACHE_CONTROL).is_some_and(|control| control.to_ascii_lowercase().contains("no-store"));
        self.state = State::Coming { content_type, may_be_kept, bytes: BytesMut::new(), held };
        Ok(())
    }
}

impl From<String> for Trouble {
    fn from(problem: String) -> Self {
        Self::Problem(problem)
    }
}

fn request(address: &Address) -> Request<()> {
    let mut request = Request::new(());
    *request.uri_mut() = address.uri().clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    // Some servers choose the form by this; these are what Gemini reads.
    headers.insert(ACCEPT, HeaderValue::from_static("image/png, image/jpeg, image/webp, */*;q=0.8"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    request
}

/// All files of a request are no larger than what its body could have held.
fn together(config: &Config) -> u64 {
    config.body_limit / 4 * 3
}

fn too_large(config: &Config) -> String {
    format!("it is larger than {} bytes (LIBRA_FETCH_LIMIT)", config.fetch_limit)
}

fn too_much(config: &Config) -> String {
    format!("all files of the request are larger than {} bytes (LIBRA_BODY_LIMIT)", together(config))
}

fn bad_request(place: &Place, message: String) -> Error {
    let kind = match place.accepts {
        Accepts::Media => Kind::ImageUrl,
        Accepts::Documents => Kind::BadRequest,
    };
    Error { param: Some(place.param.clone()), ..Error::new(kind, message) }
}

fn word(accepts: Accepts) -> &'static str {
    match accepts {
        Accepts::Media => "image",
        Accepts::Documents => "file",
    }
}
