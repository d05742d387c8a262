//! Second factors: codes of an app that change every 30 seconds (RFC 6238), and codes for when the app is lost.
//!
//! Each code is taken once. An app's secret is sealed at rest; of recovery codes only hashes are kept.

pub(crate) mod routes;
pub(crate) mod store;

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use kit::{Problem, clock};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use totp_rs::{Algorithm, Builder, Secret, Totp};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::App;
use crate::entity::user::Model;
use crate::{sessions, tickets};

/// As any app does them: SHA-1, six digits, 30 seconds; one step early or late is good.
const DIGITS: u8 = 6;
const STEP_S: u64 = 30;
const SKEW: u16 = 1;
/// Recovery codes that somebody gets.
const CODES: usize = 10;
/// Of each: 80 bits, which nobody guesses.
const CODE_BYTES: usize = 10;

/// What a ticket of this kind is called.
const TICKET: &str = "second factor";

/// What the first factor gives where there is a second one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecondStep {
    /// To be sent with a code to `/api/auth/login/second-factor`.
    ticket: String,
    /// What counts there: `totp`, `recovery`.
    methods: Vec<String>,
    /// Seconds until the ticket is too old.
    expires_in: u64,
}

/// Who is on their way in.
#[derive(Debug, Serialize, Deserialize)]
struct Entering {
    user: Uuid,
    app_id: String,
    /// Changes with the password, which ends what was begun with the old one.
    password: String,
}

fn fingerprint(user: &Model) -> String {
    hex::encode(&Sha256::digest(&user.password_hash)[..8])
}

/// Lets somebody in who has shown the first factor: 200 with tokens, or 202 with a ticket where a second one is asked for.
pub(crate) async fn admit(
    app: &Arc<App>,
    user: &Model,
    app_id: &str,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    sessions::require_open(user)?;
    let now = clock::now();
    if store::active(&*app.database, user.id).await?.is_none() {
        return Ok(axum::Json(sessions::sign_in(app, user, app_id, headers, now).await?).into_response());
    }
    let entering = Entering { user: user.id, app_id: app_id.to_owned(), password: fingerprint(user) };
    let step = SecondStep {
        ticket: tickets::issue(&app.secrets, TICKET, entering, now),
        methods: vec!["totp".to_owned(), "recovery".to_owned()],
        expires_in: tickets::TICKET_LIFE.as_secs(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(step)).into_response())
}

/// A new secret, in base 32.
fn new_secret() -> String {
    Secret::from(rand::random::<[u8; 20]>().to_vec()).to_base32()
}

/// New recovery codes: `abcd-efgh-ijkl-mnop`.
fn new_recovery_codes() -> Vec<String> {
    let code = || as_recovery_code(&Secret::from(rand::random::<[u8; CODE_BYTES]>().to_vec()).to_base32());
    (0..CODES).map(|_| code()).collect()
}

/// A recovery code as it was given, however it is typed.
fn as_recovery_code(typed: &str) -> String {
    let letters: Vec<char> = typed.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

fn recovery_hash(code: &str) -> String {
    hex::encode(Sha256::digest(code))
}

fn totp(secret: &str) -> Option<Totp> {
    let secret = Secret::try_from_base32(secret).ok()?;
    let totp = Builder::new().with_algorithm(Algorithm::SHA1).with_digits(DIGITS).with_skew(SKEW);
    totp.with_step_duration(STEP_S).with_secret(secret).build().ok()
}

/// The step that a code is of, if it is of now or next to it.
fn step(secret: &str, typed: &str, now_s: i64) -> Option<i64> {
    let digits: String = typed.chars().filter(|c| !c.is_whitespace()).collect();
    let step = totp(secret)?.check(&digits, u64::try_from(now_s).ok()?)?;
    i64::try_from(step).ok()
}

/// The code that an app shows.
#[cfg(feature = "testing")]
pub(crate) fn code_now(secret: &str, now_s: i64) -> Option<String> {
    Some(totp(secret)?.generate(u64::try_from(now_s).ok()?).to_string())
}

/// What an app reads: `otpauth://totp/…`.
fn link(secret: &str, issuer: &str, email: &str) -> String {
    let encode = |text: &str| -> String {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        text.bytes()
            .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    let issuer = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let (issuer, email) = (encode(issuer), encode(email));
    format!(
        "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `12345678901234567890`, the secret of RFC 6238's examples.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    #[test]
    fn codes_are_those_of_the_standard_for_a_moment_before_and_after() {
        // RFC 6238, appendix B, the last six digits.
        for (at, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            assert_eq!(step(SECRET, code, at), Some(at / 30), "{at}");
        }
        assert_eq!(step(SECRET, "287 082", 59), Some(1), "typed as the app shows it");
        assert_eq!((step(SECRET, "287082", 89), step(SECRET, "287082", 90)), (Some(1), None));
        for wrong in ["", "287083", "28708", "2870820", "abcdef"] {
            assert_eq!(step(SECRET, wrong, 59), None, "{wrong}");
        }
    }

    #[test]
    fn recovery_codes_differ_and_are_read_however_typed() {
        let codes = new_recovery_codes();
        let distinct: std::collections::BTreeSet<&String> = codes.iter().collect();
        assert_eq!((codes.len(), distinct.len()), (CODES, CODES));
        assert!(codes.iter().all(|code| code.len() == 19 && as_recovery_code(&code.to_uppercase()) == *code));
        assert_eq!(as_recovery_code(" ABCD efgh-ijklmnop "), "abcd-efgh-ijkl-mnop");
    }

    #[test]
    fn an_app_reads_the_link() {
        assert_eq!(
            link(SECRET, "https://auth.example.org", "ada+x@example.com"),
            format!(
                "otpauth://totp/auth.example.org:ada%2Bx%40example.com?secret={SECRET}&issuer=auth.example.org&algorithm=SHA1&digits=6&period=30"
            )
        );
    }
}
