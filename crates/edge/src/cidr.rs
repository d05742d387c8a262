//! Address ranges, for the peers whose forwarded headers are believed.

use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses: `10.0.0.0/8`, `::1/128`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    network: u128,
    mask: u128,
    v6: bool,
}

impl Cidr {
    /// Whether the range holds `address`. An IPv4 address mapped into IPv6 counts as what it is: IPv4.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (bits, v6) = bits(address.to_canonical());
        v6 == self.v6 && bits & self.mask == self.network
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr =
            address.parse().map_err(|_| format!("`{text}` is no address range; write `10.0.0.0/8` or `::1/128`"))?;
        let (bits, v6) = bits(address);
        let width = if v6 { 128 } else { 32 };
        let length: u32 = match length {
            None => width,
            Some(length) => length
                .parse()
                .ok()
                .filter(|length| *length <= width)
                .ok_or_else(|| format!("`{text}` has a prefix length outside of 0 to {width}"))?,
        };
        let all = u128::MAX >> (128 - width);
        let mask = all & !all.checked_shr(length).unwrap_or(0);
        if bits & mask != bits {
            return Err(format!("`{text}` has bits set beyond its prefix; write the range's first address"));
        }
        Ok(Self { network: bits, mask, v6 })
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), false),
        IpAddr::V6(address) => (u128::from(address), true),
    }
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
            ("10.0.0.0/33", "outside of 0 to 32"),
            ("::/129", "outside of 0 to 128"),
            ("10.0.0.0/", "outside of 0 to 32"),
            ("10.0.0.1/8", "first address"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
