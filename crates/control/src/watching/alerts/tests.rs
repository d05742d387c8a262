use mana_watch::Labels;
use mana_watch::alert::{Comparison, Condition, Outcome, Severity};

use crate::api::IncidentCommand;

use super::book::Pace;
use super::turns::is_due;
use super::*;

mod many;

fn watching(data: &Path, mailbox: mpsc::Sender<Message>) -> Watch {
    let (seen, _) = watch::channel(Arc::default());
    Watch::new(data.to_owned(), Kept::default(), mailbox, seen, Arc::default(), watch::channel(Arc::default()).1)
}

/// Takes every message into its keeping.
fn answering() -> mpsc::Sender<Message> {
    let (mailbox, mut inbox) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Some(message) = inbox.recv().await {
            if let Message::Call(call) = message
                && let Call::TellOfAlert { reply, .. } = *call
            {
                reply.send(Ok(vec!["hook".to_owned()])).expect("it is waited for");
            }
        }
    });
    mailbox
}

/// Something fires, and people were told of it; the number of its group.
fn fires(watch: &mut Watch) -> u64 {
    let begin = now_ms() - 60_000;
    let mut step = |at: i64, what: What| watch.kept.state.step(&Event { at, what });
    step(begin, What::RulesChanged(Box::new(Book { rules: vec![test()], ..Book::default() })));
    for at in [begin, begin + 10_000, begin + 20_000] {
        let outcome = Outcome::Values(vec![(Labels::default(), 1.0)]);
        step(at, What::Evaluated { rule: test().name, outcome });
    }
    watch.kept.state.groups().find(|group| group.is_told()).expect("people were told").number
}

#[tokio::test]
async fn silences_and_acknowledgements_that_cannot_be_kept_are_refused_and_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // Whose disk takes nothing.
    std::fs::write(&data, "").expect("a file");
    let mut watch = watching(&data, answering());
    let group = fires(&mut watch);
    let wishes = || {
        let condition = Condition { label: "service".into(), is: Comparison::Equal, value: "shop".into() };
        let (for_ms, reason) = (60_000, "it is being mended".to_owned());
        [
            AlertCommand::Silence { conditions: vec![condition], for_ms, reason: reason.clone() },
            AlertCommand::Maintenance { services: vec!["shop".to_owned()], from_ms: None, for_ms, reason },
            AlertCommand::Acknowledge { group, comment: "I am on it".to_owned(), for_ms: None },
        ]
        .map(|command| AlertRequest { by: "ada".to_owned(), command })
    };
    let looked_after = |watch: &Watch| watch.kept.state.groups().any(|group| group.acknowledged.is_some());
    for wish in wishes() {
        let refused = watch.wish(wish).await.expect_err("nothing can be written");
        assert!(refused.starts_with("it cannot be written down: "), "{refused}");
    }
    assert_eq!((watch.kept.state.quiets().count(), looked_after(&watch)), (0, false), "none was done");
    std::fs::remove_file(&data).expect("removed");
    std::fs::create_dir(&data).expect("a folder");
    for wish in wishes() {
        assert_eq!(watch.wish(wish).await, Ok(()));
    }
    assert_eq!((watch.kept.state.quiets().count(), looked_after(&watch)), (2, true));
    let kept = Kept::read(&paths::alerts(&data));
    assert_eq!(kept.state.quiets().count(), 2, "after a restart they are there");
    assert!(kept.state.groups().any(|group| group.acknowledged.is_some()));
}

#[test]
fn rules_that_fire_at_once_have_their_turn_every_two_seconds_and_all_every_ten() {
    let turns: Vec<Turn> = (1..=10).map(turn).collect();
    let (none, prompt, all) = (Turn::Nobody, Turn::Prompt, Turn::All);
    assert_eq!(turns, [none, prompt, none, prompt, none, prompt, none, prompt, none, all]);
    let later = Rule { hold: alert::Span::from_secs(1), ..test() };
    let burns = Rule { expression: "sum(increase(errors[3d])) > 9 and sum(increase(errors[5m])) > 1".into(), ..test() };
    assert_eq!([test(), later, burns].map(|rule| Ready::of(&rule).pace), [Pace::Prompt, Pace::Usual, Pace::Slow]);
    let minute: Vec<usize> = (0..6).filter(|evaluation| is_due(all, Pace::Slow, *evaluation)).collect();
    assert_eq!(minute, [0], "once a minute");
    assert!([none, prompt].into_iter().all(|turn| !is_due(turn, Pace::Slow, 0) && !is_due(turn, Pace::Usual, 0)));
    assert!([prompt, all].into_iter().all(|turn| is_due(turn, Pace::Prompt, 1)));
}

#[tokio::test]
async fn what_people_say_of_incidents_is_done_once_it_is_on_disk_and_else_they_hear_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // Whose disk takes nothing.
    std::fs::write(&data, "").expect("a file");
    let mut watch = watching(&data, mpsc::channel(1).0);
    let wish = |command| IncidentRequest { by: "ada".to_owned(), command };
    let open = || {
        let title = "Orders are slow".to_owned();
        wish(IncidentCommand::Open { title, severity: Severity::P3, services: vec!["shop".to_owned()] })
    };
    let refused = watch.asked(open()).await.expect_err("nothing can be written");
    assert!(refused.starts_with("it cannot be written down: "), "{refused}");
    assert_eq!(watch.kept.incidents.iter().count(), 0, "it was not done");
    std::fs::remove_file(&data).expect("removed");
    std::fs::create_dir(&data).expect("a folder");
    assert_eq!(watch.asked(open()).await, Ok(1));
    assert_eq!(Kept::read(&paths::alerts(&data)).incidents, watch.kept.incidents);
}
