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
mod shell;
mod upstream;
mod waiting;

use std::rc::Rc;

use http::{Response, StatusCode};
use js_sys::{Function, Promise};
use libra_core::config::Config;
use libra_core::error::{Dialect, Error, Kind};
use libra_core::gateway::Gateway;
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

/// The gateway. One for an isolate, kept in a global variable.
#[wasm_bindgen]
pub struct Libra(Result<Rc<Shell>, String>);

#[wasm_bindgen]
impl Libra {
    /// A gateway with the settings that `variable(name)` finds; what is no text counts as not set. `is_guarded`: the
    /// platform keeps its requests out of private networks. A setting that cannot be used is what every request is then
    /// answered with.
    #[wasm_bindgen(constructor)]
    pub fn new(variable: &Function, is_guarded: bool) -> Self {
        let lookup = |name: &str| {
            let value = variable.call1(&JsValue::UNDEFINED, &JsValue::from_str(name));
            value.ok().and_then(|value| value.as_string())
        };
        let settings = Config::from_vars(lookup, |_| Err("there are no files on an edge".to_owned()));
        let (mut config, notices) = match settings {
            Ok(settings) => settings,
            Err(problem) => {
                js::log_error(&format!("libra: {problem}"));
                return Self(Err(problem.to_string()));
            }
        };
        for notice in notices {
            js::log_error(&format!("libra: {notice}"));
        }
        config.memory.get_or_insert(MEMORY);
        Self(Ok(Rc::new(Shell::new(Gateway::new(config, js::chance()), is_guarded))))
    }

    /// Answers a request with a response. `peer` is the client's address as the platform knows it, `wait_until` lets work
    /// go on after the answer, where the platform has such a function.
    pub fn fetch(&self, request: Request, peer: Option<String>, wait_until: Option<Function>) -> Promise {
        let shell = self.0.clone();
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
                    let mut nobodys = Response::new(AnswerBody::Whole(bytes::Bytes::new()));
                    *nobodys.status_mut() = StatusCode::from_u16(CLIENT_LEFT).unwrap_or(StatusCode::OK);
                    answer::to_js(nobodys, None)
                }
            }
        })
    }
}

/// Messages about settings show no key.
fn misconfigured(problem: &str) -> Response<AnswerBody> {
    let message = format!("This gateway's settings cannot be used: {problem}");
    Error::new(Kind::Internal, message).response(Dialect::OpenAi, None).map(AnswerBody::Whole)
}
