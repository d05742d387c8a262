//! Instances that lie about where their answers end, or never end: whoever asked gets a 502, a 504 or a connection that is
//! cut, and nobody gets a byte of somebody else's answer.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use mana_edge::snapshot::{Issuer, Listener, LocalAuthority, Snapshot, Tls};

use crate::support::{
    Liar, Lie, Raw, Seen, Service, TestEdge, Then, TlsClient, get, public, read_all, read_head, route, slots, snapshot,
};

const LIE: &str = "GET /lie HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";

/// What must never be anybody's answer.
const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";

/// After this, what an instance has said has arrived.
const SETTLED: Duration = Duration::from_millis(100);

/// What may come of a lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// 502 or 504.
    Refused,
    /// The same, or an answer that is visibly cut.
    Cut,
    /// This body, and nothing else of what was said.
    Whole(&'static str),
    /// Either: HTTP leaves it open.
    WholeOrRefused(&'static str),
}

impl Expected {
    fn check(self, seen: &Seen, lie: &str) {
        let refused = matches!(seen, Seen::Whole(answer) if matches!(answer.status, 502 | 504));
        let is = |body: &str| {
            let whole = matches!(seen, Seen::Whole(answer) if answer.status / 100 == 2 || answer.status == 304);
            whole && seen.answer().body == body.as_bytes()
        };
        let fine = match self {
            Self::Refused => refused,
            Self::Cut => refused || matches!(seen, Seen::Cut(_)),
            Self::Whole(body) => is(body),
            Self::WholeOrRefused(body) => refused || is(body),
        };
        assert!(fine, "{lie}: {self:?} expected, {seen:?} came");
    }
}

/// Each with what it is, what is said, what is done then, and what may come of it.
fn lies() -> Vec<(&'static str, Lie, Expected)> {
    use Expected::{Cut, Refused, Whole, WholeOrRefused};
    let head = |fields: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}");
    let chunked = |body: &str| head("transfer-encoding: chunked\r\n", body);
    let mut lies = Vec::new();
    let mut add = |name, says: String, then, expected| lies.push((name, Lie::new(says, then), expected));

    // Longer than said: what is beyond the end is nobody's.
    add("beyond a length", head("content-length: 2\r\n", &format!("ok{POISON}")), Then::GoOn, Whole("ok"));
    add("beyond no length at all", head("content-length: 0\r\n", POISON), Then::GoOn, Whole(""));
    add("beyond the last chunk", chunked(&format!("2\r\nok\r\n0\r\n\r\n{POISON}")), Then::GoOn, Whole("ok"));
    add("beyond trailers", chunked(&format!("2\r\nok\r\n0\r\nx: y\r\n\r\n{POISON}")), Then::GoOn, Whole("ok"));
    add("a line end beyond the end", head("content-length: 2\r\n", "ok\r\n"), Then::GoOn, Whole("ok"));
    add("a few letters beyond the end", head("content-length: 2\r\n", "okay then"), Then::GoOn, Whole("ok"));
    add("204 with a body", format!("HTTP/1.1 204 No Content\r\n\r\n{POISON}"), Then::GoOn, Whole(""));
    add(
        "204 with a length and a body",
        format!("HTTP/1.1 204 No Content\r\ncontent-length: {}\r\n\r\n{POISON}", POISON.len()),
        Then::GoOn,
        WholeOrRefused(""),
    );
    add(
        "204 in chunks",
        "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n".into(),
        Then::GoOn,
        WholeOrRefused(""),
    );
    add(
        "304 with a body",
        format!("HTTP/1.1 304 Not Modified\r\ncontent-length: {}\r\n\r\n{POISON}", POISON.len()),
        Then::GoOn,
        Whole(""),
    );

    // Shorter than said.
    for then in [Then::Close, Then::Reset] {
        add("half of a length", head("content-length: 10\r\n", "half"), then, Cut);
        add("nothing of a length", head("content-length: 10\r\n", ""), then, Cut);
        add("half a chunk", chunked("a\r\nhalf"), then, Cut);
        add("a chunk and no more", chunked("4\r\nhalf\r\n"), then, Cut);
        add("a last chunk without its end", chunked("4\r\nhalf\r\n0\r\n"), then, Cut);
        add("half a head", "HTTP/1.1 200 OK\r\ncontent-".into(), then, Refused);
        add("an interim answer and no more", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".into(), then, Refused);
        add("nothing", String::new(), then, Refused);
    }
    add("a body to the end that is torn off", head("", "half"), Then::Reset, Cut);
    add("a body to the end", head("", "all of it"), Then::Close, Whole("all of it"));
    add("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nall of it".into(), Then::Close, Whole("all of it"));

    // Two ends.
    for fields in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 12\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: \x0bchunked\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: gzip\r\n",
    ] {
        add("more than one coding or end", head(fields, &format!("2\r\nok\r\n0\r\n\r\n{POISON}")), Then::GoOn, Refused);
    }
    let http_10 = "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    add("chunks in HTTP/1.0", format!("{http_10}{POISON}"), Then::GoOn, Refused);
    for fields in [
        "content-length: 2\r\ncontent-length: 30\r\n",
        "content-length: 30\r\ncontent-length: 2\r\n",
        "content-length: 2, 30\r\n",
        "content-length: -2\r\n",
        "content-length: +2\r\n",
        "content-length: 0x2\r\n",
        "content-length: 2 2\r\n",
        "content-length: 2;\r\n",
        "content-length: two\r\n",
        "content-length: \r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 2\r\n content-length: 30\r\n",
    ] {
        add("a length that is none", head(fields, &format!("ok{POISON}")), Then::GoOn, Refused);
    }
    for fields in ["content-length: 2\r\ncontent-length: 2\r\n", "content-length: 2, 2\r\n"] {
        add("a length said twice", head(fields, &format!("ok{POISON}")), Then::GoOn, WholeOrRefused("ok"));
    }

    // Sizes of chunks that are none. The head may be on its way already, so that all that is left is to cut.
    for body in [
        "zz\r\nok\r\n0\r\n\r\n",
        "-2\r\nok\r\n0\r\n\r\n",
        "+2\r\nok\r\n0\r\n\r\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        " 2\r\nok\r\n0\r\n\r\n",
        "\r\nok\r\n0\r\n\r\n",
        "2\nok\r\n0\r\n\r\n",
        "2\r\nok0\r\n\r\n",
        "2\r\nokay\r\n0\r\n\r\n",
        "2\r\nok\n0\r\n\r\n",
        "2;a\nb\r\nok\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nok",
        "10000000000000002\r\nok\r\n0\r\n\r\n",
        "ffffffffffffffffffffffffffffffff2\r\nok\r\n0\r\n\r\n",
        "2\r\nok\r\n0\r\nno colon\r\n\r\n",
        "2\r\nok\r\n0\r\nna me: x\r\n\r\n",
    ] {
        add("a chunk that is none", chunked(&format!("{body}{POISON}")), Then::Close, Cut);
    }
    let endless = "y".repeat(4 * 1024 * 1024);
    add("an endless chunk extension", chunked(&format!("2;{endless}")), Then::Hang, Cut);
    add("an endless chunk size", chunked(&"0".repeat(4 * 1024 * 1024)), Then::Hang, Cut);
    add("an endless trailer", chunked(&format!("2\r\nok\r\n0\r\nx: {endless}")), Then::Hang, Cut);
    add("trailers without end", chunked(&format!("2\r\nok\r\n0\r\n{}", "x: y\r\n".repeat(500_000))), Then::Hang, Cut);

    // Heads that are none, and heads without end.
    for says in [
        format!("\0\0\0{POISON}"),
        format!("220 mail.example ESMTP\r\n{POISON}"),
        format!("HTTP/2 200 OK\r\n\r\n{POISON}"),
        format!("HTTP/9.9 200 OK\r\n\r\n{POISON}"),
        format!("HTTP/1.1 0 OK\r\n\r\n{POISON}"),
        format!("HTTP/1.1 20 OK\r\n\r\n{POISON}"),
        format!("HTTP/1.1 2000 OK\r\n\r\n{POISON}"),
        format!("HTTP/1.1 two OK\r\n\r\n{POISON}"),
        format!("HTTP/1.1 099 OK\r\n\r\n{POISON}"),
        head("x y\r\n", POISON),
        head(": y\r\n", POISON),
        head("x : y\r\n", POISON),
        head("x: a\0b\r\n", POISON),
        head("x: a\rb\r\n", POISON),
        head("x: a\r\n b\r\n", POISON),
        head(&"x: y\r\n".repeat(2_000), POISON),
        head(&format!("x: {endless}\r\n"), POISON),
    ] {
        add("a head that is none", says, Then::GoOn, Refused);
    }
    add("a head without end", format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(500_000)), Then::Hang, Refused);
    add("line ends and nothing else", "\r\n".repeat(2 * 1024 * 1024), Then::Hang, Refused);
    add("bare line feeds", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok".into(), Then::GoOn, WholeOrRefused("ok"));

    // Interim answers, and changes of protocol that nobody asked for.
    let continued = "HTTP/1.1 100 Continue\r\n\r\n";
    let hinted = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n";
    let ok = head("content-length: 2\r\n", "ok");
    add("continue, though nothing waits", format!("{continued}{ok}"), Then::GoOn, Whole("ok"));
    add("hints", format!("{hinted}{hinted}{ok}"), Then::GoOn, Whole("ok"));
    add("hints beyond the end", format!("{ok}{hinted}"), Then::GoOn, Whole("ok"));
    add("a flood of continues", continued.repeat(100_000), Then::Hang, Refused);
    add("a flood of hints", hinted.repeat(100_000), Then::Hang, Refused);
    add(
        "an interim answer with a body",
        format!("HTTP/1.1 103 Early Hints\r\ncontent-length: {}\r\n\r\n{POISON}{ok}", POISON.len()),
        Then::Close,
        Refused,
    );
    let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: lines\r\n\r\n";
    add("a tunnel that nobody asked for", format!("{switched}{POISON}"), Then::GoOn, Refused);
    lies
}

/// An edge of one thread, so that all connections to the instance are in one pool.
fn edge_of(instance: &Service) -> TestEdge {
    TestEdge::with_threads(&snapshot(vec![route("chat", slots(&[instance.address]))]), 1)
}

/// Everyone else gets their own answers, on new connections.
async fn check_others(edge: &TestEdge, lie: &str) {
    for path in ["/others/1", "/others/2", "/others/3"] {
        let answer = get(edge.address(), "chat.localhost", path).await;
        assert_eq!((answer.status, answer.text()), (200, path), "after {lie}");
    }
}

/// Asks for the lie and then, without waiting, for two honest answers on the same connection.
async fn ask_between_others(edge: &TestEdge, asked: &str) -> Vec<Seen> {
    let mut client = Raw::connect(edge.address()).await;
    let honest = "GET /same/1 HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
    let last = "GET /same/2 HTTP/1.1\r\nhost: chat.localhost\r\nconnection: close\r\n\r\n";
    client.write(format!("{asked}{honest}{last}")).await;
    let method = asked.split(' ').next().unwrap();
    read_all(&client.rest().await, &[method, "GET", "GET"])
}

fn check_same(seen: &[Seen], lie: &str) {
    for (seen, path) in seen.iter().skip(1).zip(["/same/1", "/same/2"]) {
        let Seen::Whole(answer) = seen else { panic!("after {lie}: {seen:?}") };
        assert_eq!((answer.status, answer.text()), (200, path), "after {lie}");
    }
    if matches!(seen[0], Seen::Whole(_)) && seen[0].answer().header("connection") != Some("close") {
        assert_eq!(seen.len(), 3, "after {lie}: the connection goes on");
    }
}

fn name((name, lie, _): &(&str, Lie, Expected)) -> String {
    let shown = String::from_utf8_lossy(&lie.says[..lie.says.len().min(200)]).into_owned();
    format!("{name} ({shown:?}, then {:?})", lie.then)
}

#[tokio::test]
async fn a_lie_about_an_answers_end_reaches_nobody_elses_answer() {
    let liar = Liar::new(Lie::new("", Then::Close));
    let edge = edge_of(&liar.service);
    for case in lies() {
        let shown = name(&case);
        let (_, lie, expected) = case;
        liar.now_says(lie);
        check_others(&edge, &shown).await;
        let seen = ask_between_others(&edge, LIE).await;
        let Some(first) = seen.first() else { panic!("{shown}: not a byte came") };
        expected.check(first, &shown);
        check_same(&seen, &shown);
        check_others(&edge, &shown).await;
    }
}

#[tokio::test]
async fn the_same_lies_over_http2_end_one_stream_and_touch_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let liar = Liar::new(Lie::new("", Then::Close));
    let issuer = Issuer::Local(LocalAuthority { folder: folder.path().join("ca") });
    let given = Snapshot {
        listeners: vec![Listener::secure(([127, 0, 0, 1], 0).into()), public_beside()],
        tls: Some(Tls { issuer: Some(issuer), ..Tls::default() }),
        ..snapshot(vec![route("chat", slots(&[liar.service.address]))])
    };
    let edge = TestEdge::with_threads(&given, 1);
    let client = TlsClient::trusting(&folder.path().join("ca/ca.pem"));
    let sender = client.http2(edge.address(), "chat.localhost").await;
    for case in lies() {
        let shown = name(&case);
        let (_, lie, expected) = case;
        liar.now_says(lie);
        let (lied, one, two, three) = tokio::join!(
            ask_http2(&sender, "/lie"),
            ask_http2(&sender, "/stream/1"),
            ask_http2(&sender, "/stream/2"),
            ask_http2(&sender, "/stream/3"),
        );
        for (honest, path) in [(one, "/stream/1"), (two, "/stream/2"), (three, "/stream/3")] {
            assert_eq!(honest, Ok((200, path.into())), "beside {shown}");
        }
        let refused = matches!(lied, Ok((502 | 504, _)));
        let is = |body: &str| matches!(&lied, Ok((200 | 204 | 304, came)) if came == body);
        let fine = match expected {
            Expected::Refused => refused,
            Expected::Cut => refused || lied.is_err(),
            Expected::Whole(body) => is(body),
            Expected::WholeOrRefused(body) => refused || is(body),
        };
        assert!(fine, "{shown}: {expected:?} expected, {lied:?} came");
    }
}

fn public_beside() -> Listener {
    Listener { address: ([127, 0, 0, 2], 0).into(), ..public() }
}

/// Status and body; or how many bytes of it had come before it broke off.
async fn ask_http2(sender: &http2::SendRequest<Full<Bytes>>, path: &str) -> Result<(u16, String), usize> {
    let request = Request::get(format!("https://chat.localhost{path}")).body(Full::default()).unwrap();
    let response = sender.clone().send_request(request).await.map_err(|_| 0_usize)?;
    let status = response.status().as_u16();
    let (mut body, mut came) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => came.extend(frame.into_data().unwrap_or_default()),
            Err(_) => return Err(came.len()),
        }
    }
    Ok((status, String::from_utf8(came).unwrap()))
}

#[tokio::test]
async fn what_is_said_after_the_answer_is_nobodys_answer() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let liar = Liar::new(Lie::new(ok, Then::GoOn));
    let edge = edge_of(&liar.service);
    let timed_out = "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 6\r\n\r\npoison";
    for late in [POISON, timed_out, "x", "\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n"] {
        liar.says_late(late);
        let mut client = Raw::connect(edge.address()).await;
        assert_eq!(client.ask(LIE).await.text(), "ok");
        liar.said_late.notified().await;
        tokio::time::sleep(SETTLED).await;
        let answer = client.ask("GET /same HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        assert_eq!((answer.status, answer.text()), (200, "/same"), "{late:?}");
        check_others(&edge, late).await;
        // What may not be sent twice is not sent on such a connection in the first place.
        let answer = client.ask(LIE).await;
        assert_eq!(answer.text(), "ok");
        liar.said_late.notified().await;
        tokio::time::sleep(SETTLED).await;
        let posted = client.ask("POST /posted HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!((posted.status, posted.text()), (200, "/posted"), "{late:?}");
    }
}

#[tokio::test]
async fn a_body_in_answer_to_head_is_nobodys_answer() {
    let liar = Liar::new(Lie::new("", Then::Close));
    let edge = edge_of(&liar.service);
    for says in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{POISON}", POISON.len()),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\npoison\r\n0\r\n\r\n".into(),
        format!("HTTP/1.1 200 OK\r\n\r\n{POISON}"),
    ] {
        liar.now_says(Lie::new(says.clone(), Then::GoOn));
        let seen = ask_between_others(&edge, "HEAD /lie HTTP/1.1\r\nhost: chat.localhost\r\n\r\n").await;
        assert_eq!(seen[0].answer().status, 200, "{says:?}");
        check_same(&seen, &says);
        check_others(&edge, &says).await;
    }
}

#[tokio::test]
async fn an_instance_that_hangs_in_the_middle_costs_its_own_client_and_nobody_else() {
    let cases = [
        ("", Expected::Refused),
        ("HTTP/1.1 200 OK\r\ncontent-", Expected::Refused),
        ("HTTP/1.1 103 Early Hints\r\n\r\n", Expected::Refused),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", Expected::Cut),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", Expected::Cut),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", Expected::Cut),
        ("HTTP/1.1 200 OK\r\n\r\nhalf", Expected::Cut),
    ];
    futures_util::future::join_all(cases.map(|(says, expected)| check_hanging(says, expected))).await;
}

async fn check_hanging(says: &str, expected: Expected) {
    let liar = Liar::new(Lie::new(says, Then::Hang));
    let mut given = snapshot(vec![route("chat", slots(&[liar.service.address]))]);
    given.routes[0].limits.response_timeout_ms = 1_500;
    given.routes[0].limits.body_idle_timeout_ms = 1_500;
    let edge = TestEdge::with_threads(&given, 1);
    // Several at once, and others meanwhile.
    let (one, two, ()) =
        tokio::join!(ask_between_others(&edge, LIE), ask_between_others(&edge, LIE), check_others(&edge, says));
    for seen in [one, two] {
        expected.check(&seen[0], says);
        assert!(expected != Expected::Refused || seen[0].answer().status == 504, "{says:?}: {seen:?}");
        check_same(&seen, says);
    }
}

#[tokio::test]
async fn a_cut_answer_is_neither_kept_nor_made_whole_by_packing_it() {
    let head = "HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-type: text/plain\r\n";
    let text = "words and words and words ".repeat(200);
    let length = text.len() + 1;
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    for cut in [
        format!("{head}content-length: {length}\r\n\r\n{text}"),
        format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}"),
        format!("{head}transfer-encoding: chunked\r\n\r\n{chunk}zz\r\n"),
    ] {
        for accepted in ["identity", "gzip", "br", "zstd"] {
            let liar = Liar::new(Lie::new(cut.clone(), Then::Close));
            let edge = edge_of(&liar.service);
            let asked = format!("GET /lie HTTP/1.1\r\nhost: chat.localhost\r\naccept-encoding: {accepted}\r\n\r\n");
            let seen = ask_between_others(&edge, &asked).await;
            Expected::Cut.check(&seen[0], &format!("{accepted}: {cut}"));
            check_same(&seen, &cut);
            liar.now_says(Lie::new("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhonest", Then::GoOn));
            let answer = get(edge.address(), "chat.localhost", "/lie").await;
            assert_eq!((answer.status, answer.text()), (200, "honest"), "{accepted}: {cut}");
        }
    }
}

#[tokio::test]
async fn what_a_client_sends_is_a_body_to_the_instance_however_early_it_answers() {
    // Answers as soon as it has the head and reads the body to its end only then, if at all.
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let service = Service::raw(move |mut socket| {
        let seen = seen.clone();
        async move {
            while let Some(head) = read_head(&mut socket).await {
                let path = head.split(' ').nth(1).unwrap().to_owned();
                seen.send(path.clone()).unwrap();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len());
                if tokio::io::AsyncWriteExt::write_all(&mut socket, answer.as_bytes()).await.is_err() {
                    return;
                }
                if let Some(length) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
                    let mut body = vec![0; length.parse().unwrap()];
                    if tokio::io::AsyncReadExt::read_exact(&mut socket, &mut body).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    let edge = edge_of(&service);
    let hidden = "GET /hidden HTTP/1.1\r\nhost: chat.localhost\r\n\r\n";
    let length = hidden.len() + 10_000;
    let head = format!("POST /early HTTP/1.1\r\nhost: chat.localhost\r\ncontent-length: {length}\r\n\r\n");
    for part in ["", &hidden[..10], hidden] {
        // Gets its answer and goes away in the middle of its body.
        let mut client = Raw::connect(edge.address()).await;
        client.write(format!("{head}{part}")).await;
        assert_eq!(client.answer().await.text(), "/early", "{part:?}");
        check_others(&edge, part).await;
        drop(client);
        check_others(&edge, part).await;
        // Sends all of it, late.
        let mut client = Raw::connect(edge.address()).await;
        client.write(format!("{head}{part}")).await;
        assert_eq!(client.answer().await.text(), "/early", "{part:?}");
        let rest = format!("{hidden}{}", "x".repeat(10_000));
        let rest = &rest[part.len()..];
        // The edge may have closed: that is a way to be sure, too.
        let _sent = tokio::io::AsyncWriteExt::write_all(&mut client.socket, rest.as_bytes()).await;
        check_others(&edge, part).await;
    }
    drop(edge);
    while let Ok(path) = requests.try_recv() {
        assert!(path == "/early" || path.starts_with("/others/"), "{path}: a body became a request");
    }
}

#[tokio::test]
async fn an_instance_that_drips_its_head_is_504_in_time() {
    // A byte now and then does not help: the bound is on the whole wait.
    let service = Service::raw(async |mut socket| {
        read_head(&mut socket).await;
        let mut drip = "HTTP/1.1 200 OK\r\nx: ".bytes().chain(std::iter::repeat(b'y'));
        loop {
            let byte = drip.next().unwrap();
            if tokio::io::AsyncWriteExt::write_all(&mut socket, &[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut given = snapshot(vec![route("chat", slots(&[service.address]))]);
    given.routes[0].limits.response_timeout_ms = 1_000;
    let edge = TestEdge::with_threads(&given, 1);
    let answer = get(edge.address(), "chat.localhost", "/").await;
    assert_eq!(
        (StatusCode::from_u16(answer.status).unwrap(), answer.title().as_str()),
        (StatusCode::GATEWAY_TIMEOUT, "Instance answered too late")
    );
}
