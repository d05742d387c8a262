//! Light, dark, or as the system says: a choice kept in a cookie that scripts may write, so that pages come in the right
//! colours and nothing flashes.

use axum::http::{HeaderMap, header};

/// The choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Theme {
    /// As the system says.
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::System, "System"), (Self::Light, "Light"), (Self::Dark, "Dark")];

    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        match pairs.find(|(name, _)| *name == "theme").map(|(_, value)| value) {
            Some("light") => Self::Light,
            Some("dark") => Self::Dark,
            _ => Self::System,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_read_among_other_cookies() {
        for (cookies, theme) in [
            ("theme=dark", Theme::Dark),
            ("a=b; theme=light; c=d", Theme::Light),
            ("theme=pink", Theme::System),
            ("mytheme=dark", Theme::System),
            ("", Theme::System),
        ] {
            let headers = HeaderMap::from_iter([(header::COOKIE, cookies.parse().expect("a value"))]);
            assert_eq!(Theme::read(&headers), theme, "{cookies}");
        }
    }
}
