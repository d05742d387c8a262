//! What the page says. Pure: from what is known to what everybody may know.
//!
//! Shown are the services that the manifest names for it. An incident is shown where it is about one of them, or where somebody has written
//! about it for everybody; of its timeline only what was written for everybody, and nobody's name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use mana_manifest::plan::StatusPage;
use mana_watch::incident::EntryKind;
use serde::Serialize;

use super::days::{Day, Days, Level, uptime};
use crate::api::{IncidentView, QuietView, ServiceState};

/// Incidents that are over and still shown.
const MOST_PAST: usize = 30;
/// Components that a title names; further ones are counted.
const MOST_NAMED: usize = 3;
/// Maintenances that are shown.
const MOST_MAINTENANCES: usize = 30;

/// What there is to know.
pub(super) struct Facts<'a> {
    pub(super) page: &'a StatusPage,
    pub(super) components: &'a [Component],
    /// What the last probe of each said, 1 or 0.
    pub(super) reached: &'a BTreeMap<String, f64>,
    pub(super) days: &'a Days,
    pub(super) incidents: &'a [IncidentView],
    pub(super) quiets: &'a [QuietView],
    pub(super) now: Timestamp,
}

/// A service that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) project: String,
    pub(crate) kind: &'static str,
    pub(crate) state: ServiceState,
    /// How it is probed: `public` or `direct`.
    pub(crate) via: &'static str,
}

/// How something is. Later ones are worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Health {
    Operational,
    Maintenance,
    Unknown,
    Degraded,
    Outage,
}

/// Everything on the page, but for when it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Content {
    pub(super) title: String,
    pub(super) about: Option<String>,
    pub(super) url: String,
    pub(super) state: Health,
    pub(super) summary: &'static str,
    pub(super) incidents: Vec<Incident>,
    pub(super) maintenance: Vec<Maintenance>,
    pub(super) projects: Vec<Project>,
    pub(super) past_incidents: Vec<Incident>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Project {
    pub(super) name: String,
    pub(super) components: Vec<Shown>,
}

/// A component with its history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) state: Health,
    /// Share of the measured time; absent: nothing was measured.
    pub(super) uptime: Option<f64>,
    pub(super) days: Vec<ShownDay>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ShownDay {
    pub(super) date: Date,
    pub(super) level: Level,
    pub(super) uptime: Option<f64>,
    /// Share of the day of which anything is known.
    pub(super) measured: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Incident {
    pub(super) number: u64,
    pub(super) title: String,
    pub(super) severity: String,
    pub(super) status: String,
    pub(super) components: Vec<String>,
    pub(super) began_at: String,
    pub(super) detected_at: String,
    pub(super) resolved_at: Option<String>,
    pub(super) impact: Option<String>,
    pub(super) affected: Option<String>,
    /// The newest first.
    pub(super) updates: Vec<Update>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Update {
    pub(super) at: String,
    pub(super) status: &'static str,
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Maintenance {
    pub(super) number: u64,
    pub(super) components: Vec<String>,
    pub(super) from: String,
    pub(super) until: String,
    pub(super) reason: String,
    pub(super) under_way: bool,
}

impl Health {
    /// As classes of styles and JSON call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Operational => "operational",
            Self::Maintenance => "maintenance",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Outage => "outage",
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Operational => "Operational",
            Self::Maintenance => "Maintenance",
            Self::Unknown => "Not known",
            Self::Degraded => "Degraded",
            Self::Outage => "Outage",
        }
    }
}

/// What the page says.
pub(super) fn content(facts: &Facts<'_>) -> Content {
    let is_shown = |name: &String| facts.components.iter().any(|component| component.name == *name);
    let shown_of = |names: &[String]| names.iter().filter(|name| is_shown(name)).cloned().collect::<Vec<_>>();
    let incidents: Vec<Incident> = facts
        .incidents
        .iter()
        .map(|incident| (incident, shown_of(&incident.subjects)))
        .filter(|(incident, components)| !components.is_empty() || has_updates(incident))
        .map(|(incident, components)| shown_incident(incident, components))
        .collect();
    let (mut current, mut past): (Vec<_>, Vec<_>) =
        incidents.into_iter().partition(|incident| incident.resolved_at.is_none());
    current.sort_by(|one, other| (&one.severity, &other.began_at).cmp(&(&other.severity, &one.began_at)));
    past.truncate(MOST_PAST);
    let maintenance: Vec<Maintenance> = facts
        .quiets
        .iter()
        .filter(|quiet| quiet.kind == "maintenance")
        .filter_map(|quiet| maintenance(quiet, shown_of(&quiet.services), facts.now))
        .take(MOST_MAINTENANCES)
        .collect();
    let mut projects: Vec<Project> = Vec::new();
    for component in facts.components {
        let at = projects.iter().position(|project| project.name == component.project).unwrap_or_else(|| {
            projects.push(Project { name: component.project.clone(), components: Vec::new() });
            projects.len() - 1
        });
        let state = health(component, facts.reached.get(&component.name).copied(), &current, &maintenance);
        projects[at].components.push(shown(component, state, facts));
    }
    let all = projects.iter().flat_map(|project| &project.components).map(|component| component.state);
    // An incident that is about none of them is one all the same.
    let of_incidents = current.iter().map(|_| Health::Degraded);
    let state = all.chain(of_incidents).max().unwrap_or(Health::Unknown);
    Content {
        title: facts.page.title.clone(),
        about: facts.page.about.clone(),
        url: facts.page.url.clone(),
        state,
        summary: summary(state),
        incidents: current,
        maintenance,
        projects,
        past_incidents: past,
    }
}

fn summary(state: Health) -> &'static str {
    match state {
        Health::Operational => "Everything works",
        Health::Maintenance => "Everything works, but for what is being maintained",
        Health::Unknown => "It is not known of everything whether it works",
        Health::Degraded => "Something does not work as it should",
        Health::Outage => "Something does not work",
    }
}

fn health(component: &Component, reached: Option<f64>, incidents: &[Incident], maintenance: &[Maintenance]) -> Health {
    let is_about = |names: &[String]| names.contains(&component.name);
    let own = match component.state {
        ServiceState::Down | ServiceState::Blocked => Health::Outage,
        _ if reached == Some(0.0) => Health::Outage,
        ServiceState::Degraded | ServiceState::Starting => Health::Degraded,
        // Through some of its hosts, and not through others.
        ServiceState::Up if reached.is_some_and(|share| share < 1.0) => Health::Degraded,
        ServiceState::Stopped => Health::Unknown,
        ServiceState::Up => Health::Operational,
    };
    if maintenance.iter().any(|one| one.under_way && is_about(&one.components)) {
        return Health::Maintenance;
    }
    let incident = incidents.iter().any(|incident| is_about(&incident.components));
    if incident { own.max(Health::Degraded) } else { own }
}

fn shown(component: &Component, state: Health, facts: &Facts<'_>) -> Shown {
    let today = jiff::tz::Offset::UTC.to_datetime(facts.now).date();
    let days = facts.days.of(&component.name, today);
    let day = |(date, day): &(Date, Day)| ShownDay {
        date: *date,
        level: day.level(),
        uptime: day.uptime(),
        measured: day.measured_share(),
    };
    Shown {
        name: component.name.clone(),
        kind: component.kind,
        state,
        uptime: uptime(&days),
        days: days.iter().map(day).collect(),
    }
}

fn has_updates(incident: &IncidentView) -> bool {
    incident.timeline.iter().any(|entry| entry.kind == EntryKind::Update)
}

fn shown_incident(incident: &IncidentView, components: Vec<String>) -> Incident {
    let written = incident.timeline.iter().filter(|entry| entry.kind == EntryKind::Update);
    let mut updates: Vec<Update> = written
        .map(|entry| Update {
            at: entry.at.clone(),
            status: entry.status.map_or("update", |status| status.as_str()),
            text: entry.text.clone(),
        })
        .collect();
    updates.reverse();
    Incident {
        number: incident.number,
        title: if incident.titled { incident.title.clone() } else { neutral_title(&components) },
        severity: incident.severity.clone(),
        status: incident.status.clone(),
        components,
        began_at: incident.began_at.clone(),
        detected_at: incident.detected_at.clone(),
        resolved_at: incident.resolved_at.clone(),
        impact: incident.impact.clone(),
        affected: incident.affected.clone().filter(|text| !text.starts_with("0 ")),
        updates,
    }
}

/// What an incident is called that nobody gave a title for everybody: its own one names servers and rules.
fn neutral_title(components: &[String]) -> String {
    let named = components.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match components.len().saturating_sub(MOST_NAMED) {
        0 if named.is_empty() => "Disruption".to_owned(),
        0 => format!("{named}: disruption"),
        more => format!("{named} and {more} more: disruption"),
    }
}

fn maintenance(quiet: &QuietView, components: Vec<String>, now: Timestamp) -> Option<Maintenance> {
    let at = |text: &str| text.parse::<Timestamp>().ok();
    let (from, until) = (at(&quiet.from)?, at(&quiet.until)?);
    (!components.is_empty() && now < until).then(|| Maintenance {
        number: quiet.number,
        components,
        from: quiet.from.clone(),
        until: quiet.until.clone(),
        reason: quiet.reason.clone(),
        under_way: from <= now,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use mana_watch::Labels;
    use mana_watch::alert::{AlertId, Became, Change, Kind, Severity, Value};
    use mana_watch::incident::{Event, Incidents, Status, What};

    use super::*;
    use crate::api::TimelineEntry;
    use crate::watching::incidents_view::view;

    /// Where the database is that has died.
    const SERVER: &str = "postgres@10.0.0.5:5432";

    pub(crate) fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().expect("a time")
    }

    pub(crate) fn page() -> StatusPage {
        StatusPage {
            host: "status.shop.example".into(),
            url: "https://status.shop.example".into(),
            title: "Shop <&>".into(),
            about: Some("Write to help@shop.example".into()),
            services: vec!["shop-web".into(), "shop-backend".into()],
        }
    }

    pub(crate) fn component(name: &str, state: ServiceState) -> Component {
        Component { name: name.into(), project: "shop".into(), kind: "web", state, via: "public" }
    }

    pub(crate) fn entry(kind: EntryKind, text: &str, status: Option<Status>) -> TimelineEntry {
        TimelineEntry { at: "2026-03-01T11:30:00Z".into(), kind, text: text.into(), by: Some("ada".into()), status }
    }

    /// An incident that has opened by itself, since a database died.
    fn opened_by_itself() -> IncidentView {
        let mut incidents = Incidents::default();
        let change = Change {
            alert: AlertId {
                rule: "DatabaseDown".into(),
                kind: Kind::Breach,
                labels: Labels::new([("server", SERVER)]),
            },
            episode: Some(1),
            to: Became::Firing,
            at: 1_772_362_860_000,
            began_at: 1_772_362_800_000,
            severity: Severity::P1,
            subject: SERVER.into(),
            summary: format!("{SERVER} does not answer: whatever needs it fails"),
            value: Value(0.0),
            muted: None,
            needs: Vec::new(),
        };
        incidents.step(&Event { at: change.at, what: What::Alert(Box::new(change)) });
        view(incidents.get(1).expect("it has opened"))
    }

    pub(crate) fn incident(
        number: u64,
        subjects: &[&str],
        resolved: bool,
        timeline: Vec<TimelineEntry>,
    ) -> IncidentView {
        let IncidentView { title, titled, .. } = opened_by_itself();
        IncidentView {
            number,
            title,
            titled,
            severity: "P1".into(),
            status: if resolved { "resolved" } else { "investigating" }.into(),
            subjects: subjects.iter().map(|subject| (*subject).to_owned()).collect(),
            began_at: "2026-03-01T11:00:00Z".into(),
            detected_at: "2026-03-01T11:01:00Z".into(),
            recovered_at: None,
            resolved_at: resolved.then(|| "2026-03-01T11:40:00Z".into()),
            to_detect_ms: 60_000,
            to_recover_ms: None,
            affected: Some("12 failed requests".into()),
            impact: None,
            cause: Some("secret cause".into()),
            actions: Vec::new(),
            follow_ups: Vec::new(),
            timeline,
            left_out: 0,
            announcement: String::new(),
            post_mortem: String::new(),
        }
    }

    pub(crate) fn quiet(kind: &str, from: &str, until: &str) -> QuietView {
        QuietView {
            number: 4,
            kind: kind.into(),
            covers: "shop-web".into(),
            services: vec!["shop-web".into(), "inner".into()],
            from: from.into(),
            until: until.into(),
            by: "ada".into(),
            reason: "a new database".into(),
        }
    }

    pub(crate) fn made(
        components: &[Component],
        reached: &[(&str, f64)],
        incidents: &[IncidentView],
        quiets: &[QuietView],
    ) -> Content {
        let (page, days) = (page(), Days::default());
        let reached = reached.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        content(&Facts { page: &page, components, reached: &reached, days: &days, incidents, quiets, now: now() })
    }

    #[test]
    fn the_worst_that_is_known_of_a_component_is_what_it_is() {
        use ServiceState::{Degraded, Down, Stopped, Up};
        let open = [incident(1, &["shop-web"], false, Vec::new())];
        let now = [quiet("maintenance", "2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z")];
        let later = [quiet("maintenance", "2026-03-01T12:30:00Z", "2026-03-01T13:00:00Z")];
        let silence = [quiet("silence", "2026-03-01T11:00:00Z", "2026-03-01T13:00:00Z")];
        let none: &[IncidentView] = &[];
        for (state, reached, incidents, quiets, expected) in [
            (Up, None, none, &[][..], Health::Operational),
            (Up, Some(1.0), none, &[], Health::Operational),
            (Up, Some(0.0), none, &[], Health::Outage),
            (Degraded, Some(1.0), none, &[], Health::Degraded),
            (Down, None, none, &[], Health::Outage),
            (Stopped, None, none, &[], Health::Unknown),
            (Up, Some(1.0), &open, &[], Health::Degraded),
            (Down, Some(0.0), &open, &[], Health::Outage),
            (Down, Some(0.0), &open, &now, Health::Maintenance),
            (Up, Some(1.0), none, &later, Health::Operational),
            (Up, Some(1.0), none, &silence, Health::Operational),
        ] {
            let reached: Vec<_> = reached.map(|value| ("shop-web", value)).into_iter().collect();
            let made = made(&[component("shop-web", state)], &reached, incidents, quiets);
            assert_eq!(made.projects[0].components[0].state, expected, "{state:?} {reached:?}");
        }
        assert_eq!(made(&[], &[], &[], &[]).state, Health::Unknown, "nothing is nothing well");
    }

    #[test]
    fn nothing_is_said_that_was_not_written_for_everybody() {
        let timeline = vec![
            entry(EntryKind::Alert, "inner alert", None),
            entry(EntryKind::Note, "inner note", None),
            entry(EntryKind::Update, "We know why", Some(Status::Identified)),
        ];
        let incidents = [
            incident(3, &["shop-web", "inner"], false, timeline.clone()),
            incident(2, &["inner"], false, Vec::new()),
            incident(1, &["inner"], true, timeline),
        ];
        let quiets = [quiet("maintenance", "2026-03-02T11:00:00Z", "2026-03-02T13:00:00Z")];
        let made = made(&[component("shop-web", ServiceState::Up)], &[], &incidents, &quiets);
        let numbers = |incidents: &[Incident]| incidents.iter().map(|incident| incident.number).collect::<Vec<_>>();
        assert_eq!((numbers(&made.incidents), numbers(&made.past_incidents)), (vec![3], vec![1]));
        let text = serde_json::to_string(&made).expect("JSON");
        for hidden in ["inner", "ada", "secret cause", SERVER, "10.0.0.5", "Database"] {
            assert!(!text.contains(hidden), "{hidden}: {text}");
        }
        assert!(text.contains("We know why") && text.contains("a new database"), "{text}");
        assert!(!made.maintenance[0].under_way);
    }

    #[test]
    fn an_incident_that_opened_by_itself_is_called_by_its_components_and_one_of_a_person_as_they_say() {
        assert_eq!(opened_by_itself().title, format!("Database Down - {SERVER}"), "what operators read");
        let names = ["a", "b", "c", "d", "e"].map(str::to_owned);
        for (components, title) in
            [(0, "Disruption"), (1, "a: disruption"), (3, "a, b, c: disruption"), (5, "a, b, c and 2 more: disruption")]
        {
            assert_eq!(shown_incident(&opened_by_itself(), names[..components].to_vec()).title, title);
        }
        let mut incidents = Incidents::default();
        let (by, title) = ("ada".to_owned(), "Orders are slow".to_owned());
        let services = ["shop-web".to_owned()].into();
        incidents.step(&Event { at: 0, what: What::Declared { by, title, severity: Severity::P3, services } });
        let said = view(incidents.get(1).expect("it is open"));
        assert_eq!(shown_incident(&said, vec!["shop-web".to_owned()]).title, "Orders are slow");
    }
}
