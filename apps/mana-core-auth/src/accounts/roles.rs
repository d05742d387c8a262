//! What an account may do beside its one role: names that the manifest gives (`ROLES`). Pure.
//!
//! Services ask for one with [`kit::auth::User::require_role`]; what it opens is theirs to say.

use std::collections::BTreeSet;

use kit::config::{Env, Error};

/// Most names that there may be: all of an account's go into each of its tokens.
const MAX_NAMES: usize = 20;

/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 40;

/// What `ROLES` must hold.
const ALLOWED: &str = "names of roles beside user and admin, of a-z, 0-9 and -, separated by blanks or commas";

/// The names of a stored text.
pub(crate) fn read(stored: &str) -> BTreeSet<String> {
    stored.split_whitespace().map(str::to_owned).collect()
}

fn write(roles: &BTreeSet<String>) -> String {
    roles.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

/// `ROLES`: the names there are.
pub(crate) fn known(env: &Env) -> Result<BTreeSet<String>, Error> {
    let text = env.optional("ROLES").unwrap_or_default();
    let names: BTreeSet<String> = text.split([' ', ',']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let good = |name: &String| {
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        name.len() <= MAX_NAME_BYTES && name.bytes().all(letters) && name != "user" && name != "admin"
    };
    if names.len() > MAX_NAMES || !names.iter().all(good) {
        return Err(Error::Invalid { name: "ROLES".into(), value: text, allowed: ALLOWED.into() });
    }
    Ok(names)
}

/// The stored text after adding and removing; `Err` names what there is no role of. What is no role any more can still be removed.
pub(crate) fn change(
    stored: &str,
    add: &[String],
    remove: &[String],
    known: &BTreeSet<String>,
) -> Result<String, String> {
    let mut roles = read(stored);
    let unknown = add.iter().find(|name| !known.contains(*name));
    if let Some(unknown) =
        unknown.or_else(|| remove.iter().find(|name| !known.contains(*name) && !roles.contains(*name)))
    {
        let names = if known.is_empty() { "none".to_owned() } else { write(known) };
        return Err(format!("{unknown:?} is no role; ROLES names {names}"));
    }
    roles.extend(add.iter().cloned());
    roles.retain(|name| !remove.contains(name));
    Ok(write(&roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        read(text).into_iter().collect()
    }

    #[test]
    fn roles_are_added_and_removed_if_there_are_such() {
        let known = read("billing support");
        let check = |stored: &str, add: &str, remove: &str, expected: Result<&str, &str>| {
            let changed = change(stored, &names(add), &names(remove), &known);
            assert_eq!(changed, expected.map(str::to_owned).map_err(str::to_owned), "{stored:?} {add:?} {remove:?}");
        };
        check("", "support", "", Ok("support"));
        check("support", "support billing", "", Ok("billing support"));
        check("support billing", "", "support", Ok("billing"));
        check("old", "", "old", Ok(""));
        check("", "suport", "", Err("\"suport\" is no role; ROLES names billing support"));
        check("", "", "old", Err("\"old\" is no role; ROLES names billing support"));
        let none = change("", &names("support"), &[], &BTreeSet::new());
        assert_eq!(none, Err("\"support\" is no role; ROLES names none".to_owned()));
    }

    #[test]
    fn names_are_names() {
        let read = |text: &str| known(&Env::table([("ROLES", text)]));
        assert_eq!(read("support, billing").unwrap().len(), 2);
        assert!(read("").unwrap().is_empty());
        for wrong in ["admin", "user", "Support", "a_b", &"x".repeat(41)] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
