//! What an exchange does beyond failing over, one subject a file.

mod budget;
mod clock;
#[path = "../harness/mod.rs"]
mod harness;
mod heartbeat;
mod hedge;
mod models;
mod tries;
mod upstream;
