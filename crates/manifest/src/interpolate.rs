//! `${…}` in texts: references to services, secrets and the environment.

use crate::plan::Part;

/// A reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference<'a> {
    /// `${secret.NAME}`
    Secret(&'a str),
    /// `${services.NAME.url}`
    Url(&'a str),
    /// `${services.NAME.public_url}`
    PublicUrl(&'a str),
    /// `${environment}`
    Environment,
    /// `${domain}`
    Domain,
}

/// What can be referred to, for messages.
pub(crate) const KNOWN: &str = "there are ${secret.NAME}, ${services.NAME.url}, ${services.NAME.public_url}, ${environment} and ${domain}; write $${ for a plain ${";

/// Fills in a text. `resolve` gives what a reference stands for, or what is wrong with it.
pub(crate) fn fill<'a>(
    text: &'a str,
    mut resolve: impl FnMut(Reference<'a>) -> Result<Part, String>,
) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            push(&mut parts, Part::Text(format!("{}{{", &rest[..start])));
            rest = &rest[start + 2..];
            continue;
        }
        push(&mut parts, Part::Text(rest[..start].to_owned()));
        let inner = &rest[start + 2..];
        let end = inner.find('}').ok_or_else(|| format!("\"{}\" is never closed", &rest[start..]))?;
        let reference = parse(&inner[..end]).ok_or_else(|| format!("\"${{{}}}\" is no reference", &inner[..end]))?;
        push(&mut parts, resolve(reference)?);
        rest = &inner[end + 1..];
    }
    push(&mut parts, Part::Text(rest.to_owned()));
    Ok(parts)
}

/// Joins neighbouring texts, so that equal values have equal parts.
fn push(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
        (_, Part::Text(text)) if text.is_empty() => {}
        (_, part) => parts.push(part),
    }
}

fn parse(reference: &str) -> Option<Reference<'_>> {
    match reference {
        "environment" => return Some(Reference::Environment),
        "domain" => return Some(Reference::Domain),
        _ => {}
    }
    if let Some(name) = reference.strip_prefix("secret.") {
        return Some(Reference::Secret(name));
    }
    match reference.strip_prefix("services.")?.rsplit_once('.')? {
        (name, "url") => Some(Reference::Url(name)),
        (name, "public_url") => Some(Reference::PublicUrl(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Vec<Part>, &str>) {
        let filled = fill(text, |reference| match reference {
            Reference::Secret(name) => Ok(Part::Secret(name.to_owned())),
            Reference::Url(name) => Ok(Part::Text(format!("<{name}>"))),
            other => Err(format!("{other:?}")),
        });
        assert_eq!(filled, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn references_are_filled_in() {
        let text = |text: &str| Part::Text(text.to_owned());
        check("plain", Ok(vec![text("plain")]));
        check("", Ok(vec![]));
        check("a ${services.x-y.url} b", Ok(vec![text("a <x-y> b")]));
        check("p:${secret.A}@", Ok(vec![text("p:"), Part::Secret("A".into()), text("@")]));
        check("$${plain} $x", Ok(vec![text("${plain} $x")]));
        check("${open", Err("\"${open\" is never closed"));
        check("${nothing}", Err("\"${nothing}\" is no reference"));
        check("${domain}", Err("Domain"));
    }
}
