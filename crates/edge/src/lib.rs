//! The gateway for edge platforms: a thin shell around core, as WebAssembly.
//!
//! Compiled once for Cloudflare Workers, Deno, Netlify and Vercel: they share fetch, streams and abort signals. What
//! differs (where variables are, and what a platform calls the client's address) is in the dozen lines of JavaScript in
//! `entries`. No protocol logic, no decision about keys.

mod answer;
mod app;
mod asking;
mod bell;
mod body;
mod checks;
mod clock;
mod drive;
mod head;
mod incoming;
mod js;
mod leaving;
mod live;
mod log;
mod place;
mod platform;
mod shell;
mod state;
mod upstream;
mod waiting;

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{Response, StatusCode};
use js_sys::Promise;
use libra_core::config::Config;
use libra_core::error::{Dialect, Error, Kind};
use libra_core::gateway::Gateway;
use wasm_bindgen::handler::schedule_reinit;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;
use web_sys::Request;

pub use crate::answer::AnswerSource;
use crate::answer::Farewell;
use crate::app::Answer;
use crate::body::AnswerBody;
use crate::leaving::Leaving;
pub use crate::live::Sockets;
pub use crate::platform::Platform;
use crate::shell::Shell;
pub use crate::state::PlatformStore;
use crate::state::State;

/// What requests hold in memory altogether unless it is set, in bytes: isolates have 128 MB for everything, and a body is
/// there up to three times.
const MEMORY: u64 = 32 << 20;

/// So many projects are asked for one list or one object: with what else a request does, platforms allow no more calls
/// (Cloudflare's free plan: 50). A list goes on on its next page.
const MOST_CALLS: u32 = 30;

/// What a client that has left is answered with, as it reads nothing: nginx's number for it.
const CLIENT_LEFT: u16 = 499;

thread_local! {
    /// The gateway of this isolate, or why there is none.
    static SHELL: OnceCell<Result<Rc<Shell>, String>> = const { OnceCell::new() };
}

/// Answers a request with a response.
///
/// The first request of an isolate makes its gateway, with the settings that the platform finds. A setting that cannot be
/// used is what every request is then answered with.
#[wasm_bindgen]
pub fn answer(request: Request, platform: Platform) -> Promise {
    let shell = SHELL.with(|shell| shell.get_or_init(|| start(&platform)).clone());
    future_to_promise(async move {
        let shell = match shell {
            Ok(shell) => shell,
            Err(problem) => return answer::to_js(misconfigured(&problem), None, None),
        };
        let farewell = Farewell { shell: Rc::clone(&shell), platform: platform.clone() };
        let leaving = Leaving::of(request.signal());
        let answer = app::answer(&shell, &request, &platform);
        match app::unless(|context| leaving.poll_left(context), answer).await {
            Some(Answer::Said(answer)) => answer::to_js(answer, Some(leaving), Some(farewell)),
            Some(Answer::Live(session, sockets)) => live::answer(*session, &request, sockets, farewell),
            None => {
                let mut nobodys = Response::new(AnswerBody::Whole(Bytes::new()));
                *nobodys.status_mut() = StatusCode::from_u16(CLIENT_LEFT).unwrap_or_default();
                answer::to_js(nobodys, None, Some(farewell))
            }
        }
    })
}

fn start(platform: &Platform) -> Result<Rc<Shell>, String> {
    // What a fault of the code's own leaves behind would fail every request after it: the next call begins with a new
    // instance. The message may quote what a client has sent, so only the place is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        js::log_error(&format!("libra: a fault at {place}; the gateway begins anew"));
        schedule_reinit();
    }));
    js::seed_maps();
    let problem = |problem: String| {
        js::log_error(&format!("libra: {problem}"));
        problem
    };
    let lookup = |name: &str| platform.variable(name);
    let settings = Config::from_vars(lookup, |_| Err("there are no files on an edge".to_owned()));
    let (mut config, notices) = settings.map_err(|error| problem(error.to_string()))?;
    let state = State::configured(lookup).map_err(problem)?;
    for notice in notices {
        js::log_error(&format!("libra: {notice}"));
    }
    config.memory.get_or_insert(MEMORY);
    config.most_calls = Some(MOST_CALLS);
    let gateway = Gateway::new(config, js::chance());
    if let Some(region) = place::VARIABLES.iter().find_map(|name| lookup(name)) {
        gateway.leaves_from(place::of_region(region));
    }
    if state.keeps_contents(platform) {
        gateway.keep_contents();
    }
    Ok(Rc::new(Shell::new(gateway, state, platform.is_guarded())))
}

/// Messages about settings show no key.
fn misconfigured(problem: &str) -> Response<AnswerBody> {
    let message = format!("This gateway's settings cannot be used: {problem}");
    Error::new(Kind::Internal, message).response(Dialect::OpenAi, None).map(AnswerBody::Whole)
}
