//! Who is calling: a person by access token ([`User`]), or another service ([`ServiceCaller`]). The two are never mixed:
//! a service token comes in a header of its own, and neither kind is accepted in the other's place.

mod keys;
mod service_token;
mod user;
mod verifier;

pub use keys::{KeySource, KeysError};
pub use service_token::{SERVICE_TOKEN_HEADER, ServiceCaller, ServiceToken};
pub use user::User;
pub use verifier::{Claims, Refusal, Settings, TOKEN_TYPE, Verifier};
