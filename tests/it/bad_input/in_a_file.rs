//! Every case that a file can hold.

use super::{assert_each_under_its_code, cases};
use tests::Setup;

#[test]
fn every_case_in_a_file_is_under_its_code() {
    let setup = Setup::embedded("badfile");
    let file = setup.path("views").join("bad.ndjson");
    let expected = cases(&["--file", file.to_str().expect("UTF-8"), "--seed", "3"]);
    let expected = expected
        .iter()
        .map(|case| {
            let place = ("bad.ndjson".to_owned(), case["offset"].as_u64().expect("an offset"));
            (place, (case["name"].to_string(), case["expect"]["code"].as_str().map(str::to_owned)))
        })
        .collect();
    let finished = setup.run_until_end();
    assert_eq!(finished.figure("read"), std::collections::BTreeMap::len(&expected) as u64);
    assert_each_under_its_code(&setup, &expected);
}
