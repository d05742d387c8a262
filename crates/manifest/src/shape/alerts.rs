//! Keys of rules and objectives.

use super::{ENVIRONMENTS, Key, Shape, key};

/// `[alerts.NAME]`.
pub(super) const ALERT: &[Key] = &[
    key(
        "expression",
        Shape::Text,
        "PromQL (docs/QUERY.md): whatever it gives is in breach, like `jobs_waiting > 1000`.",
    ),
    key("for", Shape::Duration, "How long that has to last; at once where absent."),
    key("keep_firing_for", Shape::Duration, "How long it has to be well again until it is over."),
    key("severity", Shape::Word(&["P1", "P2", "P3", "P4"]), "How urgent it is: P1 wakes people."),
    key(
        "summary",
        Shape::Text,
        "One line for people, with {{LABEL}}, {{value}}, {{value|percent}}, {{value|seconds}}.",
    ),
    key("runbook", Shape::Text, "A link to what is to be done."),
    key(
        "group_by",
        Shape::List(&Shape::Text),
        "Alerts that are alike in these labels are told together; all of them where absent.",
    ),
    key("path", Shape::Word(&["service", "database", "server", "security"]), "Which path of escalation it takes."),
    key("tell", Shape::List(&Shape::Text), "Channels that are told besides."),
    key("environments", Shape::List(&Shape::Word(ENVIRONMENTS)), "Where it is watched; everywhere where absent."),
];

/// `[services.NAME.slo]`.
pub(super) const SLO: &[Key] = &[
    key("availability", Shape::Share, "Share of requests that must not end in a 5xx, like \"99.9%\"."),
    key("latency", Shape::Share, "Share of requests that have to be answered within `within`."),
    key("within", Shape::Duration, "A border of the edge's histogram, such as 250ms, 500ms or 1s; 500ms where absent."),
    key("window", Shape::Duration, "Over what time; 30d where absent."),
];
