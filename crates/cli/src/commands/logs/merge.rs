//! Several logs as one story.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use crate::show::log_line::written_at;

/// The lines of all logs in the order of their times, each with the number of its log. Lines of one log stay in their
/// order; one that tells no time belongs to the line before it.
pub(super) fn by_time(mut logs: Vec<(usize, Vec<String>)>) -> Vec<(usize, String)> {
    if let [(index, lines)] = &mut logs[..] {
        return std::mem::take(lines).into_iter().map(|line| (*index, line)).collect();
    }
    let mut logs: Vec<_> = logs.into_iter().map(|(index, lines)| (index, timed(lines).into_iter())).collect();
    let mut heads = BinaryHeap::new();
    for (position, (_, lines)) in logs.iter_mut().enumerate() {
        heads.extend(lines.next().map(|(time, line)| Reverse((time, position, line))));
    }
    let mut merged = Vec::new();
    while let Some(Reverse((_, position, line))) = heads.pop() {
        let (index, lines) = &mut logs[position];
        merged.push((*index, line));
        heads.extend(lines.next().map(|(time, line)| Reverse((time, position, line))));
    }
    merged
}

/// Each line with its time, which never goes back within one log.
fn timed(lines: Vec<String>) -> Vec<(Timestamp, String)> {
    let mut latest = Timestamp::MIN;
    let mut timed = Vec::with_capacity(lines.len());
    for line in lines {
        latest = written_at(&line).map_or(latest, |time| time.max(latest));
        timed.push((latest, line));
    }
    timed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u8, word: &str) -> String {
        format!(r#"{{"timestamp":"2026-01-02T03:04:{second:02}Z","message":"{word}"}}"#)
    }

    #[test]
    fn lines_stand_in_the_order_of_time_and_never_leave_the_one_before() {
        let one = vec![at(1, "a"), "trace of a".to_owned(), at(5, "e")];
        let other = vec!["start".to_owned(), "2026-01-02T03:04:02Z  INFO b".to_owned(), at(1, "late"), at(3, "c")];
        let merged = by_time(vec![(0, one.clone()), (1, other.clone())]);
        let lines: Vec<&str> = merged.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, [&other[0], &one[0], &one[1], &other[1], &other[2], &other[3], &one[2]]);
        assert_eq!(merged[0].0, 1);
    }

    #[test]
    fn one_log_is_left_alone() {
        let lines = vec![at(9, "x"), at(1, "y")];
        let merged = by_time(vec![(3, lines.clone())]);
        assert_eq!(merged, lines.into_iter().map(|line| (3, line)).collect::<Vec<_>>());
    }
}
