//! `topk serve`: the thin reader alone.

use crate::assemble::Assembly;
use crate::cli::ServeArguments;
use crate::settings::Settings;
use crate::{http, logging};
use std::process::ExitCode;
use stream::Fault;
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn serve(arguments: &ServeArguments) -> Result<ExitCode, Fault> {
    let mut layers = super::layers(&arguments.settings)?;
    if let Some(listen) = &arguments.listen {
        layers = layers.flag("--listen", "reader.listen", listen);
    }
    let assembly = Assembly::new(Settings::read(&layers.load())?);
    logging::start();
    let metrics = http::record()?;
    let wrong = |error: std::io::Error| Fault::failed("cannot start the reader", error, "check the limits on threads");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(wrong)?;
    runtime.block_on(async {
        let stores = assembly.stores(false)?;
        let (listener, moved) = reader::bind_or_next(&assembly.settings.reader_listen).await?;
        let address = listener.local_addr().map_err(wrong)?;
        if moved {
            eprintln!("{} is busy: listening on {address} instead", assembly.settings.reader_listen);
        }
        eprintln!("reader: http://{address}/");
        let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        reader::serve(listener, assembly.reader(metrics), stores, shutdown).await?;
        Ok(ExitCode::SUCCESS)
    })
}
