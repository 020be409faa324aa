//! `topk top`: the current list of a running reader, for people (a table) and for pipes (JSON, CSV).

use crate::cli::TopArguments;
use crate::endpoints::Endpoints;
use crate::settings::DATA;
use crate::shown::{grouped, printable};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use stream::Fault;

/// How long a reader may take: it reads one key.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct List {
    meta: Meta,
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Meta {
    window: String,
    window_start: Option<String>,
    window_end: Option<String>,
    state: Option<String>,
    as_of: Option<String>,
    total_views: Option<u64>,
    total_videos: Option<u64>,
}

#[derive(Deserialize)]
struct Item {
    rank: u64,
    #[serde(rename = "videoId")]
    video: String,
    views: u64,
    #[serde(rename = "previousRank")]
    previous: Option<u64>,
}

pub(super) fn top(arguments: &TopArguments) -> Result<ExitCode, Fault> {
    let reader = match &arguments.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => running_reader(Path::new(DATA))?,
    };
    let text = ask(&reader, arguments)?;
    let unreadable = |error: serde_json::Error| {
        let hint = "check that --url is a topk reader of this version";
        Fault::failed(format!("cannot read the answer of {reader}"), error, hint)
    };
    let list: List = serde_json::from_str(&text).map_err(unreadable)?;
    let shown = match () {
        () if arguments.json => text + "\n",
        () if arguments.csv => csv(&list),
        () => table(&list),
    };
    super::say(shown)?;
    Ok(ExitCode::SUCCESS)
}

fn running_reader(state: &Path) -> Result<String, Fault> {
    let hint = "start one (./run, topk demo, or topk run --serve), or name one with --url http://host:port";
    let missing = |why: String| Fault::usage("no reader is known", why, hint);
    match Endpoints::read(state)? {
        Some(Endpoints { reader: Some(reader), .. }) => Ok(reader),
        Some(_) => Err(missing("the job that was started last in ./data runs without a reader".to_owned())),
        None => Err(missing("there is no ./data/endpoints.json: no job was started here".to_owned())),
    }
}

fn ask(reader: &str, arguments: &TopArguments) -> Result<String, Fault> {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(DEADLINE)).build().into();
    let mut request =
        agent.get(format!("{reader}/v1/top")).query("window", &arguments.window).query("k", arguments.k.to_string());
    if let Some(at) = &arguments.at {
        request = request.query("at", at);
    }
    let away = |error: ureq::Error| {
        let hint = "check that the reader runs there (curl URL/readyz), then try again";
        Fault::failed(format!("cannot ask {reader}"), error, hint)
    };
    let mut response = request.call().map_err(away)?;
    let status = response.status();
    // A cache on the way tells an age too, and no warning.
    let is_stale = response.headers().contains_key("warning");
    let age = response.headers().get("age").filter(|_| is_stale).and_then(|age| age.to_str().ok()).map(str::to_owned);
    let text = response.body_mut().read_to_string().map_err(away)?;
    if status.is_success() {
        if let Some(age) = age {
            eprintln!("the stores do not answer, or are behind: this list is {} s old", printable(&age));
        }
        return Ok(text);
    }
    let problem: Value = serde_json::from_str(&text).unwrap_or_default();
    let detail = problem["detail"].as_str().or(problem["title"].as_str()).unwrap_or("the answer is no topk reader's");
    let allowed: Vec<String> = problem["errors"].as_array().into_iter().flatten().filter_map(allowed).collect();
    let what = format!("{reader} answered {status}");
    match status.as_u16() {
        400..=499 if allowed.is_empty() => Err(Fault::usage(what, detail, "ask for another window or moment")),
        400..=499 => Err(Fault::usage(what, detail, format!("give {}", allowed.join("; ")))),
        _ => Err(Fault::failed(what, detail, "try again; the reader's log says more")),
    }
}

/// `window: minute, hour, …`, from a problem's list of errors.
fn allowed(error: &Value) -> Option<String> {
    Some(format!("{}: {}", error["name"].as_str()?, error["allowed"].as_str()?))
}

fn table(list: &List) -> String {
    let Meta { window, window_start, window_end, state, as_of, total_views, total_videos } = &list.meta;
    let or = |text: &Option<String>, otherwise: &str| text.clone().unwrap_or_else(|| otherwise.to_owned());
    let mut shown = match (window_start, window_end) {
        (Some(start), Some(end)) => format!("{window} {start} to {end}"),
        _ => window.clone(),
    };
    shown += &format!(", {}, as of {}", or(state, "no state"), or(as_of, "no watermark yet"));
    shown +=
        &format!(": {} views of {} videos\n", grouped(total_views.unwrap_or(0)), grouped(total_videos.unwrap_or(0)));
    let names: Vec<String> = list.items.iter().map(|item| printable(&item.video)).collect();
    let views: Vec<String> = list.items.iter().map(|item| grouped(item.views)).collect();
    let widest = |texts: &[String], least: usize| texts.iter().map(|text| text.chars().count()).fold(least, usize::max);
    let (name_width, view_width) = (widest(&names, 5), widest(&views, 5));
    shown += &format!("{:>4}  {:<6}  {:<name_width$}  {:>view_width$}\n", "rank", "change", "video", "views");
    for ((item, name), views) in list.items.iter().zip(&names).zip(&views) {
        let change = match item.previous {
            None => "new".to_owned(),
            Some(previous) if previous == item.rank => "=".to_owned(),
            Some(previous) if previous > item.rank => format!("+{}", previous - item.rank),
            Some(previous) => format!("-{}", item.rank - previous),
        };
        let change = if list.meta.window == "all_time" { String::new() } else { change };
        shown += &format!("{:>4}  {change:<6}  {name:<name_width$}  {views:>view_width$}\n", item.rank);
    }
    if list.items.is_empty() {
        shown += "no views\n";
    }
    shown
}

/// RFC 4180, with the names of the tables' columns.
fn csv(list: &List) -> String {
    let mut text = "rank,video_id,views,previous_rank\n".to_owned();
    for Item { rank, video, views, previous } in &list.items {
        let quoted = match video.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", video.replace('"', "\"\"")),
            false => video.clone(),
        };
        let previous = previous.map(|previous| previous.to_string()).unwrap_or_default();
        text += &format!("{rank},{quoted},{views},{previous}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(window: &str) -> List {
        let item = |rank, video: &str, views, previous| Item { rank, video: video.into(), views, previous };
        List {
            meta: Meta {
                window: window.into(),
                window_start: Some("2025-10-19T14:00:00Z".into()),
                window_end: Some("2025-10-19T15:00:00Z".into()),
                state: Some("open".into()),
                as_of: None,
                total_views: Some(1_234_567),
                total_videos: Some(3),
            },
            items: vec![
                item(1, "v1", 1_234_000, Some(3)),
                item(2, "a,\"b\"", 500, Some(1)),
                item(3, "\u{1b}[31mred", 67, None),
            ],
        }
    }

    #[test]
    fn a_table_lines_up_and_no_name_reaches_the_terminal_raw() {
        let shown = table(&list("hour"));
        assert!(!shown.contains('\u{1b}'));
        let heading = "hour 2025-10-19T14:00:00Z to 2025-10-19T15:00:00Z, open, as of no watermark yet: 1,234,567 views of 3 videos";
        assert_eq!(shown.lines().next(), Some(heading));
        let widths: Vec<usize> = shown.lines().skip(1).map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{shown}");
        for (row, part) in shown.lines().skip(2).zip([" +2 ", " -1 ", " new "]) {
            assert!(row.contains(part), "{row}");
        }
        assert!(!table(&list("all_time")).contains("new"), "all time has no window before");
    }

    #[test]
    fn csv_is_quoted_where_it_must_be() {
        assert_eq!(
            csv(&list("hour")),
            "rank,video_id,views,previous_rank\n1,v1,1234000,3\n2,\"a,\"\"b\"\"\",500,1\n3,\u{1b}[31mred,67,\n"
        );
    }
}
