//! Keys of builds and of the releases that come of them.

use super::{Key, Names, Shape, key};

/// Processors of the largest machine that is thought of.
const MAX_PROCESSORS: i64 = 1024;

/// `[services.NAME.build]`.
pub(super) const BUILD: &[Key] = &[
    key(
        "command",
        Shape::Command,
        "What makes the artefact, in a clean checkout of the commit, in the manifest's folder. Not run by a shell; nothing is run where absent.",
    ),
    key(
        "artefact",
        Shape::List(&Shape::Inside),
        "Files and folders that are the release; the service's program or folder where absent.",
    ),
    key(
        "migrations",
        Shape::Inside,
        "Folder of the SQL files that bring its database up to date; part of the release.",
    ),
    key(
        "checks",
        Shape::Map(Names::Name, &Shape::Command),
        "What has to succeed before it is deployed, by name; run beside each other by `mana test`.",
    ),
    key("env", Shape::Map(Names::Variable, &Shape::Text), "Environment variables of the command and of the checks."),
    key(
        "cache",
        Shape::List(&Shape::Inside),
        "Folders that are kept from one build to the next, which makes builds fast; [\"target\", \"node_modules\"] where absent.",
    ),
    key(
        "lockfiles",
        Shape::List(&Shape::Inside),
        "Cargo.lock and package-lock.json files that say what it depends on; those in the manifest's folder where absent.",
    ),
    key(
        "package",
        Shape::Text,
        "The package of Cargo.lock that it is built of; the one with its program's name where absent, else all.",
    ),
    key("cpu", Shape::Integer(1, MAX_PROCESSORS), "Processors that command and checks may use; all where absent."),
    key("memory", Shape::Size, "Memory that command and checks may use; three quarters of the machine's where absent."),
    key("timeout", Shape::Duration, "Longest time for the command; 30m where absent."),
    key("check_timeout", Shape::Duration, "Longest time for each check; 15m where absent."),
];

/// `[releases]`.
pub(super) const RELEASES: &[Key] = &[
    key(
        "keep",
        Shape::Integer(1, 1000),
        "Releases of each service that are kept, beside those in use; 10 where absent.",
    ),
    key(
        "advisories",
        Shape::List(&Shape::Text),
        "Known vulnerabilities, OSV (JSON) or RustSec: folders, or git repositories by URL (https://github.com/rustsec/advisory-db), which are fetched into the data folder before each scan. [] for none; where absent, only development builds without.",
    ),
    key(
        "advisories_max_age",
        Shape::Duration,
        "Oldest that the newest of them may be before nothing passes the scan any more; 7d where absent.",
    ),
    key(
        "accepted",
        Shape::Map(Names::Finding, &Shape::Table(ACCEPTED)),
        "Findings of the scan that stop nothing for a while, by the id that the scan shows.",
    ),
];

const ACCEPTED: &[Key] = &[
    key("reason", Shape::Text, "Why it does no harm here."),
    key("until", Shape::Date, "Last day on which it is accepted, such as \"2026-12-31\"."),
    key("services", Shape::List(&Shape::Text), "Services it is accepted for; all where absent."),
];
