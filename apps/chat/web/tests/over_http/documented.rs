//! Whatever a browser sends, signed in or not, the site does not fail: tried by schemathesis at every address there is, with every
//! field that any of the forms has. A site of pages has no OpenAPI document; one is made here of its routes.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::support::{ORIGIN_OF_THE_SITE, Store, World};

/// The routes, as they are written.
const ROUTES: &str = include_str!("../../src/app.rs");

/// What may stand in an address behind a question mark.
const QUERY: [&str; 6] = ["cursor", "q", "format", "code", "state", "token"];

/// It would end the session, and all else would be about people who are signed out.
const LEFT_OUT: [&str; 1] = ["/logout"];

/// Statuses of a site that has not failed. Where a model or another service did, that is said (502, 503).
const STATUSES: [&str; 15] =
    ["200", "201", "204", "303", "400", "401", "402", "403", "404", "409", "413", "415", "422", "429", "502"];

/// Every field of every form.
fn fields() -> Map<String, Value> {
    let mut fields = Map::new();
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in text.split(" name=\"").skip(1) {
            let name = part.split('"').next().unwrap();
            if !["csrf", "viewport", "robots", "color-scheme"].contains(&name) {
                fields.insert(name.to_owned(), json!({ "type": "string" }));
            }
        }
    }
    fields.extend(["edit", "regenerate", "key"].map(|name| (name.to_owned(), json!({ "type": "string" }))));
    fields
}

/// Paths with their methods.
fn routes() -> Vec<(&'static str, Vec<&'static str>)> {
    let routes = ROUTES.split(".route(\"").skip(1).map(|part| {
        let (path, rest) = part.split_once('"').unwrap();
        let handlers = rest.split(".route(").next().unwrap();
        let methods = ["get", "post"].into_iter().filter(|method| handlers.contains(&format!("{method}(")));
        (path, methods.collect())
    });
    routes.filter(|(path, _)| !path.contains('*') && !LEFT_OUT.contains(path)).collect()
}

fn document() -> Value {
    let form = json!({ "type": "object", "properties": fields() });
    let body = json!({ "content": { "application/x-www-form-urlencoded": { "schema": form } } });
    let responses: Map<_, _> =
        STATUSES.iter().map(|status| ((*status).to_owned(), json!({ "description": "As told" }))).collect();
    let mut paths = Map::new();
    for (path, methods) in routes() {
        let places = path.split('{').skip(1).map(|part| part.split('}').next().unwrap());
        let places =
            places.map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
        let query = QUERY.map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
        let places: Vec<_> = places.collect();
        for method in methods {
            let mut operation = json!({ "responses": responses });
            if method == "post" {
                operation["requestBody"] = body.clone();
                operation["parameters"] = json!(places);
            } else {
                operation["parameters"] = json!([places.clone(), query.to_vec()].concat());
            }
            let known = paths.entry(path).or_insert_with(|| json!({}));
            known[method] = operation;
        }
    }
    json!({ "openapi": "3.1.0", "info": { "title": "chat-web", "version": "1" }, "paths": paths })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_server_error_on_sqlite() {
    no_request_brings_a_server_error(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_server_error_on_postgres() {
    no_request_brings_a_server_error(Store::Postgres).await;
}

async fn no_request_brings_a_server_error(store: Store) {
    let document = document();
    let count = document["paths"].as_object().unwrap().len();
    assert!(count > 50 && document["paths"]["/ask"]["post"].is_object(), "{count} addresses");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat-web.json");
    std::fs::write(&file, document.to_string()).unwrap();
    // As cheap as credits can be, so that they last for all the questions.
    let world = World::start_with(store, &[("AI_PRICES", "*=0.001")]).await;
    let browser = world.person("ada").await;
    let (cookies, csrf) = (browser.cookies(), browser.get("/").await.csrf());
    let headers = [("Cookie", cookies.as_str()), ("Origin", ORIGIN_OF_THE_SITE), ("X-CSRF-Token", csrf.as_str())];
    let url = format!("http://127.0.0.1:{}", world.port());
    kit::testing::conforms(file.to_str().unwrap(), &headers, &["--url", &url, "--max-examples", "6"]).await;
}
