//! Rows of the database; what they mean is decided elsewhere.

pub(crate) mod balance;
pub(crate) mod ended_session;
pub(crate) mod entry;
pub(crate) mod farewell;
pub(crate) mod gift_code;
pub(crate) mod idempotency_key;
pub(crate) mod identity;
pub(crate) mod letter;
pub(crate) mod passkey;
pub(crate) mod posting;
pub(crate) mod recovery_code;
pub(crate) mod refresh_token;
pub(crate) mod registration;
pub(crate) mod reservation;
pub(crate) mod second_factor;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod user;
