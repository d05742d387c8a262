//! The repository was pushed to: as GitHub, Gitea and Forgejo say it, and as a hook of one's own can.
//!
//! `POST /hooks/push` with `X-Hub-Signature-256: sha256=HEX`, the HMAC-SHA256 of the body under `push_secret`, and in the body
//! `{"ref": "refs/heads/main", "before": "COMMIT", "after": "COMMIT"}`. Every service whose `on_push` is that branch gets a rollout; the
//! same push said twice is the same rollout, unless that was aborted: then it is another one. A push back to an earlier commit says what
//! was before, and when, and is a push of its own.
//!
//! Who pushed, as the host says, and the commit's author are no second person for an approval.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use hmac::{Hmac, KeyInit, Mac};
use mana_delivery::rollout::Stage;
use mana_release::source;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::api::{Deploy, RolloutView};
use crate::audit::Said;
use crate::server::{App, Refused, ask, problem};
use crate::supervisor::Call;

/// GitHub's own limit is 25 MiB; a push of a thousand commits has a tenth of this.
pub(super) const MAX_BYTES: usize = 8 << 20;
const HEADER: &str = "x-hub-signature-256";
/// A push that was aborted may be said so often again; beyond it the last of them is what it led to.
const MOST_AGAIN: usize = 16;
/// Longest name or address that is remembered of whoever pushed; that of an address is 254.
const LONGEST_NAME: usize = 254;
/// Who stands behind what nobody asked for by hand.
const OPERATOR: &str = "push";

/// What is deployed by which branch.
#[derive(Debug)]
pub(crate) struct Watched {
    /// What pushes are signed with.
    pub(crate) secret: SecretString,
    /// The repository.
    pub(crate) folder: PathBuf,
    /// Services with the branch of each.
    pub(crate) services: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
struct Push {
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    before: String,
    #[serde(default)]
    after: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    pusher: Option<Somebody>,
    #[serde(default)]
    sender: Option<Somebody>,
}

/// A person as hosts write them down: each gives some of this.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Somebody {
    login: Option<String>,
    username: Option<String>,
    name: Option<String>,
    full_name: Option<String>,
    email: Option<String>,
}

impl Push {
    /// The names of whoever pushed.
    fn by(&self) -> Vec<String> {
        let people = [&self.pusher, &self.sender].into_iter().flatten();
        let names = people.flat_map(|one| [&one.login, &one.username, &one.name, &one.full_name, &one.email]).flatten();
        let mut names: Vec<String> =
            names.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// What tells it from others of the same service: another push of the same commit says another commit before, or another time.
    fn key(&self, service: &str, body: &[u8]) -> String {
        const DIGITS: usize = 16;
        let before = if is_commit(&self.before) { self.before.as_str() } else { "" };
        let said = hex::encode(Sha256::digest(body));
        format!("push/{service}/{before}..{}/{}", self.after, &said[..DIGITS])
    }
}

fn is_commit(text: &str) -> bool {
    (40..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) async fn pushed(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let watched = ask(&app, Call::Watched).await?;
    if !is_signed(&watched.secret, &headers, &body) {
        return Err(Refused(problem(401, "the signature is not ours", format!("{HEADER} has to be made of the body"))));
    }
    let bad = |why: &str| Refused(problem(422, "this is no push", why.to_owned()));
    // What a host says once, when the hook is made.
    if headers.get("x-github-event").is_some_and(|event| event == "ping") {
        return Ok(nothing());
    }
    let push: Push = serde_json::from_slice(&body).map_err(|error| bad(&error.to_string()))?;
    let Some(branch) = push.reference.strip_prefix("refs/heads/").filter(|_| !push.deleted) else {
        return Ok(nothing());
    };
    let services: Vec<String> =
        watched.services.into_iter().filter(|(_, wanted)| wanted == branch).map(|(service, _)| service).collect();
    if services.is_empty() {
        return Ok(nothing());
    }
    if !is_commit(&push.after) {
        return Err(bad("`after` is no commit"));
    }
    let there = source::fetch(&watched.folder, branch, &push.after).await;
    let there = there.map_err(|error| Refused(problem(502, "the push cannot be fetched", error.to_string())))?;
    if !there {
        let detail = format!("{} is not on the branch {branch}", push.after);
        return Err(Refused(problem(409, "the push is not there", detail)));
    }
    let mut begun = Vec::new();
    for service in services {
        begun.push(deploy(&app, &push, &service, push.key(&service, &body)).await?);
    }
    let target = begun.iter().map(|view| view.service.as_str()).collect::<Vec<_>>().join(", ");
    let said = Said { who: OPERATOR.to_owned(), target: Some(target), outcome: None };
    Ok((Extension(said), Json(begun)).into_response())
}

/// The rollout of that key; of one that was aborted, the one that came of saying it again.
async fn deploy(app: &App, push: &Push, service: &str, key: String) -> Result<RolloutView, Refused> {
    let mut under = key.clone();
    let mut again = 0;
    loop {
        let request = Deploy {
            key: Some(under),
            service: service.to_owned(),
            release: Some(push.after.clone()),
            by: OPERATOR.to_owned(),
            // What was pushed before is in it.
            supersede: true,
            pause_at: None,
            overrides: Vec::new(),
        };
        let pushed_by = Some(push.by());
        let view = ask(app, |reply| Call::Deploy { request, pushed_by, reply }).await?;
        let aborted = view.over && view.stage == Stage::Aborted.name();
        if !aborted || again == MOST_AGAIN {
            return Ok(view);
        }
        again += 1;
        under = format!("{key}/after/{}", view.number);
    }
}

fn nothing() -> Response {
    Json(Vec::<RolloutView>::new()).into_response()
}

fn is_signed(secret: &SecretString, headers: &HeaderMap, body: &[u8]) -> bool {
    let shown = headers.get(HEADER).and_then(|value| value.to_str().ok()?.strip_prefix("sha256="));
    let Some(shown) = shown.and_then(|hex| hex::decode(hex).ok()) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&shown).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_signed_as_github_signs_it() {
        // The example of GitHub's documentation.
        let (secret, body) = (SecretString::from("It's a Secret to Everybody"), b"Hello, World!");
        let header =
            |text: &str| HeaderMap::from_iter([(HEADER.parse().expect("a name"), text.parse().expect("a value"))]);
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(&secret, &header(good), body));
        assert!(!is_signed(&secret, &header(good), b"Hello, World?"));
        assert!(!is_signed(&SecretString::from("other"), &header(good), body));
        assert!(!is_signed(&secret, &header(&good[..40]), body));
        assert!(!is_signed(&secret, &HeaderMap::new(), body));
    }

    fn push(body: &str) -> Push {
        serde_json::from_str(body).expect("a push")
    }

    #[test]
    fn a_push_back_is_another_push_and_the_same_said_twice_is_not() {
        let body = |before: char, after: char, at: u32| {
            let commit = |letter: char| letter.to_string().repeat(40);
            let (before, after) = (commit(before), commit(after));
            format!(r#"{{"ref":"refs/heads/main","before":"{before}","after":"{after}","at":{at}}}"#)
        };
        let key = |body: &str| push(body).key("shop", body.as_bytes());
        let first = body('0', 'a', 1);
        assert_eq!(key(&first), key(&first));
        assert!(key(&first).starts_with(&format!("push/shop/{}..{}/", "0".repeat(40), "a".repeat(40))));
        let all = [first, body('a', 'b', 2), body('b', 'a', 3), body('a', 'b', 4)].map(|body| key(&body));
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        let odd = push(r#"{"ref":"refs/heads/main","before":"no commit","after":"b"}"#);
        assert!(odd.key("shop", b"").starts_with("push/shop/..b/"), "a stranger's text is no part of it");
    }

    #[test]
    fn who_pushed_is_known_by_all_that_a_host_says() {
        let github = push(
            r#"{"ref":"refs/heads/main","pusher":{"name":"ada","email":"ada@example.org"},"sender":{"login":"ada","id":7}}"#,
        );
        assert_eq!(github.by(), ["ada", "ada@example.org"]);
        let gitea = push(
            r#"{"ref":"refs/heads/main","pusher":{"login":"ada","username":"ada","full_name":"Ada L.","email":""},"sender":null}"#,
        );
        assert_eq!(gitea.by(), ["Ada L.", "ada"]);
        assert!(push(r#"{"ref":"refs/heads/main"}"#).by().is_empty());
    }
}
