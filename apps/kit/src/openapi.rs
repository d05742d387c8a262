//! The description of a service's addresses: what every service has and answers is said here once, not at every route.

use serde_json::{Map, Value, json};

const PROBLEM: &str = "#/components/schemas/ProblemBody";

/// What any operation with a body may answer.
const OF_BODIES: [(&str, &str); 3] =
    [("400", "The body is not JSON"), ("413", "The body is too large"), ("415", "The body is not application/json")];

/// The document of a service, whole.
pub(crate) fn complete(document: &utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("an OpenAPI document becomes JSON");
    let has_problems = !document["components"]["schemas"]["ProblemBody"].is_null();
    if let (true, Some(paths)) = (has_problems, document["paths"].as_object_mut()) {
        paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut).for_each(add_failures);
    }
    name_problems(&mut document);
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.extend(every_service());
    }
    document
}

/// Adds the failures that no route says by itself; what a route says stays.
fn add_failures(operation: &mut Value) {
    let has_body = operation.get("requestBody").is_some();
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    if responses.contains_key("default") {
        return;
    }
    let bodies = OF_BODIES.iter().filter(|_| has_body);
    for (status, description) in bodies.chain(&[("503", "No answer within the time limit; try again")]) {
        responses.entry(*status).or_insert_with(
            || json!({ "description": description, "content": { "application/json": { "schema": { "$ref": PROBLEM } } } }),
        );
    }
}

/// A problem has its own media type.
fn name_problems(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let is_problem = object.get("application/json").is_some_and(|media| media["schema"]["$ref"] == PROBLEM);
            if is_problem && let Some(media) = object.remove("application/json") {
                object.insert("application/problem+json".to_owned(), media);
            }
            object.values_mut().for_each(name_problems);
        }
        Value::Array(list) => list.iter_mut().for_each(name_problems),
        _ => {}
    }
}

fn every_service() -> Map<String, Value> {
    let operation = |id: &str, summary: &str, responses: Value| json!({ "get": { "tags": ["service"], "operationId": id, "summary": summary, "responses": responses } });
    let report = |description: &str| json!({ "description": description, "content": { "application/json": { "schema": { "type": "object" } } } });
    let text = |description: &str| json!({ "description": description, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let mut paths = Map::new();
    let live = operation("live", "Whether the process runs", json!({ "200": report("It runs") }));
    paths.insert("/api/health".to_owned(), live);
    let ready =
        json!({ "200": report("Ready; what it depends on is reported by name"), "503": report("Not ready, and why") });
    paths.insert("/api/health/ready".to_owned(), operation("ready", "Whether it can take traffic", ready));
    let metrics = json!({ "200": text("In the text format of Prometheus") });
    paths.insert("/metrics".to_owned(), operation("metrics", "What is measured", metrics));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_says_only_what_is_its_own() {
        let document = serde_json::from_value(json!({
            "openapi": "3.1.0",
            "info": { "title": "t", "version": "1" },
            "components": { "schemas": { "ProblemBody": { "type": "object" } } },
            "paths": { "/things": {
                "get": { "responses": { "200": { "description": "All" } } },
                "post": {
                    "requestBody": { "content": {} },
                    "responses": { "413": { "description": "Larger than a thing may be" } },
                },
                "delete": { "responses": { "default": { "description": "As elsewhere" } } },
            } },
        }))
        .unwrap();
        let document = complete(&document);
        let statuses = |method: &str| -> Vec<String> {
            document["paths"]["/things"][method]["responses"].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(statuses("get"), ["200", "503"]);
        assert_eq!(statuses("post"), ["400", "413", "415", "503"]);
        assert_eq!(statuses("delete"), ["default"]);
        let post = &document["paths"]["/things"]["post"]["responses"];
        assert_eq!(post["413"]["description"], "Larger than a thing may be");
        assert_eq!(post["415"]["content"]["application/problem+json"]["schema"]["$ref"], PROBLEM);
        assert!(document["paths"]["/api/health/ready"]["get"]["responses"]["503"].is_object());
    }
}
