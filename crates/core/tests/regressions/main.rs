//! What went wrong once, or nearly: each test says what should hold.

mod costs;
mod edges;
#[path = "../harness/mod.rs"]
mod harness;
mod hostile;
mod machine;
