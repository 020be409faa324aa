//! Dead letters whose sink is slow or away: they are kept whole, so reading stops while too many bytes of them wait.

use super::*;
use crate::drift::Outgrown;

/// An epoch with a letter of so many MiB.
fn post(bench: &mut Bench, offset: i64, mebibytes: usize) {
    let large = DeadLetter { value: Some(vec![0; mebibytes << 20]), ..letter(offset) };
    let commit = bench.commit(true, false, vec![large]);
    bench.desk.show(commit, EpochChanges::default(), None);
    bench.desk.serve();
}

#[test]
fn too_many_bytes_of_letters_hold_reading_until_they_are_written() {
    let (mut bench, [letters]) = Bench::of([letters()]);
    let alignment = bench.desk.alignment.clone();
    post(&mut bench, 1, 40);
    let first = letters.step().unwrap();
    assert!(!alignment.holds_all());
    post(&mut bench, 2, 30);
    assert!(alignment.has_outgrown(Outgrown::Letters), "what is with it counts too: it may not be written for long");
    letters.is_done();
    bench.desk.serve();
    assert!(!alignment.holds_all(), "less than half of it is left");
    assert_eq!((first.dead_letters.len(), letters.step().unwrap().dead_letters.len()), (1, 1));
    post(&mut bench, 3, 30);
    post(&mut bench, 4, 30);
    assert!(alignment.holds_all());
    letters.is_done();
    bench.desk.serve();
    assert!(alignment.holds_all(), "60 of 64 MiB wait: it would be back at once");
    letters.is_done();
    bench.desk.serve();
    assert_eq!(letters.step().unwrap().dead_letters.len(), 2);
    letters.is_done();
    bench.desk.serve();
    assert!(!alignment.holds_all());
}

/// What a start finds undelivered waits as well.
#[test]
fn letters_of_an_earlier_run_count() {
    let large = DeadLetter { value: Some(vec![0; 65 << 20]), ..letter(1) };
    let (mut bench, [letters]) = Bench::with_undelivered([letters()], vec![(Sequence(4), Arc::new(large))]);
    bench.quiet(false, None);
    assert!(bench.desk.alignment.holds_all());
    drop(letters.step().unwrap());
    letters.is_done();
    bench.desk.serve();
    assert!(!bench.desk.alignment.holds_all());
}
