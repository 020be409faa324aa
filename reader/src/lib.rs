//! The thin HTTP reader: finished lists out of the boards, or out of the tables when a board is missing. It keeps no
//! state, so any number of them may run; it never writes, and it counts nothing itself.
//!
//! In reading order: what it reads ([`Boards`], [`Tables`]), what it is told ([`ReaderSettings`]), the one table of
//! routes, strict parameters, the look-up, the answers, the plain page, and the server with its limits.

mod answer;
mod health;
mod lists;
mod openapi;
mod page;
mod parameters;
mod problem;
mod query;
mod routes;
mod server;
mod service;
mod settings;
mod stores;

#[cfg(test)]
mod fakes;

pub use server::{bind_or_next, serve};
pub use service::router;
pub use settings::{Limits, ReaderSettings, RenderMetrics};
pub use stores::{Boards, Listing, Reading, Stores, Tables};
