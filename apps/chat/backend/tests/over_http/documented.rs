//! Whatever is sent, the service answers as its OpenAPI document says, and never fails: tried by schemathesis.

use mana_core_auth::testing::SERVICE_TOKEN;

use crate::support::{Store, World};

async fn no_request_brings_a_server_error_or_an_answer_that_is_not_documented(store: Store) {
    // As cheap as credits can be, so that they last for all the questions.
    let world = World::start_with(store, &[("AI_PRICES", "*=0.001")]).await;
    let ada = world.person("ada").await;
    let bearer = format!("Bearer {}", ada.token);
    let headers = [("Authorization", bearer.as_str()), ("X-Service-Token", SERVICE_TOKEN)];
    kit::testing::conforms(&world.url("/api/openapi.json"), &headers, &["--max-examples", "15"]).await;
}

crate::support::on_both_stores!(no_request_brings_a_server_error_or_an_answer_that_is_not_documented);
