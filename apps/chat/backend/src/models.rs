//! `GET /api/models`: what can be asked, and what it costs. Cached for an hour under `models:list`.

use std::sync::Arc;

use axum::extract::State;
use kit::{Credits, Json, Problem};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::caller::Caller;
use crate::limits::MODELS_TTL;

/// The list's key in the cache.
const KEY: &str = "models:list";

/// A model on offer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Model {
    /// What to call it.
    pub(crate) id: String,
    /// Who answers for it.
    pub(crate) provider: String,
    /// What a message to it costs.
    #[schema(example = 1)]
    credits: Credits,
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
        credits: offer.price,
        default: offer.model == default,
    });
    (models.collect(), complete)
}

/// Whether some provider answers; for the report of readiness.
pub(crate) async fn answer(app: &App) -> Result<(), String> {
    let mut problems = Vec::new();
    for provider in app.catalog.providers() {
        match provider.models().await {
            Ok(_) => return Ok(()),
            Err(error) => problems.push(error.to_string()),
        }
    }
    Err(problems.join("; "))
}
