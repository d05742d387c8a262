//! A PostgreSQL as people run it: it counts statements, speaks TLS only, and not everybody may see everything.

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use mana_control::api::{NewToken, Scope};
use support::{Ecosystem, Service, free_port, until_within};
use tempfile::TempDir;

/// A connection that is made anew is asked within a round; two, on a busy machine.
const ROUNDS: Duration = Duration::from_mins(1);
const COUNTS: &str = "-c shared_preload_libraries=pg_stat_statements";

fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A server of this test's own. Over TCP it speaks TLS only, and wants passwords.
struct Server {
    folder: TempDir,
    port: u16,
    programs: PathBuf,
    as_root: bool,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("mana-postgres-").tempdir().expect("a folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("permissions");
        let installed = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
        let versions = installed.map(|entry| entry.expect("a version").path().join("bin"));
        let programs = versions.filter(|bin| bin.join("initdb").exists()).max().expect("a version of PostgreSQL");
        let server = Self { folder, port: free_port(), programs, as_root: rustix::process::geteuid().is_root() };
        let data = server.at("data");
        for folder in [&data, &server.at("socket")] {
            std::fs::create_dir(folder).expect("a folder");
        }
        certify(server.folder.path());
        if server.as_root {
            ran(Command::new("chown").args(["-R", "postgres:"]).args([
                &data,
                &server.at("socket"),
                &server.at("server.key"),
            ]));
        }
        ran(server.program("initdb").arg("-D").arg(&data).args([
            "-U",
            "mana",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        ]));
        let rules = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        std::fs::write(data.join("pg_hba.conf"), rules).expect("rules");
        server.run(COUNTS);
        server
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// It refuses to be root; then the package's own user runs it.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = Command::new(if self.as_root { Path::new("runuser") } else { &program });
        if self.as_root {
            command.args(["-u", "postgres", "--"]).arg(&program);
        }
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn run(&self, more: &str) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c ssl=on -c ssl_cert_file={} -c ssl_key_file={} {more}",
            self.port,
            self.at("socket").display(),
            self.at("server.pem").display(),
            self.at("server.key").display()
        );
        let log = self.at("data").join("server.log");
        ran(self
            .program("pg_ctl")
            .arg("-D")
            .arg(self.at("data"))
            .arg("-l")
            .arg(log)
            .args(["-w", "-o", &options, "start"]));
    }

    fn stop(&self) -> Output {
        let mut command = self.program("pg_ctl");
        command.arg("-D").arg(self.at("data")).args(["-m", "immediate", "-w", "stop"]).output().expect("pg_ctl starts")
    }

    fn psql(&self, database: &str, sql: &str) -> String {
        let (socket, port) = (self.at("socket"), self.port.to_string());
        let output = ran(Command::new("psql")
            .arg("-h")
            .arg(socket)
            .args(["-p", &port, "-U", "mana", "-d", database, "-tAc", sql]));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A certificate for `localhost` (`server.pem`) from an authority (`ca.pem`), and another authority (`other.pem`).
fn certify(folder: &Path) {
    const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    let openssl = |arguments: &str| {
        let arguments = arguments.split(' ');
        ran(Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()));
    };
    for name in ["ca", "other"] {
        openssl(&format!("req -x509 {KEY} -subj /CN={name} -days 2 -keyout {name}.key -out {name}.pem"));
    }
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").expect("a file");
    openssl(&format!("req {KEY} -subj /CN=localhost -keyout server.key -out server.csr"));
    openssl("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem");
    std::fs::set_permissions(folder.join("server.key"), std::fs::Permissions::from_mode(0o600)).expect("permissions");
}

/// The values of a query by one of its labels.
async fn by(ecosystem: &Ecosystem, label: &str, query: &str) -> Vec<(String, String)> {
    let answer = ecosystem.client().await.query(query).await.expect("an answer");
    let elements = answer["data"]["result"].as_array().expect("a vector").iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = elements.map(|one| (text(&one["metric"][label]), text(&one["value"][1]))).collect();
    found.sort();
    found
}

async fn are(ecosystem: &Ecosystem, label: &str, query: &str, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let began = Instant::now();
    loop {
        let found = by(ecosystem, label, query).await;
        if found == expected {
            return;
        }
        assert!(began.elapsed() < ROUNDS, "{query}: {found:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A panel of the dashboard, as HTML.
fn panel(ecosystem: &Ecosystem, token: &str, name: &str) -> String {
    let url = format!("http://127.0.0.1:{}/panels/{name}", ecosystem.listen);
    let bearer = format!("authorization: Bearer {token}");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--fail", "--max-time", "30", "-H", "host: ops.localhost", "-H", &bearer, &url]);
    String::from_utf8(curl.output().expect("curl runs").stdout).expect("text")
}

#[tokio::test]
async fn slow_statements_are_told_over_tls_and_what_a_server_does_not_tell_is_said_in_words() {
    let server = Server::start();
    for sql in [
        "create database shop",
        "create database bare",
        "create role watcher login",
        "create role stranger login",
        "grant pg_monitor to watcher",
    ] {
        server.psql("postgres", sql);
    }
    server.psql("shop", "create extension pg_stat_statements");
    let (port, ca, other) = (server.port, server.at("ca.pem"), server.at("other.pem"));
    let (ca, other) = (ca.display(), other.display());
    let mut more = String::new();
    for (name, role, place, options) in [
        ("full", "watcher", "localhost", format!("shop?sslmode=verify-full&sslrootcert={ca}")),
        ("name", "watcher", "127.0.0.1", format!("shop?sslmode=verify-full&sslrootcert={ca}")),
        ("any-name", "watcher", "127.0.0.1", format!("shop?sslmode=verify-ca&sslrootcert={ca}")),
        ("other", "watcher", "localhost", format!("shop?sslmode=verify-full&sslrootcert={other}")),
        ("asked", "watcher", "localhost", format!("shop?sslmode=require&sslrootcert={other}")),
        ("system", "watcher", "localhost", "shop?sslmode=verify-full".to_owned()),
        ("open", "watcher", "localhost", "shop?sslmode=disable".to_owned()),
        ("bare", "watcher", "127.0.0.1", "bare?sslmode=require".to_owned()),
        ("stranger", "stranger", "127.0.0.1", "shop?sslmode=require".to_owned()),
    ] {
        write!(
            more,
            "\n[dependencies.{name}]\nurl = \"postgres://{role}:${{secret.MADE}}@{place}:{port}/{options}\"\ninterval = \"10s\"\n"
        )
        .expect("a string takes it");
    }
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.up(&[Service::new("a").with(&more)]).await;
    let secrets = std::fs::read_to_string(ecosystem.data().join("secrets.json")).expect("secrets");
    let secrets: serde_json::Value = serde_json::from_str(&secrets).expect("JSON");
    let made = secrets["MADE"].as_str().expect("a secret");
    server.psql("postgres", &format!("alter role watcher password '{made}'"));
    server.psql("postgres", &format!("alter role stranger password '{made}'"));

    // Who may be believed is believed, and nobody else.
    let up = [
        ("any-name", "1"),
        ("asked", "0"),
        ("bare", "1"),
        ("full", "1"),
        ("name", "0"),
        ("open", "0"),
        ("other", "0"),
        ("stranger", "1"),
        ("system", "0"),
    ];
    are(&ecosystem, "server", "pg_up", &up).await;
    let protected = "select bool_and(ssl) and count(*) >= 4 from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'mana-watch'";
    assert_eq!(server.psql("postgres", protected), "t");

    // Who counts tells what is slow, without what is in it.
    let states = [("all", "1"), ("all", "1"), ("not_made", "0"), ("own", "1")];
    are(&ecosystem, "state", "mana_statements_counted", &states).await;
    server.psql("shop", "select pg_sleep(0.3), 'somebody''s data'");
    let slow = "pg_stat_statements_query_info{server=\"full\",datname=\"shop\",query=~\"select pg_sleep.*\"}";
    are(&ecosystem, "query", slow, &[("select pg_sleep(?), ?", "1")]).await;
    let seconds = "pg_stat_statements_mean_seconds{server=\"full\"} * on (queryid) group_left (query) \
        pg_stat_statements_query_info{server=\"full\",query=~\"select pg_sleep.*\"} > bool 0.3";
    are(&ecosystem, "query", seconds, &[("select pg_sleep(?), ?", "1")]).await;
    let of_stranger = "count(pg_stat_statements_query_info{server=\"stranger\",query=~\".*pg_sleep.*\"}) or vector(0)";
    assert_eq!(by(&ecosystem, "", of_stranger).await, [(String::new(), "0".to_owned())], "it may not see it");
    let request = NewToken { name: "eve".into(), scopes: BTreeSet::from([Scope::Read]), days: Some(1) };
    let token = ecosystem.client().await.make_token(&request).await.expect("made").token;
    let page = until_within(ROUNDS, "the panel tells it", async || {
        let page = panel(&ecosystem, &token, "databases");
        page.contains("select pg_sleep(?), ?").then_some(page)
    })
    .await;
    let words = [
        "bare tells of no statements: in bare",
        "CREATE EXTENSION pg_stat_statements",
        "stranger tells only of statements of the role",
    ];
    for words in words {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("full tells") && !page.contains("somebody"), "{page}");

    // A server that is started without the extension, which is still made there.
    server.stop();
    server.run("");
    let states = [("not_loaded", "0"), ("not_loaded", "0"), ("not_loaded", "0"), ("not_made", "0")];
    are(&ecosystem, "state", "mana_statements_counted", &states).await;
    until_within(ROUNDS, "the panel says so", async || {
        let page = panel(&ecosystem, &token, "databases");
        page.contains("full counts no statements").then_some(())
    })
    .await;

    // The password is nowhere but where it belongs.
    let log = std::fs::read_to_string(mana_control::paths::control_log(&ecosystem.data())).expect("a log");
    let told = ecosystem.client().await.query("{server!=\"\"}").await.expect("an answer").to_string();
    assert!(told.contains("pg_up") && !told.contains(made) && !log.contains(made), "{log}");
    ecosystem.down().await;
}
