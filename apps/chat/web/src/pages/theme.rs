//! Light, dark, or as the system says: a choice kept in a cookie that scripts may write, so that pages come in the right
//! colours and nothing flashes.

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect};
use axum_extra::extract::cookie::CookieJar;
use serde::Deserialize;

use crate::app::Shared;

const COOKIE: &str = "theme";

const YEAR_SECONDS: u32 = 365 * 24 * 3600;

/// The choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Theme {
    /// As the system says.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        match CookieJar::from_headers(headers).get(COOKIE).map(axum_extra::extract::cookie::Cookie::value) {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The choices, with what they are called.
    pub(crate) fn all() -> [(Self, &'static str); 3] {
        [(Self::System, "System"), (Self::Light, "Light"), (Self::Dark, "Dark")]
    }
}

#[derive(Deserialize)]
pub(crate) struct Choice {
    theme: Theme,
}

/// `POST /theme`, for browsers without scripts.
pub(crate) async fn choose(
    State(app): State<Shared>,
    headers: HeaderMap,
    Form(choice): Form<Choice>,
) -> impl IntoResponse {
    let secure = if app.site.secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={}; Path=/; Max-Age={YEAR_SECONDS}; SameSite=Lax{secure}", choice.theme.name());
    // Back to where the form was, which is on this site: anything else is not followed.
    let back = headers.get(header::REFERER).and_then(|value| value.to_str().ok()?.strip_prefix(&app.site.origin));
    let back = back.filter(|path| path.starts_with('/') && !path.starts_with("//")).unwrap_or("/").to_owned();
    (AppendHeaders([(header::SET_COOKIE, cookie)]), Redirect::to(&back))
}
