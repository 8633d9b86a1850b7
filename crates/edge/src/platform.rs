//! What a platform's entry hands over with each request.
//!
//! Handed over each time, as on Cloudflare nothing of one request may be used in another.

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};

use crate::live::Sockets;
use crate::state::PlatformStore;

#[wasm_bindgen]
extern "C" {
    /// An object of these fields; all but `variable` may be missing.
    #[derive(Clone)]
    pub type Platform;

    /// The client's address, as the platform knows it.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn peer(this: &Platform) -> Option<String>;

    #[wasm_bindgen(method, getter, js_name = waitUntil)]
    fn wait_until(this: &Platform) -> Option<Function>;

    #[wasm_bindgen(method, catch, js_name = variable)]
    fn find_variable(this: &Platform, name: &str) -> Result<JsValue, JsValue>;

    /// Whether the platform keeps its requests out of private networks.
    #[wasm_bindgen(method, getter, js_name = isGuarded)]
    fn said_to_be_guarded(this: &Platform) -> Option<bool>;

    /// Where state can be kept.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn state(this: &Platform) -> Option<PlatformStore>;

    /// How WebSockets are made.
    #[wasm_bindgen(method, getter)]
    pub(crate) fn sockets(this: &Platform) -> Option<Sockets>;
}

impl Platform {
    /// A setting. What is no text counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.find_variable(name).ok()?.as_string()
    }

    pub(crate) fn is_guarded(&self) -> bool {
        self.said_to_be_guarded().unwrap_or_default()
    }

    /// Lets work go on after the answer, where the platform has a way to. One that refuses may end the work with the
    /// request.
    pub(crate) fn keep_up(&self, work: &Promise) {
        if let Some(wait_until) = self.wait_until() {
            let _ = wait_until.apply(&JsValue::UNDEFINED, &Array::of1(work));
        }
    }
}
