//! How somebody gets an account. `REGISTRATION` says in which of two ways:
//!
//! - [`Registration::Confirmed`]: what is asked for is kept ([`store`]), and a letter goes to the address. Whoever asks waits for the same work and reads the
//!   same answer, whether or not the address has an account; only the letter tells. The account is made by whoever has the code of the letter and knows the
//!   password: nobody can make one for somebody else's address, or have somebody else confirm it.
//! - [`Registration::Immediate`]: the account is made and signed in at once, and a letter asks for confirmation. That an address is taken is told.

pub(crate) mod letter;
pub(crate) mod routes;
pub(crate) mod store;

use kit::config::{Env, Environment, Error};

/// In which way people get accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// Once a letter has been answered. Tells nobody who has an account.
    Confirmed,
    /// At once.
    Immediate,
}

impl Registration {
    /// `REGISTRATION`; where it is not set, `immediate` in development and `confirmed` elsewhere.
    pub(crate) fn read(env: &Env, environment: Environment) -> Result<Self, Error> {
        let Some(value) = env.optional("REGISTRATION") else {
            return Ok(if environment == Environment::Development { Self::Immediate } else { Self::Confirmed });
        };
        match value.as_str() {
            "confirmed" => Ok(Self::Confirmed),
            "immediate" => Ok(Self::Immediate),
            _ => {
                Err(Error::Invalid { name: "REGISTRATION".into(), value, allowed: "confirmed or immediate".to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_in_advance_but_in_development_unless_it_is_said() {
        let read = |said: &str, environment| Registration::read(&Env::table([("REGISTRATION", said)]), environment);
        for (said, environment, expected) in [
            ("", Environment::Development, Registration::Immediate),
            ("", Environment::Staging, Registration::Confirmed),
            ("", Environment::Production, Registration::Confirmed),
            ("confirmed", Environment::Development, Registration::Confirmed),
            ("immediate", Environment::Production, Registration::Immediate),
        ] {
            assert_eq!(read(said, environment), Ok(expected), "{said:?} in {environment:?}");
        }
        let message = read("open", Environment::Production).unwrap_err().to_string();
        assert_eq!(message, "REGISTRATION is \"open\": it must hold confirmed or immediate");
    }
}
