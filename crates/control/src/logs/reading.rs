//! Lines out of files: newest last, of several services in the order of their times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mana_runtime::logs::{Follow, ROTATED_AWAY, tail, tail_until};

use super::line::Line;
use super::search::Search;

/// Lines of one file that are looked at, from its end or from the time until which lines are looked for: what is older is `mana logs`' to find.
const MOST_SEARCHED: usize = 20_000;
/// Where only an id is looked for: most lines are passed over unread.
const MOST_PASSED: usize = 50_000;
/// Lines of the end of each file, which is looked at before any file is looked at further back: what is sought happened a moment ago most often, and
/// where time is short, a service with many lines hides those of no other.
const ENDS: usize = 2_000;
/// Without anything to look for, the end of each file is enough.
const ENOUGH: usize = 400;
/// A search that takes longer gives what it has found until then.
const PATIENCE: Duration = Duration::from_secs(3);
/// New lines of a file that one look gives at most: a flood is shown by its beginning, and counted.
const MOST_NEW: usize = 200;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Lines that were looked at.
    pub searched: usize,
    /// Older ones were not looked at.
    pub goes_on: bool,
}

/// The last `most` lines that fit, of some services. What cannot be read is left out, and logged.
pub fn find(data: &Path, services: &[String], search: &Search, most: usize) -> Found {
    let until = Instant::now() + PATIENCE;
    find_while(data, services, search, most, || Instant::now() < until)
}

/// As [`find`], as long as there is time for a further look.
fn find_while(
    data: &Path,
    services: &[String],
    search: &Search,
    most: usize,
    mut has_time: impl FnMut() -> bool,
) -> Found {
    let back = match search {
        search if *search == Search::default() => ENOUGH.max(most),
        search if search.is_of_requests() => MOST_PASSED,
        _ => MOST_SEARCHED,
    };
    let mut looked: Vec<Looked<'_>> = Vec::new();
    for service in services {
        looked.extend(files(data, service).into_iter().map(|(instance, path)| Looked::new(service, instance, path)));
    }
    let depths = [ENDS.min(back), back];
    for depth in &depths[usize::from(back <= ENDS)..] {
        for file in looked.iter_mut().filter(|file| file.goes_on) {
            if !has_time() {
                break;
            }
            file.look(search, *depth, most);
        }
    }
    let goes_on = looked.iter().any(|file| file.goes_on);
    let mut found = Found { goes_on, searched: looked.iter().map(|file| file.searched).sum(), ..Found::default() };
    let lines = looked.into_iter().flat_map(|file| in_time(file.fitting, written(&file.path)));
    let mut all: Vec<_> = lines.collect();
    // Stable: lines of one file stay in their order.
    all.sort_by_key(|(at, _)| *at);
    let before = all.len().saturating_sub(most);
    found.goes_on |= before > 0;
    found.lines = all.into_iter().skip(before).map(|(_, line)| line).collect();
    found
}

/// A file, as far as it was looked at.
struct Looked<'a> {
    service: &'a str,
    instance: u16,
    path: PathBuf,
    /// Oldest first.
    fitting: Vec<Line>,
    searched: usize,
    /// There may be more, further back.
    goes_on: bool,
}

impl<'a> Looked<'a> {
    fn new(service: &'a str, instance: u16, path: PathBuf) -> Self {
        Self { service, instance, path, fitting: Vec::new(), searched: 0, goes_on: true }
    }

    /// Looks at so many lines before its end, or before the time until which lines are looked for.
    fn look(&mut self, search: &Search, back: usize, most: usize) {
        let (service, instance, path) = (self.service, self.instance, &self.path);
        let is_later = |to| move |text: &str| Line::read(service, instance, text).at.map(|at| at > to);
        let read = search.until().map_or_else(|| tail(path, back), |to| tail_until(path, back, &is_later(to)));
        let read = read.unwrap_or_else(|error| {
            tracing::warn!(%error, path = %path.display(), "a log cannot be read");
            Vec::new()
        });
        (self.searched, self.goes_on) = (read.len(), read.len() == back);
        self.fitting.clear();
        for text in read.iter().rev().filter(|text| search.may_fit(text)) {
            let line = Line::read(service, instance, text);
            if search.is_before(&line) {
                self.goes_on = false;
                break;
            }
            if search.fits(&line) {
                self.fitting.push(line);
                // One more than is given, so that it is told that there are more.
                if self.fitting.len() > most {
                    self.goes_on = false;
                    break;
                }
            }
        }
        self.fitting.reverse();
    }
}

/// Lines with the times that they are sorted by. One that does not say when it was written was written after the one before
/// it; where none says so, all were by the time that the file was written to last.
fn in_time(lines: Vec<Line>, written: Option<Timestamp>) -> impl Iterator<Item = (Option<Timestamp>, Line)> {
    let mut last = if lines.iter().any(|line| line.at.is_some()) { None } else { written };
    lines.into_iter().map(move |line| {
        last = line.at.or(last);
        (last, line)
    })
}

fn written(path: &Path) -> Option<Timestamp> {
    std::fs::metadata(path).ok()?.modified().ok()?.try_into().ok()
}

fn files(data: &Path, service: &str) -> Vec<(u16, PathBuf)> {
    let found = super::files(data, service).unwrap_or_else(|error| {
        tracing::warn!(%error, service, "the folder of logs cannot be read");
        Vec::new()
    });
    let ordinal = |path: &Path| path.file_name()?.to_str()?.split('-').next()?.parse().ok();
    found.into_iter().map(|path| (ordinal(&path).unwrap_or(1), path)).collect()
}

/// What came since the last look.
#[derive(Debug, Default)]
pub(crate) struct New {
    /// Oldest first.
    pub(crate) lines: Vec<Line>,
    /// So many more came that fit.
    pub(crate) left_out: usize,
}

/// What is appended to some services' logs.
pub(crate) struct Following {
    data: PathBuf,
    services: Vec<String>,
    followed: BTreeMap<PathBuf, (String, u16, Follow)>,
    first: bool,
}

impl Following {
    pub(crate) fn new(data: PathBuf, services: Vec<String>) -> Self {
        Self { data, services, followed: BTreeMap::new(), first: true }
    }

    /// What came since the last look. Files that are new since are read from their beginning.
    pub(crate) fn look(&mut self, search: &Search) -> New {
        for service in &self.services {
            for (instance, path) in files(&self.data, service) {
                if self.followed.contains_key(&path) {
                    continue;
                }
                let follow = if self.first {
                    // One that cannot be read now is tried again at the next look.
                    let Ok((_, follow)) = Follow::open(&path, 0) else { continue };
                    follow
                } else {
                    Follow::from_beginning(&path)
                };
                self.followed.insert(path, (service.clone(), instance, follow));
            }
        }
        self.first = false;
        let mut new = New::default();
        for (service, instance, follow) in self.followed.values_mut() {
            let read = follow.poll().unwrap_or_default();
            let lines = read.iter().map(|text| Line::read(service, *instance, text));
            // That something is missing is told whatever is looked for.
            let mut fitting = lines.filter(|line| search.fits(line) || line.text == ROTATED_AWAY);
            new.lines.extend(fitting.by_ref().take(MOST_NEW));
            new.left_out += fitting.count();
        }
        new.lines.sort_by_key(|line| line.at);
        new
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::search::Asked;
    use super::*;

    fn append(path: &Path, text: &str) {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| writeln!(file, "{text}")).expect("written");
    }

    fn record(second: u32, level: &str, message: &str) -> String {
        format!(r#"{{"timestamp":"2026-01-02T03:04:{second:02}Z","level":"{level}","message":"{message}"}}"#)
    }

    fn messages(found: &[Line]) -> Vec<&str> {
        found.iter().map(|line| line.message.as_str()).collect()
    }

    #[test]
    fn lines_of_several_services_come_in_the_order_of_their_times() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        append(&folder.join("1-a.log"), &record(1, "INFO", "first"));
        append(&folder.join("1-a.log"), "a word about the first");
        append(&folder.join("1-a.log"), &record(3, "ERROR", "third"));
        append(&folder.join("2-b.log"), &record(2, "INFO", "second"));
        let services = ["a".to_owned(), "b".to_owned()];
        let all = find(data.path(), &services, &Search::default(), 10);
        assert_eq!(messages(&all.lines), ["first", "a word about the first", "second", "third"]);
        assert_eq!((all.searched, all.goes_on, all.lines[2].instance), (4, false, 2));
        let last = find(data.path(), &services, &Search::default(), 2);
        assert_eq!((messages(&last.lines), last.goes_on), (vec!["second", "third"], true));
        let errors = Asked { level: "error".into(), ..Asked::default() }.search().expect("understood");
        assert_eq!(messages(&find(data.path(), &services, &errors, 10).lines), ["third"]);
    }

    #[test]
    fn a_time_that_is_long_ago_is_found_behind_more_lines_than_are_looked_at() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        let day = |second: usize| {
            let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
            format!(
                r#"{{"timestamp":"2026-01-02T{hour:02}:{minute:02}:{second:02}Z","message":"m{hour}:{minute}:{second}"}}"#
            )
        };
        let lines: Vec<String> = (0..2 * MOST_SEARCHED).map(day).collect();
        append(&folder.join("1-a.log"), &lines.join("\n"));
        let (from, to) = ("2026-01-02T00:10:00Z".to_owned(), "2026-01-02T00:10:02Z".to_owned());
        let asked = Asked { from, to, ..Asked::default() }.search().expect("understood");
        let found = find(data.path(), &["a".to_owned()], &asked, 10);
        assert_eq!(messages(&found.lines), ["m0:10:0", "m0:10:1", "m0:10:2"]);
    }

    #[test]
    fn where_time_is_short_many_lines_of_one_service_hide_those_of_no_other() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        let many: Vec<String> = std::iter::repeat_n(record(1, "INFO", "again"), 2 * ENDS).collect();
        append(&folder.join("1-a.log"), &record(0, "ERROR", "long ago"));
        append(&folder.join("1-a.log"), &many.join("\n"));
        append(&folder.join("1-b.log"), &record(2, "ERROR", "just now"));
        let errors = Asked { level: "error".into(), ..Asked::default() }.search().expect("understood");
        for (looks, expected, goes_on) in
            [(1, vec![], true), (2, vec!["just now"], true), (3, vec!["long ago", "just now"], false)]
        {
            let mut left = looks;
            let has_time = || {
                left -= 1;
                left >= 0
            };
            let found = find_while(data.path(), &["a".to_owned(), "b".to_owned()], &errors, 10, has_time);
            assert_eq!((messages(&found.lines), found.goes_on), (expected, goes_on), "{looks}");
        }
    }

    #[test]
    fn of_more_lines_that_fit_than_are_given_it_is_told_that_there_are_more() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        for second in 0..5 {
            append(&folder.join("1-a.log"), &record(second, "ERROR", &second.to_string()));
        }
        let errors = Asked { level: "error".into(), ..Asked::default() }.search().expect("understood");
        for (most, expected) in [(5, false), (3, true)] {
            let found = find(data.path(), &["a".to_owned()], &errors, most);
            assert_eq!((found.lines.len(), found.goes_on), (most, expected));
        }
    }

    #[test]
    fn only_what_is_appended_and_fits_is_followed() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        append(&folder.join("1-a.log"), &record(1, "INFO", "before"));
        let mut following = Following::new(data.path().to_owned(), vec!["a".to_owned()]);
        let warnings = Asked { level: "warn".into(), ..Asked::default() }.search().expect("understood");
        assert!(following.look(&warnings).lines.is_empty());
        append(&folder.join("1-a.log"), &record(2, "INFO", "fine"));
        append(&folder.join("1-a.log"), &record(3, "WARN", "careful"));
        assert_eq!(messages(&following.look(&warnings).lines), ["careful"]);
        append(&folder.join("2-a.log"), &record(4, "WARN", "of a new instance"));
        assert_eq!(messages(&following.look(&warnings).lines), ["of a new instance"]);
        assert!(following.look(&warnings).lines.is_empty());
    }

    #[test]
    fn a_flood_is_followed_by_its_beginning_and_the_rest_is_counted() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        append(&folder.join("1-a.log"), &record(1, "INFO", "before"));
        let mut following = Following::new(data.path().to_owned(), vec!["a".to_owned()]);
        following.look(&Search::default());
        let flood: Vec<String> = (0..MOST_NEW + 50).map(|_| record(2, "WARN", "again")).collect();
        append(&folder.join("1-a.log"), &flood.join("\n"));
        append(&folder.join("1-a.log"), &record(3, "INFO", "fine"));
        let warnings = Asked { level: "warn".into(), ..Asked::default() }.search().expect("understood");
        let new = following.look(&warnings);
        assert_eq!((new.lines.len(), new.left_out), (MOST_NEW, 50));
        // Of a file that is new, likewise.
        append(&folder.join("2-a.log"), &flood.join("\n"));
        let new = following.look(&warnings);
        assert_eq!((new.lines.len(), new.left_out), (MOST_NEW, 50));
        let new = following.look(&warnings);
        assert_eq!((new.lines.len(), new.left_out), (0, 0));
    }

    #[test]
    fn that_lines_were_gone_before_they_were_read_is_told_whatever_is_looked_for() {
        let data = tempfile::tempdir().expect("a folder");
        let folder = crate::paths::logs(data.path());
        std::fs::create_dir_all(&folder).expect("made");
        let mut following = Following::new(data.path().to_owned(), vec!["a".to_owned()]);
        following.look(&Search::default());
        append(&folder.join("1-a.log"), ROTATED_AWAY);
        let errors = Asked { level: "error".into(), ..Asked::default() }.search().expect("understood");
        assert_eq!(messages(&following.look(&errors).lines), [ROTATED_AWAY]);
    }
}
