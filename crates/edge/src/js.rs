//! What of JavaScript's global functions is used.

use std::collections::hash_map::RandomState;
use std::hint::black_box;

use js_sys::{Function, Promise};
use libra_core::seal::NONCE;
use wasm_bindgen::prelude::{JsValue, wasm_bindgen};
use web_sys::RequestInit;

#[wasm_bindgen]
extern "C" {
    /// A request of the network.
    #[wasm_bindgen(js_name = fetch)]
    pub(crate) fn fetch(address: &str, init: &RequestInit) -> Promise;

    /// Calls a function after so many milliseconds. What it returns is a number on some platforms, an object on others.
    #[wasm_bindgen(js_name = setTimeout)]
    pub(crate) fn set_timeout(call: &Function, milliseconds: f64) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) fn clear_timeout(timer: &JsValue);

    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues, catch)]
    fn get_random_values(bytes: &mut [u8]) -> Result<JsValue, JsValue>;

    /// A line for the platform's log.
    #[wasm_bindgen(js_namespace = console, js_name = log)]
    pub(crate) fn log(line: &str);

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn log_error(line: &str);
}

/// Eight bytes of chance.
pub(crate) fn chance() -> u64 {
    let mut bytes = [0; 8];
    // Without it, isolates that start in the same millisecond begin at the same key: no harm beyond that.
    if get_random_values(&mut bytes).is_err() {
        return js_sys::Date::now().to_bits();
    }
    u64::from_le_bytes(bytes)
}

/// So many steps of eight bytes the heap and of some fifty the stack are moved by at most.
const HEAP_STEPS: u64 = 1 << 15;
const STACK_STEPS: u64 = 1 << 9;

/// Lets chance decide how maps hash. On WebAssembly the standard library takes addresses on the stack and the heap for it,
/// which are the same in every isolate: whoever knows them could send names that all fall together. To be called before
/// the first map is made.
pub(crate) fn seed_maps() {
    let chance = chance();
    let moved = vec![0_u64; usize::try_from(chance % HEAP_STEPS).unwrap_or_default()];
    deeper((chance >> 32) % STACK_STEPS);
    // What comes into its place does not matter: the addresses were read.
    drop(moved);
}

fn deeper(steps: u64) {
    let room = black_box([0_u8; 32]);
    match steps.checked_sub(1) {
        Some(steps) => deeper(steps),
        None => drop(black_box(RandomState::new())),
    }
    black_box(room);
}

/// What an entry is sealed with, so that no two are sealed alike. None: the platform has no chance to give.
pub(crate) fn nonce() -> Option<[u8; NONCE]> {
    let mut bytes = [0; NONCE];
    get_random_values(&mut bytes).ok()?;
    Some(bytes)
}
