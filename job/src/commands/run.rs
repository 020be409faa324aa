//! `topk run`: a small parent supervises the job, which runs in a child.

use crate::assemble::Assembly;
use crate::cli::RunArguments;
use crate::endpoints::Endpoints;
use crate::http::Readiness;
use crate::settings::{Settings, SourceKind};
use crate::video_views;
use crate::{http, logging, supervise};
use runtime::{Accepted, Begun, BusySeconds, Event, Place, RunTotals, Running, Stop};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use stream::{Commit, Exit, Fault};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, Fault> {
    let mut layers = super::layers(&arguments.settings)?;
    if let Some(workers) = arguments.workers {
        layers = layers.flag("--workers", "job.workers", workers);
    }
    let settings = Settings::read(&layers.load())?;
    logging::start();
    if !supervise::is_child() {
        return supervise::run();
    }
    let assembly = Assembly::new(settings);
    // What follows a range or a name is used up by its record. This is not: only the first child may do it.
    let rebuild = arguments.rebuild_sink.clone().filter(|_| !supervise::is_restarted());
    let accepted = Accepted { losses: arguments.accept_loss.clone(), source: arguments.accept_source.clone(), rebuild };
    let mode = Mode { until_end: arguments.until_end, serve: arguments.serve, demo: false, accepted };
    supervised(&assembly, &mode)
}

/// How the job runs in its child.
pub(super) struct Mode {
    pub(super) until_end: bool,
    pub(super) serve: bool,
    pub(super) demo: bool,
    /// What may be lost.
    pub(super) accepted: Accepted,
}

/// The job itself, until it is drained or fails.
pub(super) fn supervised(assembly: &Assembly, mode: &Mode) -> Result<ExitCode, Fault> {
    supervise::follow_parent();
    let wrong = |error: std::io::Error| Fault::failed("cannot start the job", error, "check the limits on threads");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(wrong)?;
    let ready = Arc::new(Readiness::default());
    let settings = &assembly.settings;
    let (stop, stopped_by) = watch::channel(None);
    let signals = {
        // Listened for before anything is read, so that no stop is taken for one of a start that read nothing.
        let _context = runtime.enter();
        (signal(SignalKind::terminate()).map_err(wrong)?, signal(SignalKind::interrupt()).map_err(wrong)?)
    };
    runtime.spawn(watch_signals(signals, stopped_by, ready.clone(), settings.drain_timeout));

    let started = assembly.clock.monotonic();
    let (running, endpoints) = match start(assembly, mode, &runtime, &ready, stop) {
        Ok(started) => started,
        Err(fault) if fault.exit == Exit::Failed => {
            logging::complain(&fault);
            return Ok(ExitCode::from(supervise::CANNOT_START));
        }
        Err(fault) => return Err(fault),
    };
    announce(&running, &endpoints, mode);
    let commit = if mode.until_end { with_bar(&running, settings)? } else { wait(&running)? };
    ready.end();
    let (totals, busy, unfinished) = (running.totals(), running.busy(), running.unfinished(&commit));
    running.finish();
    if mode.until_end {
        if unfinished > 0 {
            println!(
                "stopped    before the end, by a signal: {unfinished} of {} partitions have more to read; run it again to go on",
                commit.partitions.len()
            );
        }
        summarize(&totals, &busy, &commit, settings, (assembly.clock.monotonic() - started).as_secs_f64());
    } else {
        tracing::info!(epoch = commit.sequence.0, "drained: everything read is committed and flushed");
    }
    Ok(ExitCode::SUCCESS)
}

/// Listen, and start the job.
fn start(
    assembly: &Assembly,
    mode: &Mode,
    runtime: &Runtime,
    ready: &Arc<Readiness>,
    stop: watch::Sender<Option<Stop>>,
) -> Result<(Running, Endpoints), Fault> {
    let settings = &assembly.settings;
    let metrics = http::record()?;
    let mut endpoints = Endpoints { pid: std::process::id(), ..Endpoints::default() };
    let (listener, address) =
        runtime.block_on(bind(&settings.listen, "job.listen", "the job's health and metrics are"))?;
    endpoints.job = Some(format!("http://{address}"));
    let own = http::router(metrics.clone(), ready.clone());
    runtime.spawn(async move { axum::serve(listener, own).await });
    if mode.serve {
        let (listener, address) = runtime.block_on(bind(&settings.reader_listen, "reader.listen", "the reader is"))?;
        endpoints.reader = Some(format!("http://{address}"));
        let (reader, stores) = (assembly.reader(metrics), assembly.stores(true)?);
        runtime.spawn(async move {
            if let Err(fault) = reader::serve(listener, reader, stores, std::future::pending()).await {
                tracing::error!(%fault, "the reader ended");
            }
        });
    }
    match (endpoints.write(settings.local_state()), &settings.state) {
        // A container whose state is in a bucket may have no disk to write to.
        (Err(fault), Place::Bucket(_)) => {
            tracing::warn!(%fault, "nobody here is told where the job listens: topk top needs --url");
        }
        (written, _) => written?,
    }
    let pipeline = assembly.pipeline();
    let on_reading = Box::new(move |handle| drop(stop.send_replace(Some(handle))));
    let running = assembly
        .plan(mode.until_end, mode.accepted.clone(), on_reading)?
        .start(move |run| video_views::build(run, &pipeline))?;
    ready.begin();
    Ok((running, endpoints))
}

fn wait(running: &Running) -> Result<Arc<Commit>, Fault> {
    loop {
        match running.wait(Duration::from_secs(3600)) {
            Some(Event::Drained(commit)) => return Ok(commit),
            Some(Event::Failed(fault)) => return Err(fault),
            None => {}
        }
    }
}

/// The same with a progress bar, of which the source says the unit.
fn with_bar(running: &Running, settings: &Settings) -> Result<Arc<Commit>, Fault> {
    let template = match settings.source {
        SourceKind::File => "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        SourceKind::Kafka | SourceKind::Generator => {
            "{bar:40} {human_pos} of {human_len} records, {per_sec}, {eta} left"
        }
    };
    let bar = logging::bar(template);
    let ended = loop {
        match running.wait(Duration::from_millis(200)) {
            Some(Event::Drained(commit)) => break Ok(commit),
            Some(Event::Failed(fault)) => break Err(fault),
            None => {
                let read = running.lag.moved().unsigned_abs();
                bar.set_length(read + running.lag.behind());
                bar.set_position(read);
            }
        }
    };
    bar.finish_and_clear();
    ended
}

async fn bind(address: &str, key: &str, what: &str) -> Result<(tokio::net::TcpListener, SocketAddr), Fault> {
    let (listener, moved) = reader::bind_or_next(address)
        .await
        .map_err(|fault| Fault { hint: fault.hint.replace("reader.listen", key), ..fault })?;
    let found = listener.local_addr().map_err(|error| {
        Fault::failed(format!("cannot listen on {address}"), error, format!("give {key} another address"))
    })?;
    if moved {
        eprintln!("{address} ({key}) is busy: {what} on {found} instead");
    }
    Ok((listener, found))
}

/// The first SIGTERM or SIGINT drains; a second one, or the end of `drain_timeout`, leaves now. Until the job is about to
/// read, nothing is left to drain.
async fn watch_signals(
    (mut terminate, mut interrupt): (Signal, Signal),
    stop: watch::Receiver<Option<Stop>>,
    ready: Arc<Readiness>,
    drain_timeout: Duration,
) {
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => 143,
            _ = interrupt.recv() => 130,
        }
    };
    let code = next().await;
    ready.end();
    let Some(stop) = stop.borrow().clone() else {
        tracing::info!("stopped while starting: this start has read nothing; what was committed before stays as it is");
        std::process::exit(0);
    };
    tracing::info!(
        ?drain_timeout,
        "draining: reading stops, what is read is committed and flushed; a second signal leaves now"
    );
    stop.drain();
    let code = tokio::select! {
        code = next() => code,
        () = tokio::time::sleep(drain_timeout) => code,
    };
    tracing::error!(
        "leaving before everything was flushed; the journal has what was committed, and the next start goes on from it"
    );
    std::process::exit(code);
}

fn announce(running: &Running, endpoints: &Endpoints, mode: &Mode) {
    let Begun { generation, sequence, fresh, consumed } = running.begun;
    let Endpoints { job, reader, .. } = endpoints;
    tracing::info!(generation = generation.0, epoch = sequence.0, fresh, consumed, job, reader, "the job runs");
    if mode.demo {
        if let Some(reader) = &endpoints.reader {
            eprintln!("  page      {reader}/");
            eprintln!("  lists     curl '{reader}/v1/top?window=hour&k=10'");
        }
        if let Some(job) = &endpoints.job {
            eprintln!("  metrics   {job}/metrics");
        }
        match fresh {
            true => eprintln!("  Ctrl-C drains; running it again goes on where it was"),
            false => eprintln!("  going on where it was: {consumed} records are counted; Ctrl-C drains"),
        }
    }
}

/// What an `--until-end` run did, on standard output.
fn summarize(totals: &RunTotals, busy: &BusySeconds, commit: &Commit, settings: &Settings, seconds: f64) {
    println!("read       {}", totals.consumed);
    println!("counted    {}", totals.counted);
    println!("late, by window");
    for (index, kind) in settings.windows.kinds().iter().enumerate() {
        println!("  {:<14} {}", kind.name, totals.late_by_kind.get(&(index as u8)).copied().unwrap_or(0));
    }
    println!("dead, by reason");
    for (code, count) in &totals.dead_by_code {
        println!("  {:<14} {count}", code.name());
    }
    if totals.dead_by_code.is_empty() {
        println!("  none");
    }
    println!("watermark  {}", commit.watermark.map_or("none yet".to_owned(), |watermark| watermark.to_string()));
    println!("epoch      {} of generation {}", commit.sequence, commit.generation);
    println!("seconds    {seconds:.1}");
    println!("{}/s    {:.0}", video_views::words().events, totals.consumed as f64 / seconds.max(1e-9));
    let share =
        |name| 100.0 * busy.get(name).copied().unwrap_or(0.0) / busy.get("all").copied().unwrap_or(0.0).max(1e-9);
    println!(
        "busy       workers {:.1} s: counting {:.0} %, ranking {:.0} %",
        busy.get("all").unwrap_or(&0.0),
        share("count_in_windows"),
        share("rank_union")
    );
}
