//! The text against the shapes: unknown keys, wrong types, and values that are not what they must be.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use ipnet::IpNet;
use toml_edit::{Item, Key as TomlKey, TableLike, Value};

use crate::names;
use crate::problem::Problem;
use crate::shape::{Key, Names, Shape};
use crate::units;

/// Everything in which a table does not conform to its keys.
pub(crate) fn problems(table: &dyn TableLike, keys: &'static [Key]) -> Vec<Problem> {
    let mut problems = Vec::new();
    check_table(table, keys, "", &mut problems);
    problems
}

fn check_table(table: &dyn TableLike, keys: &'static [Key], path: &str, problems: &mut Vec<Problem>) {
    for (name, item) in table.iter() {
        let span = key_span(table.key(name));
        let here = join(path, name);
        if let Some(key) = keys.iter().find(|key| key.name == name) {
            check(item, key.shape, &here, span, problems);
        } else {
            let known = keys.iter().map(|key| key.name);
            let all = known.clone().collect::<Vec<_>>().join(", ");
            let place = if path.is_empty() { "here".to_owned() } else { format!("in [{path}]") };
            let problem = Problem::error(span, format!("unknown key \"{name}\""));
            problems.push(problem.suggest(name, known, &format!("{place} there may be: {all}")));
        }
    }
}

fn check(item: &Item, shape: Shape, path: &str, key: Option<Range<usize>>, problems: &mut Vec<Problem>) {
    let span = item.span().or(key);
    match shape {
        Shape::Table(keys) => match item.as_table_like() {
            Some(table) => check_table(table, keys, path, problems),
            None => problems.push(wrong_type(span, path, "a table", item)),
        },
        Shape::Map(names, inner) => match item.as_table_like() {
            Some(table) => check_map(table, names, *inner, path, problems),
            None => problems.push(wrong_type(span, path, "a table", item)),
        },
        Shape::List(inner) => match item.as_array() {
            Some(list) => list.iter().for_each(|value| check_value(value, *inner, path, span.as_ref(), problems)),
            None => problems.push(wrong_type(span, path, "a list, such as [\"a\", \"b\"]", item)),
        },
        Shape::Command if item.is_array() => check(item, Shape::List(&Shape::Text), path, span, problems),
        plain => match item.as_value() {
            Some(value) => check_value(value, plain, path, span.as_ref(), problems),
            None => problems.push(wrong_type(span, path, &expected(plain), item)),
        },
    }
}

fn check_map(table: &dyn TableLike, names: Names, inner: Shape, path: &str, problems: &mut Vec<Problem>) {
    for (name, item) in table.iter() {
        let span = key_span(table.key(name));
        let (good, allowed) = match names {
            Names::Name => (names::is_name(name), names::NAME),
            Names::Rule => (names::is_rule(name), names::RULE),
            Names::Variable => (names::is_variable(name), names::VARIABLE),
            Names::UrlPath => (is_url_path(name), "a path that begins with /"),
            Names::Finding => (names::is_finding(name), names::FINDING),
            Names::Header => (names::is_header(name), names::HEADER),
        };
        if !good {
            problems.push(
                Problem::error(span.clone(), format!("\"{name}\" is no name for this")).help(format!("use {allowed}")),
            );
        }
        check(item, inner, &join(path, name), span, problems);
    }
}

fn check_value(value: &Value, shape: Shape, path: &str, near: Option<&Range<usize>>, problems: &mut Vec<Problem>) {
    let span = value.span().or_else(|| near.cloned());
    match shape {
        Shape::Integer(min, max) => match value.as_integer() {
            Some(number) if (min..=max).contains(&number) => {}
            Some(number) => {
                let problem = Problem::error(span, format!("{path} is {number}"));
                problems.push(problem.help(format!("write a number from {min} to {max}")));
            }
            None => problems.push(wrong_type_of(span, path, &expected(shape), value.type_name())),
        },
        // `inf` and `nan` are numbers to TOML.
        Shape::Number if value.is_integer() || value.as_float().is_some_and(f64::is_finite) => {}
        Shape::Number => problems.push(wrong_type_of(span, path, &expected(shape), value.type_name())),
        Shape::Boolean if value.is_bool() => {}
        Shape::Boolean => problems.push(wrong_type_of(span, path, "true or false", value.type_name())),
        textual => match value.as_str() {
            Some(text) => problems.extend(check_text(text, textual, path, span)),
            None => problems.push(wrong_type_of(span, path, &expected(textual), value.type_name())),
        },
    }
}

fn check_text(text: &str, shape: Shape, path: &str, span: Option<Range<usize>>) -> Option<Problem> {
    if text.chars().any(char::is_control) {
        return Some(Problem::error(span, format!("{path} holds a control character")).help("remove it"));
    }
    if let Shape::Word(words) = shape
        && !words.contains(&text)
    {
        let problem = Problem::error(span, format!("{path} is \"{text}\""));
        return Some(problem.suggest(text, words.iter().copied(), &format!("write one of: {}", words.join(", "))));
    }
    let good = match shape {
        Shape::Size => units::size(text).is_some(),
        Shape::Duration => units::duration(text).is_some(),
        Shape::Rate => units::rate(text).is_some(),
        Shape::Share => units::share(text).is_some(),
        Shape::Step => units::step(text).is_some(),
        Shape::Address => text.parse::<SocketAddr>().is_ok(),
        Shape::Network => is_network(text),
        Shape::PortRange => port_range(text).is_some(),
        Shape::Host => names::is_host(text),
        Shape::UrlPath => is_url_path(text),
        Shape::Database => names::is_database(text),
        Shape::Inside => names::is_inside(text),
        Shape::Date => units::is_date(text),
        Shape::Text | Shape::Command => !text.trim().is_empty(),
        _ => true,
    };
    let message = if text.is_empty() { format!("{path} is empty") } else { format!("{path} is \"{text}\"") };
    (!good).then(|| Problem::error(span, message).help(format!("write {}", expected(shape))))
}

fn is_network(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok_and(|range| range.trunc() == range)
}

/// What must be written, in words.
fn expected(shape: Shape) -> String {
    match shape {
        Shape::Text => "a text in quotes".into(),
        Shape::Word(words) => format!("one of: {}", words.join(", ")),
        Shape::Size => units::SIZE.into(),
        Shape::Duration => units::DURATION.into(),
        Shape::Rate => units::RATE.into(),
        Shape::Share => units::SHARE.into(),
        Shape::Step => units::STEP.into(),
        Shape::Address => "an address and a port, such as \"127.0.0.1:8080\"".into(),
        Shape::Network => "an address or the first address of a range, such as \"127.0.0.1\" or \"10.0.0.0/8\"".into(),
        Shape::PortRange => "two ports from 1024 to 65535, such as \"20000-29999\", at least 10 apart".into(),
        Shape::Host => "a host name in lower case, such as \"example.com\"".into(),
        Shape::UrlPath => "a path that begins with /, such as \"/api/health\"".into(),
        Shape::Database => names::DATABASE.into(),
        Shape::Inside => names::INSIDE.into(),
        Shape::Date => units::DATE.into(),
        Shape::Integer(min, max) => format!("a number from {min} to {max}"),
        Shape::Number => "a number, such as 0.5".into(),
        Shape::Boolean => "true or false".into(),
        Shape::Command => "a program and its arguments, such as \"target/release/app --flag\"".into(),
        Shape::List(_) => "a list".into(),
        Shape::Table(_) | Shape::Map(..) => "a table".into(),
    }
}

fn wrong_type(span: Option<Range<usize>>, path: &str, expected: &str, item: &Item) -> Problem {
    wrong_type_of(span, path, expected, item.type_name())
}

fn wrong_type_of(span: Option<Range<usize>>, path: &str, expected: &str, found: &str) -> Problem {
    let article = if found.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    Problem::error(span, format!("{path} is {article} {found}")).help(format!("write {expected}"))
}

fn key_span(key: Option<&TomlKey>) -> Option<Range<usize>> {
    key.and_then(TomlKey::span)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn is_url_path(text: &str) -> bool {
    text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\"<>\\^`{|}".contains(&byte))
}

/// First and last port of `20000-29999`.
pub(crate) fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
    (first >= 1024 && last >= first.checked_add(10)?).then_some((first, last))
}
