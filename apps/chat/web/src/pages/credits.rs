//! `/credits/history`: what was given and spent, and the form for gift codes.

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Shell, credits, file, html};
use crate::app::{App, Shared};
use crate::error::Error;
use crate::person::Person;
use crate::upstream::{Failure, History, Standing, Transaction};
use crate::words;

#[derive(Template)]
#[template(path = "credits.html")]
struct CreditsPage {
    shell: Shell,
    standing: Standing,
    history: History,
    /// Whether this is the beginning of the history.
    first: bool,
    redeemed: bool,
    /// What was typed, and what is wrong with it.
    code: String,
    code_error: Option<String>,
}

impl CreditsPage {
    fn left(&self) -> String {
        credits(self.standing.balance)
    }
}

impl Transaction {
    /// What it was, for people.
    fn what(&self) -> &str {
        match self.kind.as_str() {
            "grant" => "Given to you",
            "gift" => "Gift code",
            "reserve" => "Held for an answer",
            "settle" => "Spent; the rest came back",
            "release" => "Given back",
            "reverse" => "Put right",
            "lapse" => "Free credits that were too old",
            "close" => "Account closed",
            other => other,
        }
    }

    fn day(&self) -> &str {
        self.created_at.get(..10).unwrap_or_default()
    }

    fn minute(&self) -> &str {
        self.created_at.get(11..16).unwrap_or_default()
    }

    fn sign(&self) -> &'static str {
        if self.amount > kit::Credits::ZERO { "+" } else { "" }
    }
}

#[derive(Default, Deserialize)]
pub(crate) struct Place {
    cursor: Option<String>,
    redeemed: Option<String>,
}

/// `GET /credits/history`
pub(crate) async fn history(
    State(app): State<Shared>,
    person: Person,
    Query(place): Query<Place>,
) -> Result<Response, Error> {
    page(&app, &person, &place, String::new(), None).await
}

#[derive(Deserialize)]
pub(crate) struct Redemption {
    #[serde(default)]
    code: String,
}

/// `POST /credits/redeem`
pub(crate) async fn redeem(
    State(app): State<Shared>,
    person: Person,
    Form(form): Form<Redemption>,
) -> Result<Response, Error> {
    let (auth, code) = (&app.auth, form.code.as_str());
    // Not by `?`: what is wrong with a code is told beside its field.
    let redeemed = person.try_call(&app, |access| async move { auth.redeem(&access, code).await }).await?;
    let Err(failure) = redeemed else { return Ok(Redirect::to("/credits/history?redeemed").into_response()) };
    let wrong = wrong(&failure);
    page(&app, &person, &Place::default(), form.code, Some(wrong)).await
}

/// What to say about a code that was not taken, and with which status.
fn wrong(failure: &Failure) -> (StatusCode, String) {
    let words = words::of(failure);
    let text = match words.status {
        StatusCode::NOT_FOUND => "This code is not valid, or no longer. Check what you have typed.".to_owned(),
        StatusCode::CONFLICT => "You have redeemed this code already.".to_owned(),
        StatusCode::UNPROCESSABLE_ENTITY => "A code has six letters and digits, such as ABC-234.".to_owned(),
        _ => words.text,
    };
    (words.status, text)
}

async fn page(
    app: &App,
    person: &Person,
    place: &Place,
    code: String,
    wrong: Option<(StatusCode, String)>,
) -> Result<Response, Error> {
    let (auth, cursor) = (&app.auth, place.cursor.as_deref());
    let standing = person.call(app, |access| async move { auth.standing(&access).await });
    let history = person.call(app, |access| async move { auth.history(&access, cursor).await });
    let (standing, history) = tokio::try_join!(standing, history)?;
    let status = wrong.as_ref().map_or(StatusCode::OK, |(status, _)| *status);
    let page = CreditsPage {
        shell: person.shell(app),
        standing,
        history,
        first: cursor.is_none(),
        redeemed: place.redeemed.is_some(),
        code,
        code_error: wrong.map(|(_, text)| text),
    };
    Ok(html(status, &page))
}

/// `GET /credits/history.csv`: passed on as it comes.
pub(crate) async fn export(State(app): State<Shared>, person: Person) -> Result<Response, Error> {
    let auth = &app.auth;
    let answer = person.call(&app, |access| async move { auth.export(&access).await }).await?;
    Ok(file(answer, "text/csv; charset=utf-8; header=present", "credits.csv"))
}
