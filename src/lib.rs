//! reseed for embedders: the client.
//!
//! A façade without logic: it names what programs other than `reseed` itself may want.

pub use reseed_client as client;
pub use reseed_client::{Client, ClientOptions, Error};
