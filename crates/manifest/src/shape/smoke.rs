//! Keys of smoke tests.

use super::{Key, Names, Shape, key};

/// `[services.NAME.smoke.TEST]`.
pub(super) const SMOKE: &[Key] = &[
    key("request", Shape::Text, "Method and path, such as \"GET /api/health\"."),
    key("service", Shape::Text, "The service that is asked; the one it is a test of where absent."),
    key("send", Shape::Map(Names::Header, &Shape::Text), "Header fields that are sent; may hold ${secret.NAME}."),
    key(
        "body",
        Shape::Text,
        "Body that is sent, as JSON where `send` has no content-type. In path, `send` and body, {unique} is another word in each run, and {NAME} what an earlier test saved under that name.",
    ),
    key("status", Shape::Integer(100, 599), "The status that has to come; 200 where absent."),
    key(
        "headers",
        Shape::Map(Names::Header, &Shape::Text),
        "Header fields of the answer, and the text that each has to hold.",
    ),
    key(
        "json",
        Shape::Map(Names::UrlPath, &Shape::Text),
        "What has to stand at these places of the answer (JSON pointers: /data/0/id); \"*\" is anything but null.",
    ),
    key("within", Shape::Duration, "Longest time to the end of the answer; 10s where absent."),
    key(
        "save",
        Shape::Map(Names::Name, &Shape::UrlPath),
        "Names for what stands at these places of the answer, for the tests after it.",
    ),
];
