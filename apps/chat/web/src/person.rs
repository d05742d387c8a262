//! Who is signed in, for handlers. Whoever is not is sent to the sign-in page before the handler runs.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use secrecy::SecretString;

use crate::app::{App, Shared};
use crate::error::Error;
use crate::pages::{Shell, Theme};
use crate::sessions::{BrowserId, Cookies, Session};
use crate::upstream::Failure;

/// A person who is signed in, with a token that is good now.
pub(crate) struct Person {
    id: BrowserId,
    pub(crate) session: Session,
    theme: Theme,
}

impl FromRequestParts<Shared> for Person {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Error> {
        let id = Cookies::read(&parts.headers, &app.site).session.ok_or(Error::SignedOut)?;
        let session = app.sessions.current(&id).await?;
        Ok(Self { id, session, theme: Theme::read(&parts.headers) })
    }
}

impl Person {
    /// The name of their browser's session: it opens nothing.
    pub(crate) fn browser(&self) -> String {
        self.id.hash()
    }

    /// The shell of their pages.
    pub(crate) fn shell(&self, app: &App) -> Shell {
        Shell { theme: self.theme, csrf: app.keys.form_token(&self.id) }
    }

    /// Calls a service in their name. A token that it refuses although it looked good is exchanged, once.
    pub(crate) async fn call<T, F, Answer>(&self, app: &App, call: F) -> Result<T, Error>
    where
        F: Fn(SecretString) -> Answer,
        Answer: Future<Output = Result<T, Failure>>,
    {
        Ok(self.try_call(app, call).await??)
    }

    /// As [`Person::call`], for those who have something to say about a refusal.
    pub(crate) async fn try_call<T, F, Answer>(&self, app: &App, call: F) -> Result<Result<T, Failure>, Error>
    where
        F: Fn(SecretString) -> Answer,
        Answer: Future<Output = Result<T, Failure>>,
    {
        match call(self.session.access.clone()).await {
            Err(failure) if failure.is_about_the_token() => {
                let renewed = app.sessions.renewed(&self.id, &self.session).await?;
                match call(renewed.access).await {
                    Err(failure) if failure.is_about_the_token() => Err(Error::from(failure)),
                    answer => Ok(answer),
                }
            }
            answer => Ok(answer),
        }
    }
}
