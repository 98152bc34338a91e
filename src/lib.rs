//! reseed for embedders: a member to run, and a client to talk to one.
//!
//! A façade without logic: it names what programs other than `reseed` itself may want.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use reseed::{Client, ClientOptions, Config, Server, client::Put};
//! let server = Server::start(Config { data_dir: "data".into(), ..Config::default() }).await?;
//! server.ready().await;
//! let client = Client::connect(ClientOptions::new(["127.0.0.1:2379"]))?;
//! client.put(Put::new("greeting", "hello")).await?;
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

pub use reseed_client as client;
pub use reseed_client::{Client, ClientOptions, Error};
pub use reseed_server::{AutoCompaction, BootError, Cause, Config, ConfigError, Halted, Server};
