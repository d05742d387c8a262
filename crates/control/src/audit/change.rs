//! What a request asks to be changed, in words, and who writes its row. Pure.
//!
//! To add a call that only writes the memory, or is done by the owner of the state: its line in [`change`], so that its row is written with it.

use std::collections::BTreeMap;

use axum::http::Method;
use jiff::Timestamp;
use mana_watch::alert::Span;
use serde_json::{Value, json};

/// Of what somebody says who decides about a rollout, so many are in the row.
const MOST_COMMENT_CHARACTERS: usize = 1_000;
/// Fields that are looked at by nobody but the call itself.
const UNREAD: [&str; 2] = ["password", "csrf"];

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) what: String,
    pub(super) target: String,
    pub(super) by: By,
}

/// Who writes its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// It is done by writing the memory, and by nothing else.
    Memory,
    /// The owner of the state does it, and writes it with its first write.
    Owner,
    /// It is done elsewhere.
    Others,
}

/// A form's fields by their names, each with the list of its values.
pub(super) fn fields(body: &[u8]) -> Value {
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let read = form_urlencoded::parse(body).filter(|(name, _)| !UNREAD.contains(&name.as_ref()));
    for (name, value) in read {
        fields.entry(name.into_owned()).or_default().push(value.trim().to_owned());
    }
    json!(fields)
}

/// What a request asks to be changed, in words. Only named fields of a body get into it.
pub(super) fn change(method: &Method, path: &str, body: &Value) -> Change {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let texts = |names: &[&str]| {
        let there: Vec<&str> = names.iter().map(|name| text(name)).filter(|text| !text.is_empty()).collect();
        there.join(" ")
    };
    // As a form says it, too.
    let said = |names: &[&str]| {
        let there = names.iter().map(|name| words(body.get(name).unwrap_or(&Value::Null)));
        there.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let path = path.strip_prefix("/api").unwrap_or(path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (what, target) = match (method.as_str(), parts.as_slice()) {
        ("POST", ["v1", "rollouts"]) => ("deploy".to_owned(), texts(&["service", "release"])),
        ("POST", ["v1", "rollouts", number]) => (text("command").to_owned(), rollout(number, body)),
        ("POST", ["rollouts", number, command]) => ((*command).to_owned(), rollout(number, body)),
        ("POST", ["services", service, "put-back"]) => ("roll back".to_owned(), (*service).to_owned()),
        ("POST", ["v1", "put-back"]) => ("roll back".to_owned(), texts(&["service", "slot", "release"])),
        ("POST", ["v1", "apply"]) => ("apply".to_owned(), texts(&["manifest"])),
        ("PUT", ["v1", "releases", service]) => ("bring a release".to_owned(), (*service).to_owned()),
        ("POST", ["v1", "tokens"] | ["tokens"]) => {
            let scopes = body.get("scopes").and_then(Value::as_array).into_iter().flatten();
            let scopes: Vec<&str> = scopes.filter_map(Value::as_str).collect();
            ("make token".to_owned(), format!("{} {}", said(&["name"]), scopes.join(",")))
        }
        ("DELETE", ["v1", "tokens", name]) | ("POST", ["tokens", name, "revoke"]) => {
            ("revoke token".to_owned(), (*name).to_owned())
        }
        ("POST", ["v1", "operators"] | ["operators"]) => ("add operator".to_owned(), said(&["name", "role"])),
        ("POST", ["v1", "operators", name]) => of_operator(text("change"), name, &said(&["role", "session"])),
        ("POST", ["operators", name, command]) => of_operator(command, name, &said(&["role", "session"])),
        ("POST", ["v1", "alerting" | "incidents"]) => asked(body),
        ("POST", ["v1", rest @ ..]) => (rest.join("/"), texts(&["service", "name"])),
        ("POST", ["alerts", command]) => (format!("alerts/{command}"), about(body)),
        ("POST", ["hooks", rest @ ..] | rest) => (rest.join("/"), String::new()),
        (method, rest) => (format!("{} {}", method.to_lowercase(), rest.join("/")), String::new()),
    };
    let by = match parts.as_slice() {
        ["v1", "operators", ..] | ["operators" | "login" | "logout" | "invite" | "account", ..] => By::Memory,
        ["v1", "rollouts" | "put-back" | "apply" | "restart" | "down" | "run" | "tokens", ..]
        | ["tokens", ..]
        | ["rollouts", _, _]
        | ["services", _, "put-back"] => By::Owner,
        _ => By::Others,
    };
    Change { what, target, by }
}

/// `role operator`, with whom and what of them.
fn of_operator(command: &str, name: &str, more: &str) -> (String, String) {
    (format!("{command} operator"), [name, more].join(" ").trim_end().to_owned())
}

/// A rollout, and what somebody said who decided about it.
fn rollout(number: &str, body: &Value) -> String {
    let comment: String =
        words(body.get("comment").unwrap_or(&Value::Null)).chars().take(MOST_COMMENT_CHARACTERS).collect();
    if comment.is_empty() { format!("rollout {number}") } else { format!("rollout {number}: {comment}") }
}

/// What somebody wants of alerts or of an incident: `silence`, `post`, with what it is about.
fn asked(body: &Value) -> (String, String) {
    let command = body.get("command").unwrap_or(&Value::Null);
    let Some((name, said)) = command.as_object().and_then(|object| object.iter().next()) else {
        return (command.as_str().unwrap_or("alerting").to_owned(), "alerts".to_owned());
    };
    (name.replace('_', " "), about(said))
}

/// What is to be silenced, looked after or ended, for how long and why: `service=chat for 2h: a new disk`, `3: restarting it`.
fn about(said: &Value) -> String {
    let words = |name: &str| words(said.get(name).unwrap_or(&Value::Null));
    let span = |name: &str| said.get(name).and_then(Value::as_u64).map(|ms| Span::from_millis(ms).to_string());
    let from = said.get("from_ms").and_then(Value::as_i64).and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let from = from.map_or_else(|| words("from"), |from| from.to_string());
    let hold = span("for_ms").unwrap_or_else(|| words("for"));
    let mut text = ["group", "number", "conditions", "services"].map(words).to_vec();
    let times = [("from", from), ("for", hold)].into_iter().filter(|(_, value)| !value.is_empty());
    text.extend(times.map(|(name, value)| format!("{name} {value}")));
    text.retain(|part| !part.is_empty());
    // The dashboard's form has a comment for each group.
    let of_group = words(&format!("comment-{}", words("group")));
    let why = [words("reason"), words("comment"), of_group].concat();
    let text = text.join(" ");
    if why.is_empty() { text } else { format!("{text}: {why}") }
}

/// A number, a text, a condition on a label, or several of them.
fn words(value: &Value) -> String {
    let part = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(words).filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" "),
        Value::Object(_) => [part("label"), part("is"), part("value")].concat(),
        Value::Null | Value::Bool(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_it_writes_its_row() {
        for (path, by) in [
            ("/v1/operators/bob", By::Memory),
            ("/account/password", By::Memory),
            ("/operators/bob/role", By::Memory),
            ("/tokens", By::Owner),
            ("/tokens/ci/revoke", By::Owner),
            ("/v1/down", By::Owner),
            ("/api/v1/rollouts/7", By::Owner),
            ("/rollouts/7/abort", By::Owner),
            ("/services/chat/put-back", By::Owner),
            ("/v1/incidents", By::Others),
            ("/alerts/silence", By::Others),
            ("/hooks/push", By::Others),
            ("/v1/what-comes-later", By::Others),
        ] {
            assert_eq!(change(&Method::POST, path, &Value::Null).by, by, "{path}");
        }
    }

    #[test]
    fn a_change_is_said_in_words_and_holds_nothing_but_names() {
        let check = |method: Method, path: &str, body: Value, what: &str, target: &str| {
            let found = change(&method, path, &body);
            assert_eq!((found.what.as_str(), found.target.as_str()), (what, target), "{path}");
        };
        let post = Method::POST;
        let deploy = json!({"service": "chat", "release": "v1", "secret": "x"});
        check(post.clone(), "/api/v1/rollouts", deploy, "deploy", "chat v1");
        check(post.clone(), "/v1/rollouts/7", json!({"command": "approve", "digest": "d"}), "approve", "rollout 7");
        let commented = json!({"command": "reject", "comment": "not on a Friday", "by": "bob"});
        check(post.clone(), "/v1/rollouts/7", commented, "reject", "rollout 7: not on a Friday");
        let form = |text: &str| fields(text.as_bytes());
        let rejected = form("csrf=secret&digest=d&comment=+not+on+a+Friday+");
        check(post.clone(), "/rollouts/7/reject", rejected, "reject", "rollout 7: not on a Friday");
        let long = json!({"command": "approve", "comment": "x".repeat(5_000)});
        let bounded = format!("rollout 7: {}", "x".repeat(MOST_COMMENT_CHARACTERS));
        check(post.clone(), "/v1/rollouts/7", long, "approve", &bounded);
        check(post.clone(), "/rollouts/7/abort", form("csrf=secret&digest=d"), "abort", "rollout 7");
        check(post.clone(), "/services/chat/put-back", Value::Null, "roll back", "chat");
        check(post.clone(), "/v1/put-back", json!({"service": "chat", "slot": null}), "roll back", "chat");
        check(
            post.clone(),
            "/v1/tokens",
            json!({"name": "ci", "scopes": ["read", "deploy"]}),
            "make token",
            "ci read,deploy",
        );
        check(
            post.clone(),
            "/v1/operators/bob",
            json!({"change": "role", "role": "admin"}),
            "role operator",
            "bob admin",
        );
        check(post.clone(), "/v1/operators/bob", json!({"change": "disable"}), "disable operator", "bob");
        // Pages say the same in forms, and their passwords are nobody's to read.
        let sent = |text: &str| form(&format!("csrf=secret&password=secret&{text}"));
        assert_eq!(sent("role=admin"), json!({"role": ["admin"]}));
        check(post.clone(), "/operators", sent("name=bob&role=viewer"), "add operator", "bob viewer");
        check(post.clone(), "/operators/bob/role", sent("role=admin"), "role operator", "bob admin");
        check(post.clone(), "/operators/bob/disable", sent(""), "disable operator", "bob");
        check(post.clone(), "/operators/bob/revoke", sent("session=5d41"), "revoke operator", "bob 5d41");
        check(
            post.clone(),
            "/tokens",
            sent("name=ci&scopes=read&scopes=deploy&days=7"),
            "make token",
            "ci read,deploy",
        );
        check(post.clone(), "/tokens/ci/revoke", sent(""), "revoke token", "ci");
        check(post.clone(), "/api/v1/silences", json!({"name": "chat-p95"}), "silences", "chat-p95");
        check(post.clone(), "/v1/edge", json!("back"), "edge", "");
        let posted = json!({"by": "ana", "command": {"post": {"number": 3, "text": "secret words"}}});
        check(post.clone(), "/api/v1/incidents", posted, "post", "3");
        check(post.clone(), "/v1/alerting", json!({"by": "ana", "command": "test"}), "test", "alerts");
        let silence = json!({"by": "ana", "command": {"silence": {
            "conditions": [{"label": "service", "is": "=", "value": "chat"}, {"label": "severity", "is": "=~", "value": "P3|P4"}],
            "for_ms": 7_200_000, "reason": "a new disk",
        }}});
        check(post.clone(), "/v1/alerting", silence, "silence", "service=chat severity=~P3|P4 for 2h: a new disk");
        let looked_after = json!({"command": {"acknowledge": {"group": 3, "comment": "", "for_ms": null}}});
        check(post.clone(), "/v1/alerting", looked_after, "acknowledge", "3");
        let planned = json!({"command": {"maintenance": {
            "services": ["chat", "auth"], "from_ms": 0, "for_ms": 60_000, "reason": "a larger machine",
        }}});
        let target = "chat auth from 1970-01-01T00:00:00Z for 1m: a larger machine";
        check(post.clone(), "/v1/alerting", planned, "maintenance", target);
        let silence = form("csrf=secret&conditions=service%3Dchat+severity%3D~P3&for=2h&reason=a+new+disk");
        let target = "service=chat severity=~P3 for 2h: a new disk";
        check(post.clone(), "/alerts/silence", silence, "alerts/silence", target);
        let looked_after = form("csrf=secret&comment-2=&comment-3=+restarting+it+&group=3");
        check(post.clone(), "/alerts/acknowledge", looked_after, "alerts/acknowledge", "3: restarting it");
        let planned = form("services=chat&services=auth&from=&for=30m&reason=x");
        check(post.clone(), "/alerts/maintenance", planned, "alerts/maintenance", "chat auth for 30m: x");
        check(post.clone(), "/alerts/test", form("csrf=secret"), "alerts/test", "");
        check(post.clone(), "/account/password", Value::Null, "account/password", "");
        check(Method::DELETE, "/v1/tokens/ci", Value::Null, "revoke token", "ci");
        check(Method::DELETE, "/api/v1/silences/3", Value::Null, "delete v1/silences/3", "");
        check(Method::PUT, "/api/v1/releases/chat", Value::Null, "bring a release", "chat");
    }
}
