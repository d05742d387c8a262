//! Whatever is sent, the service answers as its OpenAPI document says, and never fails: tried by schemathesis.

use crate::support::{Auth, Caller, Store};

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_server_error_or_an_answer_that_is_not_documented() {
    let auth = Auth::start(Store::Sqlite).await;
    let ada = Caller::new(&auth.url).register("ada@example.com").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/schemathesis.sh");
    let mut command = tokio::process::Command::new(script);
    command.arg(format!("{}/api/openapi.json", auth.url)).args(["--max-examples", "15", "--seed", "7"]);
    command.env("SCHEMATHESIS_FOLDER", env!("CARGO_TARGET_TMPDIR")).env("TOKEN", ada.access());
    command.env("SERVICE_TOKEN", mana_core_auth::testing::SERVICE_TOKEN);
    let output = command.output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}
