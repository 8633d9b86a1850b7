//! Media that a request names by address: which addresses are fetched, from which hosts, what of the answers
//! counts as media, and what is kept of it for a while.
//!
//! Everything here is decision. An [exchange](crate::exchange) carries it out in operations, one for each answer
//! of a server, redirects too; a shell opens connections, and only to what the [guard] permits.

pub mod address;
pub mod guard;
pub mod kept;
pub mod kind;
