//! Incidents as operators see them.

use mana_watch::alert::Span;
use mana_watch::incident::{Affected, Done, FOLLOW_UPS, Incident, Incidents, announcement, post_mortem};

use super::alerts_view::time;
use crate::api::{FollowUpView, IncidentView, TimelineEntry};

/// All that are known, the newest first.
pub(super) fn incidents(incidents: &Incidents) -> Vec<IncidentView> {
    incidents.iter().rev().map(view).collect()
}

pub(crate) fn view(incident: &Incident) -> IncidentView {
    IncidentView {
        number: incident.number,
        title: incident.title.clone(),
        titled: incident.is_titled(),
        severity: incident.severity.as_str().to_owned(),
        status: incident.status().as_str().to_owned(),
        subjects: incident.subjects.iter().cloned().collect(),
        began_at: time(incident.began_at),
        detected_at: time(incident.detected_at),
        recovered_at: incident.recovered_at.map(time),
        resolved_at: incident.resolved_at.map(time),
        to_detect_ms: incident.to_detect().millis(),
        to_recover_ms: incident.to_recover().map(Span::millis),
        affected: incident.affected.as_ref().map(affected),
        impact: incident.impact.clone(),
        cause: incident.cause.clone(),
        actions: incident.actions.clone(),
        follow_ups: FOLLOW_UPS
            .iter()
            .zip(&incident.follow_ups)
            .map(|(point, done)| follow_up(point, done.as_ref()))
            .collect(),
        timeline: incident
            .timeline
            .iter()
            .map(|entry| TimelineEntry {
                at: time(entry.at),
                kind: entry.kind,
                text: entry.text.clone(),
                by: entry.by.clone(),
                status: entry.status,
            })
            .collect(),
        left_out: incident.left_out,
        announcement: announcement(incident),
        post_mortem: post_mortem(incident),
    }
}

fn affected(Affected { users, of, .. }: &Affected) -> String {
    format!("{users} {of}")
}

fn follow_up(point: &str, done: Option<&Done>) -> FollowUpView {
    FollowUpView {
        point: point.to_owned(),
        done_at: done.map(|done| time(done.at)),
        done_by: done.and_then(|done| done.by.clone()),
    }
}
