//! The clients of the pool: their keys, what each may use, and what it has used.
//!
//! What may be said of a client is [`ClientSettings`]. Each request of one holds a [`Charge`] from its head on: a place among
//! those under way, and what it takes of the [`Ledger`]'s counts. Days and months are Pacific ones, as Google's quotas are;
//! minutes slide.

mod account;
mod fair;
mod keys;
mod ledger;
mod limit;
mod own;
mod settings;
mod strangers;
mod told;

pub use self::account::Amounts;
pub(crate) use self::fair::Room;
pub use self::keys::{Client, ClientKey, Clients, HashKey, KeyHash};
pub use self::ledger::AccountView;
pub(crate) use self::ledger::{Charge, Ledger};
pub use self::limit::{Limit, Period};
pub use self::own::Page;
pub(crate) use self::own::answer;
pub use self::settings::{ClientSettings, ModelPatterns, client_name};
pub(crate) use self::strangers::WrongKeys;
pub use self::told::Told;
