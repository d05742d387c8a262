//! Conversations as trees: edited questions, answers given again, which branch is shown, and what the model reads on it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Events, Person, Store, World, parts, until};

async fn said(world: &World, person: &Person, id: &str) -> Vec<String> {
    let page = world.get(person, &format!("/api/conversations/{id}")).await;
    page["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
}

async fn messages(world: &World, person: &Person, id: &str) -> Vec<Value> {
    world.get(person, &format!("/api/conversations/{id}")).await["messages"].as_array().unwrap().clone()
}

fn id(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

async fn complete(world: &World, person: &Person, body: Value) -> Value {
    let (status, answer) = parts(world.complete(person, body.clone()).await).await;
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn question(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

async fn an_edited_question_stands_beside_the_first_and_either_can_be_shown(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let conversation = id(&complete(&world, &ada, json!({ "messages": question("one") })).await["conversationId"]);
    let next = |text: &str| json!({ "messages": question(text), "conversationId": conversation });
    complete(&world, &ada, next("two")).await;
    let before = messages(&world, &ada, &conversation).await;
    assert_eq!(before[1]["parentId"], before[0]["id"]);
    assert_eq!((&before[0]["parentId"], &before[2]["versions"]), (&Value::Null, &Value::Null));

    let edit = json!({ "messages": question("TWO"), "conversationId": conversation, "edit": before[2]["id"] });
    let edited = complete(&world, &ada, edit).await;
    assert_eq!(said(&world, &ada, &conversation).await, ["one", "You said: one", "TWO", "You said: TWO"]);
    // echo counts the words it reads: "one", "You said: one", "TWO"
    assert_eq!(world.prompt_tokens(edited["messageId"].as_str().unwrap()).await, 5);
    let after = messages(&world, &ada, &conversation).await;
    assert_eq!(after[2]["versions"], json!([before[2]["id"], after[2]["id"]]));
    assert_eq!(after[2]["parentId"], before[1]["id"]);

    let branch = format!("/api/conversations/{conversation}/branch");
    let shown = world.call(&ada, Method::PUT, &branch, Some(json!({ "messageId": before[2]["id"] }))).await;
    assert_eq!(shown.status(), 204);
    assert_eq!(said(&world, &ada, &conversation).await, ["one", "You said: one", "two", "You said: two"]);
    complete(&world, &ada, next("three")).await;
    assert_eq!(said(&world, &ada, &conversation).await[2..], ["two", "You said: two", "three", "You said: three"]);

    // The first question can be edited as well; its branch comes back whole, down to its newest end.
    let edit = json!({ "messages": question("ONE"), "conversationId": conversation, "edit": before[0]["id"] });
    complete(&world, &ada, edit).await;
    assert_eq!(said(&world, &ada, &conversation).await, ["ONE", "You said: ONE"]);
    world.call(&ada, Method::PUT, &branch, Some(json!({ "messageId": before[0]["id"] }))).await;
    assert_eq!(said(&world, &ada, &conversation).await.len(), 6);
}

async fn an_answer_is_given_again_to_the_same_question_and_paid_like_any(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let first = complete(
        &world,
        &ada,
        json!({ "messages": question("tell me"), "attachments": [{ "name": "a.txt", "content": "some more words" }] }),
    )
    .await;
    let conversation = id(&first["conversationId"]);
    let tokens = world.prompt_tokens(first["messageId"].as_str().unwrap()).await;
    let again = json!({ "conversationId": conversation, "regenerate": first["messageId"] });
    let second = complete(&world, &ada, again).await;
    assert_ne!(first["messageId"], second["messageId"]);
    assert_eq!(
        world.prompt_tokens(second["messageId"].as_str().unwrap()).await,
        tokens,
        "with its attachment, nothing else"
    );
    let now = messages(&world, &ada, &conversation).await;
    assert_eq!((now.len(), world.count("messages").await), (2, 3));
    assert_eq!(now[1]["versions"], json!([first["messageId"], second["messageId"]]));
    assert_eq!(now[1]["id"], second["messageId"]);
    assert_eq!((world.ledger_balance(&ada).await, world.count("outbox").await <= 2), (48, true));
    // As a stream it is the same.
    let again = json!({ "conversationId": conversation, "regenerate": second["messageId"], "stream": true });
    let events = Events::of(world.complete(&ada, again).await).collect().await;
    assert_eq!(events.last().unwrap().0, "done");
    assert_eq!(messages(&world, &ada, &conversation).await[1]["versions"].as_array().unwrap().len(), 3);
}

async fn a_place_that_makes_no_sense_is_refused_by_field_and_costs_nothing(store: Store) {
    let world = World::start(store).await;
    let (ada, eve) = (world.person("ada").await, world.person("eve").await);
    let hers = complete(&world, &eve, json!({ "messages": question("hers") })).await;
    let mine = complete(&world, &ada, json!({ "messages": question("mine") })).await;
    let conversation = mine["conversationId"].clone();
    let asked = messages(&world, &ada, conversation.as_str().unwrap()).await[0]["id"].clone();
    let answer = mine["messageId"].clone();
    let hi = question("hi");
    for (body, field) in [
        (json!({ "messages": hi, "edit": asked }), "conversationId"),
        (json!({ "regenerate": answer }), "conversationId"),
        (json!({ "messages": hi, "conversationId": conversation, "edit": "7" }), "edit"),
        (json!({ "messages": hi, "conversationId": conversation, "edit": answer }), "edit"),
        (json!({ "messages": hi, "conversationId": conversation, "parentId": asked }), "parentId"),
        (json!({ "messages": hi, "conversationId": conversation, "parentId": hers["messageId"] }), "parentId"),
        (json!({ "conversationId": conversation, "regenerate": hers["messageId"] }), "regenerate"),
        (json!({ "conversationId": conversation, "regenerate": asked }), "regenerate"),
        (json!({ "messages": hi, "conversationId": conversation, "regenerate": answer }), "messages"),
        (json!({ "messages": hi, "conversationId": conversation, "edit": asked, "regenerate": answer }), "edit"),
        (json!({ "messages": hi, "attachments": [{ "name": "", "content": "x" }] }), "attachments[0].name"),
    ] {
        let (status, problem) = parts(world.complete(&ada, body.clone()).await).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{body}: {problem}");
    }
    assert_eq!((world.model_calls(), world.ledger_balance(&ada).await), (2, 49));
}

async fn versions_are_bounded(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "*=0.1")]).await;
    let ada = world.person("ada").await;
    let first = complete(&world, &ada, json!({ "messages": question("x") })).await;
    let again = json!({ "conversationId": first["conversationId"], "regenerate": first["messageId"] });
    for _ in 1..50 {
        complete(&world, &ada, again.clone()).await;
    }
    let (status, problem) = parts(world.complete(&ada, again).await).await;
    assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!("regenerate")), "{problem}");
}

async fn an_edit_against_a_stream_keeps_both_and_shows_what_was_asked_last(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let first = complete(&world, &ada, json!({ "messages": question("one") })).await;
    let conversation = id(&first["conversationId"]);
    let asked = messages(&world, &ada, &conversation).await[0]["id"].clone();
    let slow =
        json!({ "messages": question("[delay=60] a b c d e f"), "conversationId": conversation, "stream": true });
    let mut stream = Events::of(world.complete(&ada, slow).await);
    stream.next().await.unwrap();
    let edit = json!({ "messages": question("ONE"), "conversationId": conversation, "edit": asked });
    complete(&world, &ada, edit).await;
    assert_eq!(stream.collect().await.last().unwrap().0, "done");
    assert_eq!(said(&world, &ada, &conversation).await, ["ONE", "You said: ONE"], "asked last, though done first");
    let branch = format!("/api/conversations/{conversation}/branch");
    world.call(&ada, Method::PUT, &branch, Some(json!({ "messageId": asked }))).await;
    let other = said(&world, &ada, &conversation).await;
    assert_eq!(other, ["one", "You said: one", "[delay=60] a b c d e f", "You said: a b c d e f"]);
    until("both are paid", async || world.ledger_balance(&ada).await == 47).await;
}

async fn older_messages_of_a_branch_come_in_pages(store: Store) {
    let world = World::start(store).await;
    let ada = world.person("ada").await;
    let first = complete(&world, &ada, json!({ "messages": question("q0") })).await;
    let conversation = id(&first["conversationId"]);
    for n in 1..4 {
        complete(&world, &ada, json!({ "messages": question(&format!("q{n}")), "conversationId": conversation })).await;
    }
    let asked = messages(&world, &ada, &conversation).await[4]["id"].clone();
    complete(&world, &ada, json!({ "messages": question("Q2"), "conversationId": conversation, "edit": asked })).await;
    let path = format!("/api/conversations/{conversation}?limit=4");
    let contents = |page: &Value| -> Vec<String> {
        page["messages"].as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect()
    };
    let newest = world.get(&ada, &path).await;
    assert_eq!(contents(&newest), ["q1", "You said: q1", "Q2", "You said: Q2"]);
    let older = world.get(&ada, &format!("{path}&cursor={}", newest["nextCursor"].as_str().unwrap())).await;
    assert_eq!(
        (contents(&older), &older["nextCursor"]),
        (vec!["q0".to_owned(), "You said: q0".to_owned()], &Value::Null)
    );
}

crate::support::on_both_stores!(
    an_edited_question_stands_beside_the_first_and_either_can_be_shown,
    an_answer_is_given_again_to_the_same_question_and_paid_like_any,
    a_place_that_makes_no_sense_is_refused_by_field_and_costs_nothing,
    versions_are_bounded,
    an_edit_against_a_stream_keeps_both_and_shows_what_was_asked_last,
    older_messages_of_a_branch_come_in_pages,
);
