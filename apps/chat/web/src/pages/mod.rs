//! The pages. Each is a template in `templates/` and a struct here that holds what it shows; text is always escaped, and
//! what a model said goes through [`crate::markdown`].

pub(crate) mod account;
pub(crate) mod account_entry;
pub(crate) mod account_letters;
pub(crate) mod account_own;
pub(crate) mod chat;
pub(crate) mod conversations;
pub(crate) mod credits;
pub(crate) mod keeping;
pub(crate) mod settings;
mod theme;

use askama::Template;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

pub(crate) use theme::{Theme, choose as choose_theme};

use crate::assets;
use crate::words::Words;

/// What every page needs.
pub(crate) struct Shell {
    pub(crate) theme: Theme,
    /// The token of this browser's forms.
    pub(crate) csrf: String,
}

impl Shell {
    fn style(&self) -> &'static str {
        let Self { .. } = self;
        assets::STYLE
    }

    fn script(&self) -> &'static str {
        let Self { .. } = self;
        assets::SCRIPT
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    shell: Shell,
    heading: &'a str,
    text: &'a str,
}

/// The page for what did not work.
pub(crate) fn error(words: &Words, theme: Theme) -> Response {
    let heading = match words.status {
        StatusCode::NOT_FOUND => "Nothing here",
        StatusCode::FORBIDDEN => "Not sent",
        status if status.is_server_error() => "Not available",
        _ => "That did not work",
    };
    let shell = Shell { theme, csrf: String::new() };
    html(words.status, &ErrorPage { shell, heading, text: &words.text })
}

/// What is not there; [`crate::error::present`] makes a page of it.
pub(crate) fn not_found() -> Response {
    crate::error::Error::Told(Words::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address."))
        .into_response()
}

/// Renders a page or a part of one.
fn html(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => kit::Problem::internal(&error).into_response(),
    }
}

/// An amount in words.
fn credits(amount: kit::Credits) -> String {
    let noun = if amount == kit::Credits::whole(1) { "credit" } else { "credits" };
    format!("{amount} {noun}")
}

/// Passes a file on as it comes, to be kept under a name.
fn file(answer: reqwest::Response, kind: &'static str, name: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    (headers, Body::from_stream(answer.bytes_stream())).into_response()
}
