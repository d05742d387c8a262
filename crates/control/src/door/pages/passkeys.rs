//! Passkeys: making one, using one to log in, and taking one away. The browser makes and uses them by a script (`assets/passkeys.js`), which asks
//! for what to sign and puts what comes of it into an ordinary form.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Form, Json};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::super::person::Person;
use super::account::{confirm, session, shown, unconfirmed};
use super::login::{self, UNKNOWN};
use super::{Visit, local};
use crate::audit::{self, Said};
use crate::clock;
use crate::people::Tries;
use crate::people::passkey::{self, Assertion, Creation, Party};
use crate::server::{App, Refused, problem, remember};
use crate::store::{Changed, NewSession, PasskeyRow};

/// What challenges are for.
const MAKING: &str = "make";
const USING: &str = "use";
/// Longest name of one, in characters.
const LONGEST_NAME: usize = 60;

fn party(visit: &Visit) -> Result<Party, Refused> {
    let nameless =
        || Refused(problem(409, "there are no passkeys here", "browsers make none for a site without a name".into()));
    Party::of(&visit.site.origin).ok_or_else(nameless)
}

/// `GET /login/passkey`: what a browser is to sign. It is good for this browser alone.
pub(super) async fn ask(State(app): State<App>, Extension(visit): Extension<Visit>) -> Result<Json<Value>, Refused> {
    Ok(Json(party(&visit)?.request(&app.gate.challenge(&[USING, &visit.form_token]))))
}

#[derive(Deserialize)]
pub(super) struct Used {
    challenge: String,
    /// `credential.toJSON()`.
    credential: String,
    #[serde(default)]
    next: String,
}

/// `POST /login/passkey`. No second factor is asked for: the device has verified its owner.
pub(super) async fn log_in(
    State(app): State<App>,
    Extension(visit): Extension<Visit>,
    Form(Used { challenge, credential, next }): Form<Used>,
) -> Result<Response, Refused> {
    let tries = Tries::passkey(&visit.address);
    if let Err(wait_s) = app.gate.take(&tries) {
        tracing::warn!(address = visit.address, wait_s, "too many tries to log in by a passkey");
        return Ok(login::too_many(&visit, "", &next, wait_s));
    }
    let (who, holds) = match used(&app, &visit, &challenge, &credential).await? {
        Ok((key, count)) => (key.operator.clone(), Ok((key, count))),
        Err((who, why)) => (who.unwrap_or_else(|| UNKNOWN.to_owned()), Err(why)),
    };
    let failed = |why: &str| {
        let said = Said { who: who.clone(), target: None, outcome: Some(format!("refused: {why}")) };
        let fault = "This passkey opens no account here, or it took too long. Try again, or log in by your password.";
        (Extension(said), login::shown(&visit, StatusCode::UNAUTHORIZED, "", &next, Some(fault))).into_response()
    };
    let (key, count) = match holds {
        Ok(holds) => holds,
        Err(why) => return Ok(failed(&why)),
    };
    let new = NewSession {
        id: clock::secret(),
        operator: key.operator.clone(),
        address: visit.address.clone(),
        agent: visit.agent.clone(),
    };
    let (id, before, now) = (new.id.clone(), visit.cookies.session.clone(), clock::timestamp().as_second());
    audit::begins(&app, &who).await?;
    let let_in = remember(&app, move |store| {
        let disabled = store.operator(&key.operator)?.is_none_or(|operator| operator.view.disabled);
        if disabled || store.use_passkey(&key, count, now)? == Changed::No {
            return Ok(false);
        }
        login::begin(store, &new, before.as_deref(), now).map(|()| true)
    });
    if !let_in.await? {
        return Ok(failed("kept out, or the passkey is gone"));
    }
    app.gate.give_back(&tries);
    Ok(login::begun(&visit, &id, who, local(&next)))
}

/// The passkey that was used, and its new count; or whose it is as far as that is known, and why it does not count.
type Outcome = Result<(PasskeyRow, i64), (Option<String>, String)>;

async fn used(app: &App, visit: &Visit, challenge: &str, credential: &str) -> Result<Outcome, Refused> {
    let party = party(visit)?;
    let Ok(given) = serde_json::from_str::<Assertion>(credential) else {
        return Ok(Err((None, "no passkey".to_owned())));
    };
    let id = given.id.trim_end_matches('=').to_owned();
    let Some(key) = remember(app, move |store| store.passkey(&id)).await? else {
        return Ok(Err((None, "an unknown passkey".to_owned())));
    };
    let who = Some(key.operator.clone());
    let of_another = given.response.user_handle.as_ref();
    if of_another.is_some_and(|handle| handle.trim_end_matches('=') != passkey::handle(&key.operator)) {
        return Ok(Err((who, "another's passkey".to_owned())));
    }
    let known = (key.algorithm, key.public_key.as_str(), key.sign_count);
    match passkey::used(&given, challenge, &party, known) {
        // Only what was signed counts as answered: others would be remembered at a stranger's will.
        Ok(count) if app.gate.answered(challenge, &[USING, &visit.form_token]) => Ok(Ok((key, count))),
        Ok(_) => Ok(Err((who, "a challenge that is over".to_owned()))),
        Err(fault) => Ok(Err((who, format!("passkey: {fault}")))),
    }
}

/// `GET /account/passkeys`: what a browser is told to make one.
pub(super) async fn offer(
    State(app): State<App>,
    person: Person,
    Extension(visit): Extension<Visit>,
) -> Result<Json<Value>, Refused> {
    session(&person)?;
    let name = person.name.clone();
    let known = remember(&app, move |store| store.passkeys(&name)).await?;
    let ids: Vec<&str> = known.iter().map(|key| key.id.as_str()).collect();
    let challenge = app.gate.challenge(&[MAKING, &person.name, &visit.form_token]);
    Ok(Json(party(&visit)?.creation(&challenge, &person.name, &ids)))
}

#[derive(Deserialize)]
pub(super) struct New {
    name: String,
    password: SecretString,
    challenge: String,
    credential: String,
}

/// `POST /account/passkeys`
pub(super) async fn add(
    State(app): State<App>,
    person: Person,
    Extension(visit): Extension<Visit>,
    Form(new): Form<New>,
) -> Result<Response, Refused> {
    if let Err(why) = confirm(&app, &person, new.password).await? {
        return unconfirmed(&app, &person, why).await;
    }
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
        return refuse(&app, &person, "Give the passkey a short name, such as that of the device.").await;
    }
    let party = party(&visit)?;
    let made = serde_json::from_str::<Creation>(&new.credential).map_err(|error| error.to_string());
    let made =
        made.and_then(|given| passkey::created(&given, &new.challenge, &party).map_err(|fault| fault.to_string()));
    let made = match made {
        Ok(made) => made,
        Err(fault) => {
            tracing::info!(operator = person.name, fault, "a new passkey was refused");
            return refuse(
                &app,
                &person,
                "The passkey does not fit what was asked for. Load the page again and try once more.",
            )
            .await;
        }
    };
    if !app.gate.answered(&new.challenge, &[MAKING, &person.name, &visit.form_token]) {
        return refuse(&app, &person, "It took too long. Try once more.").await;
    }
    let row = PasskeyRow {
        id: made.id,
        operator: person.name.clone(),
        name,
        algorithm: made.algorithm,
        public_key: made.public_key,
        sign_count: made.sign_count,
        made_at: clock::timestamp().as_second(),
        used_at: None,
    };
    if remember(&app, move |store| store.add_passkey(&row)).await? == Changed::No {
        return refuse(&app, &person, "This passkey is known already, or there are too many.").await;
    }
    Ok(Redirect::to("/account?done=passkey").into_response())
}

async fn refuse(app: &App, person: &Person, fault: &str) -> Result<Response, Refused> {
    shown(app, person, StatusCode::UNPROCESSABLE_ENTITY, None, Some(fault)).await
}

#[derive(Deserialize)]
pub(super) struct Gone {
    id: String,
}

/// `POST /account/passkeys/remove`
pub(super) async fn remove(
    State(app): State<App>,
    person: Person,
    Form(Gone { id }): Form<Gone>,
) -> Result<Response, Refused> {
    session(&person)?;
    let name = person.name.clone();
    if remember(&app, move |store| store.remove_passkey(&name, &id)).await? == Changed::No {
        return Err(Refused(problem(404, "there is no such passkey", person.name.clone())));
    }
    Ok(Redirect::to("/account?done=no-passkey").into_response())
}
