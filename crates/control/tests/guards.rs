//! What is checked before anything is started, and what is refused.

mod support;

use std::os::unix::fs::PermissionsExt;

use mana_control::api::{Event, Restart, RunRequest, ServiceState};
use mana_control::client::ClientError;
use mana_control::{paths, secrets};
use support::{Ecosystem, Service, all, until};

#[tokio::test]
async fn a_missing_secret_blocks_the_service_without_a_loop_of_starts() {
    let mut ecosystem = Ecosystem::start().await;
    let services = [Service::new("a").secret("GIVEN"), Service::new("b")];
    let events = all(ecosystem.apply(&services).await).await;
    let Some(Event::Failed { reason }) = events.last() else { panic!("{events:#?}") };
    assert_eq!(reason, "not up: a");
    assert_eq!(ecosystem.state("a").await, ServiceState::Blocked);
    assert_eq!(ecosystem.state("b").await, ServiceState::Up);
    let instance = ecosystem.instance("a").await;
    let why = instance.reason.expect("it says why");
    assert!(why.contains("the secret GIVEN") && why.contains("MANA_SECRET_GIVEN"), "{why}");
    assert_eq!((instance.restarts, instance.pid), (0, None));
    assert_eq!(ecosystem.journal_kinds("a").await, ["blocked"]);

    secrets::set(&ecosystem.data(), "GIVEN", &"given".to_owned().into()).expect("set");
    ecosystem.up(&services).await;
    assert_eq!(ecosystem.get("a", "/env/GIVEN").await.expect("answers"), (200, "given".into()));
    ecosystem.down().await;
}

#[tokio::test]
async fn a_secret_that_went_missing_blocks_the_restart_after_a_crash() {
    let mut ecosystem = Ecosystem::start().await;
    let services = [Service::new("a").secret("MADE")];
    ecosystem.up(&services).await;
    let made = ecosystem.get("a", "/env/MADE").await.expect("answers").1;
    assert_eq!(made.len(), 32);
    std::fs::remove_file(paths::secrets(&ecosystem.data())).expect("remove");
    // It ends in the middle of the answer.
    let _ = ecosystem.get("a", "/crash").await;
    until("it is blocked", async || (ecosystem.state("a").await == ServiceState::Blocked).then_some(())).await;
    ecosystem.up(&services).await;
    assert_ne!(ecosystem.get("a", "/env/MADE").await.expect("answers").1, made);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_migration_runs_before_a_new_version_and_not_after_a_crash() {
    let mut ecosystem = Ecosystem::start().await;
    let migrations = ecosystem.folder.path().join("migrations");
    let count = || std::fs::read_to_string(&migrations).unwrap_or_default().lines().count();
    let service =
        Service::new("a").env("MIGRATIONS", migrations.to_str().expect("a path")).with("migrate = [\"migrate\"]");
    ecosystem.up(std::slice::from_ref(&service)).await;
    assert_eq!(count(), 1);
    let pid = ecosystem.pid("a").await;
    support::kill(pid, rustix::process::Signal::KILL);
    until("another one runs", async || (ecosystem.instance("a").await.pid? != pid).then_some(())).await;
    ecosystem.up(std::slice::from_ref(&service)).await;
    ecosystem.restart("a").await;
    assert_eq!(count(), 1);

    ecosystem.up(&[service.clone().env("COLOUR", "green")]).await;
    assert_eq!(count(), 2);

    let old = ecosystem.pid("a").await;
    let events = all(ecosystem.apply(&[service.env("FAIL_MIGRATION", "1")]).await).await;
    assert!(matches!(events.last(), Some(Event::Failed { .. })), "{events:#?}");
    let failed = events.iter().find_map(|event| match event {
        Event::ServiceFailed { reason, log_tail, .. } => Some((reason, log_tail)),
        _ => None,
    });
    let (reason, log_tail) = failed.expect("it is reported");
    assert!(reason.contains("its migration failed: exit code 1"), "{reason}");
    assert_eq!(log_tail.last().map(String::as_str), Some("no such table: users"));
    assert!(ecosystem.service("a").await.instances.iter().any(|instance| instance.pid == Some(old)));
    ecosystem.down().await;
}

#[tokio::test]
async fn an_invalid_manifest_is_refused_and_changes_nothing() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a")]).await;
    let pids = ecosystem.pids().await;
    std::fs::write(ecosystem.manifest(), "name = \"small\"\nnonsense = [").expect("write");
    let Err(ClientError::Refused(problem)) = ecosystem.apply_as_is().await else { panic!("refused") };
    assert_eq!(problem.status, 422);
    assert!(!problem.problems.is_empty());
    assert_eq!(ecosystem.pids().await, pids);

    // Nor does a control plane that comes back read the file again.
    ecosystem.kill_control();
    ecosystem.start_control().await;
    assert_eq!(ecosystem.pids().await, pids);
    ecosystem.down().await;
}

#[tokio::test]
async fn a_one_off_command_gets_the_surroundings_of_its_service() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a").secret("MADE").env("COLOUR", "green")]).await;
    let request = RunRequest { service: "a".into(), args: vec!["check-ledger".into()] };
    let spec = ecosystem.client().await.run(&request).await.expect("answered");
    assert_eq!(spec.argv, [support::example("instance").display().to_string(), "check-ledger".into()]);
    assert_eq!(spec.env["COLOUR"], "green");
    assert_eq!(spec.env["MADE"], ecosystem.get("a", "/env/MADE").await.expect("answers").1);
    let unknown = RunRequest { service: "nobody".into(), args: Vec::new() };
    let Err(ClientError::Refused(problem)) = ecosystem.client().await.run(&unknown).await else { panic!("refused") };
    assert_eq!(problem.status, 404);
    ecosystem.down().await;
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_reason() {
    let mut ecosystem = Ecosystem::start().await;
    let restart = Restart { service: "a".into() };
    let Err(ClientError::Refused(problem)) = ecosystem.client().await.restart(&restart).await else { panic!() };
    assert_eq!(problem.status, 409);
    assert!(problem.detail.contains("mana up"), "{problem:?}");
    ecosystem.up(&[Service::new("a")]).await;
    let restart = Restart { service: "b".into() };
    let Err(ClientError::Refused(problem)) = ecosystem.client().await.restart(&restart).await else { panic!() };
    assert_eq!(problem.status, 404);
    ecosystem.down().await;
}

#[tokio::test]
async fn everything_in_the_data_folder_is_its_owners_alone() {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a").secret("MADE")]).await;
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    let data = ecosystem.data();
    assert_eq!(mode(&data), 0o700);
    for path in
        [paths::control_socket(&data), paths::database(&data), paths::secrets(&data), paths::edge_snapshot(&data)]
    {
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
    for entry in std::fs::read_dir(paths::logs(&data)).expect("logs") {
        assert_eq!(mode(&entry.expect("entry").path()) & 0o077, 0);
    }
    ecosystem.down().await;
    assert!(!paths::control_socket(&data).exists());
}

#[tokio::test]
async fn a_port_that_somebody_else_uses_is_said_by_name() {
    let mut ecosystem = Ecosystem::start().await;
    let listener = std::net::TcpListener::bind(("127.0.0.1", ecosystem.listen)).expect("bind");
    let events = all(ecosystem.apply(&[Service::new("a"), Service::new("b").needs("a")]).await).await;
    let Some(Event::Failed { reason }) = events.last() else { panic!("{events:#?}") };
    assert_eq!(reason, "not up: edge");
    let said = events.iter().any(|event| {
        let Event::ServiceFailed { service, log_tail, .. } = event else { return false };
        service == "edge" && log_tail.iter().any(|line| line.contains("in use"))
    });
    assert!(said, "{events:#?}");
    drop(listener);
    ecosystem.apply_as_is().await.expect("applied");
    until("all is up", async || ecosystem.status().await.differences.is_empty().then_some(())).await;
    ecosystem.down().await;
}

#[test]
fn a_folder_that_holds_other_things_is_not_taken_over() {
    let folder = tempfile::tempdir().expect("folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
    std::fs::write(folder.path().join("letter"), "dear").expect("write");
    let mut options = mana_control::daemon::Options::new(folder.path().to_owned()).expect("options");
    options.detach = false;
    let error = mana_control::daemon::run(options).expect_err("refused");
    assert!(error.to_string().contains("holds other things"), "{error}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("folder").collect();
    assert_eq!(left.len(), 1);
}
