//! The known word that a mistyped one was probably meant to be.

/// The candidate nearest to `word`; `None` only when there are no candidates.
///
/// Letter case does not matter, and for dotted keys neither does a missing section: `k` is near `topk.k`.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let likeness = |candidate: &str| {
        let whole = strsim::normalized_damerau_levenshtein(&word, candidate);
        let last = strsim::normalized_damerau_levenshtein(last_part(&word), last_part(candidate));
        // The last part says most: `sinks.postgre.url` is nearer to `sink.postgres.url` than to `sink.postgres.top_k_every`.
        whole + last
    };
    candidates.into_iter().max_by(|left, right| likeness(left).total_cmp(&likeness(right)))
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_typing_errors_and_missing_sections() {
        let known =
            ["job.name", "topk.k", "sink.postgres.url", "sink.redis.url", "source.kafka.brokers", "epoch.interval"];
        for (word, expected) in [
            ("job.nmae", "job.name"),
            ("Job.Name", "job.name"),
            ("topk.kk", "topk.k"),
            ("postgres.url", "sink.postgres.url"),
            ("sinks.redis.url", "sink.redis.url"),
            ("kafka.brokers", "source.kafka.brokers"),
            ("brokers", "source.kafka.brokers"),
            ("epoch.intervall", "epoch.interval"),
        ] {
            assert_eq!(nearest(word, known), Some(expected), "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
