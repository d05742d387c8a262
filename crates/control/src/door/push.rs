//! The repository was pushed to: as GitHub, Gitea and Forgejo say it, and as a hook of one's own can.
//!
//! `POST /hooks/push` with `X-Hub-Signature-256: sha256=HEX`, the HMAC-SHA256 of the body under `push_secret`, and in the body
//! `{"ref": "refs/heads/main", "after": "COMMIT"}`. Every service whose `on_push` is that branch gets a rollout; the same push said twice
//! is the same rollout.

use std::path::PathBuf;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use hmac::{Hmac, KeyInit, Mac};
use mana_release::source;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sha2::Sha256;

use crate::api::{Deploy, RolloutView};
use crate::audit::Said;
use crate::server::{App, Refused, ask, problem};
use crate::supervisor::Call;

/// GitHub's own limit is 25 MiB; a push of a thousand commits has a tenth of this.
pub(super) const MAX_BYTES: usize = 8 << 20;
const HEADER: &str = "x-hub-signature-256";
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
    after: String,
    #[serde(default)]
    deleted: bool,
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
    let is_commit = (40..=64).contains(&push.after.len()) && push.after.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_commit {
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
        let request = Deploy {
            key: Some(format!("push/{service}/{}", push.after)),
            service,
            release: Some(push.after.clone()),
            by: OPERATOR.to_owned(),
            // What was pushed before is in it.
            supersede: true,
            pause_at: None,
            overrides: Vec::new(),
        };
        begun.push(ask(&app, |reply| Call::Deploy { request, reply }).await?);
    }
    let target = begun.iter().map(|view| view.service.as_str()).collect::<Vec<_>>().join(", ");
    let said = Said { who: OPERATOR.to_owned(), target: Some(target), outcome: None };
    Ok((Extension(said), Json(begun)).into_response())
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
}
