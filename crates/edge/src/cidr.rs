//! Address ranges, for the peers whose forwarded headers are believed.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A range of addresses: `10.0.0.0/8`, `::1/128`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr(IpNet);

impl Cidr {
    /// Whether the range holds `address`. An IPv4 address mapped into IPv6 counts as what it is: IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `ipnet` would take `010.0.0.0/8`, which is 8.0.0.0/8 for some.
        let range = match text.split_once('/') {
            None => text.parse::<IpAddr>().ok().map(IpNet::from),
            Some((address, length)) => {
                address.parse().ok().zip(bits(length)).and_then(|(address, bits)| IpNet::new(address, bits).ok())
            }
        };
        let range = range.ok_or_else(|| format!("`{text}` is no address range; write `10.0.0.0/8` or `::1/128`"))?;
        if range.trunc() != range {
            return Err(format!("`{text}` has bits set beyond its prefix; write `{}`", range.trunc()));
        }
        Ok(Self(range))
    }
}

/// A number as it is usually written: no sign, no zero before it.
fn bits(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(range: &str, inside: &[&str], outside: &[&str]) {
        let cidr: Cidr = range.parse().unwrap();
        for address in inside {
            assert!(cidr.contains(address.parse().unwrap()), "{range} holds {address}");
        }
        for address in outside {
            assert!(!cidr.contains(address.parse().unwrap()), "{range} does not hold {address}");
        }
    }

    #[test]
    fn ranges_hold_what_they_name() {
        check("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], &["11.0.0.0", "::1", "9.255.255.255"]);
        check("127.0.0.1", &["127.0.0.1"], &["127.0.0.2"]);
        check("0.0.0.0/0", &["1.2.3.4"], &["::1"]);
        check("::/0", &["::1", "2001:db8::1"], &["1.2.3.4"]);
        check("2001:db8::/32", &["2001:db8:1::"], &["2001:db9::"]);
        check("192.168.1.128/25", &["192.168.1.200"], &["192.168.1.127"]);
    }

    #[test]
    fn wrong_ranges_say_what_is_wrong() {
        for (text, part) in [
            ("", "no address range"),
            ("localhost", "no address range"),
            ("10.0.0.0/33", "no address range"),
            ("::/129", "no address range"),
            ("10.0.0.0/", "no address range"),
            ("010.0.0.0/8", "no address range"),
            ("10.0.0.00/8", "no address range"),
            ("10.0.0.0/08", "no address range"),
            ("10.0.0.0/+8", "no address range"),
            ("10.0.0.0/8/8", "no address range"),
            ("10.0.0.1/8", "write `10.0.0.0/8`"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
