//! Which known word a mistyped one was to be.

/// The known word that is meant, where one is near enough: at most a third of its letters are wrong, missing, too many or
/// have changed places.
pub(super) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let distance = |word: &&'a str| (strsim::osa_distance(&written, word), *word);
    let (distance, word) = known.iter().map(distance).min()?;
    let letters = word.len().max(written.chars().count());
    (distance * 3 <= letters).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_word_that_is_mistyped_is_known_and_another_one_is_not() {
        let known = ["listen", "drain", "max_packets", "max", "kind"];
        for (written, meant) in [
            ("lisen", Some("listen")),
            ("listne", Some("listen")),
            ("Listen", Some("listen")),
            ("maxpackets", Some("max_packets")),
            ("mac", Some("max")),
            ("kin", Some("kind")),
            ("port", None),
            ("mark", None),
            ("", None),
            ("drängen", None),
        ] {
            assert_eq!(nearest(written, &known), meant, "{written}");
        }
        assert_eq!(nearest("listen", &[]), None);
    }
}
