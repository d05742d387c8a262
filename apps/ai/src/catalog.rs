//! Which models are offered, by whom, at what price: the one place an app asks for a model.

use std::sync::Arc;

use crate::Provider;
use crate::price::{Price, Prices};

/// A model that can be called, with what a message to it costs.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The model's id.
    pub model: String,
    /// What an answer costs.
    pub price: Price,
    /// Who answers.
    pub provider: Arc<dyn Provider>,
}

/// All offers; the first is the default.
#[derive(Debug, Clone)]
pub struct Catalog {
    offers: Arc<[Offer]>,
}

impl Catalog {
    /// Makes the catalogue of `providers` with the models each is configured for. Refuses an empty one, a model that
    /// two providers serve, and a model without a price; the message says which.
    pub fn new(providers: Vec<(Arc<dyn Provider>, Vec<String>)>, prices: &Prices) -> Result<Self, String> {
        let mut offers: Vec<Offer> = Vec::new();
        for (provider, models) in providers {
            for model in models {
                if let Some(other) = offers.iter().find(|o| o.model == model) {
                    let (a, b) = (other.provider.name(), provider.name());
                    return Err(format!("the model {model:?} is offered by {a} and {b}; leave it to one of them"));
                }
                let price = prices.of(&model).ok_or_else(|| {
                    format!("the model {model:?} has no price; add {model}=CREDITS or *=CREDITS to AI_PRICES")
                })?;
                offers.push(Offer { model, price, provider: provider.clone() });
            }
        }
        if offers.is_empty() {
            return Err("no model is offered; AI_PROVIDERS must name at least one provider with a model".into());
        }
        Ok(Self { offers: offers.into() })
    }

    /// Every offer, the default first.
    pub fn offers(&self) -> &[Offer] {
        &self.offers
    }

    /// The offer for `model`.
    pub fn find(&self, model: &str) -> Option<&Offer> {
        self.offers.iter().find(|o| o.model == model)
    }

    /// The offer used when a call names no model.
    pub fn default_offer(&self) -> &Offer {
        &self.offers[0]
    }

    /// Each provider once.
    pub fn providers(&self) -> Vec<Arc<dyn Provider>> {
        let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
        for offer in self.offers.iter() {
            if !providers.iter().any(|p| p.name() == offer.provider.name()) {
                providers.push(offer.provider.clone());
            }
        }
        providers
    }
}
