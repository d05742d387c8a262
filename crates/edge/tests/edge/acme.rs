//! Certificates from a real ACME server (pebble), its faults included.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mana_edge::admin::Certificate;
use mana_edge::snapshot::{Acme, Challenge, Issuer, Listener, Route, Snapshot, Tls};
use tempfile::TempDir;

use crate::support::{Raw, Service, TestEdge, TlsClient, route, slots, snapshot};

/// Longest wait for a certificate, a second attempt included.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn start(command: &mut Command) -> Self {
        let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(started.unwrap_or_else(|error| {
            panic!("{command:?}: {error}; `scripts/test-services.sh install` installs what tests need")
        }))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; waiting for it leaves no zombie in either case.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Ports and files of an authority, and the edge's snapshot for it.
struct World {
    folder: TempDir,
    ports: [u16; 6],
    names: Option<Process>,
    authority: Option<Process>,
}

const HTTP: usize = 0;
const TLS: usize = 1;
const AUTHORITY: usize = 2;
const MANAGEMENT: usize = 3;
const DNS: usize = 4;
const DNS_MANAGEMENT: usize = 5;

impl World {
    fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            ports: std::array::from_fn(|_| test_ports::free_port()),
            names: None,
            authority: None,
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        std::fs::write(world.path("authority.pem"), certificate.pem()).unwrap();
        std::fs::write(world.path("authority-key.pem"), key.serialize_pem()).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn address(&self, which: usize) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports[which]))
    }

    /// Starts name server and authority. `faults` are pebble's.
    async fn start(&mut self, faults: &[(&str, &str)]) {
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]);
        names.arg("-dns01").arg(self.address(DNS).to_string());
        names.arg("-management").arg(self.address(DNS_MANAGEMENT).to_string());
        self.names.get_or_insert_with(|| Process::start(&mut names));
        let config = serde_json::json!({"pebble": {
            "listenAddress": self.address(AUTHORITY).to_string(),
            "managementListenAddress": self.address(MANAGEMENT).to_string(),
            "certificate": self.path("authority.pem"),
            "privateKey": self.path("authority-key.pem"),
            "httpPort": self.ports[HTTP],
            "tlsPort": self.ports[TLS],
        }});
        std::fs::write(self.path("pebble.json"), config.to_string()).unwrap();
        let mut authority = Command::new("pebble");
        authority.arg("-config").arg(self.path("pebble.json")).arg("-dnsserver").arg(self.address(DNS).to_string());
        authority.env("PEBBLE_WFE_NONCEREJECT", "0").env("PEBBLE_VA_NOSLEEP", "1").envs(faults.iter().copied());
        self.authority = Some(Process::start(&mut authority));
        for which in [DNS_MANAGEMENT, MANAGEMENT, AUTHORITY] {
            let begun = Instant::now();
            while tokio::net::TcpStream::connect(self.address(which)).await.is_err() {
                assert!(begun.elapsed() < PATIENCE, "nothing listens on {}", self.address(which));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    fn snapshot(&self, hosts: &[&str], challenge: Challenge, service: &Service) -> Snapshot {
        let acme = Acme {
            directory: format!("https://localhost:{}/dir", self.ports[AUTHORITY]),
            email: Some("operators@example.org".into()),
            folder: self.path("acme"),
            challenge,
            roots: Some(self.path("authority.pem")),
        };
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Snapshot {
            listeners: vec![
                Listener::secure(self.address(TLS)),
                Listener::to_https(self.address(HTTP), self.ports[TLS]),
            ],
            tls: Some(Tls { issuer: Some(Issuer::Acme(acme)), ..Tls::default() }),
            ..snapshot(vec![Route { hosts, ..route("chat", slots(&[service.address])) }])
        }
    }

    /// The name server gives this address for a host, and no other.
    async fn lead(&self, host: &str, address: &str) {
        let body = serde_json::json!({"host": format!("{host}."), "addresses": [address]}).to_string();
        for path in ["clear-a", "add-a"] {
            let length = body.len();
            let request = format!("POST /{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
            assert_eq!(Raw::connect(self.address(DNS_MANAGEMENT)).await.ask(request).await.status, 200);
        }
    }

    /// Clients that trust what the authority issues.
    async fn client(&self) -> TlsClient {
        let stream = TlsClient::trusting(&self.path("authority.pem"))
            .connect(self.address(MANAGEMENT), "localhost")
            .await
            .unwrap();
        let root = Raw::over(stream).ask("GET /roots/0 HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        std::fs::write(self.path("root.pem"), &root.body).unwrap();
        TlsClient::trusting(&self.path("root.pem"))
    }

    fn certificate(&self, host: &str) -> PathBuf {
        self.path("acme/localhost").join(format!("{host}.pem"))
    }
}

async fn report(edge: &TestEdge, host: &str) -> Certificate {
    let report = edge.admin().certificates().await.unwrap();
    report.into_iter().find(|certificate| certificate.host == host).unwrap()
}

/// Waits until the report of a host is as it should be.
async fn wait_for(edge: &TestEdge, host: &str, condition: impl Fn(&Certificate) -> bool) -> Certificate {
    let begun = Instant::now();
    loop {
        let certificate = report(edge, host).await;
        if condition(&certificate) {
            return certificate;
        }
        assert!(begun.elapsed() < PATIENCE, "{certificate:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(world: &World, client: &TlsClient, host: &str) -> u16 {
    let stream = client.connect(world.address(TLS), host).await.unwrap();
    Raw::over(stream).ask(format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")).await.status
}

async fn check_obtained(challenge: Challenge, faults: &[(&str, &str)]) {
    let mut world = World::new();
    world.start(faults).await;
    let service = Service::saying("chat");
    let hosts = ["chat.example.org", "app.example.org", "api.example.org"];
    let mut edge = TestEdge::start(&world.snapshot(&hosts, challenge, &service));
    for host in hosts {
        wait_for(&edge, host, |certificate| certificate.not_after.is_some()).await;
        assert_eq!(ask(&world, &world.client().await, host).await, 200, "{host}");
        assert!(
            edge.metric(&format!("mana_edge_certificate_expiry_seconds{{host=\"{host}\",source=\"acme\"}}"))
                .await
                .unwrap()
                > 1.0
        );
    }
    let read = |path: &Path| std::fs::read(path).unwrap();
    let modes = ["acme/localhost", "acme/localhost/account.json", "acme/localhost/chat.example.org.pem"]
        .map(|path| std::fs::metadata(world.path(path)).unwrap().permissions().mode() & 0o777);
    assert_eq!(modes, [0o700, 0o600, 0o600]);
    // What is on disk is served again, and nothing is ordered.
    let before = hosts.map(|host| read(&world.certificate(host)));
    world.authority = None;
    edge.restart();
    let root = TlsClient::trusting(&world.path("root.pem"));
    for host in hosts {
        assert_eq!(ask(&world, &root, host).await, 200, "{host}");
    }
    assert_eq!(hosts.map(|host| read(&world.certificate(host))), before);
}

#[tokio::test]
async fn certificates_are_obtained_by_http_01() {
    check_obtained(Challenge::Http01, &[]).await;
}

#[tokio::test]
async fn certificates_are_obtained_by_tls_alpn_01() {
    check_obtained(Challenge::TlsAlpn01, &[]).await;
}

#[tokio::test]
async fn an_authority_that_rejects_nonces_and_validates_late_is_endured() {
    check_obtained(
        Challenge::Http01,
        &[("PEBBLE_WFE_NONCEREJECT", "30"), ("PEBBLE_VA_NOSLEEP", "0"), ("PEBBLE_VA_SLEEPTIME", "3")],
    )
    .await;
}

#[tokio::test]
async fn a_host_that_cannot_be_certified_holds_up_no_other() {
    let mut world = World::new();
    world.start(&[]).await;
    // Its name leads elsewhere: to an address where nobody answers.
    world.lead("astray.example.org", "127.0.0.9").await;
    let service = Service::saying("chat");
    let hosts = ["astray.example.org", "chat.example.org"];
    let edge = TestEdge::start(&world.snapshot(&hosts, Challenge::Http01, &service));
    wait_for(&edge, "chat.example.org", |certificate| certificate.not_after.is_some()).await;
    let failed = wait_for(&edge, "astray.example.org", |certificate| certificate.failures > 0).await;
    let why = failed.last_error.unwrap();
    assert!(why.contains("astray.example.org") && why.contains("127.0.0.9"), "in the authority's own words: {why}");
    assert_eq!(edge.metric("mana_edge_certificate_failures{host=\"astray.example.org\"}").await, Some(1.0));
    // Once it leads here, the next attempt succeeds.
    world.lead("astray.example.org", "127.0.0.1").await;
    let obtained = wait_for(&edge, "astray.example.org", |certificate| certificate.not_after.is_some()).await;
    assert_eq!((obtained.failures, obtained.last_error), (0, None));
    assert_eq!(ask(&world, &world.client().await, "astray.example.org").await, 200);
}

#[tokio::test]
async fn the_old_certificate_is_served_until_the_new_one_is_there() {
    let mut world = World::new();
    let host = "chat.example.org";
    // One that ends tomorrow, from an authority that cannot be reached now.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(89);
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(1);
    let old = params.self_signed(&key).unwrap().pem();
    std::fs::create_dir_all(world.path("acme/localhost")).unwrap();
    std::fs::write(world.certificate(host), format!("{}{old}", key.serialize_pem())).unwrap();
    std::fs::write(world.path("old.pem"), &old).unwrap();

    let service = Service::saying("chat");
    let edge = TestEdge::start(&world.snapshot(&[host], Challenge::Http01, &service));
    wait_for(&edge, host, |certificate| certificate.failures > 0).await;
    assert_eq!(ask(&world, &TlsClient::trusting(&world.path("old.pem")), host).await, 200);
    world.start(&[]).await;
    wait_for(&edge, host, |certificate| certificate.failures == 0).await;
    assert_eq!(ask(&world, &world.client().await, host).await, 200);
}

#[tokio::test]
async fn hosts_that_go_are_not_ordered_any_more() {
    let world = World::new();
    let service = Service::saying("chat");
    let first = world.snapshot(&["chat.example.org", "gone.example.org"], Challenge::Http01, &service);
    let edge = TestEdge::start(&first);
    wait_for(&edge, "gone.example.org", |certificate| certificate.failures > 0).await;
    let mut second = Snapshot { generation: 2, ..first };
    second.routes[0].hosts.pop();
    edge.admin().put(&second).await.unwrap();
    let hosts: BTreeSet<_> = edge.admin().certificates().await.unwrap().into_iter().map(|one| one.host).collect();
    assert_eq!(hosts, BTreeSet::from(["chat.example.org".to_owned()]));
}
