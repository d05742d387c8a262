//! Statements that their first word gives away, whether the parser knows them or not.

use crate::migration::rule::Rule;
use crate::migration::verdict::Refusal;

/// What is never judged any further.
pub(super) fn refusal(opening: &[String]) -> Option<Refusal> {
    let first = opening.first()?.as_str();
    let rule = match first {
        "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release" | "prepare" => {
            Rule::Transaction
        }
        "set" | "reset" | "discard" | "show" | "pragma" | "attach" | "detach" | "use" | "listen" | "unlisten"
        | "notify" | "deallocate" | "execute" | "load" | "declare" | "fetch" | "move" | "close" => Rule::Session,
        "vacuum" | "analyze" | "analyse" | "reindex" | "cluster" | "checkpoint" | "explain" | "refresh" => {
            Rule::Maintenance
        }
        "copy" => Rule::Copy,
        "do" | "call" => Rule::Procedure,
        "lock" => Rule::Locks,
        "revoke" | "reassign" | "security" => Rule::Privileges,
        "truncate" | "merge" | "replace" => Rule::ChangesData,
        _ => return None,
    };
    Some(Refusal::new(rule, format!("{} is refused in a migration", first.to_uppercase())))
}

/// Advice for what the parser does not know fits better by the first word.
pub(super) fn rule_of_unparsed(opening: &[String]) -> Rule {
    match opening.first().map(String::as_str) {
        Some("drop") => Rule::DropsObject,
        _ => Rule::Unparsed,
    }
}
