//! Operators' accounts, apart from how they are kept and how they are asked for: what is accepted as a name or a password,
//! and how many tries there are.

mod challenges;
mod limits;
pub(crate) mod passkey;
mod passwords;
pub(crate) mod second_factor;

use crate::api::Problem;
use crate::server::problem;
pub(crate) use challenges::Challenges;
pub(crate) use limits::{Limits, Tries};
pub(crate) use passwords::{Busy, Passwords, fault};

const LONGEST_NAME: usize = 64;

/// Refuses what is no name for an operator or a token.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    let good = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(good) {
        let detail = format!("it has 1 to {LONGEST_NAME} letters, digits or any of - _ . @");
        return Err(problem(422, "that is no name", detail));
    }
    Ok(())
}
