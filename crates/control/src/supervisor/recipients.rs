//! Which channels an alert goes to.

use mana_manifest::plan::Notification;

/// What channels call it when they want to know of alerts.
pub(super) const ALERT: &str = "alert";

/// Whoever of `audience` is a channel; where none of them is one, all channels that want to know of alerts about any of these services. What is
/// about no service goes to those that want to know of all.
pub(super) fn recipients(channels: &[Notification], audience: &[String], services: &[&str]) -> Vec<String> {
    let named = |channel: &&Notification| audience.contains(&channel.name);
    let wants = |channel: &&Notification| {
        let about = |service: &&str| channel.wants(service, ALERT);
        // No service is called so: whoever names services does not want it.
        if services.is_empty() { about(&"") } else { services.iter().any(about) }
    };
    let called = |channel: &Notification| channel.name.clone();
    if channels.iter().any(|channel| named(&channel)) {
        channels.iter().filter(named).map(called).collect()
    } else {
        channels.iter().filter(wants).map(called).collect()
    }
}

#[cfg(test)]
mod tests {
    use mana_manifest::plan::{Target, Value};

    use super::*;

    fn channel(name: &str, services: &[&str], events: &[&str]) -> Notification {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect();
        Notification {
            name: name.to_owned(),
            target: Target::Slack { url: Value::text("https://hooks.example.com/") },
            services: owned(services),
            events: owned(events),
        }
    }

    #[test]
    fn an_alert_goes_to_who_is_called_and_else_to_who_wants_to_know_of_any_of_its_services() {
        let channels = [
            channel("all", &[], &[]),
            channel("chat", &["chat-backend", "chat-web"], &["alert"]),
            channel("auth", &["auth"], &[]),
            channel("rollouts", &["chat-backend"], &["failed"]),
        ];
        for (services, expected) in [
            (&["chat-backend"][..], &["all", "chat"][..]),
            (&["auth", "chat-web"], &["all", "chat", "auth"]),
            (&["shop"], &["all"]),
            (&[], &["all"]),
        ] {
            let found = recipients(&channels, &["on-call".to_owned()], services);
            assert_eq!(found, expected, "{services:?}");
        }
        // Who is called hears of it, whatever else the channel is for.
        assert_eq!(recipients(&channels, &["auth".to_owned(), "cto".to_owned()], &["shop"]), ["auth"]);
        let listed = [channel("chat", &["chat-backend"], &[])];
        assert_eq!(recipients(&listed, &[], &["chat-backend"]), ["chat"]);
        assert_eq!(recipients(&listed, &[], &[]), Vec::<String>::new());
    }
}
