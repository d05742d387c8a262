//! A form's fields, some of which may be there several times.

use axum::RequestExt;
use axum::extract::{FromRequest, RawForm, Request};
use axum::response::{IntoResponse, Response};

/// What somebody has filled in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// A field without the spaces around it; empty where it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim())
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
        Ok(Self(form_urlencoded::parse(&body).into_owned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_there_twice_has_both_values() {
        let fields =
            Fields(form_urlencoded::parse(b"services=a&services=+&services=b&for=+2h+").into_owned().collect());
        assert_eq!((fields.all("services"), fields.text("for")), (vec!["a".to_owned(), "b".to_owned()], "2h"));
        assert_eq!((fields.text("reason"), fields.all("reason").len()), ("", 0));
    }
}
