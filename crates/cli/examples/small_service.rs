//! A service for tests, in a few lines of the standard library: answers every request with 200, writes a line of JSON to
//! its log for each that is no probe, ends at once where `$CRASH` is set. With arguments it is a one-off command: it tells
//! them and `$GREETING`, copies its input and ends with code 7.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.is_empty() {
        println!("{} {} {}", arguments.join(" "), variable("GREETING"), variable("MANA_INSTANCE"));
        io::copy(&mut io::stdin(), &mut io::stdout()).expect("copied");
        return ExitCode::from(7);
    }
    if !variable("CRASH").is_empty() {
        println!("{{\"level\":\"ERROR\",\"message\":\"no such table: shelves\"}}");
        return ExitCode::FAILURE;
    }
    let port: u16 = variable("PORT").parse().expect("PORT is a number");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
    println!("{{\"level\":\"INFO\",\"message\":\"listening\",\"port\":{port}}}");
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        std::thread::spawn(move || answer(stream));
    }
    ExitCode::SUCCESS
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Requests of one connection, until its other end closes it.
fn answer(stream: TcpStream) -> io::Result<()> {
    let mut answers = stream.try_clone()?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(request) = lines.next() {
        let request = request?;
        for header in lines.by_ref() {
            if header?.is_empty() {
                break;
            }
        }
        if !request.contains("/api/health") {
            println!("{{\"level\":\"INFO\",\"message\":\"{request}\"}}");
        }
        answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")?;
    }
    Ok(())
}
