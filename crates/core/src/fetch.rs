//! Media that a request names by address: which addresses are fetched, from which hosts, and what is kept of them
//! for a while.
//!
//! Everything here is decision. An [exchange](crate::exchange) carries it out in operations, one for each answer
//! of a server, redirects too; a shell opens connections, and only to what the [guard] permits.

pub mod address;
pub mod guard;
mod kept;

pub(crate) use self::kept::{Kept, SHARE};
