//! Whatever is sent, echo answers as its OpenAPI document says, and never fails: tried by schemathesis.

use ai::echo::{Settings, service};
use kit::service::Service;
use kit::testing::{Running, conforms};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_server_error_or_an_answer_that_is_not_documented() {
    let (routes, document, _) = service(Settings::default());
    let echo = Running::start(Service::new(routes).openapi(&document).into_router()).await;
    conforms(&format!("{}/api/openapi.json", echo.url), &[], &["--max-examples", "15"]).await;
}
