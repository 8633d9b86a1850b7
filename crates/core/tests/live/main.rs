//! Sessions of the Live API against a scripted Google, in virtual time.

#[path = "../harness/mod.rs"]
mod harness;

mod admission;
mod ends;
mod passing;
mod play;
mod resumption;
mod takeover;
