//! `GET /api/models`: what can be asked, and what it costs. Cached for an hour under `models:list`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ai::Provider;
use axum::extract::State;
use kit::auth::ServiceCaller;
use kit::{Credits, Json, Problem};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::Caller;
use crate::limits::MODELS_TTL;

/// The list's key in the cache.
const KEY: &str = "models:list";

/// The price of tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct TokenPrice {
    /// Of the question.
    input: Credits,
    /// Of the answer.
    output: Credits,
}

/// A model on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Model {
    /// What to call it.
    pub(crate) id: String,
    /// Who answers for it.
    pub(crate) provider: String,
    /// What an answer costs; by tokens, the most that it costs, which is held back first.
    #[schema(example = 1)]
    credits: Credits,
    /// What a thousand tokens cost, where it is paid by tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    per_thousand_tokens: Option<TokenPrice>,
    /// Whether it is asked when a call names none.
    default: bool,
}

/// All models on offer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    models: Vec<Model>,
}

/// `GET /api/models`
#[utoipa::path(
    get, path = "/api/models", tag = "chat", operation_id = "listModels",
    summary = "The models on offer, the default first",
    responses(
        (status = 200, description = "The models", body = ModelList),
        (status = 401, description = "Not signed in", body = kit::ProblemBody),
    ),
    security(("token" = []))
)]
pub(crate) async fn handler(State(app): State<Arc<App>>, _caller: Caller) -> Result<Json<ModelList>, Problem> {
    Ok(Json(ModelList { models: list(&app).await }))
}

/// The models that their providers serve at the moment, of those that are configured.
pub(crate) async fn list(app: &App) -> Vec<Model> {
    if let Some(cached) = app.cache.get(KEY).await.ok().flatten().and_then(|text| serde_json::from_str(&text).ok()) {
        return cached;
    }
    let (models, complete) = ask(app).await;
    // A list made while a provider was away would hide or promise too much for an hour.
    if complete
        && let Ok(text) = serde_json::to_string(&models)
        && let Err(error) = app.cache.set(KEY, &text, MODELS_TTL).await
    {
        tracing::debug!(%error, "the list of models was not cached");
    }
    models
}

/// Asks every provider. One that does not answer keeps its models in the list, since being away is no reason to forget
/// them; the list then counts as incomplete.
async fn ask(app: &App) -> (Vec<Model>, bool) {
    let mut complete = true;
    let mut served = Vec::new();
    for provider in app.catalog.providers() {
        match provider.models().await {
            Ok(models) => served.push((provider.name().to_owned(), Some(models))),
            Err(error) => {
                complete = false;
                tracing::warn!(%error, "a provider did not list its models");
                served.push((provider.name().to_owned(), None));
            }
        }
    }
    let is_served = |provider: &str, model: &String| {
        let models = served.iter().find(|(name, _)| name == provider).and_then(|(_, models)| models.as_ref());
        models.is_none_or(|models| models.contains(model))
    };
    let default = app.catalog.default_offer().model.as_str();
    let models = app.catalog.offers().iter().filter(|offer| is_served(offer.provider.name(), &offer.model));
    let models = models.map(|offer| Model {
        id: offer.model.clone(),
        provider: offer.provider.name().to_owned(),
        credits: offer.price.reserve(1).unwrap_or(Credits::MAX),
        per_thousand_tokens: match offer.price {
            ai::Price::Answer(_) => None,
            ai::Price::Tokens { input, output, .. } => Some(TokenPrice { input, output }),
        },
        default: offer.model == default,
    });
    (models.collect(), complete)
}

/// How all models are doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelsHealth {
    models: Vec<ai::router::Health>,
}

/// `GET /api/internal/models`
#[utoipa::path(
    get, path = "/api/internal/models", tag = "internal", operation_id = "readModelsHealth",
    summary = "How the models are doing: circuit breakers, which instances share; calls under way and waiting at this one; fallbacks",
    responses(
        (status = 200, description = "Every model on offer", body = ModelsHealth),
        (status = 401, description = "Not a service of the ecosystem", body = kit::ProblemBody),
    ),
    security(("serviceToken" = []))
)]
pub(crate) async fn health(_: ServiceCaller, State(app): State<Arc<App>>) -> Json<ModelsHealth> {
    Json(ModelsHealth { models: app.router.health() })
}

/// How long a provider that answered counts as there: readiness is asked every few seconds, which is no reason to ask a
/// provider on the internet as often.
const CHECK_AGE: Duration = Duration::from_secs(30);

/// Whether a provider answers, for the report of readiness.
pub(crate) struct ProviderCheck {
    provider: Arc<dyn Provider>,
    answered: Mutex<Option<Instant>>,
}

impl ProviderCheck {
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, answered: Mutex::new(None) }
    }

    /// Its name in the report.
    pub(crate) fn name(&self) -> &'static str {
        match self.provider.name() {
            "azure" => "model:azure",
            "openai" => "model:openai",
            "echo" => "model:echo",
            _ => "model",
        }
    }

    /// Asks it, unless it answered a short while ago.
    pub(crate) async fn check(&self) -> Result<(), String> {
        let mut answered = self.answered.lock().await;
        if answered.is_some_and(|at| at.elapsed() < CHECK_AGE) {
            return Ok(());
        }
        *answered = None;
        self.provider.models().await.map_err(|error| error.to_string())?;
        *answered = Some(Instant::now());
        Ok(())
    }
}
