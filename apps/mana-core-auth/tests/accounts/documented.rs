//! Whatever is sent, the service answers as its OpenAPI document says, and never fails: tried by schemathesis.

use crate::support::{Auth, Caller, SERVICE_TOKEN, Store};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_server_error_or_an_answer_that_is_not_documented() {
    let auth = Auth::start(Store::Sqlite).await;
    let ada = Caller::new(&auth.url).register("ada@example.com").await;
    let bearer = format!("Bearer {}", ada.access());
    let headers = [("Authorization", bearer.as_str()), ("X-Service-Token", SERVICE_TOKEN)];
    kit::testing::conforms(&format!("{}/api/openapi.json", auth.url), &headers, &["--max-examples", "15"]).await;
}
