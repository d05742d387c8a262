//! A form's fields, some of which may be there several times.

use axum::RequestExt;
use axum::extract::{FromRequest, RawForm, Request};
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;

/// What somebody has filled in; passwords may be among it, so it is not printed.
#[derive(Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// As a form is sent.
    #[cfg(test)]
    pub(crate) fn of(form: &str) -> Self {
        Self::read(form.as_bytes())
    }

    fn read(form: &[u8]) -> Self {
        Self(form_urlencoded::parse(form).into_owned().collect())
    }

    /// A field without the spaces around it; empty where it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
    }

    /// A password, each letter of which counts.
    pub(crate) fn secret(&self, name: &str) -> SecretString {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default().into()
    }

    /// All of that name that say something.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(known, value)| known == name && !value.trim().is_empty());
        found.map(|(_, value)| value.trim().to_owned()).collect()
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        let RawForm(body) = request.extract().await.map_err(IntoResponse::into_response)?;
        Ok(Self::read(&body))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_field_that_is_there_twice_has_both_values() {
        let fields = Fields::of("services=a&services=+&services=b&for=+2h+");
        assert_eq!((fields.all("services"), fields.text("for")), (vec!["a".to_owned(), "b".to_owned()], "2h"));
        assert_eq!((fields.text("reason"), fields.all("reason").len()), ("", 0));
        assert_eq!(fields.secret("for").expose_secret(), " 2h ", "a password is as it was typed");
        assert_eq!(fields.secret("password").expose_secret(), "");
    }
}
