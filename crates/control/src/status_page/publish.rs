//! The folder that the edge gives out: every file is there as a whole, or as it was before.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::content::Content;
use super::render;
use crate::clock;
use crate::dashboard::assets;

/// When the page is written anew. Pure.
#[derive(Debug)]
pub(super) struct Pace<C> {
    /// When, in milliseconds since 1970, and what stood in it.
    last: Option<(i64, C)>,
}

/// How soon after another a change is written.
pub(super) const CHANGES_EVERY: Duration = Duration::from_secs(30);

impl<C: PartialEq> Pace<C> {
    pub(super) fn new() -> Self {
        Self { last: None }
    }

    /// Whether it is time. `urgent`: an incident has changed, which does not wait.
    pub(super) fn is_due(&self, now: i64, content: &C, urgent: bool) -> bool {
        let Some((at, before)) = &self.last else { return true };
        // A clock that was set back must not stop the page.
        let since = now.abs_diff(*at);
        let passed = |time: Duration| u128::from(since) >= time.as_millis();
        let is_new = before != content;
        (is_new && (urgent || passed(CHANGES_EVERY))) || passed(super::RENEWED_EVERY)
    }

    pub(super) fn wrote(&mut self, now: i64, content: C) {
        self.last = Some((now, content));
    }
}

/// Writes all files, the page itself last: what it needs is there by then.
pub(super) fn publish(folder: &Path, content: &Content, at: Timestamp) -> io::Result<()> {
    let own = folder.join("assets");
    fs::create_dir_all(&own)?;
    let wanted = assets::of_status_page();
    for (name, content) in &wanted {
        if !own.join(name).exists() {
            replace(&own, name, content)?;
        }
    }
    if !folder.join("favicon.svg").exists() {
        replace(folder, "favicon.svg", assets::ICON.as_bytes())?;
    }
    written(folder, "status.json", |file| render::json(content, at, file))?;
    written(folder, "feed.xml", |file| render::feed(content, at, file))?;
    written(folder, "index.html", |file| render::html(content, at, file))?;
    // Those of a version before.
    for entry in fs::read_dir(&own)? {
        let entry = entry?;
        if !wanted.iter().any(|(name, _)| entry.file_name().to_str() == Some(name)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Puts a file where another one was, at once.
pub(super) fn replace(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    written(folder, name, |file| file.write_all(content))
}

fn written(folder: &Path, name: &str, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<()> {
    let passing = folder.join(format!(".{name}-{}.new", clock::unique()));
    let written = (|| {
        let mut file = BufWriter::new(File::create(&passing)?);
        write(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&passing, folder.join(name))
    })();
    if written.is_err() {
        let _ = fs::remove_file(&passing);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::{component, made, now};
    use super::*;
    use crate::api::ServiceState;

    #[test]
    fn changes_wait_for_their_time_and_incidents_do_not() {
        let mut pace = Pace::new();
        assert!(pace.is_due(0, &"a", false), "the first");
        pace.wrote(0, "a");
        for (now, content, urgent, due) in [
            (1_000, "a", true, false),
            (1_000, "b", false, false),
            (1_000, "b", true, true),
            (29_999, "b", false, false),
            (30_000, "b", false, true),
            (30_000, "a", false, false),
            (59_999, "a", false, false),
            (60_000, "a", false, true),
            (-60_000, "a", false, true),
        ] {
            assert_eq!(pace.is_due(now, &content, urgent), due, "{now} {content} {urgent}");
        }
    }

    #[test]
    fn what_is_published_is_whole_and_leaves_nothing_else_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let content = made(&[component("shop-web", ServiceState::Up)], &[], &[], &[]);
        publish(folder.path(), &content, now()).expect("written");
        fs::write(folder.path().join("assets/old.css"), "").expect("written");
        let later = now() + jiff::SignedDuration::from_mins(7);
        publish(folder.path(), &content, later).expect("written");
        let page = fs::read_to_string(folder.path().join("index.html")).expect("read");
        assert!(page.contains("2026-03-01 12:07 UTC") && page.trim_end().ends_with("</html>"), "{page}");
        let names = |folder: &Path| {
            let mut names: Vec<String> = fs::read_dir(folder)
                .expect("read")
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(folder.path()), ["assets", "favicon.svg", "feed.xml", "index.html", "status.json"]);
        assert_eq!(names(&folder.path().join("assets")).len(), 2, "a script and a style");
    }
}
