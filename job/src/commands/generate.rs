//! `topk generate`: synthetic views to Kafka, a file or standard output.

use crate::cli::GenerateArguments;
use crate::settings::Settings;
use sources::{
    Carrier, KafkaWriter, KafkaWriterSettings, Shares, Synthetic, SyntheticRecord, SyntheticSettings, SyntheticWords,
};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use stream::{Clock, EventTime, Fault, SystemClock};

pub(super) fn generate(arguments: &GenerateArguments) -> Result<ExitCode, Fault> {
    let settings = Settings::read(&super::loaded(&arguments.settings)?)?;
    let events = Synthetic::new(synthetic(arguments, &settings)?);
    let bar = progress(arguments);
    if arguments.kafka {
        to_kafka(arguments, &settings, &events, &bar)?;
    } else {
        let to: Box<dyn Write> = match &arguments.file {
            Some(path) => {
                Box::new(File::create(path).map_err(|error| cannot_write(&path.display().to_string(), &error))?)
            }
            None => Box::new(std::io::stdout().lock()),
        };
        to_lines(arguments, &events, to, &bar)?;
    }
    bar.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

fn synthetic(arguments: &GenerateArguments, settings: &Settings) -> Result<SyntheticSettings, Fault> {
    let wrong = |flag: &str, why: &str, hint: &str| Fault::usage(format!("--{flag} is wrong"), why, hint);
    let share = |flag: &str, percent: f64| {
        let in_range = (0.0..=100.0).contains(&percent);
        in_range
            .then(|| (percent * 10_000.0).round() as u32)
            .ok_or_else(|| wrong(flag, "it is a share", "give a percentage from 0 to 100"))
    };
    let shares = Shares {
        disordered: share("disorder", arguments.disorder)?,
        late: share("late", arguments.late)?,
        duplicate: share("duplicate", arguments.duplicate)?,
        malformed: share("malformed", arguments.malformed)?,
        future: share("future", arguments.future)?,
    };
    if shares.disordered + shares.late + shares.malformed + shares.future > 1_000_000 {
        return Err(wrong(
            "disorder",
            "the shares are more than 100 % together",
            "lower --disorder, --late, --malformed or --future",
        ));
    }
    let start = EventTime::parse(&arguments.start).filter(|start| EventTime::valid(start.millis()).is_some());
    let start = start
        .ok_or_else(|| wrong("start", "it is not an instant of 1970 to 9999", "write it like 2025-10-19T12:00:00Z"))?;
    if !(0.001..=1e9).contains(&arguments.rate) {
        return Err(wrong("rate", "it is out of range", "give 0.001 to 1000000000 views per second"));
    }
    if !(0.0..=10.0).contains(&arguments.exponent) || arguments.videos == 0 {
        return Err(wrong("exponent", "no such distribution", "give an exponent of 0 to 10, over at least one video"));
    }
    Ok(SyntheticSettings {
        seed: arguments.seed,
        start,
        events_per_1000_s: (arguments.rate * 1000.0).round() as u64,
        keys: arguments.videos,
        exponent_per_1000: (arguments.exponent * 1000.0).round() as u32,
        trend: None,
        shares,
        disorder: settings.rules.out_of_orderness,
        late_by: settings.rules.out_of_orderness + settings.rules.allowed_lateness,
        max_bytes: settings.event.max_bytes as u64,
        max_key_bytes: settings.event.max_key_bytes as u64,
        carrier: if arguments.kafka { Carrier::StampedLog } else { Carrier::Lines },
        words: SyntheticWords {
            key: settings.event.key[0].clone(),
            time: settings.event.time[0].clone(),
            prefix: "v".into(),
        },
    })
}

fn progress(arguments: &GenerateArguments) -> indicatif::ProgressBar {
    // Lines on a terminal's standard output and a bar on its standard error would write over each other.
    if arguments.file.is_none() && !arguments.kafka && std::io::stdout().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let style =
        indicatif::ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} views, {per_sec}, {eta} left");
    indicatif::ProgressBar::new(arguments.count).with_style(style.expect("the template is right"))
}

fn to_lines(
    arguments: &GenerateArguments,
    events: &Synthetic,
    to: Box<dyn Write>,
    bar: &indicatif::ProgressBar,
) -> Result<(), Fault> {
    let place = arguments.file.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
    let mut to = BufWriter::with_capacity(1 << 20, to);
    let mut record = SyntheticRecord::default();
    for index in 0..arguments.count {
        events.write(index, &mut record);
        let value = record.value.as_deref().expect("lines carry values");
        match to.write_all(value).and_then(|()| to.write_all(b"\n")) {
            Ok(()) => {}
            // `| head` has had enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(cannot_write(&place, &error)),
        }
        if index % 8192 == 0 {
            bar.set_position(index);
        }
    }
    match to.flush() {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(cannot_write(&place, &error)),
        _ => Ok(()),
    }
}

fn to_kafka(
    arguments: &GenerateArguments,
    settings: &Settings,
    events: &Synthetic,
    bar: &indicatif::ProgressBar,
) -> Result<(), Fault> {
    let mut writer = KafkaWriter::new(KafkaWriterSettings {
        brokers: settings.brokers.clone(),
        topic: settings.topic.clone(),
        compression: arguments.compression.clone(),
        properties: settings.properties.clone(),
    })?;
    writer.ensure_topic(arguments.partitions)?;
    let clock = SystemClock::default();
    let mut record = SyntheticRecord::default();
    for index in 0..arguments.count {
        events.write(index, &mut record);
        writer.send(record.key.as_deref(), record.value.as_deref(), clock.now().0)?;
        if index % 8192 == 0 {
            bar.set_position(index);
        }
    }
    writer.flush()
}

fn cannot_write(place: &str, error: &std::io::Error) -> Fault {
    Fault::failed(format!("cannot write to {place}"), error, "check the path and the space left")
}
