//! Credits: an exact amount, never a float.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Smallest units in one credit.
const UNITS: i64 = 1_000;

/// Largest amount either way, in units: what a JSON number (a double) holds exactly in every client.
const MAX_UNITS: i64 = 1 << 53;

/// Decimals that text may have.
const DECIMALS: usize = 3;

/// An amount of credits in thousandths. Arithmetic is checked: an overflow is `None`, never a wrapped balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Credits(i64);

/// Why text or a number is no amount of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// Not a decimal number.
    #[error("not a decimal number such as 1 or 0.5")]
    NotANumber,
    /// Finer than a thousandth.
    #[error("finer than a thousandth of a credit")]
    TooFine,
    /// Beyond what can be counted.
    #[error("too large")]
    TooLarge,
}

impl Credits {
    /// The largest amount that is accepted anywhere.
    pub const MAX: Self = Self(MAX_UNITS);

    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Whole credits.
    ///
    /// # Panics
    /// When `credits` is beyond ±9 quadrillion; meant for constants.
    pub const fn whole(credits: i64) -> Self {
        match credits.checked_mul(UNITS) {
            Some(units) => Self(units),
            None => panic!("too many credits"),
        }
    }

    /// From thousandths, as stored.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// In thousandths, as stored.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// The sum, unless it overflows.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The difference, unless it overflows.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }

    /// The amount with its sign turned, unless it overflows.
    pub fn checked_neg(self) -> Option<Self> {
        self.0.checked_neg().map(Self)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, units) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, rest) = (units / UNITS.unsigned_abs(), units % UNITS.unsigned_abs());
        if rest == 0 {
            return write!(f, "{sign}{whole}");
        }
        let decimals = format!("{rest:03}");
        write!(f, "{sign}{whole}.{}", decimals.trim_end_matches('0'))
    }
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Self, CreditsError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !numeric(whole) || !numeric(decimals) {
            return Err(CreditsError::NotANumber);
        }
        let decimals = decimals.trim_end_matches('0');
        if decimals.len() > DECIMALS {
            return Err(CreditsError::TooFine);
        }
        let rest: i64 = format!("{decimals:0<DECIMALS$}").parse().map_err(|_| CreditsError::NotANumber)?;
        let whole: i64 = whole.parse().map_err(|_| CreditsError::TooLarge)?;
        let units = whole
            .checked_mul(UNITS)
            .and_then(|units| units.checked_add(rest))
            .filter(|units| *units <= MAX_UNITS)
            .ok_or(CreditsError::TooLarge)?;
        Ok(Self(if negative { -units } else { units }))
    }
}

impl Serialize for Credits {
    /// A JSON number: `49`, or `0.5`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 % UNITS == 0 {
            return serializer.serialize_i64(self.0 / UNITS);
        }
        let number: serde_json::Number = self.to_string().parse().map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl utoipa::PartialSchema for Credits {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Number)
            .description(Some("Credits, exact to a thousandth"))
            .into()
    }
}

impl utoipa::ToSchema for Credits {}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Below MAX_UNITS a double's shortest text is what was written, as long as that had three decimals or fewer.
        let number = serde_json::Number::deserialize(deserializer)?;
        number.to_string().parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_amount_are_one_to_one() {
        for (text, units) in [("0", 0), ("49", 49_000), ("0.5", 500), ("-1.25", -1_250), ("0.001", 1), ("7.100", 7_100)]
        {
            let credits: Credits = text.parse().unwrap();
            assert_eq!(credits.units(), units, "{text}");
            assert_eq!(credits.to_string().parse::<Credits>().unwrap(), credits, "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        let check = |text: &str, why| assert_eq!(text.parse::<Credits>(), Err(why), "{text}");
        for text in ["", "-", ".", "1.", ".5", "1e3", "NaN", "+1", " 1", "1,5", "0x1", "--1"] {
            check(text, CreditsError::NotANumber);
        }
        check("0.0001", CreditsError::TooFine);
        check("9223372036854775807", CreditsError::TooLarge);
        check("99999999999999999999", CreditsError::TooLarge);
        check("99999999999999.999", CreditsError::TooLarge);
    }

    #[test]
    fn json_is_a_plain_number() {
        for (credits, json) in [(Credits::whole(49), "49"), (Credits::from_units(500), "0.5"), (Credits::ZERO, "0")] {
            assert_eq!(serde_json::to_string(&credits).unwrap(), json);
            assert_eq!(serde_json::from_str::<Credits>(json).unwrap(), credits);
        }
        assert!(serde_json::from_str::<Credits>("\"1\"").is_err());
        assert!(serde_json::from_str::<Credits>("0.0005").is_err());
    }

    #[test]
    fn overflow_is_none() {
        assert_eq!(Credits::from_units(i64::MAX).checked_add(Credits::whole(1)), None);
        assert_eq!(Credits::from_units(i64::MIN).checked_neg(), None);
    }
}
