//! The upstream's own types: the hub of every translation.
//!
//! [`request`] is what is sent to `generateContent` and `streamGenerateContent`, [`response`] what comes back,
//! [`model`] what each family of models takes. [`turns`], [`tools`], [`thinking`] and [`draft`] put to a model what
//! every dialect asks for; [`piece`], [`finish`] and [`grounding`] tell what an answer says. [`schema`] and [`names`] fit JSON schemas
//! and function names, which clients choose freely, to what Gemini accepts. [`media`] reads images and the like as
//! clients write them, which [`media_type`] tells apart; those that are named by address are [`remote`]. Native
//! requests pass by without any of this.

pub mod catalogue;
pub mod count;
pub mod draft;
pub(crate) mod entries;
pub mod finish;
pub mod grounding;
pub mod large;
pub mod media;
pub mod media_type;
pub mod model;
pub mod names;
pub mod piece;
pub mod remote;
pub mod request;
pub mod response;
pub mod schema;
pub mod thinking;
pub mod tools;
pub mod tuning;
pub mod turns;
