//! Which project has what.
//!
//! Two kinds of ties. A conversation profits from staying where it was, and that is weighed against room
//! ([`conversations`]). An object (a file, a cache, a batch, a running video) belongs to the project of the key that
//! made it, and no other project can see it: a request that names one goes there or nowhere ([`objects`]).
//!
//! Objects are found in requests ([`scan`]) and learned from answers, by their [`name`]s. The addresses in answers lead
//! to this gateway, and are turned back on their way up ([`address`]). What was uploaded lately can be uploaded again
//! ([`spool`]), and what is too large for a request is put into the project that serves it ([`placed`]).

pub(crate) mod address;
pub(crate) mod conversations;
pub(crate) mod name;
pub(crate) mod objects;
pub(crate) mod placed;
pub mod scan;
pub(crate) mod spool;
