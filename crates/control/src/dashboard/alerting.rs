//! The page where alerts are configured: what fires and who looks after it, rules, silences, maintenance, and the channels by which people
//! are told.

use askama::Template;
use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use mana_manifest::plan::Notification;
use mana_watch::alert::{Condition, Span};

use super::Dashboard;
use super::coming::Coming;
use super::fields::Fields;
use super::guard::Visitor;
use super::incidents::services;
use super::pages::{Frame, NoPage};
use super::panels::{Buttons, Panel};
use crate::api::{AlertCommand, AlertRequest};
use crate::door::person::Action;
use crate::logs::time;
use crate::notifications;
use crate::secrets::Secrets;
use crate::server::{Refused, ask, problem};
use crate::supervisor::Call;

#[derive(Template)]
#[template(path = "dashboard/alerting.html")]
struct Page {
    frame: Frame,
    panels: Vec<Panel>,
    services: Vec<String>,
    may_write: bool,
    /// Through which channels a test is told that goes on.
    test_channels: Option<Vec<String>>,
    /// What became of a test of a channel.
    tested: Option<Tested>,
}

struct Tested {
    good: bool,
    text: String,
}

/// `GET /alerts`
pub(crate) async fn show(Shared(dashboard): Shared<Dashboard>, visitor: Visitor, frame: Frame) -> Response {
    render(&dashboard, &visitor, frame, None).await
}

async fn render(dashboard: &Dashboard, visitor: &Visitor, frame: Frame, tested: Option<Tested>) -> Response {
    let may_write = visitor.may(Action::Deploy);
    let buttons = if may_write { Buttons::With } else { Buttons::Without };
    let panels =
        vec![Panel::Alerts, Panel::Groups(buttons), Panel::Rules, Panel::Quiets(buttons), Panel::Channels(buttons)];
    let coming = Coming::begin(dashboard, panels);
    let (panels, services) = (coming.names(), services(dashboard).await);
    let test_channels = dashboard.app.watching.alerts.seen().alerting.test_channels.clone();
    coming.in_page(&Page { frame, panels, services, may_write, test_channels, tested })
}

/// The manifest's channels, and the environment that they are of.
pub(super) async fn channels(dashboard: &Dashboard) -> Result<(Vec<Notification>, String), Refused> {
    ask(&dashboard.app, Call::Channels).await
}

/// `POST /alerts/{command}`
pub(crate) async fn change(
    Shared(dashboard): Shared<Dashboard>,
    Path(command): Path<String>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Redirect, NoPage> {
    visitor.require(Action::Deploy)?;
    let request = AlertRequest { by: visitor.name().to_owned(), command: meant(&command, &fields)? };
    let done = dashboard.app.watching.alerts.ask(request).await;
    done.map_err(|why| Refused(problem(409, "this was not done", why)))?;
    Ok(Redirect::to("/alerts"))
}

fn meant(command: &str, fields: &Fields) -> Result<AlertCommand, Refused> {
    let unsaid = |why: String| Refused(problem(422, "this was not done", why));
    let number = |name: &str| fields.text(name).parse::<u64>().map_err(|_| unsaid(format!("{name} is no number")));
    let hold = || {
        let text = fields.text("for");
        let span: Result<Span, _> = text.parse();
        span.map(Span::millis).map_err(|error| unsaid(format!("`{text}` is no time such as 30m or 2h: {error}")))
    };
    let reason = || fields.text("reason").to_owned();
    Ok(match command {
        "acknowledge" => {
            let group = number("group")?;
            // Each group of the page has a field of its own.
            let comment = fields.text(&format!("comment-{group}")).to_owned();
            AlertCommand::Acknowledge { group, comment, for_ms: None }
        }
        "silence" => {
            let conditions = words(fields.text("conditions"));
            let conditions = conditions.iter().map(|word| word.parse::<Condition>());
            let conditions = conditions.collect::<Result<Vec<_>, _>>().map_err(|error| unsaid(error.to_string()))?;
            AlertCommand::Silence { conditions, for_ms: hold()?, reason: reason() }
        }
        "maintenance" => {
            let from = match fields.text("from") {
                "" => None,
                text => Some(time(text).map_err(unsaid)?),
            };
            AlertCommand::Maintenance {
                services: fields.all("services"),
                from_ms: from.map(Timestamp::as_millisecond),
                for_ms: hold()?,
                reason: reason(),
            }
        }
        "end" => AlertCommand::Unsilence { number: number("number")? },
        "test" => AlertCommand::Test,
        other => {
            let detail = format!("alerts are not asked to `{other}`");
            return Err(Refused(problem(404, "there is no such button", detail)));
        }
    })
}

/// What stands between spaces; those within double quotes belong to a word, and the quotes do not.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for letter in text.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            letter if letter.is_whitespace() && !quoted => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// `POST /alerts/channels/{name}/test`: sends a message that says that it is a test, once, and shows how it went.
pub(crate) async fn test(
    Shared(dashboard): Shared<Dashboard>,
    Path(name): Path<String>,
    visitor: Visitor,
    frame: Frame,
    _: Fields,
) -> Result<Response, NoPage> {
    visitor.require(Action::Deploy)?;
    let (channels, environment) = channels(&dashboard).await?;
    let unknown = || Refused(problem(404, "there is no such channel", format!("`{name}` is none of [notifications]")));
    let channel = channels.into_iter().find(|channel| channel.name == name).ok_or_else(unknown)?;
    let failed = |why: String| Refused(problem(500, "the channel cannot be tested", why));
    let data = dashboard.app.data.clone();
    let secrets = tokio::task::spawn_blocking(move || Secrets::load(&data)).await;
    let secrets = secrets.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    let tested = match notifications::test(&channel, &environment, &secrets).await {
        Ok(()) => Tested { good: true, text: format!("{name}: sent. Look whether it has arrived.") },
        Err(why) => Tested { good: false, text: format!("{name}: not sent: {why}") },
    };
    Ok(render(&dashboard, &visitor, frame, Some(tested)).await.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_between_spaces_and_quotes_hold_them_together() {
        for (text, expected) in [
            ("", &[][..]),
            ("service=chat  severity=~P3|P4 ", &["service=chat", "severity=~P3|P4"]),
            (r#"alertname="Budget fast" service=a"#, &["alertname=Budget fast", "service=a"]),
            (r#""alertname=Budget fast" service="""#, &["alertname=Budget fast", "service="]),
            (r#"alertname="Budget fast"#, &["alertname=Budget fast"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
