//! The request lifecycle, over HTTP, with the real ledger and a real model on the other side: what is paid, what is stored,
//! and what is refused.

use std::time::{Duration, Instant};

use crate::support::{Events, Fault, Person, Store, World, parts, until};
use reqwest::Method;
use sea_orm::ConnectionTrait;
use serde_json::json;

async fn an_answer_costs_one_credit_and_is_stored(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    assert_eq!(world.get(&person, "/api/credits").await, json!({ "credits": 50 }));

    let (status, answer) = parts(world.ask(&person, "Hello there").await).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["message"], "You said: Hello there");
    assert_eq!(answer["credits"], 49);
    assert_eq!(answer["model"], "echo");
    assert_eq!(world.ledger_balance(&person).await, 49);
    assert_eq!(world.get(&person, "/api/credits").await, json!({ "credits": 49 }), "the cached 50 is replaced");

    let id = answer["conversationId"].as_str().unwrap();
    let conversation = world.get(&person, &format!("/api/conversations/{id}")).await;
    assert_eq!(conversation["title"], "Hello there");
    let said: Vec<_> =
        conversation["messages"].as_array().unwrap().iter().map(|m| (&m["role"], &m["content"])).collect();
    assert_eq!(said, [(&json!("user"), &json!("Hello there")), (&json!("assistant"), &json!("You said: Hello there"))]);
    assert_eq!(conversation["messages"][1]["id"], answer["messageId"]);
    until("the outbox is empty", async || world.count("outbox").await == 0).await;
}

async fn the_short_address_is_the_same(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let body = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let (status, answer) = parts(world.call(&person, Method::POST, "/api/chat", Some(body)).await).await;
    assert_eq!((status, &answer["credits"]), (200, &json!(49)));
}

async fn a_failed_model_call_costs_nothing_and_stores_nothing(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for (says, status, code) in [
        ("[fail=500]", 502, "model_failed"),
        ("[fail=429]", 503, "model_rate_limited"),
        ("[fail=400]", 422, "model_refused"),
        ("[abort=2] a b", 502, "model_stream_broken"),
        ("[garbage=2] a b", 502, "model_bad_answer"),
    ] {
        let (got, problem) = parts(world.ask(&person, says).await).await;
        assert_eq!((got, problem["code"].as_str().unwrap()), (status, code), "{says}: {problem}");
        assert_eq!(world.ledger_balance(&person).await, 50, "{says}");
    }
    assert_eq!(world.count("conversations").await, 0);
    assert_eq!(world.count("messages").await, 0);
    assert_eq!(world.count("outbox").await, 0);
    assert_eq!(world.gate.seen("reserve"), 5);
    assert_eq!(world.gate.seen("release"), 5);
}

async fn what_no_database_keeps_is_no_reason_to_lose_an_answer(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for (n, streams) in [false, true].into_iter().enumerate() {
        let body = json!({ "messages": [{ "role": "user", "content": "[nul=1] hi" }], "stream": streams });
        let call = world.http.post(world.url("/api/chat")).bearer_auth(&person.token).json(&body);
        let call = || call.try_clone().unwrap().header("idempotency-key", format!("key-{n}")).send();
        let (status, told) = parts(call().await.unwrap()).await;
        assert!(status == 200 && told.to_string().contains("\\u0000"), "{told}");
        let (status, again) = parts(call().await.unwrap()).await;
        assert!(status == 200 && again.to_string().contains("\\u0000"), "{again}");
        assert_eq!(world.ledger_balance(&person).await, 49 - i64::try_from(n).unwrap());
    }
    let list = world.get(&person, "/api/conversations").await;
    for conversation in list["conversations"].as_array().unwrap() {
        let path = format!("/api/conversations/{}", conversation["id"].as_str().unwrap());
        assert_eq!(world.get(&person, &path).await["messages"][1]["content"], "You said: \u{fffd} hi");
    }
}

async fn an_answer_that_cannot_be_stored_in_full_is_not_stored_at_all(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.database.execute_unprepared("ALTER TABLE outbox RENAME TO elsewhere").await.unwrap();
    let (status, problem) = parts(world.ask(&person, "hi").await).await;
    assert_eq!((status, &problem["code"]), (503, &json!("storage_unavailable")));
    assert_eq!((world.count("conversations").await, world.count("messages").await), (0, 0));
    assert_eq!(world.ledger_balance(&person).await, 50);
}

async fn without_the_ledger_no_model_is_called(store: Store) {
    let world = World::start(store).await;
    for (name, fault) in [("ada", Fault::Error), ("bob", Fault::Break), ("eve", Fault::LoseAnswer)] {
        // A person for each: what the release of the one before left is cached whenever its answer comes.
        let person = world.person(name).await;
        world.gate.fault("balance", fault);
        let (status, problem) = parts(world.call(&person, Method::GET, "/api/credits", None).await).await;
        assert_eq!((status, &problem["code"]), (503, &json!("ledger_unavailable")), "{fault:?}");
        world.gate.heal();

        world.gate.fault("reserve", fault);
        let (status, problem) = parts(world.ask(&person, "hi").await).await;
        assert_eq!((status, &problem["code"]), (503, &json!("ledger_unavailable")), "{fault:?}");
        let held = i64::from(fault == Fault::LoseAnswer);
        assert_eq!(world.ledger_balance(&person).await, 50 - held, "{fault:?}");
        let released = world.gate.seen("release");
        world.gate.heal();
        until("it is found out what became of it", async || world.gate.seen("release") > released).await;
        until("nothing is held back", async || world.ledger_balance(&person).await == 50).await;
    }
    assert_eq!(world.model_calls(), 0);
    assert_eq!((world.count("messages").await, world.count("outbox").await), (0, 0));
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "all of them were released");
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn nothing_is_given_before_what_pays_for_it_is_durable(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let late = Duration::from_millis(1_500);
    world.gate.fault("reserve", Fault::Late(1_500));
    for streams in [false, true] {
        let (began, calls) = (Instant::now(), world.model_calls());
        let body = json!({ "messages": [{ "role": "user", "content": "hi" }], "stream": streams });
        let given = async {
            let answer = world.complete(&person, body).await;
            if streams {
                assert_eq!(Events::of(answer).next().await.expect("an event").0, "delta");
            } else {
                assert_eq!(parts(answer).await.0, 200);
            }
            began.elapsed()
        };
        let asked = async {
            until("the model is asked", async || world.model_calls() > calls).await;
            began.elapsed()
        };
        let (given, asked) = tokio::join!(given, asked);
        assert!(asked < late, "the model is asked meanwhile: {asked:?}");
        assert!(given >= late, "{given:?}");
    }
}

async fn a_ledger_that_dies_over_what_it_has_admitted_costs_nobody_and_gives_nothing_away(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    // Before the model has answered: nothing is stored, nothing is charged, and its call is cancelled.
    world.gate.fault("reserve", Fault::AdmitAndDie(300));
    for (text, streams) in [("[stall=0] hi", false), ("[stall=0] hi", true), ("hi", true)] {
        let body = json!({ "messages": [{ "role": "user", "content": text }], "stream": streams });
        let (status, problem) = parts(world.complete(&person, body).await).await;
        assert_eq!((status, &problem["code"]), (503, &json!("ledger_unavailable")), "{text} {streams}");
    }
    assert_eq!(world.model_calls(), 3);
    assert_eq!((world.count("messages").await, world.count("outbox").await), (0, 0));
    // After it, the answer is stored: it is given, and charged once the ledger is there again.
    let (status, answer) = parts(world.ask(&person, "hi").await).await;
    assert_eq!((status, &answer["message"], &answer["credits"]), (200, &json!("You said: hi"), &json!(49)));
    assert_eq!(world.ledger_balance(&person).await, 50, "the ledger knows nothing of it yet");
    world.gate.heal();
    until("it is charged", async || {
        world.dispatch_now().await;
        world.ledger_balance(&person).await == 49 && world.count("outbox").await == 0
    })
    .await;
    // What was asked about aside is given back by then, or was never held.
    until("nothing is held back", async || {
        world.auth.expire_reservations(Duration::from_hours(2)).await;
        world.ledger_balance(&person).await == 49
    })
    .await;
    assert_eq!(world.count("messages").await, 2);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn what_comes_together_goes_to_the_ledger_in_few_calls_and_is_charged_one_by_one(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "*=0.5")]).await;
    let person = world.person("ada").await;
    let asks = futures_util::future::join_all((0..90).map(|n| {
        let (world, person) = (&world, &person);
        async move { parts(world.ask(person, &format!("question {n}")).await).await }
    }));
    let mut left: Vec<f64> = Vec::new();
    for (status, answer) in asks.await {
        assert_eq!(status, 200, "{answer}");
        left.push(answer["credits"].as_f64().unwrap());
    }
    left.sort_by(f64::total_cmp);
    let want: Vec<f64> = (0..90).map(|n| 5.0 + f64::from(n) / 2.0).collect();
    assert_eq!(left, want, "each was told what it left");
    until("all are settled", async || world.count("outbox").await == 0).await;
    assert_eq!(world.ledger_balance(&person).await, 5);
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "nothing is held back");
    let (reserves, settles) = (world.gate.seen("reserve"), world.gate.seen("settle"));
    assert!(reserves < 90 && settles < 90, "{reserves} calls that reserve, {settles} that settle");
}

async fn a_call_for_many_whose_answer_is_lost_is_looked_into_for_each_of_them(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.gate.fault("reserve", Fault::LoseAnswer);
    let asks = (0..20).map(|n| {
        let (world, person) = (&world, &person);
        async move { world.ask(person, &format!("question {n}")).await.status().as_u16() }
    });
    assert_eq!(futures_util::future::join_all(asks).await, vec![503; 20]);
    assert!(world.ledger_balance(&person).await < 50, "the ledger has done it");
    world.gate.heal();
    until("nothing is held back", async || world.ledger_balance(&person).await == 50).await;
    assert_eq!((world.model_calls(), world.count("messages").await), (0, 0));
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "all of them were released");
}

async fn an_answer_does_not_wait_for_its_settle(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.gate.fault("settle", Fault::Stall);
    let asked = tokio::time::timeout(Duration::from_millis(1_500), world.ask(&person, "hi"));
    let (status, answer) = parts(asked.await.expect("less than the ledger's time")).await;
    assert_eq!((status, &answer["credits"]), (200, &json!(49)));
    assert_eq!(world.get(&person, "/api/credits").await, json!({ "credits": 49 }), "and shows at once");
    until("it was tried", async || world.gate.seen("settle") > 0).await;
    world.gate.heal();
    until("it is settled", async || {
        world.dispatch_now().await;
        world.count("outbox").await == 0
    })
    .await;
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "nothing is held back");
    assert_eq!(world.ledger_balance(&person).await, 49);
}

async fn without_credits_there_is_no_answer(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=30,*=1")]).await;
    let person = world.person("ada").await;
    assert_eq!(parts(world.ask(&person, "one").await).await.1["credits"], 20);
    let (status, problem) = parts(world.ask(&person, "two").await).await;
    assert_eq!((status, &problem["code"]), (402, &json!("out_of_credits")));
    assert_eq!(world.model_calls(), 1);
    assert_eq!(world.ledger_balance(&person).await, 20);
    let cheaper = json!({ "model": "echo-slow", "messages": [{ "role": "user", "content": "hi" }] });
    assert_eq!(parts(world.complete(&person, cheaper).await).await.0, 200, "what a cheaper model costs is still there");
}

async fn a_cached_balance_neither_admits_nor_refuses(store: Store) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=50,*=1")]).await;
    let (rich, poor) = (world.person("rich").await, world.person("poor").await);
    assert_eq!(parts(world.ask(&poor, "spend it all").await).await.1["credits"], 0);
    // The cache says the opposite of the truth for both.
    for (person, lie) in [(&rich, "999 0"), (&poor, "999 50")] {
        world.cache.set(&format!("credits:{}", person.id), lie, Duration::from_mins(5)).await.unwrap();
    }
    assert_eq!(world.get(&poor, "/api/credits").await, json!({ "credits": 50 }), "reads are answered from the cache");
    assert_eq!(parts(world.ask(&rich, "hi").await).await.0, 200);
    assert_eq!(parts(world.ask(&poor, "hi").await).await.0, 402);
}

async fn nine_of_ten_reads_of_a_balance_need_no_ledger_and_show_every_change(store: Store) {
    let world = World::start(store).await;
    let people = [world.person("ada").await, world.person("grace").await];
    let mut reads = 0;
    for person in &people {
        assert_eq!(world.get(person, "/api/credits").await, json!({ "credits": 50 }));
        reads += 1;
    }
    for n in 1..=20 {
        for person in &people {
            assert_eq!(world.ask(person, &format!("question {n}")).await.status(), 200);
            assert_eq!(world.get(person, "/api/credits").await, json!({ "credits": 50 - n }), "each change shows");
            reads += 1;
        }
        // What costs nothing in the end shows nothing.
        assert_eq!(world.ask(&people[0], "[fail=500]").await.status(), 502);
        assert_eq!(world.get(&people[0], "/api/credits").await, json!({ "credits": 50 - n }));
        reads += 1;
    }
    let asked = world.gate.seen("balance");
    assert!(asked * 10 <= reads, "{asked} of {reads} reads asked the ledger");
    let metrics = world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for source in ["cache", "ledger"] {
        assert!(metrics.contains(&format!("chat_balance_reads_total{{source=\"{source}\"}}")), "{metrics}");
    }
}

async fn two_hundred_at_once_on_fifty_credits_make_exactly_fifty_answers(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    let asks = (0..200).map(|n| {
        let (world, person) = (&world, &person);
        async move { world.ask(person, &format!("question {n}")).await.status().as_u16() }
    });
    let statuses = futures_util::future::join_all(asks).await;
    let count = |status| statuses.iter().filter(|s| **s == status).count();
    assert_eq!((count(200), count(402)), (50, 150), "{statuses:?}");
    assert_eq!(world.ledger_balance(&person).await, 0);
    assert_eq!(world.model_calls(), 50);
    assert_eq!(world.count("messages").await, 100);
}

async fn a_settle_that_fails_is_repeated_until_it_is_acknowledged_and_charges_once(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    for fault in [Fault::Error, Fault::LoseAnswer] {
        world.gate.fault("settle", fault);
        let (before, tried) = (world.ledger_balance(&person).await, world.gate.seen("settle"));
        let (status, answer) = parts(world.ask(&person, "hi").await).await;
        assert_eq!((status, &answer["credits"]), (200, &json!(before - 1)), "the answer is given all the same");
        assert_eq!(world.count("outbox").await, 1);
        until("it was tried behind the answer", async || world.gate.seen("settle") > tried).await;
        let tried = world.gate.seen("settle");
        until("the dispatcher has tried, too", async || world.gate.seen("settle") > tried).await;
        world.gate.heal();
        until("it is acknowledged", async || world.count("outbox").await == 0).await;
        assert_eq!(world.ledger_balance(&person).await, before - 1);
    }
}

async fn a_settle_that_comes_after_its_reservation_expired_is_charged_once_all_the_same(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.gate.fault("settle", Fault::Error);
    assert_eq!(world.ask(&person, "hi").await.status(), 200);
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 1);
    assert_eq!(world.ledger_balance(&person).await, 50, "for the ledger there is no answer");
    // The new reservation's answer is lost, and whoever asks again is given the same one.
    world.gate.fault("reserve", Fault::LoseAnswer);
    world.gate.heal_of("settle");
    let reserved = world.gate.seen("reserve");
    world.dispatch_now().await;
    until("it is reserved anew", async || world.gate.seen("reserve") > reserved).await;
    world.gate.heal();
    until("it is acknowledged", async || {
        world.dispatch_now().await;
        world.count("outbox").await == 0
    })
    .await;
    assert_eq!(world.ledger_balance(&person).await, 49);
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "nothing is held back");
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

/// An answer of 30 credits, delivered and not settled in time, to somebody who has 20 left by now.
async fn owing(store: Store) -> (World, Person) {
    let world = World::start_with(store, &[("AI_PRICES", "echo=30,*=1")]).await;
    let person = world.person("ada").await;
    world.gate.fault("settle", Fault::Error);
    assert_eq!(world.ask(&person, "one").await.status(), 200);
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 1);
    assert_eq!(world.ask(&person, "two").await.status(), 200, "the credits were there again");
    world.gate.heal();
    until("the other one is paid", async || {
        world.dispatch_now().await;
        world.count("outbox").await == 1
    })
    .await;
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (20, 4));
    (world, person)
}

async fn a_late_settle_that_nobody_can_pay_is_owed_until_there_are_credits(store: Store) {
    let (world, person) = owing(store).await;
    let later = "outbox WHERE next_attempt_at = created_at + 3600000";
    until("it waits for the next hour", async || world.count(later).await == 1).await;
    world.grant(&person, 15).await;
    assert_eq!((world.ledger_balance(&person).await, world.count("outbox").await), (35, 1));
    world.age_outbox(Duration::from_hours(1)).await;
    until("it is paid", async || {
        world.dispatch_now().await;
        world.count("outbox").await == 0
    })
    .await;
    assert_eq!(world.ledger_balance(&person).await, 5);
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "nothing is held back");
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn what_is_owed_for_a_month_is_struck_off_and_counted(store: Store) {
    let (world, person) = owing(store).await;
    world.age_outbox(Duration::from_hours(31 * 24)).await;
    until("it is done with", async || {
        world.dispatch_now().await;
        world.count("outbox").await == 0
    })
    .await;
    assert_eq!(world.ledger_balance(&person).await, 20);
    let metrics = world.http.get(world.url("/metrics")).send().await.unwrap().text().await.unwrap();
    for name in ["owed", "lost"] {
        assert!(metrics.contains(&format!("\nchat_settles_{name}_total ")), "{metrics}");
    }
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn a_release_that_fails_is_repeated_until_it_is_acknowledged(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.gate.fault("release", Fault::Error);
    assert_eq!(parts(world.ask(&person, "[fail=500]").await).await.0, 502);
    assert_eq!(world.count("outbox").await, 1);
    world.gate.heal();
    until("it is acknowledged", async || world.count("outbox").await == 0).await;
    assert_eq!(world.ledger_balance(&person).await, 50);
}

async fn a_charge_repeated_fifty_times_at_once_is_one_debit(store: Store) {
    let world = World::start(store).await;
    let person = world.person("ada").await;
    world.gate.fault("settle", Fault::Error);
    assert_eq!(world.ask(&person, "hi").await.status(), 200);
    // The settle is written down, but not delivered. Fifty deliver it at once, and then the dispatcher does, too.
    let settle = json!({ "userId": person.id, "reservationId": world.outbox_reservation().await, "amount": 1 });
    let retries = (0..50).map(|_| world.settle_at_the_ledger(&settle));
    let answers = futures_util::future::join_all(retries).await;
    assert!(answers.iter().all(|(status, body)| (*status, &body["balance"]) == (200, &json!(49))), "{answers:?}");
    assert_eq!(answers.iter().filter(|(_, body)| body["version"].is_i64()).count(), 1, "one of them was the charge");
    world.gate.heal();
    until("the dispatcher's is acknowledged as well", async || world.count("outbox").await == 0).await;
    assert_eq!(world.ledger_balance(&person).await, 49);
    assert_eq!(world.auth.ledger_findings().await, Vec::<String>::new());
}

async fn what_cannot_be_waited_for_is_cut_off_and_costs_nothing(store: Store) {
    let mut world = World::start(store).await;
    let person = world.person("ada").await;
    let mut events = Events::of(world.ask_streaming(&person, "[delay=100] [words=1000]").await);
    assert_eq!(events.next().await.unwrap().0, "delta");
    world.stop().await;
    let last = events.collect().await.pop().unwrap();
    assert_eq!((last.0.as_str(), &last.1["code"]), ("error", &json!("stopping")));
    assert_eq!((world.ledger_balance(&person).await, world.count("messages").await), (50, 0));
    until("the model call is cancelled", async || world.calls.count().cancelled == 1).await;
}

async fn what_a_stopping_service_has_begun_it_finishes(store: Store) {
    let mut world = World::start(store).await;
    let person = world.person("ada").await;
    let answer = {
        let call = world.http.post(world.url("/api/chat")).bearer_auth(&person.token);
        let body = json!({ "messages": [{ "role": "user", "content": "[delay=20] [words=20]" }] });
        tokio::spawn(call.json(&body).send())
    };
    until("the model is asked", async || world.model_calls() == 1).await;
    world.stop().await;
    assert_eq!(answer.await.unwrap().unwrap().status().as_u16(), 200);
    assert_eq!(world.ledger_balance(&person).await, 49);
    assert_eq!(world.auth.expire_reservations(Duration::from_hours(2)).await, 0, "the ledger was told before it ended");
}

crate::support::on_both_stores!(
    nothing_is_given_before_what_pays_for_it_is_durable,
    a_ledger_that_dies_over_what_it_has_admitted_costs_nobody_and_gives_nothing_away,
    an_answer_costs_one_credit_and_is_stored,
    the_short_address_is_the_same,
    a_failed_model_call_costs_nothing_and_stores_nothing,
    what_no_database_keeps_is_no_reason_to_lose_an_answer,
    an_answer_that_cannot_be_stored_in_full_is_not_stored_at_all,
    without_the_ledger_no_model_is_called,
    what_comes_together_goes_to_the_ledger_in_few_calls_and_is_charged_one_by_one,
    a_call_for_many_whose_answer_is_lost_is_looked_into_for_each_of_them,
    an_answer_does_not_wait_for_its_settle,
    without_credits_there_is_no_answer,
    a_cached_balance_neither_admits_nor_refuses,
    nine_of_ten_reads_of_a_balance_need_no_ledger_and_show_every_change,
    two_hundred_at_once_on_fifty_credits_make_exactly_fifty_answers,
    a_settle_that_fails_is_repeated_until_it_is_acknowledged_and_charges_once,
    a_settle_that_comes_after_its_reservation_expired_is_charged_once_all_the_same,
    a_late_settle_that_nobody_can_pay_is_owed_until_there_are_credits,
    what_is_owed_for_a_month_is_struck_off_and_counted,
    a_release_that_fails_is_repeated_until_it_is_acknowledged,
    a_charge_repeated_fifty_times_at_once_is_one_debit,
    what_cannot_be_waited_for_is_cut_off_and_costs_nothing,
    what_a_stopping_service_has_begun_it_finishes,
);
