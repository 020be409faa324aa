//! Lines and their ends, growing and shrinking files, directories.

use super::*;
use std::io::Write;
use stream::RawRecord;

/// What a reader handed over.
#[derive(Default, PartialEq, Eq, Debug)]
struct Seen {
    records: Vec<(usize, i64, i64, String)>,
    positions: Vec<(usize, i64)>,
}

impl RecordSink for Seen {
    fn record(&mut self, record: &RawRecord<'_>) {
        assert_eq!((record.timestamp, record.key, (record.headers)().len()), (None, None, 0));
        let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
        self.records.push((record.partition, record.offset, record.next_offset, value));
    }

    fn position(&mut self, partition: usize, next_offset: i64) {
        self.positions.push((partition, next_offset));
    }
}

impl Seen {
    fn values(&self) -> Vec<&str> {
        self.records.iter().map(|(_, _, _, value)| value.as_str()).collect()
    }

    /// Where reading stands in partition 0.
    fn reached(&self) -> i64 {
        let records = self.records.iter().map(|(_, _, next, _)| *next).max().unwrap_or(0);
        records.max(self.positions.iter().map(|(_, next)| *next).max().unwrap_or(0))
    }
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file
}

fn open(source: &FileSource, offset: i64) -> Result<Box<dyn SourceReader>, Fault> {
    let infos = source.partitions().unwrap();
    let at = |info: &PartitionInfo| PartitionPosition { name: info.name.clone(), offset, fingerprint: 0 };
    source.open(&infos.iter().map(at).collect::<Vec<_>>())
}

fn drain(reader: &mut dyn SourceReader) -> Seen {
    let mut seen = Seen::default();
    while reader.read(Duration::ZERO, 3, &mut seen).unwrap() == ReadState::More {}
    seen
}

fn read(content: &str, until_end: bool) -> Seen {
    let file = file(content);
    drain(&mut *open(&FileSource::new(file.path(), until_end), 0).unwrap())
}

#[test]
fn an_empty_file_has_no_record() {
    for until_end in [false, true] {
        assert_eq!(read("", until_end), Seen::default());
    }
}

#[test]
fn offsets_are_those_of_the_lines_and_crlf_is_a_line_end() {
    let seen = read("one\ntwo\r\n  three \r \r\nfour\n", false);
    let expected = [(0, 0, 4, "one"), (0, 4, 9, "two"), (0, 9, 21, "  three \r "), (0, 21, 26, "four")];
    assert_eq!(seen.records, expected.map(|(p, o, n, v)| (p, o, n, v.to_owned())));
    assert_eq!(seen.positions, []);
}

#[test]
fn blank_lines_are_no_records_but_move_the_position() {
    let seen = read("\n\r\n \t\r\none\n\n\t \r\r\n", false);
    assert_eq!(seen.values(), ["one"]);
    assert_eq!((seen.records[0].1, seen.reached()), (7, 17));
    assert_eq!(read("\n\n\n\n\n", true).reached(), 5);
}

#[test]
fn an_unterminated_last_line_is_a_record_only_until_the_end() {
    assert_eq!(read("one\ntwo", false).values(), ["one"]);
    let seen = read("one\ntwo", true);
    assert_eq!((seen.values(), seen.reached()), (vec!["one", "two"], 7));
    let seen = read("one\n \t", true);
    assert_eq!((seen.values(), seen.reached()), (vec!["one"], 6));
}

#[test]
fn a_line_is_waited_for_until_it_is_whole() {
    let mut file = file("one\ntw");
    let mut reader = open(&FileSource::new(file.path(), false), 0).unwrap();
    assert_eq!(drain(&mut *reader).values(), ["one"]);
    file.write_all(b"o").unwrap();
    assert_eq!(drain(&mut *reader).values(), [""; 0]);
    file.write_all(b"\nthree\nfo").unwrap();
    let seen = drain(&mut *reader);
    assert_eq!((seen.values(), seen.records[0].1), (vec!["two", "three"], 4));
    assert_eq!(reader.end(0), Some(16));
}

#[test]
fn until_end_means_the_length_when_first_asked() {
    let mut file = file("one\ntwo\n");
    let source = FileSource::new(file.path(), true);
    assert_eq!(source.partitions().unwrap()[0].end, 8);
    file.write_all(b"three\n").unwrap();
    assert_eq!(source.partitions().unwrap()[0].end, 8);
    let mut reader = open(&source, 0).unwrap();
    assert_eq!(drain(&mut *reader).values(), ["one", "two"]);
    assert_eq!(reader.end(0), Some(8));
}

#[test]
fn a_line_that_crosses_the_end_is_whole_if_written_by_then_else_cut() {
    for (rest, expected, reached) in [("ee\nfour\n", "three", 10), ("ee", "thr", 7), ("", "thr", 7)] {
        let mut file = file("one\nthr");
        let source = FileSource::new(file.path(), true);
        source.partitions().unwrap();
        file.write_all(rest.as_bytes()).unwrap();
        let seen = drain(&mut *open(&source, 0).unwrap());
        assert_eq!((seen.values(), seen.reached()), (vec!["one", expected], reached), "{rest}");
    }
}

#[test]
fn reading_goes_on_at_any_line() {
    let content = "one\n\ntwo\r\nthree\nfour";
    let all = read(content, true);
    let file = file(content);
    let source = FileSource::new(file.path(), true);
    for (count, (_, offset, _, _)) in all.records.iter().enumerate() {
        let seen = drain(&mut *open(&source, *offset).unwrap());
        assert_eq!(seen.values(), all.values()[count..]);
    }
    assert_eq!(drain(&mut *open(&source, content.len() as i64).unwrap()), Seen::default());
}

#[test]
fn a_huge_line_is_kept_whole() {
    let huge = "x".repeat(5 << 20);
    let seen = read(&format!("one\n{huge}\ntwo\n"), false);
    assert!(seen.values() == ["one", &huge, "two"]);
}

#[test]
fn a_file_that_shrank_is_refused_with_the_missing_range() {
    let file = file("one\ntwo\nthree\n");
    let source = FileSource::new(file.path(), false);
    let mut reader = open(&source, 0).unwrap();
    drain(&mut *reader);
    file.as_file().set_len(8).unwrap();
    let fault = reader.read(Duration::ZERO, 10, &mut Seen::default()).unwrap_err();
    assert_eq!(fault.exit, stream::Exit::Refused);
    assert!(fault.why.contains("bytes 8 to 14 are missing"), "{fault}");
    let fault = open(&source, 14).err().unwrap();
    assert!(fault.exit == stream::Exit::Refused && fault.why.contains("bytes 8 to 14 are missing"), "{fault}");
    assert!(open(&source, 8).is_ok());
}

#[test]
fn a_file_that_shrinks_below_its_frozen_end_is_refused() {
    let file = file("one\ntwo\n");
    let source = FileSource::new(file.path(), true);
    source.partitions().unwrap();
    file.as_file().set_len(6).unwrap();
    let fault = open(&source, 0).err().unwrap();
    assert!(fault.exit == stream::Exit::Refused && fault.why.contains("bytes 6 to 8"), "{fault}");
}

#[test]
fn a_replaced_file_goes_on_if_it_reaches_that_far() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("a"), folder.path().join("b"));
    fs::write(&path, "one\nt").unwrap();
    let mut reader = open(&FileSource::new(&path, false), 0).unwrap();
    assert_eq!(drain(&mut *reader).values(), ["one"]);
    fs::write(&other, "one\ntwo\n").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(drain(&mut *reader).values(), ["two"]);
    // Longer, and another.
    fs::write(&other, "One\nTwo\nthree\n").unwrap();
    let before = fs::read(&path).unwrap();
    fs::rename(&other, &path).unwrap();
    let refused = |reader: &mut dyn SourceReader| {
        let fault = reader.read(Duration::ZERO, 10, &mut Seen::default()).unwrap_err();
        assert_eq!(fault.exit, stream::Exit::Refused);
        fault.why
    };
    assert!(refused(&mut *reader).contains("not what was read there"));
    fs::write(&path, &before).unwrap();
    assert_eq!(drain(&mut *reader).values(), [""; 0], "put back");
    fs::write(&other, "new\n").unwrap();
    fs::rename(&other, &path).unwrap();
    let fault = reader.read(Duration::ZERO, 10, &mut Seen::default()).unwrap_err();
    assert!(fault.exit == stream::Exit::Refused && fault.why.contains("bytes 4 to 8"), "{fault}");
}

#[test]
fn a_file_that_was_written_over_is_refused_also_if_it_is_longer() {
    let file = file("one\ntwo\nth");
    let mut reader = open(&FileSource::new(file.path(), false), 0).unwrap();
    assert_eq!(drain(&mut *reader).values(), ["one", "two"]);
    for content in ["six\nten\nelf\n", "one\ntwo\nelf\n"] {
        fs::write(file.path(), content).unwrap();
        let fault = reader.read(Duration::ZERO, 10, &mut Seen::default()).unwrap_err();
        assert!(fault.exit == stream::Exit::Refused && fault.why.contains("written over"), "{fault}");
    }
    fs::write(file.path(), "one\ntwo\nthree\n").unwrap();
    assert_eq!(drain(&mut *reader).values(), ["three"], "put back");
}

#[test]
fn a_directory_has_a_partition_for_each_regular_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("b", "b1\nb2\n"), ("a", "a1\n"), ("c", ""), (".hidden", "h\n")] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    fs::create_dir(folder.path().join("d")).unwrap();
    fs::write(folder.path().join("d/e"), "e\n").unwrap();
    let source = FileSource::new(folder.path(), true);
    let infos = source.partitions().unwrap();
    let expected = [("a", 3), ("b", 6), ("c", 0)];
    assert_eq!(infos.iter().map(|info| (&*info.name, info.end)).collect::<Vec<_>>(), expected);
    let seen = drain(&mut *open(&source, 0).unwrap());
    let mut values = seen.values();
    values.sort_unstable();
    assert_eq!(values, ["a1", "b1", "b2"]);
    fs::write(folder.path().join("later"), "l\n").unwrap();
    assert_eq!(source.partitions().unwrap().len(), 3);
    assert_eq!(FileSource::new(folder.path(), false).partitions().unwrap().len(), 4);
    let identity = source.identity().unwrap();
    assert_eq!((identity.kind.as_str(), identity.topic.as_str()), ("file", "*"));
}

#[test]
fn a_paused_file_is_left_alone() {
    let file = file("one\n");
    let mut reader = open(&FileSource::new(file.path(), false), 0).unwrap();
    reader.pause(0, true).unwrap();
    assert_eq!(drain(&mut *reader), Seen::default());
    reader.pause(0, false).unwrap();
    assert_eq!(drain(&mut *reader).values(), ["one"]);
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let absent = FileSource::new(folder.path().join("absent"), false);
    assert_eq!(absent.partitions().unwrap_err().exit, stream::Exit::Usage);
    assert!(absent.identity().unwrap_err().what.contains("absent"));
    let gone = PartitionPosition { name: "gone".into(), offset: 5, fingerprint: 0 };
    let fault = FileSource::new(folder.path(), false).open(&[gone]).err().unwrap();
    assert!(fault.exit == stream::Exit::Refused && fault.what.contains("\"gone\" at byte 5"), "{fault}");
    assert_eq!(FileSource::new("/dev/null", false).partitions().unwrap_err().exit, stream::Exit::Usage);
    let mut nothing = FileSource::new(folder.path(), false).open(&[]).unwrap();
    assert_eq!(nothing.read(Duration::ZERO, 10, &mut Seen::default()), Ok(ReadState::Waiting));
}
