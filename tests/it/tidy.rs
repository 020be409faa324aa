//! The rules of the house that no compiler knows, as tests: what ARCHITECTURE.md promises about the layout stays true, and
//! each failure says what to do instead. Which crate may use which outside crate is in deny.toml.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod compose;
mod metrics;

/// Our crates, and which of ours each may name in its `[dependencies]`.
const ARROWS: &[(&str, &[&str])] = &[
    ("stream", &[]),
    ("config", &[]),
    ("sources", &["stream"]),
    ("operators", &["stream"]),
    ("runtime", &["stream"]),
    ("sinks", &["stream"]),
    ("reader", &["stream", "sinks"]),
    ("verify", &["stream", "sinks"]),
    ("job", &["stream", "sources", "operators", "runtime", "sinks", "config", "reader", "verify"]),
    ("tests", &["stream", "sources", "operators", "runtime", "sinks", "config", "reader", "verify", "job"]),
];

/// The crates that work for any key: songs, posts, products.
const KEY_AGNOSTIC: &[&str] = &["stream", "sources", "operators", "runtime", "sinks", "reader", "verify"];

const FILE_LINES_MAX: usize = 450;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of ours as (path from the root, content); build results, hidden folders and what is not text are left out.
fn files() -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be listed") {
            let path = entry.expect("a folder of the repository can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                let ours = !name.starts_with('.') || name == ".ci";
                let made = folder == root && ["target", "data"].contains(&name.as_str());
                if ours && !made {
                    folders.push(path);
                }
            } else if let Ok(content) = fs::read_to_string(&path) {
                let path = path.strip_prefix(&root).expect("found below the root").to_string_lossy().into_owned();
                found.push((path, content));
            }
        }
    }
    found.sort();
    assert!(
        found.iter().any(|(path, _)| path == "tests/it/tidy.rs"),
        "the repository was not found at {}",
        root.display()
    );
    found
}

fn rust_files() -> Vec<(String, String)> {
    files().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect()
}

fn assert_tidy(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}\n  {}\n", complaints.join("\n  "));
}

#[test]
fn every_file_opens_by_saying_why_it_exists() {
    let complaints: Vec<String> =
        rust_files().into_iter().filter(|(_, content)| !content.starts_with("//!")).map(|(path, _)| path).collect();
    assert_tidy("Open each of these files with a `//!` sentence that says why it exists:", &complaints);
}

#[test]
fn every_file_has_one_concept() {
    let long = files().into_iter().filter(|(path, _)| {
        path.ends_with(".rs") || path.ends_with(".py") || path.ends_with(".java") || path.starts_with("scripts/")
    });
    let complaints: Vec<String> = long
        .map(|(path, content)| (path, content.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_tidy(
        "Split these files by concept (a long test module may move to a tests.rs beside its file):",
        &complaints,
    );

    let attics: Vec<String> = rust_files()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| {
            path.split(['/', '.']).any(|part| ["util", "utils", "common", "helpers", "misc"].contains(&part))
        })
        .collect();
    assert_tidy("Name these files after what they hold, or move each part to where it is used:", &attics);
}

#[test]
fn nothing_is_left_undone() {
    // Written in two halves, so that this file does not accuse itself.
    let banned = [
        (concat!("to", "do!("), "write it, or refuse by name what is not built yet"),
        (concat!("unimple", "mented!("), "write it, or refuse by name what is not built yet"),
        (concat!("#[igno", "re"), "assert what it does today, or gate a long run by TOPK_TEST_LONG"),
        (concat!("TO", "DO"), "do it now, or file it"),
        (concat!("FIX", "ME"), "mend it now, or file it"),
        (concat!("/wo", "rk/"), "no path of anyone's machine: it means nothing elsewhere"),
    ];
    let mut complaints = Vec::new();
    for (path, content) in files() {
        for (number, line) in content.lines().enumerate() {
            for (what, instead) in banned {
                if line.contains(what) {
                    complaints.push(format!("{path}:{}: {what}: {instead}", number + 1));
                }
            }
        }
    }
    assert_tidy("These do not belong into main:", &complaints);
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let manifest = read("Cargo.toml");
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("the workspace lists its members");
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    assert_eq!(members, ours, "A new crate needs its line in ARROWS here, and a paragraph in ARCHITECTURE.md");

    let mut complaints = Vec::new();
    for (name, allowed) in ARROWS {
        for dependency in dependencies(&read(&format!("{name}/Cargo.toml"))) {
            if ours.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                complaints
                    .push(format!("{name} → {dependency}: put what both need into stream/, or let job/ wire them"));
            }
        }
    }
    assert_tidy("These arrows are not in the architecture:", &complaints);
}

/// Rules that are judged cannot be their own judge.
#[test]
fn the_recount_borrows_no_rule_that_it_judges() {
    let borrowed =
        ["Windows", "Assigner", "WindowKind", "TimeRules", "LateMask", "Zone", "BoardKeys", "job_watermark", "Ranking"];
    let mut complaints = Vec::new();
    for (path, content) in rust_files().into_iter().filter(|(path, _)| path.starts_with("verify/src/")) {
        let code = code_without_literals(&content);
        let names = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let found = names.filter(|name| borrowed.contains(name));
        complaints.extend(found.map(|name| format!("{path}: {name}: write the rule here a second time")));
    }
    assert_tidy("verify/ takes words and seams from stream, and no rule:", &complaints);
}

/// The names under `[dependencies]` and `[build-dependencies]`; examples and tests may use more.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if ["[dependencies]", "[build-dependencies]"].contains(&section)
            && let Some(name) =
                line.split(['.', '=', ' ']).next().filter(|name| !name.is_empty() && !name.starts_with('#'))
        {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn only_the_product_names_its_things() {
    let banned = ["view", "views", "viewed", "viewer", "viewers", "video", "videos"];
    let mut complaints = Vec::new();
    for (path, content) in rust_files() {
        let agnostic = KEY_AGNOSTIC.iter().any(|name| path.starts_with(&format!("{name}/src/")));
        if !agnostic || path.ends_with("/tests.rs") {
            continue;
        }
        for (number, line) in code_without_literals(&content).lines().enumerate() {
            for word in words(line).filter(|word| banned.contains(&word.as_str())) {
                complaints.push(format!("{path}:{}: \"{word}\": say key, event, record or count", number + 1));
            }
        }
    }
    assert_tidy(
        "Only job/, configuration and tests know what is counted (names of the contract stand in quotes):",
        &complaints,
    );
}

/// Code and comments up to the test module, without string and character literals and without what a comment quotes.
fn code_without_literals(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut kept = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(character) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            kept.push_str(&unquoted(&rest[..end]));
            end
        } else if let Some(length) =
            raw_string(rest).filter(|_| !kept.ends_with(|before: char| before.is_alphanumeric()))
        {
            kept.extend(rest[..length].chars().filter(|character| *character == '\n'));
            length
        } else if character == '"' {
            let length = string(rest);
            kept.extend(rest[..length].chars().filter(|character| *character == '\n'));
            length
        } else if let Some(length) = character_literal(rest) {
            length
        } else {
            kept.push(character);
            character.len_utf8()
        };
        rest = &rest[skipped..];
    }
    kept
}

/// A comment's line without what stands in quotes or backticks.
fn unquoted(comment: &str) -> String {
    let mut kept = String::new();
    for (index, part) in comment.split('`').enumerate() {
        if index % 2 == 0 {
            kept.extend(part.split('"').step_by(2));
            kept.push(' ');
        }
    }
    kept
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (index, character) in rest.char_indices().skip(1) {
        match character {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.strip_prefix('r')?.chars().take_while(|character| *character == '#').count();
    let body = rest[1 + hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body.find(&close)?;
    Some(1 + hashes + 1 + end + close.len())
}

/// `'x'` or `'\n'`; a lifetime is none.
fn character_literal(rest: &str) -> Option<usize> {
    let body = rest.strip_prefix('\'')?;
    let first = body.chars().next()?;
    let from = if first == '\\' { 2 } else { first.len_utf8() };
    let closes = body.get(from..)?.find('\'')?;
    (first == '\\' && closes <= 8 || closes == 0).then_some(1 + from + closes + 1)
}

/// Words in lower case; `snake_case` and `CamelCase` names fall apart into theirs.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for character in line.chars() {
        if !character.is_alphabetic() || (character.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if character.is_alphabetic() {
            words.last_mut().expect("there is always a last word").extend(character.to_lowercase());
        }
        after_lower = character.is_lowercase();
    }
    words.into_iter()
}

#[test]
fn words_are_found_in_names_and_comments_but_not_in_literals() {
    let source = "//! `views` and \"views\"\nfn previewAll(x: &'a str) { \"\\\"view\"; r#\"a \"video\" b\"#; 'v'; '\\''; ViewCount; my_videos } // the view\n";
    let found: Vec<String> = words(&code_without_literals(source)).filter(|word| word.contains("vi")).collect();
    assert_eq!(found, ["preview", "view", "videos", "view"]);
}

#[test]
fn the_other_job_is_short_and_borrows_nothing_from_the_product() {
    let examples: Vec<_> =
        rust_files().into_iter().filter(|(path, _)| path.starts_with("operators/examples/")).collect();
    assert!(
        !examples.is_empty(),
        "operators/examples/ holds another job, which shows that the operators work for any key"
    );
    for (path, content) in examples {
        let lines = content.lines().count();
        assert!(lines <= 60, "{path} has {lines} lines: a job must fit into 60, else the operators ask too much of it");
        assert!(!content.contains("job::"), "{path} uses job/: move what it needs into operators/ or runtime/");
    }
}

#[test]
fn papers_are_there_and_short() {
    for (path, lines_max) in [("README.md", 150), ("ARCHITECTURE.md", 200)] {
        let lines = read(path).lines().count();
        assert!(
            lines <= lines_max,
            "{path} has {lines} lines, and {lines_max} is the most: a newcomer reads all of it"
        );
    }
    for path in ["CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(!read(path).trim().is_empty(), "{path} is empty");
    }
}
