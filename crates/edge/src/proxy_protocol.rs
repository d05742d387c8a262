//! The PROXY protocol's header, versions 1 and 2: for whom a proxy that knows nothing of HTTP has opened a connection.
//!
//! Pure and strict: a header is read in one way or not at all, whatever came of it so far; `preamble` does the reading.
//! The specification is HAProxy's `doc/proxy-protocol.txt`. What it leaves to the receiver is decided so: a source of a
//! kind that cannot be a TCP client's is [`Source::Unknown`], and what follows the addresses of version 2 is checked for
//! its form but says nothing to us.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// Longest header of either version: what the specification has every sender stay within, so that it fits into the
/// smallest segment.
pub(crate) const MAX_BYTES: usize = 536;

/// Longest line of version 1, its end included.
const MAX_LINE_BYTES: usize = 107;

const V1_BEGIN: &[u8] = b"PROXY ";

const V2_BEGIN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The part of version 2 that says how long the rest is.
const V2_FIXED_BYTES: usize = 16;

/// For whom a connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// For this client.
    Client(SocketAddr),
    /// For the proxy itself, to see whether we are there.
    Itself,
    /// For somebody: the proxy does not say whom.
    Unknown,
}

/// How far a header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// All bytes so far belong to it, and there are more; there are fewer than [`MAX_BYTES`].
    Part,
    /// It is these first bytes.
    Whole { bytes: usize, source: Source },
}

/// Why something is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Malformed {
    #[error("does not begin with a PROXY header of version 1 or 2")]
    Begin,
    #[error("the header is longer than the {MAX_LINE_BYTES} bytes of version 1 or the {MAX_BYTES} of version 2")]
    TooLong,
    #[error("the line of version 1 is not `PROXY TCP4 source destination port port` or alike")]
    Line,
    #[error("the header says a version, command, family or protocol that there is not")]
    Kind,
    #[error("the addresses or what follows them do not have the length that the header says")]
    Length,
}

/// Reads the header that these bytes begin with.
///
/// # Errors
/// As soon as no further bytes could make a header of them.
pub(crate) fn parse(bytes: &[u8]) -> Result<Progress, Malformed> {
    if agree(bytes, V2_BEGIN) {
        v2(bytes)
    } else if agree(bytes, V1_BEGIN) {
        v1(bytes)
    } else {
        Err(Malformed::Begin)
    }
}

/// Whether both are the same as far as both go.
fn agree(bytes: &[u8], begin: &[u8]) -> bool {
    bytes.iter().zip(begin).all(|(one, other)| one == other)
}

fn v1(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some(feed) = bytes.iter().take(MAX_LINE_BYTES).position(|byte| *byte == b'\n') else {
        return if bytes.len() < MAX_LINE_BYTES { Ok(Progress::Part) } else { Err(Malformed::TooLong) };
    };
    let line = bytes[..feed].strip_suffix(b"\r").filter(|line| !line.contains(&b'\r')).ok_or(Malformed::Line)?;
    let said = line.strip_prefix(V1_BEGIN).ok_or(Malformed::Line)?;
    let source = match said.strip_prefix(b"UNKNOWN") {
        // Whatever else it says is to be ignored.
        Some([] | [b' ', ..]) => Source::Unknown,
        _ => Source::Client(str::from_utf8(said).ok().and_then(client).ok_or(Malformed::Line)?),
    };
    Ok(Progress::Whole { bytes: feed + 1, source })
}

/// The first address and port of `TCP4 192.0.2.1 198.51.100.2 47011 443`.
fn client(said: &str) -> Option<SocketAddr> {
    let mut fields = said.split(' ');
    let mut next = || fields.next();
    let (family, source, destination, from, to) = (next()?, next()?, next()?, next()?, next()?);
    if next().is_some() {
        return None;
    }
    let source = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination)?.into(),
        "TCP6" => both::<Ipv6Addr>(source, destination)?.into(),
        _ => return None,
    };
    port(to)?;
    Some(SocketAddr::new(source, port(from)?))
}

/// The first address, if both are some.
fn both<A: FromStr>(source: &str, destination: &str) -> Option<A> {
    destination.parse::<A>().and_then(|_| source.parse()).ok()
}

/// A number as it is usually written: no sign, no zero before it.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn v2(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED_BYTES>() else { return Ok(Progress::Part) };
    let [.., command, kind, high, low] = *fixed;
    let end = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if end > MAX_BYTES {
        return Err(Malformed::TooLong);
    }
    // Version and command; family and protocol.
    let read: fn(&[u8]) -> Option<Source> = match (command, kind) {
        // Whatever else it says is to be ignored.
        (0x20, _) => |_| Some(Source::Itself),
        (0x21, 0x11) => inet,
        (0x21, 0x21) => inet6,
        // None, or one of a datagram or a unix socket.
        (0x21, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => |_| Some(Source::Unknown),
        _ => return Err(Malformed::Kind),
    };
    let Some(block) = bytes.get(V2_FIXED_BYTES..end) else { return Ok(Progress::Part) };
    let source = read(block).ok_or(Malformed::Length)?;
    Ok(Progress::Whole { bytes: end, source })
}

/// Source, destination and their ports.
fn inet(block: &[u8]) -> Option<Source> {
    let ([a, b, c, d, _, _, _, _, high, low, _, _], extras) = block.split_first_chunk::<12>()?;
    let source = SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*high, *low])));
    are_whole(extras).then_some(Source::Client(source))
}

fn inet6(block: &[u8]) -> Option<Source> {
    let (addresses, extras) = block.split_first_chunk::<36>()?;
    let (source, [.., high, low, _, _]) = addresses.split_first_chunk::<16>()? else { return None };
    let source = SocketAddr::from((*source, u16::from_be_bytes([*high, *low])));
    are_whole(extras).then_some(Source::Client(source))
}

/// Whether these are extras, each with its type and length, to the last byte.
fn are_whole(mut extras: &[u8]) -> bool {
    while let [_, high, low, rest @ ..] = extras {
        match rest.get(usize::from(u16::from_be_bytes([*high, *low]))..) {
            Some(others) => extras = others,
            None => return false,
        }
    }
    extras.is_empty()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn v2_header(command: u8, kind: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [V2_BEGIN, &[command, kind], &length, block].concat()
    }

    fn v2_of(source: SocketAddr, destination: SocketAddr, extras: &[u8]) -> Vec<u8> {
        let ports = [source.port().to_be_bytes(), destination.port().to_be_bytes()].concat();
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                v2_header(0x21, 0x11, &[&from.octets()[..], &to.octets(), &ports, extras].concat())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                v2_header(0x21, 0x21, &[&from.octets()[..], &to.octets(), &ports, extras].concat())
            }
            _ => panic!("both are of one family"),
        }
    }

    fn v1_of(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let (from, to) = (source.ip(), destination.ip());
        format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port()).into_bytes()
    }

    /// A whole header, the same with more behind it, and each of its beginnings.
    fn check(header: &[u8], source: Source) {
        let whole = Ok(Progress::Whole { bytes: header.len(), source });
        assert_eq!(parse(header), whole, "{}", header.escape_ascii());
        assert_eq!(parse(&[header, b"\r\nGET / HTTP/1.1\r\n"].concat()), whole, "{}", header.escape_ascii());
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(Progress::Part), "{}", header[..end].escape_ascii());
        }
    }

    fn refuse(bytes: &[u8], expected: Malformed) {
        assert_eq!(parse(bytes), Err(expected), "{}", bytes.escape_ascii());
    }

    fn client_at(address: &str) -> Source {
        Source::Client(address.parse().unwrap())
    }

    #[test]
    fn version_1_says_the_client() {
        check(b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 443\r\n", client_at("192.0.2.1:47011"));
        check(b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", client_at("255.255.255.255:65535"));
        check(b"PROXY TCP4 192.0.2.1 198.51.100.2 0 0\r\n", client_at("192.0.2.1:0"));
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 47011 443\r\n", client_at("[2001:db8::1]:47011"));
        check(b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", client_at("[::ffff:192.0.2.1]:1"));
        check(b"PROXY UNKNOWN\r\n", Source::Unknown);
        check(b"PROXY UNKNOWN whatever \xff\0 it says\r\n", Source::Unknown);
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
        assert_eq!(longest.len(), MAX_LINE_BYTES);
        check(longest.as_bytes(), Source::Unknown);
    }

    #[test]
    fn version_1_is_read_in_one_way_only() {
        for line in [
            "",
            "UNKNOWNS",
            "TCP4",
            "TCP4 192.0.2.1 198.51.100.2 47011",
            "TCP4 192.0.2.1 198.51.100.2 47011 443 1",
            "TCP4 192.0.2.1 198.51.100.2 47011 443 ",
            "TCP4  192.0.2.1 198.51.100.2 47011 443",
            "TCP4\t192.0.2.1 198.51.100.2 47011 443",
            " TCP4 192.0.2.1 198.51.100.2 47011 443",
            "tcp4 192.0.2.1 198.51.100.2 47011 443",
            "TCP5 192.0.2.1 198.51.100.2 47011 443",
            "TCP4 192.0.2.01 198.51.100.2 47011 443",
            "TCP4 192.0.2 198.51.100.2 47011 443",
            "TCP4 192.0.2.1 198.51.100 47011 443",
            "TCP4 2001:db8::1 2001:db8::2 47011 443",
            "TCP6 192.0.2.1 198.51.100.2 47011 443",
            "TCP6 2001:db8::1 198.51.100.2 47011 443",
            "TCP6 [2001:db8::1] [2001:db8::2] 47011 443",
            "TCP6 fe80::1%eth0 fe80::2 47011 443",
            "TCP4 192.0.2.1 198.51.100.2 65536 443",
            "TCP4 192.0.2.1 198.51.100.2 47011 65536",
            "TCP4 192.0.2.1 198.51.100.2 047011 443",
            "TCP4 192.0.2.1 198.51.100.2 +47011 443",
            "TCP4 192.0.2.1 198.51.100.2 -1 443",
            "TCP4 192.0.2.1 198.51.100.2 47011 ",
            "TCP4 192.0.2.1 198.51.100.2 47011 443\r",
            "UNKNOWN \r a",
        ] {
            refuse(format!("PROXY {line}\r\n").as_bytes(), Malformed::Line);
        }
        refuse(b"PROXY UNKNOWN\n", Malformed::Line);
        refuse(b"PROXY TCP4 192.0.2.1 198.51.100.2 47011 443\n", Malformed::Line);
        refuse(format!("PROXY UNKNOWN {}\r\n", "f".repeat(92)).as_bytes(), Malformed::TooLong);
        refuse("PROXY ".repeat(18).as_bytes(), Malformed::TooLong);
    }

    #[test]
    fn version_2_says_the_client_or_why_not() {
        let (from, to) = ("192.0.2.1:47011", "198.51.100.2:443");
        check(&v2_of(from.parse().unwrap(), to.parse().unwrap(), b""), client_at(from));
        let (from, to) = ("[2001:db8::1]:47011", "[2001:db8::2]:443");
        check(&v2_of(from.parse().unwrap(), to.parse().unwrap(), b"\x04\x00\x02xx\x01\x00\x00"), client_at(from));
        check(&v2_header(0x20, 0x00, b""), Source::Itself);
        check(&v2_header(0x20, 0x11, &[7; 12]), Source::Itself);
        check(&v2_header(0x20, 0xff, &[7; 5]), Source::Itself);
        for kind in [0x00, 0x12, 0x22, 0x31, 0x32] {
            check(&v2_header(0x21, kind, &[7; 216]), Source::Unknown);
        }
        check(&v2_header(0x20, 0, &[7; MAX_BYTES - V2_FIXED_BYTES]), Source::Itself);
    }

    #[test]
    fn version_2_is_read_in_one_way_only() {
        refuse(&v2_header(0x20, 0, &[7; MAX_BYTES - V2_FIXED_BYTES + 1]), Malformed::TooLong);
        for (command, kind) in [(0x22, 0x11), (0x11, 0x11), (0x31, 0x11), (0x00, 0x11)] {
            refuse(&v2_header(command, kind, &[7; 12]), Malformed::Kind);
        }
        for kind in [0x01, 0x02, 0x10, 0x13, 0x20, 0x23, 0x30, 0x33, 0x41, 0xff] {
            refuse(&v2_header(0x21, kind, &[7; 216]), Malformed::Kind);
        }
        refuse(&v2_header(0x21, 0x11, &[7; 11]), Malformed::Length);
        refuse(&v2_header(0x21, 0x21, &[7; 35]), Malformed::Length);
        refuse(&v2_header(0x21, 0x11, &[7; 13]), Malformed::Length);
        refuse(&v2_header(0x21, 0x11, &[&[7; 12][..], b"\x04\x00\x02x"].concat()), Malformed::Length);
    }

    #[test]
    fn what_is_no_header_is_refused_with_its_first_wrong_byte() {
        for bytes in ["G", "GET / HTTP/1.1\r\n", "\x16\x03\x01", "PROXZ", "proxy ", "PROXY\r\n", "\r\n\r\nX", "\n"] {
            refuse(bytes.as_bytes(), Malformed::Begin);
        }
    }

    fn address() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
        let v4 = any::<[([u8; 4], u16); 2]>().prop_map(|[from, to]| (from.into(), to.into()));
        let v6 = any::<[([u16; 8], u16); 2]>().prop_map(|[from, to]| (from.into(), to.into()));
        prop_oneof![v4, v6]
    }

    /// Beginnings of headers that go on in any way.
    fn alike() -> impl Strategy<Value = Vec<u8>> {
        let begin = prop_oneof![
            Just(Vec::new()),
            Just(V1_BEGIN.to_vec()),
            Just(b"PROXY TCP4 1.2.3.4 ".to_vec()),
            (0x1f_u8..0x23, 0_u8..0x34, 0_u8..3, any::<u8>()).prop_map(|(command, kind, high, low)| [
                V2_BEGIN,
                &[command, kind, high, low]
            ]
            .concat()),
        ];
        let rest = prop::collection::vec(any::<u8>(), 0..600);
        (begin, rest).prop_map(|(begin, rest)| [begin, rest].concat())
    }

    proptest! {
        #[test]
        fn what_a_proxy_writes_is_read((source, destination) in address(), noop in 0_usize..200) {
            check(&v1_of(source, destination), Source::Client(source));
            let length = u16::try_from(noop).unwrap().to_be_bytes();
            let extras = [&[4], &length[..], &vec![0; noop]].concat();
            check(&v2_of(source, destination, &extras), Source::Client(source));
        }

        #[test]
        fn no_bytes_have_two_readings_however_they_come(bytes in alike()) {
            // What is said of some bytes holds for all that begin so: reading them in pieces changes nothing.
            let mut last = Ok(Progress::Part);
            for end in 0..=bytes.len() {
                let now = parse(&bytes[..end]);
                match last {
                    Ok(Progress::Part) => {}
                    decided => prop_assert_eq!(now, decided),
                }
                match now {
                    Ok(Progress::Part) => prop_assert!(end < MAX_BYTES),
                    Ok(Progress::Whole { bytes, .. }) => prop_assert!(bytes <= end && bytes <= MAX_BYTES),
                    Err(_) => {}
                }
                last = now;
            }
        }
    }
}
