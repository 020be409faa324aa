//! The thin HTTP reader: finished lists out of the boards, or out of the tables when a board is missing, or the last good
//! one when neither answers. What it remembers it can lose, so any number of them may run; it writes nothing but final
//! boards that the tables still have, and it counts nothing itself.
//!
//! In reading order: what it reads ([`Boards`], [`Tables`]), what it is told ([`ReaderSettings`]), the one table of
//! routes, strict parameters, the look-up (lists, line, flights, shelf), the answers, the plain page, and the server with
//! its limits.

mod answer;
mod flights;
mod health;
mod line;
mod lists;
mod openapi;
mod page;
mod parameters;
mod problem;
mod put_back;
mod query;
mod routes;
mod server;
mod service;
mod settings;
mod shelf;
mod stores;

#[cfg(test)]
mod fakes;

pub use server::{bind_or_next, serve};
pub use service::router;
pub use settings::{Limits, ReaderSettings, RenderMetrics};
pub use stores::{Boards, Listing, Reading, Stores, Tables};
