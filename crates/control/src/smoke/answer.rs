//! Whether an answer is what has to come, and what is taken out of it. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Answer, Expected};

/// What stands for anything but null.
const ANYTHING: &str = "*";
/// So much of an unexpected body is shown.
const SHOWN_CHARACTERS: usize = 200;

/// What is wrong with it, if something is.
pub(super) fn judge(answer: &Answer, expected: &Expected) -> Result<(), String> {
    if answer.status != expected.status {
        return Err(format!("status {} where {} has to come: {}", answer.status, expected.status, shown(&answer.body)));
    }
    for (name, wanted) in &expected.headers {
        let values = || answer.headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
        if !values().any(|value| value.contains(wanted.as_str())) {
            let found = values().next().map_or_else(|| "is not there".to_owned(), |value| format!("is \"{value}\""));
            return Err(format!("header {name} {found} and has to hold \"{wanted}\""));
        }
    }
    if expected.json.is_empty() {
        return Ok(());
    }
    let json = parsed(answer)?;
    for (place, wanted) in &expected.json {
        let found = at(&json, place);
        if found.as_ref().is_none_or(|found| wanted != ANYTHING && found != wanted) {
            let found = found.map_or_else(|| "nothing".to_owned(), |found| format!("\"{found}\""));
            let wanted = if wanted == ANYTHING { "something".to_owned() } else { format!("\"{wanted}\"") };
            return Err(format!("at {place} stands {found} where {wanted} has to stand"));
        }
    }
    Ok(())
}

/// What later requests use.
pub(super) fn save(answer: &Answer, save: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    if save.is_empty() {
        return Ok(BTreeMap::new());
    }
    let json = parsed(answer)?;
    let value = |(name, place): (&String, &String)| {
        let found = at(&json, place).ok_or_else(|| format!("there is nothing at {place} to be saved as {name}"))?;
        Ok((name.clone(), found))
    };
    save.iter().map(value).collect()
}

fn parsed(answer: &Answer) -> Result<Value, String> {
    serde_json::from_slice(&answer.body).map_err(|error| format!("it is no JSON ({error}): {}", shown(&answer.body)))
}

/// As text; `None`: there is nothing, or null.
fn at(json: &Value, place: &str) -> Option<String> {
    match json.pointer(place)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text: String = text.chars().filter(|letter| !letter.is_control()).take(SHOWN_CHARACTERS).collect();
    if text.is_empty() { "no body".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(change: impl FnOnce(&mut Expected), failure: Option<&str>) {
        let answer = Answer {
            status: 200,
            headers: vec![("content-type".into(), "application/json; charset=utf-8".into())],
            body: br#"{"status":"ok","data":[{"id":7,"none":null}]}"#.to_vec(),
        };
        let mut expected = Expected {
            status: 200,
            headers: BTreeMap::from([("content-type".into(), "application/json".into())]),
            json: BTreeMap::from([
                ("/status".into(), "ok".into()),
                ("/data/0/id".into(), "7".into()),
                ("/data/0".into(), "*".into()),
            ]),
            within: Duration::from_secs(1),
        };
        change(&mut expected);
        let judged = judge(&answer, &expected);
        assert_eq!(judged.is_err(), failure.is_some(), "{judged:?}");
        if let (Err(said), Some(failure)) = (judged, failure) {
            assert!(said.contains(failure), "{said}");
        }
    }

    #[test]
    fn every_expectation_is_held_against_the_answer() {
        check(|_| (), None);
        check(|expected| expected.status = 201, Some("status 200 where 201 has to come: {\"status\":\"ok\""));
        let header = |expected: &mut Expected, name: &str, text: &str| {
            expected.headers.insert(name.into(), text.into());
        };
        check(|expected| header(expected, "content-type", "html"), Some("is \"application/json; charset=utf-8\""));
        check(|expected| header(expected, "x-version", "1"), Some("header x-version is not there"));
        let json = |expected: &mut Expected, place: &str, text: &str| {
            expected.json.insert(place.into(), text.into());
        };
        check(|expected| json(expected, "/status", "bad"), Some("at /status stands \"ok\" where \"bad\" has to stand"));
        check(
            |expected| json(expected, "/data/1", "*"),
            Some("at /data/1 stands nothing where something has to stand"),
        );
        check(|expected| json(expected, "/data/0/none", "*"), Some("stands nothing"));
    }

    #[test]
    fn what_is_saved_has_to_be_there() {
        let answer = Answer { status: 200, headers: Vec::new(), body: br#"{"token":"t","n":1}"#.to_vec() };
        let names = |name: &str, place: &str| BTreeMap::from([(name.to_owned(), place.to_owned())]);
        assert_eq!(save(&answer, &names("token", "/token")), Ok(names("token", "t")));
        assert_eq!(save(&answer, &names("count", "/n")), Ok(names("count", "1")));
        assert!(save(&answer, &names("a", "/none")).is_err());
        let html = Answer { body: b"<p>".to_vec(), ..answer };
        assert!(save(&html, &names("a", "/a")).is_err());
        assert_eq!(save(&html, &BTreeMap::new()), Ok(BTreeMap::new()));
    }
}
