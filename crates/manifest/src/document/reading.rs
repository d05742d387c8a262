//! From TOML to the tables.

use toml_edit::{Item, TableLike, Value};

use super::{
    AcceptedTable, AccessTable, AcmeTable, AlertTable, BuildTable, CertificateTable, CorsTable, DependencyTable,
    Document, EnvironmentTable, GateTable, HeartbeatTable, NotificationTable, ReleasesTable, RemoteWriteTable,
    RolloutTable, SecretTable, ServiceKeys, ServiceTable, SloTable, SmokeTable, Spanned, StatusTable, Text, WatchTable,
};
use crate::conform::port_range;
use crate::plan::{Environment, Kind};
use crate::units;

/// Reads a parsed file.
pub(crate) fn read(root: &dyn TableLike) -> Document {
    let environments = entries(root, "environments")
        .into_iter()
        .filter_map(|(name, item)| Some((Environment::from_name(&name.value)?, environment(item.as_table_like()?))));
    let secrets = entries(root, "secrets").into_iter().filter_map(|(name, item)| {
        let table = item.as_table_like()?;
        let secret = SecretTable {
            generate: integer(table, "generate"),
            environments: texts(table, "environments"),
            about: text(table, "about"),
        };
        Some((name, secret))
    });
    let projects = entries(root, "projects")
        .into_iter()
        .filter_map(|(name, item)| Some((name, text(item.as_table_like()?, "about"))));
    let services =
        entries(root, "services").into_iter().filter_map(|(name, item)| Some(service(name, item.as_table_like()?)));
    let notifications = entries(root, "notifications")
        .into_iter()
        .filter_map(|(name, item)| Some((name, notification(item.as_table_like()?))));
    let alerts =
        entries(root, "alerts").into_iter().filter_map(|(name, item)| Some((name, alert(item.as_table_like()?))));
    Document {
        name: text(root, "name"),
        domain: text(root, "domain"),
        environments: environments.collect(),
        secrets: secrets.collect(),
        projects: projects.collect(),
        services: services.collect(),
        releases: root.get("releases").and_then(Item::as_table_like).map(releases).unwrap_or_default(),
        notifications: notifications.collect(),
        alerts: alerts.collect(),
        dependencies: entries(root, "dependencies")
            .into_iter()
            .filter_map(|(name, item)| Some((name, dependency(item.as_table_like()?))))
            .collect(),
        watch: root.get("watch").and_then(Item::as_table_like).map(|table| {
            let place = Spanned { value: "watch".to_owned(), span: root.key("watch").and_then(toml_edit::Key::span) };
            (place, watch(table))
        }),
        status: root.get("status").and_then(Item::as_table_like).map(status),
    }
}

fn dependency(table: &dyn TableLike) -> DependencyTable {
    DependencyTable {
        url: text(table, "url"),
        status: integer(table, "status"),
        interval: parsed(table, "interval", units::duration),
        timeout: parsed(table, "timeout", units::duration),
        environments: texts(table, "environments"),
    }
}

fn watch(table: &dyn TableLike) -> WatchTable {
    let inner = |name: &str| table.get(name).and_then(Item::as_table_like);
    WatchTable {
        remote_write: inner("remote_write")
            .map(|table| RemoteWriteTable { url: text(table, "url"), headers: pairs(table, "headers") }),
        heartbeat: inner("heartbeat")
            .map(|table| HeartbeatTable { url: text(table, "url"), every: parsed(table, "every", units::duration) }),
        environments: texts(table, "environments"),
    }
}

fn status(table: &dyn TableLike) -> StatusTable {
    StatusTable {
        title: text(table, "title"),
        about: text(table, "about"),
        host: text(table, "host"),
        services: texts(table, "services"),
        environments: texts(table, "environments"),
    }
}

fn alert(table: &dyn TableLike) -> AlertTable {
    AlertTable {
        expression: text(table, "expression"),
        hold: parsed(table, "for", units::duration),
        keep_firing_for: parsed(table, "keep_firing_for", units::duration),
        severity: text(table, "severity"),
        summary: text(table, "summary"),
        runbook: text(table, "runbook"),
        group_by: texts(table, "group_by"),
        path: text(table, "path"),
        tell: texts(table, "tell"),
        environments: texts(table, "environments"),
    }
}

fn slo(table: &dyn TableLike) -> SloTable {
    SloTable {
        availability: parsed(table, "availability", units::share),
        latency: parsed(table, "latency", units::share),
        within: parsed(table, "within", units::duration),
        window: parsed(table, "window", units::duration),
    }
}

fn notification(table: &dyn TableLike) -> NotificationTable {
    NotificationTable {
        kind: text(table, "kind"),
        url: text(table, "url"),
        secret: text(table, "secret"),
        server: text(table, "server"),
        encryption: text(table, "encryption"),
        user: text(table, "user"),
        password: text(table, "password"),
        from: text(table, "from"),
        to: texts(table, "to"),
        environments: texts(table, "environments"),
        services: texts(table, "services"),
        events: texts(table, "events"),
    }
}

fn releases(table: &dyn TableLike) -> ReleasesTable {
    let accepted = entries(table, "accepted").into_iter().filter_map(|(id, item)| {
        let finding = item.as_table_like()?;
        let (reason, until) = (text(finding, "reason"), text(finding, "until"));
        Some((id, AcceptedTable { reason, until, services: texts(finding, "services") }))
    });
    ReleasesTable {
        keep: integer(table, "keep"),
        advisories: texts(table, "advisories"),
        advisories_max_age: parsed(table, "advisories_max_age", units::duration),
        accepted: accepted.collect(),
    }
}

fn build(item: &Item) -> Option<BuildTable> {
    let table = item.as_table_like()?;
    let checks = entries(table, "checks").into_iter().filter_map(|(name, item)| Some((name, command_of(item)?)));
    Some(BuildTable {
        span: item.span(),
        command: command(table),
        artefact: texts(table, "artefact"),
        artefact_span: table.get("artefact").and_then(Item::span),
        migrations: text(table, "migrations"),
        checks: checks.collect(),
        env: pairs(table, "env"),
        cache: texts(table, "cache"),
        lockfiles: texts(table, "lockfiles"),
        package: text(table, "package"),
        cpu: integer(table, "cpu"),
        memory: parsed(table, "memory", units::size),
        timeout: parsed(table, "timeout", units::duration),
        check_timeout: parsed(table, "check_timeout", units::duration),
    })
}

fn environment(table: &dyn TableLike) -> EnvironmentTable {
    let acme = table.get("acme").and_then(Item::as_table_like);
    let acme = |name: &str| acme.and_then(|acme| text(acme, name));
    let certificates = entries(table, "certificates").into_iter().filter_map(|(name, item)| {
        let files = item.as_table_like()?;
        Some((name, CertificateTable { certificate: text(files, "certificate"), key: text(files, "key") }))
    });
    EnvironmentTable {
        domain: text(table, "domain"),
        listen: parsed(table, "listen", |text| text.parse().ok()),
        trusted_proxies: texts(table, "trusted_proxies"),
        tls: text(table, "tls"),
        tls_listen: parsed(table, "tls_listen", |text| text.parse().ok()),
        http3: boolean(table, "http3"),
        proxy_protocol: boolean(table, "proxy_protocol"),
        traces: text(table, "traces"),
        ops: text(table, "ops"),
        push_secret: text(table, "push_secret"),
        server: text(table, "server"),
        server_token: text(table, "server_token"),
        acme: AcmeTable {
            email: acme("email"),
            directory: acme("directory"),
            challenge: acme("challenge"),
            roots: acme("roots"),
        },
        certificates: certificates.collect(),
        scheme: text(table, "scheme"),
        public_port: integer(table, "public_port"),
        data: text(table, "data"),
        port_offset: integer(table, "port_offset"),
        instance_ports: parsed(table, "instance_ports", port_range),
        database: text(table, "database"),
        cache: text(table, "cache"),
    }
}

fn service(name: Text, table: &dyn TableLike) -> ServiceTable {
    let in_environment = Environment::ALL.into_iter().filter_map(|environment| {
        let keys = table.get(environment.as_str())?.as_table_like()?;
        Some((environment, service_keys(keys)))
    });
    ServiceTable {
        name,
        kind: parsed(table, "kind", |text| Kind::ALL.into_iter().find(|kind| kind.as_str() == text)),
        project: text(table, "project"),
        environments: texts(table, "environments"),
        build: table.get("build").and_then(build),
        slo: table.get("slo").and_then(Item::as_table_like).map(slo),
        smoke: entries(table, "smoke").into_iter().filter_map(|(name, item)| smoke(name, item)).collect(),
        keys: service_keys(table),
        in_environment: in_environment.collect(),
    }
}

fn service_keys(table: &dyn TableLike) -> ServiceKeys {
    let inner = |name: &str| table.get(name).and_then(Item::as_table_like);
    let (health, limits) = (inner("health"), inner("limits"));
    let rollout = inner("rollout").map(rollout).unwrap_or_default();
    let access = |name| inner("access").and_then(|access| texts(access, name));
    ServiceKeys {
        command: command(table),
        cwd: text(table, "cwd"),
        folder: text(table, "folder"),
        not_found: text(table, "not_found"),
        port: integer(table, "port"),
        database: text(table, "database"),
        cache: boolean(table, "cache"),
        needs: texts(table, "needs"),
        env: pairs(table, "env"),
        secrets: texts(table, "secrets"),
        migrate: texts(table, "migrate"),
        instances: integer(table, "instances"),
        start_timeout: parsed(table, "start_timeout", units::duration),
        stop_timeout: parsed(table, "stop_timeout", units::duration),
        live: health.and_then(|health| text(health, "live")),
        ready: health.and_then(|health| text(health, "ready")),
        memory: limits.and_then(|limits| parsed(limits, "memory", units::size)),
        body: limits.and_then(|limits| parsed(limits, "body", units::size)),
        rate: limits.and_then(|limits| parsed(limits, "rate", units::rate)),
        rate_per_token: limits.and_then(|limits| parsed(limits, "rate_per_token", units::rate)),
        protocol: text(table, "protocol"),
        access: AccessTable { allow: access("allow"), deny: access("deny"), basic_auth: access("basic_auth") },
        cors: inner("cors").map(|cors| CorsTable {
            span: table.get("cors").and_then(Item::span),
            origins: texts(cors, "origins").unwrap_or_default(),
            methods: texts(cors, "methods").unwrap_or_default(),
            headers: texts(cors, "headers").unwrap_or_default(),
            expose: texts(cors, "expose").unwrap_or_default(),
            credentials: boolean(cors, "credentials").is_some_and(|credentials| credentials.value),
        }),
        rollout,
        maintenance: parsed(table, "maintenance", units::duration),
        compress: boolean(table, "compress"),
        response_timeout: limits.and_then(|limits| parsed(limits, "response_timeout", units::duration)),
        request_timeout: limits.and_then(|limits| parsed(limits, "request_timeout", units::duration)),
        drain: limits.and_then(|limits| parsed(limits, "drain", units::duration)),
        public: boolean(table, "public"),
        hosts: texts(table, "hosts").or_else(|| text(table, "host").map(|host| vec![host])),
        redirects: pairs(table, "redirects"),
    }
}

fn smoke(name: Text, item: &Item) -> Option<SmokeTable> {
    let table = item.as_table_like()?;
    Some(SmokeTable {
        name,
        request: text(table, "request"),
        service: text(table, "service"),
        send: pairs(table, "send"),
        body: text(table, "body"),
        status: integer(table, "status"),
        headers: pairs(table, "headers"),
        json: pairs(table, "json"),
        within: parsed(table, "within", units::duration),
        save: pairs(table, "save"),
    })
}

fn rollout(table: &dyn TableLike) -> RolloutTable {
    let time = |name| parsed(table, name, units::duration);
    RolloutTable {
        canary: texts(table, "canary"),
        warm: time("warm"),
        guard: time("guard"),
        errors: parsed(table, "errors", units::share),
        slow: time("slow"),
        slow_share: parsed(table, "slow_share", units::share),
        requests: integer(table, "requests"),
        longest: time("longest"),
        strict: boolean(table, "strict"),
        gates: table
            .contains_key("gates")
            .then(|| entries(table, "gates").into_iter().filter_map(|(name, item)| gate(name, item)).collect()),
        on_breach: text(table, "on_breach"),
        approvers: texts(table, "approvers"),
        approval_expiry: time("approval_expiry"),
        starter_may_approve: boolean(table, "starter_may_approve"),
        staging: boolean(table, "staging"),
        on_push: text(table, "on_push"),
    }
}

fn gate(name: Text, item: &Item) -> Option<GateTable> {
    let table = item.as_table_like()?;
    let number = |name| number(table, name);
    Some(GateTable { name, query: text(table, "query"), max: number("max"), min: number("min") })
}

fn command(table: &dyn TableLike) -> Option<Spanned<Vec<String>>> {
    command_of(table.get("command")?)
}

fn command_of(item: &Item) -> Option<Spanned<Vec<String>>> {
    let value = match item.as_str() {
        Some(text) => words(text),
        None => item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>()?,
    };
    (!value.is_empty()).then_some(Spanned { value, span: item.span() })
}

/// A command line's words: split at spaces, quotes keep them together. No variables, no patterns: there is no shell.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in text.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            None if letter == '\'' || letter == '"' => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

fn entries<'a>(table: &'a dyn TableLike, name: &str) -> Vec<(Text, &'a Item)> {
    let Some(table) = table.get(name).and_then(Item::as_table_like) else { return Vec::new() };
    table
        .iter()
        .map(|(key, item)| {
            (Spanned { value: key.to_owned(), span: table.key(key).and_then(toml_edit::Key::span) }, item)
        })
        .collect()
}

fn pairs(table: &dyn TableLike, name: &str) -> Vec<(Text, Text)> {
    entries(table, name)
        .into_iter()
        .filter_map(|(key, item)| Some((key, Spanned { value: item.as_str()?.to_owned(), span: item.span() })))
        .collect()
}

fn text(table: &dyn TableLike, name: &str) -> Option<Text> {
    parsed(table, name, |text| Some(text.to_owned()))
}

fn parsed<T>(table: &dyn TableLike, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<Spanned<T>> {
    let item = table.get(name)?;
    Some(Spanned { value: parse(item.as_str()?)?, span: item.span() })
}

fn integer(table: &dyn TableLike, name: &str) -> Option<Spanned<i64>> {
    let item = table.get(name)?;
    Some(Spanned { value: item.as_integer()?, span: item.span() })
}

fn number(table: &dyn TableLike, name: &str) -> Option<Spanned<f64>> {
    let item = table.get(name)?;
    // What is written without a point is a number all the same.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and a limit beyond that is none")]
    let value = item.as_float().or_else(|| item.as_integer().map(|value| value as f64))?;
    Some(Spanned { value, span: item.span() })
}

fn boolean(table: &dyn TableLike, name: &str) -> Option<Spanned<bool>> {
    let item = table.get(name)?;
    Some(Spanned { value: item.as_bool()?, span: item.span() })
}

fn texts(table: &dyn TableLike, name: &str) -> Option<Vec<Text>> {
    let list = table.get(name)?.as_array()?;
    let texts =
        list.iter().filter_map(|value: &Value| Some(Spanned { value: value.as_str()?.to_owned(), span: value.span() }));
    Some(texts.collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn command_lines_are_split_without_a_shell() {
        for (text, expected) in [
            ("app --flag value", vec!["app", "--flag", "value"]),
            ("  app   x ", vec!["app", "x"]),
            ("app 'two words' \"$HOME\" a'b'c", vec!["app", "two words", "$HOME", "abc"]),
            ("app ''", vec!["app", ""]),
            ("", vec![]),
        ] {
            assert_eq!(super::words(text), expected, "{text}");
        }
    }
}
