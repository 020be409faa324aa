//! The product: counts views per video and ranks the most viewed. Commands parse and delegate; [`video_views`] is the
//! pipeline on one screen; [`assemble`] connects settings to sources, sinks and reader.

pub mod assemble;
pub mod cli;
pub mod commands;
pub mod endpoints;
pub mod http;
pub mod logging;
pub mod memory;
pub mod metrics;
pub mod recount;
pub mod settings;
mod shown;
pub mod supervise;
pub mod video_views;
