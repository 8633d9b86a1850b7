//! Media that a request names by address: which addresses are fetched and from which hosts.
//!
//! Everything here is decision. An [exchange](crate::exchange) carries it out in operations, one for each answer
//! of a server, redirects too; a shell opens connections, and only to what the [guard] permits.

pub mod address;
pub mod guard;
