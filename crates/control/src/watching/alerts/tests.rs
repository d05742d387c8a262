use mana_watch::alert::Severity;

use crate::api::IncidentCommand;

use super::*;

#[tokio::test]
async fn what_people_say_of_incidents_is_done_once_it_is_on_disk_and_else_they_hear_why_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // Whose disk takes nothing.
    std::fs::write(&data, "").expect("a file");
    let ((mailbox, _inbox), (seen, _shown)) = (mpsc::channel(1), watch::channel(Arc::default()));
    let mut watch =
        Watch::new(data.clone(), Kept::default(), mailbox, seen, Arc::default(), watch::channel(Arc::default()).1);
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
    assert_eq!(read(&paths::alerts(&data)).incidents, watch.kept.incidents);
}
