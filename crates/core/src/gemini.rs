//! The upstream's own types: the hub of every translation.
//!
//! [`request`] is what is sent to `generateContent` and `streamGenerateContent`, [`response`] what comes back,
//! [`remote`] what of it is named by address, [`model`] what each family of models takes. [`schema`] and [`names`]
//! fit JSON schemas and function names, which clients choose freely, to what Gemini accepts. Native requests pass
//! by without any of this.

pub mod catalogue;
pub mod model;
pub mod names;
pub mod remote;
pub mod request;
pub mod response;
pub mod schema;
