//! A series' labels as one row of bytes: what tells series apart and in which order blocks hold them, the name first.

use crate::series::{Labels, NAME};

/// Ends every part. It is in no UTF-8 text, so different labels have different keys.
const END: u8 = 0xff;

/// Writes the key of these labels, which are sorted, in place of what was there.
pub(super) fn write<'a>(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>, key: &mut Vec<u8>) {
    key.clear();
    part(name, key);
    for (label, value) in pairs.filter(|(label, _)| *label != NAME) {
        part(label, key);
        part(value, key);
    }
}

fn part(text: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(text.as_bytes());
    key.push(END);
}

/// The name's part, as all keys of the metric begin.
pub(super) fn of_name(name: &str) -> Vec<u8> {
    let mut key = Vec::new();
    part(name, &mut key);
    key
}

/// The labels of a key, the name among them and first.
pub(super) fn pairs(key: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = key.split(|byte| *byte == END).map(|part| std::str::from_utf8(part).unwrap_or_default());
    let name = parts.next().unwrap_or_default();
    std::iter::once((NAME, name)).chain(std::iter::from_fn(move || Some((parts.next()?, parts.next()?))))
}

/// The labels of a key.
pub(super) fn labels(key: &[u8]) -> Labels {
    Labels::new(pairs(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_the_labels_again_and_sorts_by_the_name() {
        let labels = Labels::new([("Zone", "a"), (NAME, "up"), ("b", "c\0d")]);
        let mut key = Vec::new();
        write(labels.name(), labels.iter(), &mut key);
        assert!(key.starts_with(&of_name("up")));
        assert_eq!(super::labels(&key), labels);
    }

    #[test]
    fn different_labels_have_different_keys() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        write("up", [("a", "b"), ("c", "d")].into_iter(), &mut one);
        write("up", [("a", "bc"), ("d", "")].into_iter(), &mut other);
        assert_ne!(one, other);
    }
}
