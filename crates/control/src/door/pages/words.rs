//! What machines say, as people read it.

use jiff::Timestamp;

/// Browsers by what their descriptions hold: most hold the names of others too, so the first that fits is it.
const BROWSERS: [(&str, &str); 6] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];
const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// `Firefox on Linux`; the description itself where it is none of the usual ones.
pub(crate) fn browser(agent: &str) -> String {
    let find =
        |names: &[(&str, &'static str)]| names.iter().find(|(part, _)| agent.contains(part)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) if agent.is_empty() => "A browser that does not say what it is".to_owned(),
        (None, _) => agent.to_owned(),
    }
}

/// `26 Nov 2026, 17:08 UTC`
pub(super) fn moment(at: &str) -> String {
    let time = at.parse::<Timestamp>();
    time.map_or_else(|_| at.to_owned(), |time| time.strftime("%-d %b %Y, %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_called_by_its_name() {
        for (agent, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36 Edg/140.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.5.0", "curl"),
            ("Tester", "Tester"),
            ("", "A browser that does not say what it is"),
        ] {
            assert_eq!(browser(agent), expected);
        }
    }

    #[test]
    fn a_moment_is_said_with_its_zone() {
        assert_eq!(moment("2026-11-26T17:08:26Z"), "26 Nov 2026, 17:08 UTC");
        assert_eq!(moment("some day"), "some day");
    }
}
