//! Threads of a run.

use crate::running::Event;
use std::sync::mpsc::Sender;
use stream::Fault;

/// A named thread whose fault ends the run.
pub(crate) fn spawn(
    name: &str,
    tell: Sender<Event>,
    body: impl FnOnce() -> Result<(), Fault> + Send + 'static,
) -> Result<(), Fault> {
    let run = move || {
        if let Err(fault) = body() {
            // Nobody listens only when the process is ending.
            let _ = tell.send(Event::Failed(fault));
        }
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map(drop).map_err(|error| {
        Fault::failed(format!("cannot start thread {name}"), error, "check the limits on threads and memory")
    })
}
