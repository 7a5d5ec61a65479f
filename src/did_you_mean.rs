//! "Did you mean": the known word that is nearest to one that is not known.

/// The candidate that `word` most likely stands for, if any is near enough.
///
/// Case and the difference between `-` and `_` do not count. Near enough is one letter in three,
/// or one word inside the other, as `vector` is in `pgvector`. A longer word than PostgreSQL's names
/// stands for none: comparing takes time in proportion to the product of the lengths.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > 63 {
        return None;
    }
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let other = plain(candidate);
            let distance = strsim::damerau_levenshtein(&word, &other);
            let length = word.chars().count().min(other.chars().count());
            let inside = length >= 4 && (word.contains(&other) || other.contains(&word));
            (distance <= length / 3 || inside).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// ``; did you mean `vector`?``, or nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates)
        .map(|candidate| format!("; did you mean `{candidate}`?"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised() {
        let offered = ["hstore", "postgis", "postgis_raster", "uuid-ossp", "vector", "pg_trgm"];
        for (word, meant) in [
            ("pgvector", Some("vector")),
            ("postgi", Some("postgis")),
            ("POSTGIS_RASTER ", Some("postgis_raster")),
            ("uuid_ossp", Some("uuid-ossp")),
            ("pgtrgm", Some("pg_trgm")),
            ("zzz", None),
            ("", None),
            (&"postgis".repeat(9), Some("postgis")),
            (&"postgis".repeat(10), None),
        ] {
            assert_eq!(nearest(word, offered), meant, "{word}");
        }
    }
}
