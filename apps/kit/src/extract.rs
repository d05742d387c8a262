//! What a request carries: JSON bodies and query strings, parsed strictly, with a problem that names the field.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{FieldError, Problem};

/// A JSON body: read from a request (415, 413, 400 or 422 where it cannot be), or given as the answer.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        use axum::extract::rejection::JsonRejection;
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(JsonRejection::JsonDataError(error)) => Err(Problem::invalid(vec![field_of(&error.body_text())])),
            Err(JsonRejection::JsonSyntaxError(error)) => Err(Problem::bad_request(error.body_text())),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                let title = "The body must be application/json";
                Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", title))
            }
            Err(other) => Err(from_status(other.status(), &other.body_text())),
        }
    }
}

/// A query string; 422 where it cannot be read.
#[derive(Debug, Clone, Copy)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Problem::invalid(vec![field_of(text)]))
            }
        }
    }
}

/// axum says `…: messages[0].role: unknown variant … at line 1 column 3`; the path is the field, and where in the text it
/// stands is nobody's business. A field that is missing stands in the message instead.
fn field_of(text: &str) -> FieldError {
    let text = text.strip_prefix("Failed to deserialize the JSON body into the target type: ").unwrap_or(text);
    let text = text.rsplit_once(" at line ").map_or(text, |(text, _)| text);
    let (path, message) = match text.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => (path, message),
        _ => ("", text),
    };
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    match missing {
        Some(name) if path.is_empty() || path == "." => FieldError::new(name, "is missing"),
        Some(name) => FieldError::new(format!("{path}.{name}"), "is missing"),
        None => FieldError::new(path, message),
    }
}

pub(crate) fn from_status(status: StatusCode, text: &str) -> Problem {
    let (code, title) = match status {
        StatusCode::NOT_FOUND => ("not_found", "Not found"),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "This address does not take that method"),
        StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "The body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ("unsupported_media_type", "This kind of body is not understood"),
        _ if status.is_server_error() => return Problem { status, ..Problem::internal_unlogged() },
        _ => ("bad_request", "The request cannot be understood"),
    };
    let problem = Problem::new(status, code, title);
    if text.is_empty() { problem } else { problem.detail(text) }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_told_apart_from_the_message() {
        let prefix = "Failed to deserialize the JSON body into the target type: ";
        let check = |text: &str, field: &str, message: &str| {
            assert_eq!(field_of(&format!("{prefix}{text}")), FieldError::new(field, message), "{text}");
        };
        check("messages[0].role: unknown variant `x` at line 1 column 3", "messages[0].role", "unknown variant `x`");
        check("missing field `email` at line 1 column 2", "email", "is missing");
        check("messages[0]: missing field `role` at line 1 column 2", "messages[0].role", "is missing");
        check("invalid type: integer `1`, expected a string", "", "invalid type: integer `1`, expected a string");
    }
}
