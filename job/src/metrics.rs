//! Every metric by name: what it says, and when to be woken by it. `/metrics` takes its HELP lines from here, and
//! docs/metrics.md is this table printed; tests hold both to what the code records.

/// One metric family.
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its labels, comma-separated.
    pub labels: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// The condition of an alert, in PromQL, where one is due.
    pub alert: &'static str,
}

const fn metric(name: &'static str, labels: &'static str, says: &'static str, alert: &'static str) -> Metric {
    Metric { name, labels, says, alert }
}

/// The job's metrics, then the reader's.
pub const METRICS: &[Metric] = &[
    metric("topk_records_consumed_total", "", "Records committed since this process started.", ""),
    metric("topk_records_counted_total", "", "Records that were counted; the rest are dead letters.", ""),
    metric(
        "topk_dead_letters_total",
        "code",
        "Records that cannot be counted, by reason.",
        "sum(rate(topk_dead_letters_total[10m])) > 0.01 * sum(rate(topk_records_consumed_total[10m]))",
    ),
    metric("topk_dead_letters_written_total", "sink", "Dead letters handed to where they are kept.", ""),
    metric(
        "topk_late_records_total",
        "window",
        "Records that came after the window they missed was final; they count in every other window.",
        "rate(topk_late_records_total{window=\"minute\"}[10m]) > 0.01 * sum(rate(topk_records_consumed_total[10m]))",
    ),
    metric(
        "topk_epochs_total",
        "",
        "Epochs committed; it stands still only when the job is stuck.",
        "rate(topk_epochs_total[1m]) == 0",
    ),
    metric("topk_epoch", "", "Sequence number of the last epoch record.", ""),
    metric(
        "topk_generation",
        "",
        "How often the job was started on this journal.",
        "changes(topk_generation[15m]) > 2",
    ),
    metric("topk_watermark_timestamp_seconds", "", "The job watermark as seconds since 1970.", ""),
    metric(
        "topk_watermark_lag_seconds",
        "",
        "How far the job watermark is behind the clock.",
        "topk_watermark_lag_seconds > 300",
    ),
    metric("topk_partition_watermark_timestamp_seconds", "partition", "A partition's watermark.", ""),
    metric("topk_partition_active", "partition", "1 if the partition holds the watermark back, 0 if it is idle.", ""),
    metric(
        "topk_partition_held",
        "partition",
        "1 while it is read no further, time.max_drift ahead of the slowest.",
        "",
    ),
    metric(
        "topk_source_lag",
        "partition",
        "How much is still to read, in the source's unit: messages of Kafka, bytes of a file.",
        "sum(topk_source_lag) > 60 * sum(rate(topk_records_consumed_total[5m]))",
    ),
    metric(
        "topk_lost_offsets",
        "partition",
        "Offsets (bytes of a file) that were missing from the log at a start and were accepted as lost.",
        "increase(topk_lost_offsets[1d]) > 0",
    ),
    metric("topk_journal_records_since_base", "", "Records a restart replays on top of the newest base.", ""),
    metric("topk_journal_bytes_since_base", "", "Bytes of these records.", ""),
    metric("topk_journal_stored_bytes", "", "Bytes of all that is in the journal; journal.max_bytes bounds them.", ""),
    metric(
        "topk_paused",
        "reason",
        "1 while nothing is read for this reason: journal, memory or waiting dead letters have outgrown their bound.",
        "topk_paused == 1",
    ),
    metric(
        "topk_resident_bytes",
        "",
        "Memory that the process holds, as the system counts it; job.max_memory bounds it.",
        "",
    ),
    metric("topk_keys", "", "Keys in memory; they stay.", ""),
    metric("topk_journal_base_bytes", "", "Bytes of the newest base.", ""),
    metric(
        "topk_journal_waiting",
        "",
        "Operations that wait because the journal's directory or bucket fails; nothing is counted on until it answers.",
        "min_over_time(topk_journal_waiting[1m]) > 0",
    ),
    metric("topk_journal_retries_total", "operation", "Attempts at the journal's store that had to be repeated.", ""),
    metric(
        "topk_follower_up",
        "follower",
        "1 while the sink answers, 0 while it is away; counting goes on either way.",
        "topk_follower_up == 0",
    ),
    metric("topk_follower_epoch", "follower", "The last epoch a sink has acted on.", ""),
    metric(
        "topk_follower_written_timestamp_seconds",
        "follower",
        "When a sink last took something.",
        "topk_follower_epoch{follower!~\"dead_letters.*\"} < scalar(topk_epoch) and time() - topk_follower_written_timestamp_seconds > 60",
    ),
    metric("topk_follower_retries_total", "follower", "Steps that had to be tried again.", ""),
    metric("topk_follower_step_seconds", "follower", "How long a step took.", ""),
    metric("topk_flush_backlog_bytes", "", "Rows that wait for the tables, as far as memory keeps them.", ""),
    metric(
        "topk_flush_backlog_dropped_total",
        "",
        "How often waiting rows outgrew sink.max_backlog_bytes; the tables then catch up from the journal.",
        "increase(topk_flush_backlog_dropped_total[15m]) > 0",
    ),
    metric("topk_partitions_dropped_total", "", "Partitions of tables dropped because they were beyond retention.", ""),
    metric("topk_flush_rows_total", "sink", "Rows written to count tables.", ""),
    metric("topk_flush_seconds", "sink", "How long a flush's transaction took.", ""),
    metric("topk_flush_timestamp_seconds", "sink", "When tables were last written.", ""),
    metric("topk_rows_expired_total", "sink,window", "Rows not written because they are beyond retention.", ""),
    metric("topk_publish_total", "sink,window", "Boards written.", ""),
    metric("topk_publish_seconds", "sink", "How long publishing took.", ""),
    metric(
        "topk_publish_timestamp_seconds",
        "sink",
        "When boards were last published.",
        "time() - topk_publish_timestamp_seconds > 60",
    ),
    metric(
        "topk_board_losses_total",
        "sink",
        "How often boards were found emptied or set back; everything current is written again.",
        "increase(topk_board_losses_total[15m]) > 0",
    ),
    metric(
        "topk_boards_given_up_total",
        "",
        "Boards of windows that ended while the store was away for too long; their lists stand in the tables.",
        "",
    ),
    metric("topk_worker_busy_seconds", "worker,operator", "Seconds a worker spent in an operator.", ""),
    metric("topk_reader_requests_total", "route,status", "Requests answered.", ""),
    metric("topk_reader_lists_total", "source", "Lists served, by where they were read.", ""),
    metric(
        "topk_reader_store_failures_total",
        "store",
        "Reads of a store that failed.",
        "rate(topk_reader_store_failures_total[5m]) > 0",
    ),
    metric(
        "topk_reader_unreadable_boards_total",
        "",
        "Boards that are not what this version writes.",
        "increase(topk_reader_unreadable_boards_total[5m]) > 0",
    ),
    metric(
        "topk_reader_last_good_total",
        "",
        "Lists shown with their age because no store answered.",
        "rate(topk_reader_last_good_total[5m]) > 0",
    ),
    metric("topk_reader_boards_put_back_total", "", "Final boards put back from the tables.", ""),
    metric(
        "topk_reader_boards_not_put_back_total",
        "",
        "Final boards that could not be put back; harmless where this user may only read.",
        "",
    ),
];

/// Give the recorder its HELP lines.
pub(crate) fn describe() {
    for Metric { name, says, .. } in METRICS {
        match name {
            name if name.ends_with("_total") => metrics::describe_counter!(*name, *says),
            name if HISTOGRAMS.contains(name) => metrics::describe_histogram!(*name, *says),
            name => metrics::describe_gauge!(*name, *says),
        }
    }
}

const HISTOGRAMS: [&str; 3] = ["topk_follower_step_seconds", "topk_flush_seconds", "topk_publish_seconds"];

/// The table of docs/metrics.md.
pub fn table() -> String {
    let mut text = String::from("| metric | labels | what it says | wake somebody when |\n|---|---|---|---|\n");
    for Metric { name, labels, says, alert } in METRICS {
        let labels = labels.replace(',', ", ");
        let alert = if alert.is_empty() { String::new() } else { format!("`{alert}`") };
        text.push_str(&format!("| `{name}` | {labels} | {says} | {alert} |\n"));
    }
    text
}
