//! What a message costs by model, checked when the configuration is loaded: a model without a price, or with one that
//! would pay the caller, is found before the first call, not by it.

use kit::Credits;

/// The price of a message where nothing else is configured.
const DEFAULT_WHOLE_CREDITS: i64 = 1;

/// Prices by model.
#[derive(Debug, Clone, PartialEq)]
pub struct Prices {
    by_model: Vec<(String, Credits)>,
    otherwise: Option<Credits>,
}

impl Default for Prices {
    /// One credit a message, whatever the model.
    fn default() -> Self {
        Self { by_model: Vec::new(), otherwise: Some(Credits::whole(DEFAULT_WHOLE_CREDITS)) }
    }
}

impl Prices {
    /// Reads `gpt-4o-mini=1,gpt-4o=5,*=1`: credits a message, `*` for every model not named.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut prices = Self { by_model: Vec::new(), otherwise: None };
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (model, price) = entry.split_once('=').ok_or_else(|| format!("{entry:?} is not MODEL=CREDITS"))?;
            let price: Credits = price
                .trim()
                .parse()
                .map_err(|e| format!("the price of {model:?}, {price:?}, is not an amount of credits: {e}"))?;
            if price <= Credits::ZERO {
                return Err(format!("the price of {model:?} is {price}; it must be more than nothing"));
            }
            let model = model.trim();
            if prices.by_model.iter().any(|(known, _)| known == model) || (model == "*" && prices.otherwise.is_some()) {
                return Err(format!("{model:?} has two prices"));
            }
            if model == "*" {
                prices.otherwise = Some(price);
            } else {
                prices.by_model.push((model.to_owned(), price));
            }
        }
        Ok(prices)
    }

    /// What a message to `model` costs; `None` means that the model must not be called.
    pub fn of(&self, model: &str) -> Option<Credits> {
        self.by_model.iter().find(|(known, _)| known == model).map(|(_, price)| *price).or(self.otherwise)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_has_its_own_price_or_the_common_one_or_none() {
        let prices = Prices::parse("gpt-4o-mini=1, gpt-4o=5").unwrap();
        assert_eq!(prices.of("gpt-4o"), Some(Credits::whole(5)));
        assert_eq!(prices.of("other"), None);
        let prices = Prices::parse("gpt-4o=5,*=2").unwrap();
        assert_eq!(prices.of("other"), Some(Credits::whole(2)));
        assert_eq!(Prices::default().of("any"), Some(Credits::whole(1)));
    }

    #[test]
    fn prices_that_would_pay_the_caller_are_refused() {
        for (text, why) in [
            ("m=-1", "more than nothing"),
            ("m=0", "more than nothing"),
            ("m=x", "not an amount"),
            ("m=NaN", "not an amount"),
            ("m", "not MODEL=CREDITS"),
            ("m=1,m=2", "two prices"),
            ("*=1,*=2", "two prices"),
        ] {
            let error = Prices::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
