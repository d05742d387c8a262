//! The page, its feed and its JSON, written as their content is read: with a history of fifty services, a copy of it in memory would be most of
//! what the control plane holds. Pure.

use std::io::{self, Write};

use askama::Template;
use jiff::Timestamp;
use serde::Serialize;

use super::RENEWED_EVERY;
use super::content::{Content, Incident, Maintenance, Shown};
use super::days::{DAYS, Level};
use crate::dashboard::assets::{STATUS_SCRIPT, STATUS_STYLE};
use crate::units;

/// Entries of the feed.
const MOST_ITEMS: usize = 50;
/// Width of a bar and of the space behind it, in the units of the picture.
const BAR: usize = 6;
const STEP: usize = 8;

/// The page.
pub(super) fn html(content: &Content, at: Timestamp, to: &mut impl Write) -> io::Result<()> {
    Page { content, at }.write_into(to)
}

/// The same for programs.
pub(super) fn json(content: &Content, at: Timestamp, mut to: &mut impl Write) -> io::Result<()> {
    let whole = Whole { content, rendered_at: at, renewed_every_seconds: RENEWED_EVERY.as_secs() };
    serde_json::to_writer_pretty(&mut to, &whole)?;
    to.write_all(b"\n")
}

/// What is new, for readers of feeds.
pub(super) fn feed(content: &Content, at: Timestamp, to: &mut impl Write) -> io::Result<()> {
    Feed { content, at, items: items(content, at) }.write_into(to)
}

/// What `status.json` says.
#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    content: &'a Content,
    rendered_at: Timestamp,
    renewed_every_seconds: u64,
}

#[derive(Template)]
#[template(path = "status/index.html")]
struct Page<'a> {
    content: &'a Content,
    at: Timestamp,
}

impl Page<'_> {
    fn at(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    fn minute(instant: &str) -> String {
        format!("{} UTC", crate::dashboard::minute(instant))
    }

    /// How long an incident took.
    fn took(incident: &Incident) -> Option<String> {
        let at = |text: &str| text.parse::<Timestamp>().ok();
        let took = at(incident.resolved_at.as_deref()?)?.duration_since(at(&incident.began_at)?);
        Some(units::duration(took.try_into().unwrap_or_default()))
    }

    /// What stands beside the bars.
    fn uptime(component: &Shown) -> String {
        component.uptime.map_or_else(|| "no data yet".to_owned(), |share| format!("{} uptime", percent(share)))
    }

    /// What the bars say, for whom pictures do not reach.
    fn said(component: &Shown) -> String {
        let count = |wanted: Level| component.days.iter().filter(|day| day.level == wanted).count();
        let bad = component.days.iter().rev().filter(|day| matches!(day.level, Level::Short | Level::Long));
        let bad: Vec<String> =
            bad.map(|day| format!("{} ({})", day.date, day.uptime.map(percent).unwrap_or_default())).take(10).collect();
        let outages = match bad.len() {
            0 => "no outage was seen".to_owned(),
            _ => format!("outages on {}", bad.join(", ")),
        };
        format!(
            "{} in the last {DAYS} days: {}; {outages}; {} days without data",
            component.name,
            Self::uptime(component),
            count(Level::NoData)
        )
    }

    /// One path for all bars of a level.
    fn path(component: &Shown, level: Level) -> String {
        use std::fmt::Write as _;
        let mut path = String::new();
        for (at, _) in component.days.iter().enumerate().filter(|(_, day)| day.level == level) {
            let _ = write!(path, "M{} 0h{BAR}v32h-{BAR}z", at * STEP);
        }
        path
    }

    /// Bars that have something to say of themselves: place, class and words.
    fn marked(component: &Shown) -> Vec<(usize, &'static str, String)> {
        let marked = component.days.iter().enumerate().filter_map(|(at, day)| {
            let class = match day.level {
                Level::Short => "short",
                Level::Long => "long",
                Level::Well | Level::NoData => return None,
            };
            let uptime = day.uptime.map(percent).unwrap_or_default();
            let measured = if day.measured < 0.95 {
                format!(", of {} that was measured", percent(day.measured))
            } else {
                String::new()
            };
            Some((at * STEP, class, format!("{}: {uptime}{measured}", day.date)))
        });
        marked.collect()
    }

    fn script() -> &'static str {
        STATUS_SCRIPT
    }

    fn style() -> &'static str {
        STATUS_STYLE
    }
}

/// `99.98 %`: never rounded up to all.
fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0).floor() / 100.0;
    if hundredths >= 100.0 { "100 %".to_owned() } else { format!("{hundredths:.2} %") }
}

#[derive(Template)]
#[template(path = "status/feed.xml", escape = "html")]
struct Feed<'a> {
    content: &'a Content,
    at: Timestamp,
    items: Vec<Item>,
}

impl Feed<'_> {
    fn built(&self) -> String {
        rfc_2822(self.at)
    }
}

/// An entry of the feed: whoever reads feeds sees each once.
struct Item {
    at: Timestamp,
    title: String,
    text: String,
    guid: String,
    anchor: String,
}

impl Item {
    fn published(&self) -> String {
        rfc_2822(self.at)
    }
}

fn rfc_2822(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn items(content: &Content, now: Timestamp) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for incident in content.incidents.iter().chain(&content.past_incidents) {
        of_incident(incident, &mut items);
    }
    items.extend(content.maintenance.iter().filter_map(|one| of_maintenance(one, now)));
    items.sort_by_key(|item| std::cmp::Reverse(item.at));
    items.truncate(MOST_ITEMS);
    items
}

fn of_incident(incident: &Incident, items: &mut Vec<Item>) {
    let number = incident.number;
    let mut add = |at: &str, kind: &str, title: String, text: String| {
        let Ok(at) = at.parse::<Timestamp>() else { return };
        let anchor = format!("incident-{number}");
        items.push(Item {
            at,
            title: clean(&title),
            text: clean(&text),
            guid: format!("{anchor}-{kind}-{}", at.as_second()),
            anchor,
        });
    };
    let about = incident.components.join(", ");
    let about = if about.is_empty() {
        "It is being looked into.".to_owned()
    } else {
        format!("About {about}. It is being looked into.")
    };
    add(&incident.detected_at, "open", format!("Investigating: {}", incident.title), about);
    for (before, update) in incident.updates.iter().rev().enumerate() {
        let kind = format!("update-{}", before + 1);
        add(&update.at, &kind, format!("{}: {}", capital(update.status), incident.title), update.text.clone());
    }
    // What was posted with it says so already.
    let said = incident
        .updates
        .first()
        .is_some_and(|update| update.status == "resolved" && Some(&update.at) == incident.resolved_at.as_ref());
    if let Some(at) = incident.resolved_at.as_ref().filter(|_| !said) {
        add(at, "over", format!("Resolved: {}", incident.title), "It is over.".to_owned());
    }
}

fn of_maintenance(maintenance: &Maintenance, now: Timestamp) -> Option<Item> {
    let Maintenance { number, components, from, until, reason, .. } = maintenance;
    // What is planned was not said in the future.
    let at = from.parse::<Timestamp>().ok()?.min(now);
    Some(Item {
        at,
        title: clean(&format!("Maintenance: {}", components.join(", "))),
        text: clean(&format!("{reason}. From {} to {}.", Page::minute(from), Page::minute(until))),
        guid: format!("maintenance-{number}"),
        anchor: format!("maintenance-{number}"),
    })
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Without what XML does not allow, however it is written.
fn clean(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() && !matches!(letter, '\u{fffe}' | '\u{ffff}')).collect()
}

#[cfg(test)]
mod tests {
    use mana_watch::incident::{EntryKind, Status};
    use serde_json::json;

    use super::super::content::tests::{component, entry, incident, made, now, quiet};
    use super::*;
    use crate::api::ServiceState;

    /// Page, JSON and feed.
    fn rendered() -> [String; 3] {
        let components = [component("shop-web", ServiceState::Up), component("shop-backend", ServiceState::Down)];
        let timeline = vec![
            entry(EntryKind::Update, "A disk is full, <b>more</b> is on its way", Some(Status::Identified)),
            entry(EntryKind::Update, "still", None),
        ];
        let incidents = [incident(2, &["shop-backend"], false, timeline), incident(1, &["shop-web"], true, Vec::new())];
        let quiets = [quiet("maintenance", "2026-03-02T11:00:00Z", "2026-03-02T13:00:00Z")];
        let (content, mut files) =
            (made(&components, &[("shop-web", 1.0)], &incidents, &quiets), [Vec::new(), Vec::new(), Vec::new()]);
        html(&content, now(), &mut files[0]).expect("written");
        json(&content, now(), &mut files[1]).expect("written");
        feed(&content, now(), &mut files[2]).expect("written");
        files.map(|file| String::from_utf8(file).expect("text"))
    }

    #[test]
    fn the_page_its_feed_and_its_json_say_the_same() {
        let [html, json, feed] = rendered();
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!((&read["state"], &read["rendered_at"]), (&json!("outage"), &json!("2026-03-01T12:00:00Z")));
        assert_eq!(read["incidents"][0]["updates"][1]["text"], "A disk is full, <b>more</b> is on its way");
        for said in ["shop-backend: disruption", "A disk is full", "a new database"] {
            assert!(html.contains(said) && feed.contains(said) && json.contains(said), "{said}");
        }
        for (name, text) in [("html", &html), ("feed", &feed)] {
            assert!(!text.contains("<b>more") && !text.contains("Shop <&>"), "{name} escapes: {text}");
        }
        for absent in [" style=\"", "<style", "<script>", "onclick=", "http-equiv"] {
            assert!(!html.contains(absent), "nothing is inline: {absent}");
        }
        assert!(html.contains("2026-03-01 12:00 UTC"), "when it was written");
        insta::assert_snapshot!(feed);
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        for (share, text) in [(1.0, "100 %"), (0.999_999, "99.99 %"), (0.5, "50.00 %"), (0.0, "0.00 %")] {
            assert_eq!(percent(share), text, "{share}");
        }
    }
}
