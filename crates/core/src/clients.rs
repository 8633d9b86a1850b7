//! The clients of the pool: their keys, what each may use, and what it has used.

mod keys;
mod settings;

pub use self::keys::{Client, ClientKey, Clients, HashKey, KeyHash};
pub use self::settings::{ClientSettings, ModelPatterns, client_name};
