//! The form in which events and states are stored.

use super::super::*;
use super::plans::full;
use super::world::{World, operator};

#[test]
fn every_event_and_every_state_reads_as_it_was_written() {
    let mut world = World::new(full());
    world.start();
    world.finish();
    let mut state = State::new(world.state.id(), full());
    for event in &world.journal {
        let text = serde_json::to_string(event).unwrap();
        let read: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(&read, event, "{text}");
        let effects = state.step(read).effects;
        let text = serde_json::to_string(&effects).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Intent>>(&text).unwrap(), effects, "{text}");
        let text = serde_json::to_string(&state).unwrap();
        state = serde_json::from_str(&text).unwrap();
    }
    assert_eq!(state, world.state);
}

#[test]
fn the_form_is_readable_and_stable() {
    let at = Time { up_ms: 1_000, wall_ms: 1_700_000_000_000 };
    let key = "17/scanning/1/4".parse().unwrap();
    let reason = || "HIGH: openssl".to_owned();
    for (what, text) in [
        (What::Tick, r#""event":"tick"}"#),
        (What::Start { blue: None, generation: Generation(3) }, r#""event":"start","blue":null,"generation":3}"#),
        (
            What::Outcome { key, outcome: Outcome::Failed { reason: reason() } },
            r#""event":"outcome","key":"17/scanning/1/4","outcome":"failed","reason":"HIGH: openssl"}"#,
        ),
        (
            What::Command { by: operator("ada"), command: Command::PauseAt { stage: Stage::CuttingOver } },
            r#""event":"command","by":"ada","command":"pause-at","stage":"cutting-over"}"#,
        ),
        (
            What::Seen { slot: Slot::Green, health: Health::Lost("3 crashes".into()) },
            r#""event":"seen","slot":"green","health":{"lost":"3 crashes"}}"#,
        ),
    ] {
        let event = Event { at, what };
        let text = format!(r#"{{"at":{{"up_ms":1000,"wall_ms":1700000000000}},{text}"#);
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}

#[test]
fn what_a_later_version_wrote_is_a_clear_error() {
    let read = |text: &str| {
        let text = format!(r#"{{"at":{{"up_ms":1,"wall_ms":1}},{text}}}"#);
        serde_json::from_str::<Event>(&text).unwrap_err().to_string()
    };
    let error = read(r#""event":"eclipse""#);
    assert!(error.contains("unknown variant `eclipse`, expected one of `start`, `tick`, `outcome`"), "{error}");
    let error = read(r#""event":"command","by":"ada","command":"dance""#);
    assert!(error.contains("unknown variant `dance`"), "{error}");
    let error = read(r#""event":"outcome","key":"17/lunch/1/4","outcome":"done""#);
    assert!(error.contains("`17/lunch/1/4` is no key of an effect"), "{error}");
}
