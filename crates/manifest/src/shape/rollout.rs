//! Keys of how a release gets into an environment.

use super::{Key, Names, Shape, key};

/// `[services.NAME.rollout.gates.GATE]`.
const GATE: &[Key] = &[
    key(
        "query",
        Shape::Text,
        "PromQL (docs/QUERY.md) that gives one value. In it $slot is the new version's slot, and $window how long it has been watched.",
    ),
    key("max", Shape::Number, "The most that it may be."),
    key("min", Shape::Number, "The least that it has to be."),
];

/// `[services.NAME.rollout]`.
pub(super) const ROLLOUT: &[Key] = &[
    key(
        "canary",
        Shape::List(&Shape::Step),
        "Shares of the traffic that the new version has before it gets all, and how long it is watched with each; where absent [\"10% 10m\"] in production and none elsewhere; [] for none.",
    ),
    key(
        "warm",
        Shape::Duration,
        "How long the old version stays ready to take everything back; where absent 1h in production and \"0s\", not at all, elsewhere.",
    ),
    key(
        "guard",
        Shape::Duration,
        "What the gate judges at a time while the old version is warm, a day at most; 10m where absent, `warm` where that is shorter.",
    ),
    key("errors", Shape::Share, "Highest share of errors; 1% where absent."),
    key("slow", Shape::Duration, "An answer that takes longer is slow; 1s where absent."),
    key("slow_share", Shape::Share, "Highest share of slow answers; 5% where absent."),
    key(
        "requests",
        Shape::Integer(1, 1_000_000_000),
        "So many requests have to be seen, or the new version does not go on; 100 where absent.",
    ),
    key(
        "longest",
        Shape::Duration,
        "Longest time to wait for a verdict, for each step of the canary; 30m where absent.",
    ),
    key(
        "strict",
        Shape::Boolean,
        "Whether the share of errors has to be below its limit with 95 % confidence; false where absent.",
    ),
    key(
        "gates",
        Shape::Map(Names::Name, &Shape::Table(GATE)),
        "Limits of one's own, by any name, for whatever is measured: looked at with the requests. A value that is not there passes nothing.",
    ),
    key(
        "on_breach",
        Shape::Word(&["switch-back", "ask"]),
        "What a breach does while the old version is warm: everything back at once (where absent), or a person is asked.",
    ),
    key(
        "approvers",
        Shape::List(&Shape::Text),
        "Who has to say yes before production traffic moves, one of them; [] for any operator. Nobody is asked where absent.",
    ),
    key("approval_expiry", Shape::Duration, "How long an approval is waited for; 24h where absent."),
    key(
        "staging",
        Shape::Boolean,
        "Whether it is brought into staging first, and its smoke tests run there; in production true where absent and there is [environments.staging].",
    ),
    key("on_push", Shape::Text, "Branch whose pushes are deployed: \"main\". None where absent."),
    key(
        "starter_may_approve",
        Shape::Boolean,
        "Whether the one who started a rollout may approve it; false where absent.",
    ),
];
