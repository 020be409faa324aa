//! A step of a round that has everything: whom it hits, with what, and for how long.

use crate::link::{Mood, Way};
use crate::own::Service;
use crate::schedule::{Event, Fault, Moment, Step, workers};
use tests::Moments;

/// One step of a round of so many seconds.
pub(crate) fn step(moments: &mut Moments, seconds: u64) -> Step {
    let moment = match moments.chance(85) {
        true => Moment::Commits { commits: moments.between(1, 10), millis: moments.below(200) },
        false => Moment::Blind { millis: moments.below(800) },
    };
    // One of ten is several at once.
    let number = if moments.chance(12) { moments.between(2, 3) } else { 1 };
    let mut events: Vec<Event> = Vec::new();
    while events.len() < number as usize {
        let event = event(moments, seconds);
        // Whoever starts or ends instances does so alone, and nobody is hit twice in a step.
        let is_apart = |fault: Fault| matches!(fault, Fault::Second | Fault::SecondBesideFrozen | Fault::TwoAtOnce);
        if number > 1 && is_apart(event.fault) || events.iter().any(|other| same(other.fault, event.fault)) {
            continue;
        }
        events.push(event);
    }
    Step { moment, events }
}

/// Whether two faults have the same victim.
fn same(one: Fault, other: Fault) -> bool {
    let victim = |fault: Fault| match fault {
        Fault::KillJob | Fault::KillBoth | Fault::RestartJob | Fault::FreezeJob | Fault::FreezeBoth => "job".to_owned(),
        Fault::Second | Fault::SecondBesideFrozen | Fault::TwoAtOnce => "job".to_owned(),
        Fault::KillService(service) | Fault::RestartService(service) | Fault::FreezeService(service) => {
            service.name().to_owned()
        }
        Fault::KillBackend => Service::Postgres.name().to_owned(),
        Fault::Link(service, _) | Fault::Reset(service) => format!("link {}", service.name()),
        // They need the broker, and wait for it.
        Fault::AddPartition | Fault::OpenTransaction { .. } | Fault::AbortedTransaction => {
            Service::Kafka.name().to_owned()
        }
    };
    victim(one) == victim(other)
}

fn event(moments: &mut Moments, seconds: u64) -> Event {
    let service = *moments.one_of(&Service::ALL);
    let fault = match moments.below(100) {
        0..15 => Fault::KillJob,
        15..27 => Fault::KillBoth,
        27..31 => Fault::RestartJob,
        31..43 => Fault::KillService(service),
        43..46 => Fault::RestartService(service),
        46..50 => Fault::KillBackend,
        50..55 => Fault::FreezeJob,
        55..58 => Fault::FreezeBoth,
        58..64 => Fault::FreezeService(service),
        64..80 => Fault::Link(service, mood(moments)),
        80..84 => Fault::Reset(service),
        84..87 => Fault::Second,
        87..90 => Fault::SecondBesideFrozen,
        90..92 => Fault::TwoAtOnce,
        92..94 => Fault::AddPartition,
        94..98 => Fault::OpenTransaction { commits: moments.chance(50) },
        _ => Fault::AbortedTransaction,
    };
    Event { fault, millis: millis(moments, fault, seconds), workers: workers(moments) }
}

fn mood(moments: &mut Moments) -> Mood {
    match moments.below(10) {
        0 => Mood::Blackhole(Way::Up),
        1 => Mood::Blackhole(Way::Down),
        2 | 3 => Mood::Blackhole(Way::Both),
        4 => Mood::Slow,
        5 => Mood::Sliced,
        6 => Mood::Late(moments.between(50, 2000)),
        _ => Mood::Unanswered,
    }
}

/// How long it lasts: mostly short, sometimes past every time limit.
fn millis(moments: &mut Moments, fault: Fault, seconds: u64) -> u64 {
    match fault {
        Fault::KillJob | Fault::KillBackend | Fault::Reset(_) | Fault::AddPartition | Fault::AbortedTransaction => 0,
        Fault::KillBoth | Fault::RestartJob | Fault::TwoAtOnce | Fault::Second => moments.below(300),
        _ => match moments.below(100) {
            0..45 => moments.between(200, 1500),
            45..85 => moments.between(1500, 5000),
            85..97 => moments.between(5000, 20_000),
            // Only where it does not take the round up.
            _ => moments.between(20_000, 120_000).min(seconds * 1000 / 6),
        },
    }
}
