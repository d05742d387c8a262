//! Keys of what is watched beside the services, and of who is told what was measured.

use super::{ENVIRONMENTS, Key, Names, Shape, key};

/// `[dependencies.NAME]`.
pub(super) const DEPENDENCY: &[Key] = &[
    key(
        "url",
        Shape::Text,
        "What is asked: https://…, tcp://HOST:PORT, postgres://… or redis://…. ${secret.NAME} is filled in.",
    ),
    key("status", Shape::Integer(100, 599), "The status that says it is well; where absent, any below 500 but 429."),
    key("interval", Shape::Duration, "How often it is asked, 10s to 2m; every 10s where absent."),
    key("timeout", Shape::Duration, "How long it may take, 100ms to 8s; 5s where absent."),
    key("environments", Shape::List(&Shape::Word(ENVIRONMENTS)), "Where it is needed; everywhere where absent."),
];

/// `[watch]`.
pub(super) const WATCH: &[Key] = &[
    key("remote_write", Shape::Table(REMOTE_WRITE), "Where everything that is measured is sent to besides."),
    key("heartbeat", Shape::Table(HEARTBEAT), "Who is told that mana itself watches: when it stops, they wake people."),
    key("environments", Shape::List(&Shape::Word(ENVIRONMENTS)), "Where both are done; everywhere where absent."),
];

const REMOTE_WRITE: &[Key] = &[
    key("url", Shape::Text, "A receiver of Prometheus' remote_write. ${secret.NAME} is filled in."),
    key(
        "headers",
        Shape::Map(Names::Header, &Shape::Text),
        "Header fields that are sent along, such as authorization = \"Bearer ${secret.NAME}\".",
    ),
];

const HEARTBEAT: &[Key] = &[
    key("url", Shape::Text, "What is asked with GET. ${secret.NAME} is filled in."),
    key("every", Shape::Duration, "How often, 10s to 1h; every minute where absent."),
];
