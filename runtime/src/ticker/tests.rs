//! The ticker with real threads. Waiting is bounded so that a broken ticker fails instead of hanging; nothing asserts
//! how long anything takes.

use super::*;
use std::sync::Arc;
use std::thread::JoinHandle;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(60);

fn start(readers: usize, max_events: u64, interval: Duration) -> (Arc<Ticker>, JoinHandle<Epoch>) {
    let ticker = Arc::new(Ticker::new(readers, max_events));
    (ticker.clone(), std::thread::spawn(move || ticker.run(interval)))
}

/// How an epoch closes, once it does.
fn close(ticker: &Ticker, epoch: Epoch) -> Close {
    ticker.wait_for_close(epoch, PATIENCE);
    ticker.close_of(epoch).expect("the epoch closes")
}

fn end(ticker: &Ticker, readers: usize, thread: JoinHandle<Epoch>) -> Epoch {
    ticker.stop();
    (0..readers).for_each(|_| ticker.closed());
    thread.join().unwrap()
}

#[test]
fn an_epoch_closes_after_the_interval() {
    let (ticker, thread) = start(1, u64::MAX, SOON);
    for epoch in 0..10 {
        assert_eq!(close(&ticker, epoch), Close { rows: RowOrder::Keep, last: false });
        assert_eq!(ticker.close_of(epoch + 1), None, "the reader has not closed {epoch} yet");
        ticker.closed();
    }
    let open = end(&ticker, 1, thread);
    assert!(open >= 10);
}

#[test]
fn an_epoch_closes_after_so_many_records_of_all_readers() {
    let (ticker, thread) = start(2, 10, HOUR);
    ticker.took(5);
    ticker.took(4);
    assert_eq!(ticker.room(), 1);
    assert_eq!(ticker.close_of(0), None);
    ticker.took(1);
    assert!(!close(&ticker, 0).last);
    assert_eq!(ticker.room(), 10, "the next epoch is empty");
    ticker.took(10);
    assert_eq!(ticker.room(), 0, "it cannot close before both readers have closed the one before");
    ticker.closed();
    ticker.closed();
    assert!(!close(&ticker, 1).last);
    assert_eq!(ticker.close_of(2), None);
    assert_eq!(end(&ticker, 2, thread), 2);
}

#[test]
fn the_next_epoch_waits_for_the_slowest_reader() {
    let (ticker, thread) = start(2, u64::MAX, SOON);
    close(&ticker, 0);
    ticker.closed();
    ticker.wait_for_close(1, Duration::from_millis(20));
    assert_eq!(ticker.close_of(1), None);
    ticker.closed();
    close(&ticker, 1);
    end(&ticker, 2, thread);
}

#[test]
fn rows_are_taken_once_for_each_time_they_are_asked_for() {
    let (ticker, thread) = start(1, 1, HOUR);
    let next = |epoch| {
        ticker.took(1);
        let close = close(&ticker, epoch);
        ticker.closed();
        close.rows
    };
    assert_eq!(next(0), RowOrder::Keep);
    ticker.order(RowOrder::Take);
    ticker.order(RowOrder::Take);
    assert_eq!(next(1), RowOrder::Take);
    assert_eq!(next(2), RowOrder::Keep);
    ticker.order(RowOrder::Forget);
    assert_eq!(next(3), RowOrder::Forget);
    end(&ticker, 1, thread);
}

#[test]
fn stopping_closes_a_last_epoch_that_takes_rows() {
    let (ticker, thread) = start(2, u64::MAX, HOUR);
    assert!(!ticker.is_stopping());
    ticker.stop();
    assert!(ticker.is_stopping());
    assert_eq!(close(&ticker, 0), Close { rows: RowOrder::Take, last: true });
    assert_eq!(thread.join().unwrap(), 0);
    assert_eq!(ticker.close_of(1), None, "nothing comes after it");
}

#[test]
fn the_run_ends_when_all_readers_are_finished_at_once() {
    let (ticker, thread) = start(2, 1, HOUR);
    ticker.finished(0, true);
    ticker.took(1);
    assert!(!close(&ticker, 0).last, "one is not all");
    ticker.closed();
    ticker.closed();
    ticker.finished(0, false); // It was let go on with what it held.
    ticker.finished(1, true);
    ticker.took(1);
    assert!(!close(&ticker, 1).last);
    ticker.closed();
    ticker.closed();
    ticker.finished(0, true);
    assert_eq!(close(&ticker, 2), Close { rows: RowOrder::Take, last: true });
    assert_eq!(thread.join().unwrap(), 2);
}

#[test]
fn the_last_epoch_too_waits_for_the_one_before() {
    let (ticker, thread) = start(2, 1, HOUR);
    ticker.took(1);
    close(&ticker, 0);
    ticker.stop();
    ticker.closed();
    ticker.wait_for_close(1, Duration::from_millis(20));
    assert_eq!(ticker.close_of(1), None, "a gated reader holds the end back, or its epoch would be lost");
    ticker.closed();
    assert!(close(&ticker, 1).last);
    assert_eq!(thread.join().unwrap(), 1);
}
