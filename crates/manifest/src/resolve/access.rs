//! Who may ask a service from outside, and when.

use std::time::Duration;

use crate::document::{CorsTable, ServiceKeys, Text};
use crate::plan::{Access, Cors};
use crate::problem::Problem;

/// Longest time that requests wait for a closed service: clients give up after about as long.
const MAX_HOLD: Duration = Duration::from_mins(1);

/// Length of a SHA-256 in hexadecimal.
const DIGEST_DIGITS: usize = 64;

pub(super) fn resolve(keys: &ServiceKeys, problems: &mut Vec<Problem>) -> Access {
    let all = |list: &Option<Vec<Text>>| list.iter().flatten().map(|text| text.value.clone()).collect();
    for digest in keys.access.basic_auth.iter().flatten() {
        let text = &digest.value;
        if text.len() != DIGEST_DIGITS || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            // Not shown: it may be the password itself.
            problems.push(
                Problem::error(digest.span.clone(), "basic_auth holds something that is no SHA-256 in hexadecimal")
                    .help("write what `printf %s NAME:PASSWORD | sha256sum` prints"),
            );
        }
    }
    if let Some(hold) = keys.maintenance.as_ref().filter(|hold| hold.value > MAX_HOLD) {
        problems.push(
            Problem::error(hold.span.clone(), "requests would wait for more than 60s")
                .help("write a shorter time; \"0s\" answers at once"),
        );
    }
    Access {
        allow: all(&keys.access.allow),
        deny: all(&keys.access.deny),
        basic_auth: all(&keys.access.basic_auth),
        cors: keys.cors.as_ref().map(|table| cors(table, problems)),
        maintenance: keys.maintenance.as_ref().map(|hold| hold.value),
        uncompressed: keys.compress.as_ref().is_some_and(|compress| !compress.value),
    }
}

fn cors(table: &CorsTable, problems: &mut Vec<Problem>) -> Cors {
    let all = |list: &[Text]| list.iter().map(|text| text.value.clone()).collect();
    let origins: Vec<String> = all(&table.origins);
    if origins.is_empty() {
        problems.push(
            Problem::error(table.span.clone(), "cors names no origins")
                .help("write origins = [\"https://app.example.org\"], or [\"*\"] for everyone"),
        );
    }
    for origin in &table.origins {
        let text = &origin.value;
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        if text != "*" && !rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', ' '])) {
            problems.push(
                Problem::error(origin.span.clone(), format!("\"{text}\" is no origin"))
                    .help("write scheme and host, such as \"https://app.example.org\", without a path"),
            );
        }
    }
    if origins.iter().any(|origin| origin == "*") && (origins.len() > 1 || table.credentials) {
        problems.push(
            Problem::error(table.span.clone(), "\"*\" stands alone and without credentials")
                .help("name the origins: with cookies, everyone's pages could act for whoever visits them"),
        );
    }
    Cors {
        origins,
        methods: all(&table.methods),
        headers: all(&table.headers),
        expose: all(&table.expose),
        credentials: table.credentials,
    }
}
