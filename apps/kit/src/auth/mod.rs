//! Who is calling: a person by access token ([`User`]), or another service ([`ServiceCaller`]). The two are never mixed:
//! a service token comes in a header of its own, and neither kind is accepted in the other's place.

mod ended;
mod keys;
mod service_token;
mod user;
mod verifier;

pub use ended::{ENDED_SESSIONS_PATH, EndedError, EndedSessions};
pub use keys::{KeySource, KeysError};
pub use service_token::{SERVICE_TOKEN_HEADER, ServiceCaller, ServiceToken};
pub use user::User;
pub use verifier::{Apps, Claims, Refusal, Settings, TOKEN_TYPE, Verifier};
