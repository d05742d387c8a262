//! Colours, by what they mean rather than by their name.

/// What a piece of text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// On its way, or not quite as it should be.
    Care,
    /// Not as it should be.
    Bad,
    /// Worth a look: a name, a URL.
    Name,
    /// Less important than its surroundings.
    Faint,
    /// A heading.
    Strong,
}

/// Whether text is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// Text as it is.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// Painted if `colour`.
    pub(crate) fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// The text in its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Care => "33",
            Tone::Bad => "31",
            Tone::Name => "36",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_painted_only_when_colours_are_on() {
        assert_eq!(Style::PLAIN.paint(Tone::Bad, "down"), "down");
        assert_eq!(Style::new(true).paint(Tone::Bad, "down"), "\u{1b}[31mdown\u{1b}[0m");
        assert_eq!(Style::new(true).paint(Tone::Bad, ""), "");
    }
}
