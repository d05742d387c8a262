//! Everything that came on a connection, read so strictly that no byte is left without a meaning.

use super::Answer;

/// What came in answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Whole(Answer),
    /// The connection ended before the answer did. Only the last one can be so.
    Cut(Answer),
}

impl Seen {
    /// What came of it, cut or not.
    pub(crate) fn answer(&self) -> &Answer {
        match self {
            Self::Whole(answer) | Self::Cut(answer) => answer,
        }
    }
}

/// Takes apart what came until the connection's end in answer to requests with these methods.
///
/// # Panics
/// Where something came that is no answer to any of them: whoever reads it takes it for somebody else's.
pub(crate) fn read_all(mut bytes: &[u8], methods: &[&str]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut methods = methods.iter();
    while !bytes.is_empty() {
        let method =
            methods.next().unwrap_or_else(|| panic!("nobody asked for {:?}", bytes.escape_ascii().to_string()));
        let Some(mut answer) = head(&mut bytes) else {
            panic!("a head was cut: {:?}", bytes.escape_ascii().to_string());
        };
        let whole = body(&mut bytes, method, &mut answer);
        seen.push(if whole { Seen::Whole(answer) } else { Seen::Cut(answer) });
    }
    seen
}

/// The next head that is not an interim one.
fn head(bytes: &mut &[u8]) -> Option<Answer> {
    loop {
        let head = line_end(bytes, b"\r\n\r\n")?;
        let text = std::str::from_utf8(head).unwrap();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap();
        assert!(first.starts_with("HTTP/1.1 "), "no status line: {first:?}");
        let status: u16 = first[9..12].parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if status >= 200 {
            return Some(Answer { status, headers, body: Vec::new() });
        }
    }
}

/// Takes the body; says whether all of it was there.
fn body(bytes: &mut &[u8], method: &str, answer: &mut Answer) -> bool {
    let (lengths, codings) = (all(answer, "content-length"), all(answer, "transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "more than one length: {lengths:?} {codings:?}");
    if answer.status == 204 {
        assert!(lengths.is_empty() && codings.is_empty(), "204 with a length: {lengths:?} {codings:?}");
    }
    if method == "HEAD" || answer.status == 204 || answer.status == 304 {
        return true;
    }
    if let Some(length) = lengths.first() {
        let length: usize = length.parse().unwrap();
        let taken = length.min(bytes.len());
        answer.body = bytes[..taken].to_vec();
        *bytes = &bytes[taken..];
        return taken == length;
    }
    assert_eq!(codings, ["chunked"], "no length: {:?}", answer.headers);
    loop {
        let Some(size) = line_end(bytes, b"\r\n") else { return false };
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        if size == 0 {
            // The edge sends trailers to nobody who did not ask for them.
            assert_eq!(line_end(bytes, b"\r\n"), Some(&b""[..]), "trailers");
            return true;
        }
        let taken = size.min(bytes.len());
        answer.body.extend_from_slice(&bytes[..taken]);
        *bytes = &bytes[taken..];
        if taken < size || bytes.len() < 2 {
            *bytes = &[];
            return false;
        }
        assert_eq!(line_end(bytes, b"\r\n"), Some(&b""[..]), "more than the chunk's size");
    }
}

fn all(answer: &Answer, name: &str) -> Vec<String> {
    answer.headers.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
}

/// What stands before `end`; both are taken.
fn line_end<'a>(bytes: &mut &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    let before = &bytes[..at];
    *bytes = &bytes[at + end.len()..];
    Some(before)
}
