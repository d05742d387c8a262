//! Keys of the status page.

use super::{ENVIRONMENTS, Key, Shape, key};

/// `[status]`.
pub(super) const STATUS: &[Key] = &[
    key("title", Shape::Text, "What stands above it; the ecosystem's name where absent."),
    key("about", Shape::Text, "A line below the title: where to ask for help, say."),
    key(
        "host",
        Shape::Host,
        "Its host: a name below the domain, or (with a dot) a whole host name; `status` where absent.",
    ),
    key("services", Shape::List(&Shape::Text), "What it shows; all services with a public host where absent."),
    key(
        "environments",
        Shape::List(&Shape::Word(ENVIRONMENTS)),
        "Where there is one; everywhere where absent. In development there is one without this table, too.",
    ),
];
