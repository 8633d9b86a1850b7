//! The gateway for edge platforms: a thin shell around core, as WebAssembly.
//!
//! Compiled once for Cloudflare Workers, Deno, Netlify and Vercel: they share fetch, streams and abort signals. What
//! differs (where variables are, and what a platform calls the client's address) is in the dozen lines of JavaScript in
//! `entries`. No protocol logic, no decision about keys.

mod answer;
mod app;
mod bell;
mod body;
mod checks;
mod clock;
mod drive;
mod head;
mod incoming;
mod js;
mod leaving;
mod log;
mod place;
mod shell;
mod upstream;
mod waiting;

use std::cell::OnceCell;
use std::rc::Rc;

use bytes::Bytes;
use http::{Response, StatusCode};
use js_sys::{Function, Promise};
use libra_core::config::Config;
use libra_core::error::{Dialect, Error, Kind};
use libra_core::gateway::Gateway;
use wasm_bindgen::handler::schedule_reinit;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use wasm_bindgen_futures::future_to_promise;
use web_sys::Request;

pub use crate::answer::AnswerSource;
use crate::body::AnswerBody;
use crate::leaving::Leaving;
use crate::shell::Shell;

/// What requests hold in memory altogether unless it is set, in bytes: isolates have 128 MB for everything, and a body is
/// there up to three times.
const MEMORY: u64 = 32 << 20;

/// What a client that has left is answered with, as it reads nothing: nginx's number for it.
const CLIENT_LEFT: u16 = 499;

thread_local! {
    /// The gateway of this isolate, or why there is none.
    static SHELL: OnceCell<Result<Rc<Shell>, String>> = const { OnceCell::new() };
}

/// Answers a request with a response.
///
/// `peer` is the client's address as the platform knows it; `wait_until` lets work go on after the answer, where the
/// platform has such a function. The first request of an isolate makes its gateway with the settings that `variable(name)`
/// finds; what is no text counts as not set. `is_guarded`: the platform keeps its requests out of private networks. A
/// setting that cannot be used is what every request is then answered with.
#[wasm_bindgen]
pub fn answer(
    request: Request,
    peer: Option<String>,
    wait_until: Option<Function>,
    variable: &Function,
    is_guarded: bool,
) -> Promise {
    let shell = SHELL.with(|shell| shell.get_or_init(|| start(variable, is_guarded)).clone());
    future_to_promise(async move {
        let shell = match shell {
            Ok(shell) => shell,
            Err(problem) => return answer::to_js(misconfigured(&problem), None),
        };
        let leaving = Leaving::of(request.signal());
        let answer = app::answer(&shell, &request, peer.as_deref(), wait_until.as_ref());
        match app::unless(|context| leaving.poll_left(context), answer).await {
            Some(answer) => answer::to_js(answer, Some(leaving)),
            None => {
                let mut nobodys = Response::new(AnswerBody::Whole(Bytes::new()));
                *nobodys.status_mut() = StatusCode::from_u16(CLIENT_LEFT).unwrap_or_default();
                answer::to_js(nobodys, None)
            }
        }
    })
}

fn start(variable: &Function, is_guarded: bool) -> Result<Rc<Shell>, String> {
    // What a fault of the code's own leaves behind would fail every request after it: the next call begins with a new
    // instance. The message may quote what a client has sent, so only the place is told.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        js::log_error(&format!("libra: a fault at {place}; the gateway begins anew"));
        schedule_reinit();
    }));
    let lookup = |name: &str| {
        let value = variable.call1(&JsValue::UNDEFINED, &JsValue::from_str(name));
        value.ok().and_then(|value| value.as_string())
    };
    let settings = Config::from_vars(lookup, |_| Err("there are no files on an edge".to_owned()));
    let (mut config, notices) = settings.map_err(|problem| {
        js::log_error(&format!("libra: {problem}"));
        problem.to_string()
    })?;
    for notice in notices {
        js::log_error(&format!("libra: {notice}"));
    }
    config.memory.get_or_insert(MEMORY);
    let gateway = Gateway::new(config, js::chance());
    if let Some(region) = place::VARIABLES.iter().find_map(|name| lookup(name)) {
        gateway.leaves_from(place::of_region(region));
    }
    Ok(Rc::new(Shell::new(gateway, is_guarded)))
}

/// Messages about settings show no key.
fn misconfigured(problem: &str) -> Response<AnswerBody> {
    let message = format!("This gateway's settings cannot be used: {problem}");
    Error::new(Kind::Internal, message).response(Dialect::OpenAi, None).map(AnswerBody::Whole)
}
