//! How incidents change.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{Effect, Event, What};
use super::model::{
    Affected, AlertSeen, BEFORE, CAUSE_FOUND, DOCUMENTED, Done, Entry, EntryKind, FOLLOW_UPS, Incident, Incidents,
    MAX_ACTIONS, MAX_ALERTS, MAX_KEPT, MAX_OPEN, MAX_RECENT, MAX_TEXT, MOMENT, REOPENS_WITHIN, Recent, Refusal, Status,
};
use crate::alert::{Became, Change, Muted, Severity, Span};

impl Incidents {
    /// Takes an event in. Whatever the event, in whatever state: there is an answer.
    pub fn step(&mut self, event: &Event) -> Vec<Effect> {
        let at = event.at;
        let mut effects = match &event.what {
            What::Alert(change) => self.alert(change),
            What::Restarted { service, text } => self.happened(service, EntryKind::Restart, text, at),
            What::Deployed { service, text } => self.happened(service, EntryKind::Deploy, text, at),
            asked => self.asked(asked, at).unwrap_or_else(|refusal| vec![Effect::Refused(refusal.to_string())]),
        };
        let over = self.known.values().filter(|incident| incident.status() == Status::Resolved);
        let over: Vec<u64> = over.map(|incident| incident.number).collect();
        for number in over.iter().take(over.len().saturating_sub(MAX_KEPT)) {
            self.known.remove(number);
            effects.push(Effect::Forgotten(*number));
        }
        effects
    }

    fn alert(&mut self, change: &Change) -> Vec<Effect> {
        let Some(episode) = change.episode else { return Vec::new() };
        let holder =
            self.known.values().find(|incident| incident.firing.contains_key(&episode)).map(|incident| incident.number);
        match (&change.to, holder) {
            (Became::Resolved { well_at, .. }, Some(number)) => self.recovered(number, episode, *well_at, change),
            (Became::Firing | Became::Muted, None) => self.fires(episode, change),
            (Became::Muted, Some(number)) => self.excused(number, episode, change),
            _ => Vec::new(),
        }
    }

    /// An alert that is in no incident fires, or is not muted any more.
    fn fires(&mut self, episode: u64, change: &Change) -> Vec<Effect> {
        let opens = change.severity <= Severity::P2 && change.muted.is_none();
        if is_excused(change) {
            return Vec::new();
        }
        let known = self.home(change).or_else(|| {
            // Nobody looks after fifty things at once: then it is one thing.
            let newest = self.open().next_back().map(|incident| incident.number);
            newest.filter(|_| opens && self.open().count() >= MAX_OPEN)
        });
        if known.is_none() && !opens {
            return Vec::new();
        }
        let number = known.unwrap_or_else(|| self.create(change.severity, change.began_at, change.at));
        let before = if known.is_none() { self.before(&change.subject, &change.needs, change.at) } else { Vec::new() };
        let Some(incident) = self.known.get_mut(&number) else { return Vec::new() };
        let is_back = incident.status() == Status::Resolved;
        for entry in before {
            incident.note(entry);
        }
        incident.join(episode, change);
        incident.note(measured(change.at, EntryKind::Alert, &format!("Alert triggered: {}", change.summary)));
        vec![if known.is_none() {
            Effect::Opened(number)
        } else if is_back {
            Effect::Reopened(number)
        } else {
            Effect::Changed(number)
        }]
    }

    /// Somebody says that an alert is to be left alone, or that no longer holds.
    fn excused(&mut self, number: u64, episode: u64, change: &Change) -> Vec<Effect> {
        let Some(incident) = self.known.get_mut(&number) else { return Vec::new() };
        let Some(seen) = incident.firing.get_mut(&episode) else { return Vec::new() };
        let excused = is_excused(change);
        if std::mem::replace(&mut seen.excused, excused) == excused {
            return Vec::new();
        }
        let how = if excused { "Silenced" } else { "No longer silenced" };
        incident.note(measured(change.at, EntryKind::Alert, &format!("{how}: {}", change.summary)));
        vec![Effect::Changed(number)]
    }

    /// The incident that an alert belongs to: the newest that has to do with it.
    fn home(&self, change: &Change) -> Option<u64> {
        let lives =
            |incident: &&Incident| incident.resolved_at.is_none_or(|at| Span::between(at, change.at) <= REOPENS_WITHIN);
        let is_alike = |incident: &Incident| {
            let mut seen = incident.firing.values().chain(&incident.over);
            Span::between(incident.joined_at, change.at) <= MOMENT && seen.any(|seen| seen.id.rule == change.alert.rule)
        };
        let fits = |incident: &&Incident| incident.concerns(&change.subject, &change.needs) || is_alike(incident);
        self.known.values().rev().filter(lives).find(fits).map(|incident| incident.number)
    }

    fn recovered(&mut self, number: u64, episode: u64, well_at: i64, change: &Change) -> Vec<Effect> {
        let Some(incident) = self.known.get_mut(&number) else { return Vec::new() };
        if let Some(seen) = incident.firing.remove(&episode) {
            incident.lay_aside(AlertSeen { well_at: Some(well_at), ..seen });
        }
        incident.note(measured(change.at, EntryKind::Recovery, &format!("Over: {}", change.summary)));
        incident.recovered_at = Some(incident.recovered_at.map_or(well_at, |known| known.max(well_at)));
        if !incident.firing.is_empty() {
            return vec![Effect::Changed(number)];
        }
        incident.resolve(change.at, None);
        vec![Effect::Resolved(number)]
    }

    /// Something happened to a service: it stands in what concerns it, and is remembered for what may come.
    fn happened(&mut self, service: &str, kind: EntryKind, text: &str, at: i64) -> Vec<Effect> {
        let entry = measured(at, kind, text);
        self.recent.push_back(Recent { service: service.to_owned(), entry: entry.clone() });
        while self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
        let mut effects = Vec::new();
        for incident in self.known.values_mut().filter(|incident| incident.resolved_at.is_none()) {
            if incident.concerns(service, &[]) {
                incident.note(entry.clone());
                effects.push(Effect::Changed(incident.number));
            }
        }
        effects
    }

    /// What happened lately to something, and to what it needs.
    fn before(&self, subject: &str, needs: &[String], at: i64) -> Vec<Entry> {
        let concerns = |service: &String| service == subject || needs.contains(service);
        let is_near = |entry: &Entry| entry.at <= at && Span::between(entry.at, at) <= BEFORE;
        let recent = self.recent.iter().filter(|recent| concerns(&recent.service) && is_near(&recent.entry));
        recent.map(|recent| recent.entry.clone()).collect()
    }

    fn create(&mut self, severity: Severity, began_at: i64, at: i64) -> u64 {
        self.last += 1;
        let number = self.last;
        let incident = Incident {
            number,
            title: String::new(),
            severity,
            began_at,
            detected_at: at,
            recovered_at: None,
            resolved_at: None,
            subjects: BTreeSet::new(),
            needs: BTreeSet::new(),
            firing: BTreeMap::new(),
            over: Vec::new(),
            over_more: 0,
            headline: None,
            joined_at: at,
            stage: Status::Investigating,
            timeline: Vec::new(),
            left_out: 0,
            affected: None,
            impact: None,
            cause: None,
            actions: Vec::new(),
            follow_ups: Default::default(),
        };
        self.known.insert(number, incident);
        number
    }

    /// What people ask for.
    fn asked(&mut self, what: &What, at: i64) -> Result<Vec<Effect>, Refusal> {
        let number = match what {
            What::Declared { by, title, severity, services } => {
                return self.declare(by, title, *severity, services, at);
            }
            What::Said { incident, by, text } => self.write(*incident, by, text, EntryKind::Note, "", at)?.number,
            What::Posted { incident, by, text, status } => return self.post(*incident, by, text, *status, at),
            What::Counted { incident, users, of } => {
                let of = said("what was counted", of)?;
                let incident = self.find(*incident)?;
                if incident.affected.as_ref().is_none_or(|known| known.of != of || known.users < *users) {
                    incident.affected = Some(Affected { users: *users, of, at });
                }
                incident.number
            }
            What::Impact { incident, by, text } => {
                let incident = self.write(*incident, by, text, EntryKind::Note, "Impact: ", at)?;
                incident.impact = Some(said("impact", text)?);
                incident.number
            }
            What::Cause { incident, by, text } => {
                let incident = self.write(*incident, by, text, EntryKind::Note, "Root cause: ", at)?;
                incident.cause = Some(said("cause", text)?);
                incident.follow_ups[CAUSE_FOUND] = Some(Done { at, by: Some(by.clone()) });
                incident.number
            }
            What::Action { incident, by, text } => {
                let (by, text) = (said("name", by)?, said("action", text)?);
                let incident = self.find(*incident)?;
                if incident.actions.len() >= MAX_ACTIONS {
                    return Err(Refusal::Actions { number: incident.number });
                }
                incident.note(Entry {
                    at,
                    kind: EntryKind::Note,
                    text: format!("To do: {text}"),
                    by: Some(by),
                    status: None,
                });
                incident.actions.push(text);
                incident.number
            }
            What::FollowedUp { incident, point, by } => {
                let by = said("name", by)?;
                let incident = self.find(*incident)?;
                let slot = point.checked_sub(1).and_then(|index| incident.follow_ups.get_mut(index));
                let slot = slot.ok_or(Refusal::Point(*point))?;
                slot.get_or_insert(Done { at, by: Some(by.clone()) });
                let text = format!("Done: {}", FOLLOW_UPS[point - 1]);
                incident.note(Entry { at, kind: EntryKind::Note, text, by: Some(by), status: None });
                incident.number
            }
            What::Resolved { incident, by } => {
                let by = said("name", by)?;
                let incident = self.find(*incident)?;
                incident.may_be_resolved()?;
                incident.end(at, by);
                return Ok(vec![Effect::Resolved(incident.number)]);
            }
            What::Alert(_) | What::Restarted { .. } | What::Deployed { .. } => return Ok(Vec::new()),
        };
        Ok(vec![Effect::Changed(number)])
    }

    fn declare(
        &mut self,
        by: &str,
        title: &str,
        severity: Severity,
        services: &BTreeSet<String>,
        at: i64,
    ) -> Result<Vec<Effect>, Refusal> {
        let (by, title) = (said("name", by)?, said("title", title)?);
        if self.open().count() >= MAX_OPEN {
            return Err(Refusal::Open);
        }
        let number = self.create(severity, at, at);
        let before: Vec<Entry> = services.iter().flat_map(|service| self.before(service, &[], at)).collect();
        let incident = self.find(number)?;
        incident.title.clone_from(&title);
        incident.subjects.extend(services.iter().take(MAX_ALERTS).cloned());
        for entry in before {
            incident.note(entry);
        }
        incident.note(Entry {
            at,
            kind: EntryKind::State,
            text: format!("Declared: {title}"),
            by: Some(by),
            status: None,
        });
        Ok(vec![Effect::Opened(number)])
    }

    /// What everybody may read. Said after it was over it changes nothing of that; saying that it stands elsewhere does not open it again.
    fn post(
        &mut self,
        number: u64,
        by: &str,
        text: &str,
        status: Option<Status>,
        at: i64,
    ) -> Result<Vec<Effect>, Refusal> {
        let (by, text) = (said("name", by)?, said("text", text)?);
        let incident = self.find(number)?;
        match status {
            Some(Status::Resolved) => incident.may_be_resolved()?,
            Some(_) if incident.status() == Status::Resolved => return Err(Refusal::Over(number)),
            Some(stage) => incident.stage = stage,
            None => {}
        }
        let shown = Some(status.unwrap_or(incident.status()));
        incident.note(Entry { at, kind: EntryKind::Update, text, by: Some(by.clone()), status: shown });
        if status == Some(Status::Resolved) {
            incident.end(at, by);
            return Ok(vec![Effect::Resolved(number)]);
        }
        Ok(vec![Effect::Changed(number)])
    }

    fn write(
        &mut self,
        number: u64,
        by: &str,
        text: &str,
        kind: EntryKind,
        lead: &str,
        at: i64,
    ) -> Result<&mut Incident, Refusal> {
        let (by, text) = (said("name", by)?, said("text", text)?);
        let incident = self.find(number)?;
        incident.note(Entry { at, kind, text: format!("{lead}{text}"), by: Some(by), status: None });
        Ok(incident)
    }

    fn find(&mut self, number: u64) -> Result<&mut Incident, Refusal> {
        self.known.get_mut(&number).ok_or(Refusal::Unknown(number))
    }
}

impl Incident {
    fn join(&mut self, episode: u64, change: &Change) {
        let seen = AlertSeen {
            id: change.alert.clone(),
            summary: change.summary.clone(),
            severity: change.severity,
            began_at: change.began_at,
            well_at: None,
            excused: false,
        };
        self.firing.insert(episode, seen);
        self.joined_at = change.at;
        self.began_at = self.began_at.min(change.began_at);
        self.severity = self.severity.min(change.severity);
        if self.resolved_at.take().is_some() {
            self.stage = Status::Investigating;
        }
        self.recovered_at = None;
        self.follow_ups[DOCUMENTED] = None;
        if !change.subject.is_empty() {
            self.subjects.insert(change.subject.clone());
            self.needs.extend(change.needs.iter().cloned());
        }
        // Of what is equally urgent, that which needs least is the cause.
        let rank = (change.severity, change.needs.len());
        if !self.is_titled() && self.headline.is_none_or(|known| rank < known) {
            self.headline = Some(rank);
            self.title = match change.subject.as_str() {
                "" => words(&change.alert.rule),
                subject => format!("{} - {subject}", words(&change.alert.rule)),
            };
        }
    }

    /// Whether a person may say that it is over.
    fn may_be_resolved(&self) -> Result<(), Refusal> {
        let firing = self.firing.values().filter(|seen| !seen.excused).count();
        match (self.status(), firing) {
            (Status::Resolved, _) => Err(Refusal::Over(self.number)),
            (_, 0) => Ok(()),
            (_, firing) => Err(Refusal::Fires { number: self.number, firing }),
        }
    }

    /// A person says that it is over.
    fn end(&mut self, at: i64, by: String) {
        for (_, seen) in std::mem::take(&mut self.firing) {
            self.lay_aside(seen);
        }
        self.recovered_at = self.recovered_at.or(Some(at));
        self.resolve(at, Some(by));
    }

    fn lay_aside(&mut self, seen: AlertSeen) {
        if self.over.len() < MAX_ALERTS {
            self.over.push(seen);
        } else {
            self.over_more += 1;
        }
    }

    fn resolve(&mut self, at: i64, by: Option<String>) {
        self.resolved_at = Some(at);
        self.follow_ups[DOCUMENTED] = Some(Done { at, by: None });
        self.note(Entry { at, kind: EntryKind::State, text: "Resolved".to_owned(), by, status: None });
    }
}

fn is_excused(change: &Change) -> bool {
    matches!(change.muted, Some(Muted::Silenced { .. } | Muted::Maintained { .. }))
}

fn measured(at: i64, kind: EntryKind, text: &str) -> Entry {
    Entry { at, kind, text: one_line(text).chars().take(MAX_TEXT).collect(), by: None, status: None }
}

/// A person's text, on one line.
fn said(what: &'static str, text: &str) -> Result<String, Refusal> {
    let found = text.chars().count();
    if found > MAX_TEXT {
        return Err(Refusal::Long { what, found });
    }
    let line = one_line(text);
    if line.is_empty() { Err(Refusal::Empty(what)) } else { Ok(line) }
}

fn one_line(text: &str) -> String {
    let plain: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `ServiceDown` as `Service Down`.
fn words(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && words.chars().next_back().is_some_and(char::is_lowercase) {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}
