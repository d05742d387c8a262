//! Databases and caches that are spoken to by TLS, and whom a service trusts.

use std::process::Command;
use std::time::Duration;

use kit::cache::Cache;
use kit::testing::{Certificates, OwnPostgres, OwnRedis};

#[tokio::test]
async fn postgres_is_trusted_as_its_address_says() {
    let certificates = Certificates::make();
    let server = OwnPostgres::start(20);
    server.encrypt(&certificates);
    let [ca, other] = ["ca", "other"].map(|name| certificates.certificate(name).display().to_string());
    for (host, query, is_taken) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}"), true),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), false),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}"), true),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), false),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={other}"), false),
        ("localhost", "sslmode=verify-full".to_owned(), false),
        ("localhost", "sslmode=require".to_owned(), true),
        ("localhost", "sslmode=prefer".to_owned(), true),
        ("localhost", "sslmode=disable".to_owned(), false),
    ] {
        let url = format!("postgres://mana@{host}:{}/postgres?{query}", server.port()).into();
        let database = kit::database::connect(Some(&url)).await.unwrap();
        let answer = database.ping().await;
        assert_eq!(answer.is_ok(), is_taken, "{host} {query}: {answer:?}");
    }
}

/// Says where the authorities are that a process trusts, for this machine's own.
const AUTHORITIES: &str = "SSL_CERT_FILE";

#[tokio::test]
async fn redis_is_trusted_when_the_machine_trusts_it() {
    const SERVER: &str = "TEST_REDIS";
    if let Ok(url) = std::env::var(SERVER) {
        let cache = Cache::connect(Some(&url.into())).unwrap();
        cache.set("a", "b", Duration::from_mins(1)).await.unwrap();
        return assert_eq!(cache.get("a").await.unwrap().as_deref(), Some("b"));
    }
    let certificates = Certificates::make();
    let server = OwnRedis::start_encrypted(&certificates);
    // Each in a process of its own, since what is trusted is read from the environment.
    let asked = |url: &str, authority: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "redis_is_trusted_when_the_machine_trusts_it"])
            .env(AUTHORITIES, certificates.certificate(authority))
            .env(SERVER, url)
            .output()
            .unwrap()
    };
    let url = server.url();
    for (url, authority, is_taken) in [
        (url.as_str(), "ca", true),
        (url.as_str(), "other", false),
        (&url.replace("localhost", "127.0.0.1"), "ca", false),
        (&url.replace("rediss", "redis"), "ca", false),
    ] {
        let ran = asked(url, authority);
        assert_eq!(ran.status.success(), is_taken, "{url} {authority}: {}", String::from_utf8_lossy(&ran.stdout));
    }
}
