//! People at the operators' door, and what is written down of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command as Process, Stdio};

use mana_control::api::{NewOperator, Role};
use mana_control::paths;

use super::{Ecosystem, Service};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A browser as far as this needs one: it keeps cookies and says where its forms come from.
pub(crate) struct Browser {
    pub(crate) origin: String,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) headers: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What the forms of the page hold.
    pub(crate) fn form_token(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().expect("a value").to_owned()
    }
}

impl Browser {
    pub(crate) fn new(ecosystem: &Ecosystem) -> Self {
        let origin = format!("http://127.0.0.1:{}", ecosystem.listen);
        let headers =
            vec![format!("origin: {origin}"), "sec-fetch-site: same-origin".into(), "user-agent: Tester".into()];
        Self { origin, cookies: BTreeMap::new(), headers }
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &[&str], body: &str) -> Answer {
        let mut curl = Process::new("curl");
        curl.args(["--silent", "--include", "--max-time", "30", "--request", method, "--data-binary", "@-"]);
        for header in self.headers.iter().map(String::as_str).chain(headers.iter().copied()) {
            curl.args(["--header", header]);
        }
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            curl.args(["--cookie", &cookies.join("; ")]);
        }
        curl.arg(format!("{}{path}", self.origin));
        let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("curl runs");
        child.stdin.take().expect("its input").write_all(body.as_bytes()).expect("written");
        let text = String::from_utf8_lossy(&child.wait_with_output().expect("it ends").stdout).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        for (_, cookie) in headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            }
        }
        Answer { status: status.parse().expect("a number"), headers, body: body.to_owned() }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    /// Fills in the form of a page, and sends it to `to`.
    pub(crate) fn send(&mut self, page: &str, to: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.get(page).form_token();
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        let form = form.extend_pairs(fields).append_pair("csrf", &token).finish();
        self.ask("POST", to, &["content-type: application/x-www-form-urlencoded"], &form)
    }

    pub(crate) fn log_in(&mut self, name: &str, password: &str, code: &str) -> Answer {
        self.send("/login", "/login", &[("name", name), ("password", password), ("code", code)])
    }

    pub(crate) fn is_logged_in(&mut self) -> bool {
        self.get("/account").status == 200
    }

    /// A call as scripts of a page make one.
    pub(crate) fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        let token = self.get("/account").form_token();
        let token = format!("x-csrf-token: {token}");
        self.ask(method, path, &["content-type: application/json", &token], body)
    }
}

pub(crate) async fn started() -> Ecosystem {
    let mut ecosystem = Ecosystem::start().await;
    ecosystem.write(&[Service::new("one")]);
    let manifest = std::fs::read_to_string(ecosystem.manifest()).expect("read");
    // The door's host is the address that the tests ask.
    let manifest = manifest.replace("listen = ", "ops = \"127.0.0.1\"\nlisten = ");
    std::fs::write(ecosystem.manifest(), manifest).expect("written");
    super::repository::up(&ecosystem).await;
    ecosystem
}

/// Invites somebody; answers the link.
pub(crate) async fn invitation(ecosystem: &Ecosystem, name: &str, role: Role) -> String {
    let request = NewOperator { name: name.into(), role };
    let after = ecosystem.client().await.add_operator(&request).await.expect("added");
    after.invitation.expect("a link").link
}

/// As [`invitation`], but for the code of the link.
pub(crate) async fn invited(ecosystem: &Ecosystem, name: &str, role: Role) -> String {
    let link = invitation(ecosystem, name, role).await;
    let begin = format!("http://127.0.0.1:{}/invite#", ecosystem.listen);
    link.strip_prefix(&begin).expect("a code behind the #").to_owned()
}

pub(crate) fn accept(browser: &mut Browser, code: &str, password: &str) -> Answer {
    browser.send("/invite", "/invite", &[("code", code), ("password", password), ("again", password)])
}

/// Somebody who is logged in.
pub(crate) async fn somebody(ecosystem: &Ecosystem, name: &str, role: Role) -> Browser {
    let code = invited(ecosystem, name, role).await;
    let mut browser = Browser::new(ecosystem);
    assert_eq!(accept(&mut browser, &code, PASSWORD).status, 303);
    browser
}

/// The audit log, oldest first, in short.
pub(crate) async fn written(ecosystem: &Ecosystem) -> Vec<String> {
    let mut entries = ecosystem.client().await.audit(1_000).await.expect("read");
    entries.reverse();
    let line = |entry: mana_control::api::AuditEntry| {
        [entry.who, entry.source, entry.what, entry.target, entry.outcome].join("|")
    };
    entries.into_iter().map(line).collect()
}

pub(crate) fn log(ecosystem: &Ecosystem) -> String {
    std::fs::read_to_string(paths::control_log(&ecosystem.data())).expect("a log")
}
