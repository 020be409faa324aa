//! Every state of the log, refused with its exact range and accepted by that name alone.

use super::*;
use stream::{EventTime, Exit};

const NOW: WallTime = WallTime(77);

fn identity(topic_id: &str) -> SourceIdentity {
    SourceIdentity { kind: "kafka".into(), cluster: "c".into(), topic: "plays".into(), topic_id: topic_id.into() }
}

fn partition(name: &str, earliest: i64, end: i64) -> PartitionInfo {
    PartitionInfo { name: name.into(), earliest, end, start: earliest }
}

fn stands(name: &str, next_offset: i64) -> BTreeMap<Arc<str>, PartitionState> {
    let watermark = Some(EventTime::from_millis(5));
    let floors = vec![(3, EventTime::from_millis(4))];
    BTreeMap::from([(name.into(), PartitionState { next_offset, fingerprint: 8, watermark, active: true, floors })])
}

fn found<'a>(journaled: &'a BTreeMap<Arc<str>, PartitionState>, partitions: &'a [PartitionInfo]) -> Found<'a> {
    Found { journaled, partitions, replaced: &[], renewed: false, known: &[] }
}

fn accepted(names: &[&str]) -> Accepted {
    Accepted { losses: names.iter().map(|name| name.parse().expect("a name")).collect(), ..Accepted::default() }
}

#[track_caller]
fn refused(found: &Found<'_>, accepted: &Accepted) -> Fault {
    let fault = check_log(found, accepted, NOW).expect_err("it is to be refused");
    assert_eq!(fault.exit, Exit::Refused);
    fault
}

/// Refused with these words and this flag; with that flag it goes on from `next`. Gives the loss.
#[track_caller]
fn accepts(found: &Found<'_>, words: &[&str], flag: &str, next: i64) -> Loss {
    let fault = refused(found, &Accepted::default());
    for word in words {
        assert!(fault.why.contains(word), "{word} is missing in {fault}");
    }
    assert!(fault.hint.contains(&format!("topk run --accept-loss '{flag}' (")), "{fault}");
    let GoOn { partitions, losses } = check_log(found, &accepted(&[flag]), NOW).expect("that is what is missing");
    let [loss] = &losses[..] else { panic!("{losses:?}") };
    let state = &partitions[&loss.partition];
    assert_eq!((state.next_offset, state.fingerprint, loss.next_offset, loss.at), (next, 0, next, NOW));
    if let Some(before) = found.journaled.get(&loss.partition) {
        assert_eq!((state.watermark, &state.floors), (before.watermark, &before.floors), "what was decided stays");
    }
    // Anything else is refused, and says what is missing now.
    for wrong in ["0:1-2", "9:40-56", "0:40-end#2"] {
        let fault = refused(found, &accepted(&[wrong]));
        assert!(
            fault.why.contains(words[0]) && fault.why.contains(&format!("{wrong} is not what is missing")),
            "{fault}"
        );
        let both = refused(found, &accepted(&[wrong, flag]));
        assert!(both.why.contains(wrong), "{both}");
    }
    loss.clone()
}

#[test]
fn an_offset_from_the_logs_start_to_its_end_goes_on_unchanged() {
    for (earliest, end) in [(0, 100), (40, 100), (0, 40), (40, 40)] {
        let (journaled, partitions) = (stands("0", 40), [partition("0", earliest, end)]);
        let go_on = check_log(&found(&journaled, &partitions), &Accepted::default(), NOW);
        assert_eq!(go_on, Ok(GoOn { partitions: journaled, losses: Vec::new() }), "{earliest} to {end}");
    }
}

#[test]
fn what_left_the_log_before_it_was_read() {
    let (journaled, partitions) = (stands("0", 40), [partition("0", 57, 100)]);
    let loss =
        accepts(&found(&journaled, &partitions), &["records 40 to 56 of partition 0", "starts at 57"], "0:40-56", 57);
    assert_eq!((loss.kind, loss.offsets()), (LossKind::Unread, 17));
}

#[test]
fn a_log_that_ends_before_our_offset() {
    let (journaled, partitions) = (stands("0", 40), [partition("0", 0, 33)]);
    let loss = accepts(&found(&journaled, &partitions), &["ends at 33", "records 33 to 39"], "0:33-39", 33);
    assert_eq!((loss.kind, loss.offsets()), (LossKind::Cut, 7));
}

#[test]
fn a_log_that_was_cut_and_filled_again() {
    let (journaled, partitions, replaced) = (stands("0", 40), [partition("0", 12, 50)], ["0".into()]);
    let found = Found { replaced: &replaced, ..found(&journaled, &partitions) };
    let loss = accepts(&found, &["cut and filled again", "records 12 to 39"], "0:12-39", 40);
    assert_eq!((loss.kind, loss.offsets()), (LossKind::Replaced, 28));
}

#[test]
fn a_partition_that_is_gone_holds_back_nobody_and_may_come_back() {
    let (journaled, partitions) = (stands("it's", 40), [partition("1", 0, 10)]);
    let found = found(&journaled, &partitions);
    let fault = refused(&found, &Accepted::default());
    assert!(fault.why.contains("partition it's is gone") && fault.why.contains("offset 40"), "{fault}");
    assert!(fault.hint.contains(r"--accept-loss 'it'\''s:40-end'"), "a shell takes it for one word: {fault}");
    let go_on = check_log(&found, &accepted(&["it's:40-end"]), NOW).expect("accepted");
    assert_eq!((go_on.losses[0].kind, go_on.losses[0].offsets()), (LossKind::Gone, 0));
    assert!(!go_on.partitions["it's"].active);
    assert_eq!(go_on.partitions["it's"].next_offset, 40);

    // Known from now on, whether the flag is still there or not.
    let again = Found { journaled: &go_on.partitions, known: &go_on.losses, ..found };
    for flags in [&[][..], &["it's:40-end"]] {
        assert_eq!(check_log(&again, &accepted(flags), NOW).expect("it is known").losses, []);
    }
    // Back: read on from where it stood; gone once more: another name.
    let back = [partition("1", 0, 10), partition("it's", 0, 60)];
    let on = check_log(&Found { partitions: &back, ..again }, &Accepted::default(), NOW).expect("it is back");
    assert_eq!((on.partitions["it's"].next_offset, on.losses.len()), (40, 0));
    let mut moved = on.partitions;
    moved.get_mut("it's").expect("it is there").active = true;
    let gone_again = Found { journaled: &moved, partitions: &partitions, known: &go_on.losses, ..found };
    assert!(refused(&gone_again, &accepted(&["it's:40-end"])).hint.contains("it'\\''s:40-end#2"));
}

#[test]
fn a_new_partition_waits_at_0_for_its_grant() {
    let journaled = stands("0", 40);
    let partitions = [partition("0", 0, 100), partition("1", 0, 3), partition("2", 0, 0)];
    let go_on = check_log(&found(&journaled, &partitions), &Accepted::default(), NOW).unwrap();
    let new = PartitionState { next_offset: 0, fingerprint: 0, watermark: None, active: false, floors: Vec::new() };
    assert_eq!(go_on.partitions.keys().map(|name| &**name).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!((&go_on.partitions["1"], &go_on.partitions["2"]), (&new, &new));
    assert_eq!(go_on.partitions["0"], journaled["0"]);
    assert_eq!(check_new(&partition("1", 0, 3)), Ok(new));
}

#[test]
fn a_new_partition_whose_beginning_is_gone() {
    let (journaled, partitions) = (stands("0", 40), [partition("0", 0, 100), partition("1", 12, 30)]);
    let loss = accepts(&found(&journaled, &partitions), &["records 0 to 11 of partition 1"], "1:0-11", 12);
    assert_eq!((loss.kind, loss.offsets()), (LossKind::Unread, 12));
    let fault = check_new(&partition("1", 12, 30)).unwrap_err();
    assert!(fault.exit == Exit::Refused && fault.hint.contains("--accept-loss '1:0-11'"), "{fault}");
}

#[test]
fn several_losses_are_told_at_once_and_all_are_accepted_or_none() {
    let mut journaled = stands("0", 40);
    journaled.extend(stands("1", 7));
    let partitions = [partition("0", 57, 100), partition("1", 0, 3)];
    let found = found(&journaled, &partitions);
    let flags = "topk run --accept-loss '0:40-56' --accept-loss '1:3-6' (";
    for given in [&[][..], &["0:40-56"], &["1:3-6"]] {
        assert!(refused(&found, &accepted(given)).hint.contains(flags));
    }
    let go_on = check_log(&found, &accepted(&["1:3-6", "0:40-56"]), NOW).expect("both are accepted");
    assert_eq!(go_on.losses.len(), 2);
    let mut ledger = BTreeMap::from([("0".into(), LedgerLine { consumed: 5, counted: 5, ..LedgerLine::default() })]);
    add_losses(&mut ledger, &go_on.losses);
    assert_eq!((ledger["0"].lost, ledger["0"].consumed, ledger["1"].lost), (17, 5, 4));
}

/// A flag that is left in a unit file, or given again to a child that its parent restarts, accepts nothing twice.
#[test]
fn a_flag_is_used_up_by_being_journaled() {
    let (journaled, cut) = (stands("0", 40), [partition("0", 0, 33)]);
    let flag = accepted(&["0:33-39"]);
    let first = check_log(&found(&journaled, &cut), &flag, NOW).expect("accepted");
    let on = Found { journaled: &first.partitions, known: &first.losses, ..found(&journaled, &cut) };
    assert_eq!(check_log(&on, &flag, NOW).expect("used up, and nothing is missing").losses, []);
    // The very same range is missing again: another name.
    let again = Found { known: &first.losses, ..found(&journaled, &cut) };
    let fault = refused(&again, &flag);
    assert!(fault.hint.contains("--accept-loss '0:33-39#2'"), "{fault}");
    assert_eq!(check_log(&again, &accepted(&["0:33-39#2"]), NOW).expect("accepted again").losses.len(), 1);
    // Another range is missing now.
    let other = [partition("0", 0, 30)];
    let found = Found { partitions: &other, ..again };
    assert!(refused(&found, &flag).hint.contains("--accept-loss '0:30-39' ("));
}

#[test]
fn a_loss_that_is_none_is_refused() {
    let (journaled, partitions) = (stands("0", 40), [partition("0", 0, 50)]);
    let fault = refused(&found(&journaled, &partitions), &accepted(&["0:40-45"]));
    assert!(fault.why.contains("0:40-45") && fault.hint.contains("without --accept-loss"), "{fault}");
}

#[test]
fn another_source_is_refused_also_a_topic_that_was_made_anew() {
    let none = Accepted::default();
    assert_eq!(check_source(&identity("t1"), &identity("t1"), &none), Ok(false));
    let fault = check_source(&identity("t1"), &identity("t2"), &none).unwrap_err();
    assert_eq!(fault.exit, Exit::Refused);
    assert!(fault.why.contains("journaled: kafka c plays t1; found: kafka c plays t2"), "{fault}");
    assert!(fault.hint.contains("--accept-source 'kafka:c:plays:t2'"), "{fault}");
    let accepted = |source: &str| Accepted { source: Some(source.to_owned()), ..Accepted::default() };
    assert_eq!(check_source(&identity("t1"), &identity("t2"), &accepted("kafka:c:plays:t2")), Ok(true));
    for wrong in ["kafka:c:plays:t3", "kafka:c:plays:t1", "t2"] {
        let fault = check_source(&identity("t1"), &identity("t2"), &accepted(wrong)).unwrap_err();
        assert!(fault.hint.contains("'kafka:c:plays:t2'"), "{fault}");
    }
    assert_eq!(check_source(&identity(""), &identity("t1"), &none), Ok(false), "its id was not known before");
    assert!(check_source(&identity("t1"), &identity(""), &none).is_err());
    // Once it is journaled the flag is used up.
    assert_eq!(check_source(&identity("t2"), &identity("t2"), &accepted("kafka:c:plays:t2")), Ok(false));
    assert!(check_source(&identity("t3"), &identity("t3"), &accepted("kafka:c:plays:t2")).is_err());
}

#[test]
fn a_source_of_another_kind_cannot_be_accepted_and_files_go_on_elsewhere() {
    let files = |folder: &str| SourceIdentity { kind: "file".into(), cluster: folder.into(), ..identity("") };
    let accepted = |source: &SourceIdentity| Accepted { source: Some(source.to_string()), ..Accepted::default() };
    let fault = check_source(&identity("t1"), &files("/a"), &accepted(&files("/a"))).unwrap_err();
    assert!(!fault.hint.contains("--accept-source"), "{fault}");
    assert_eq!(check_source(&files("/a"), &files("/b"), &accepted(&files("/b"))), Ok(false), "the same files");
}

/// What the old log had beyond our offset nobody knows; the new one is read from where it begins.
#[test]
fn a_new_log_is_read_from_its_beginning() {
    let mut journaled = stands("0", 40);
    journaled.extend(stands("1", 7));
    let partitions = [partition("0", 3, 100), partition("2", 5, 9)];
    let found = Found { renewed: true, ..found(&journaled, &partitions) };
    let go_on = check_log(&found, &Accepted::default(), NOW).expect("it was accepted by its name");
    let at = |name: &str| go_on.partitions[name].next_offset;
    assert_eq!((at("0"), at("1"), at("2")), (3, 7, 5));
    assert!(go_on.partitions["0"].active && !go_on.partitions["1"].active && !go_on.partitions["2"].active);
    let kinds: Vec<(&str, LossKind)> = go_on.losses.iter().map(|loss| (&*loss.partition, loss.kind)).collect();
    assert_eq!(kinds, [("0", LossKind::Renewed), ("1", LossKind::Gone)]);
}
