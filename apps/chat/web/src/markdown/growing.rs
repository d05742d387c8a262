//! A text while it is written, as HTML: the same writer as for whole texts, and each time only what is new.
//!
//! A block of Markdown that is followed by another has settled: nothing that comes later changes how it reads, so it is written once.
//! One thing could: a definition that links refer to (`[name]: address`). Where there may be one, all is written each time.
//! Of what has not settled yet, [`mend`](super::mend) makes what it will most likely become.

use pulldown_cmark::{Event, Parser};

use super::mend::mended;
use super::{LEVEL_ABOVE, MAX_BYTES, OPTIONS, write};

/// The text so far.
#[derive(Debug)]
pub(crate) struct Growing {
    text: String,
    /// Bytes of the text that have settled, and what they are as HTML.
    settled: usize,
    html: String,
    /// The same in UTF-16 units, as browsers count.
    units: usize,
    /// The level of the last heading that has settled.
    heading: usize,
    /// Bytes of the text that were looked at for what has settled: up to a line's end.
    looked: usize,
    /// What was given last behind `html`.
    tail: String,
}

/// What turns the HTML that was given before into that of now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// UTF-16 units of it that stay.
    pub(crate) keep: usize,
    /// What follows them.
    pub(crate) html: String,
}

impl Default for Growing {
    fn default() -> Self {
        Self {
            text: String::new(),
            settled: 0,
            html: String::new(),
            units: 0,
            heading: LEVEL_ABOVE,
            looked: 0,
            tail: String::new(),
        }
    }
}

impl Growing {
    /// Bytes of the text so far.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes what is written next.
    pub(crate) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// What is new since the last time; `None` if nothing is to be seen of it.
    pub(crate) fn patch(&mut self) -> Option<Patch> {
        if self.text.len() > MAX_BYTES {
            return self.whole();
        }
        let before = std::mem::take(&mut self.tail);
        let (settled, units) = (self.html.len(), self.units);
        self.settle();
        self.tail = write(&mended(&self.text[self.settled..]), self.heading).0;
        let fresh = format!("{}{}", &self.html[settled..], self.tail);
        patch(units, &before, &fresh)
    }

    /// The last patch: the whole text as it is.
    pub(crate) fn whole(&mut self) -> Option<Patch> {
        let before = std::mem::take(&mut self.html) + &std::mem::take(&mut self.tail);
        self.tail = super::html(&self.text);
        (self.settled, self.units, self.heading, self.looked) = (0, 0, LEVEL_ABOVE, self.text.len());
        patch(0, &before, &self.tail)
    }

    /// Writes the blocks that are followed by another one, as far as lines are whole: half a line can still become part of them.
    fn settle(&mut self) {
        let Some(end) = self.text.rfind('\n').map(|at| at + 1).filter(|end| *end > self.looked) else { return };
        self.looked = end;
        if self.text.contains("]:") {
            return;
        }
        let last = last_block(&self.text[self.settled..end]);
        let (html, heading) = write(&self.text[self.settled..self.settled + last], self.heading);
        self.settled += last;
        self.heading = heading;
        self.units += units(&html);
        self.html.push_str(&html);
    }
}

/// Where the last block begins.
fn last_block(text: &str) -> usize {
    let (mut depth, mut last) = (0_usize, 0);
    for (event, range) in Parser::new_ext(text, OPTIONS).into_offset_iter() {
        match event {
            Event::Start(_) => {
                if depth == 0 {
                    last = range.start;
                }
                depth += 1;
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            // A rule has no inside.
            _ if depth == 0 => last = range.start,
            _ => {}
        }
    }
    // A block's text may begin within its line; what is before it in the line is part of it.
    text[..last].rfind('\n').map_or(0, |at| at + 1)
}

fn patch(units_before: usize, before: &str, now: &str) -> Option<Patch> {
    let mut same = before.bytes().zip(now.bytes()).take_while(|(one, other)| one == other).count();
    while !now.is_char_boundary(same) || !before.is_char_boundary(same) {
        same -= 1;
    }
    let is_same = same == before.len() && same == now.len();
    (!is_same).then(|| Patch { keep: units_before + units(&now[..same]), html: now[same..].to_owned() })
}

fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use super::super::html;
    use super::*;

    /// What a browser does with patches.
    #[derive(Default)]
    struct Page(Vec<u16>);

    impl Page {
        fn apply(&mut self, patch: Option<Patch>) {
            let Some(patch) = patch else { return };
            self.0.truncate(patch.keep);
            self.0.extend(patch.html.encode_utf16());
        }

        fn html(&self) -> String {
            String::from_utf16(&self.0).unwrap()
        }
    }

    /// All that blocks are made of, to be put together in any order.
    const PARTS: [&str; 30] = [
        "words ",
        "- a\n",
        "  - b\n",
        "\n",
        "\n\n",
        "    code\n",
        "> quoted\n",
        "```\n",
        "```rust\n",
        "| a | b |\n|---|---|\n",
        "| 1 | 2 |\n",
        "# one\n",
        "### three\n",
        "---\n",
        "===\n",
        "1. x\n",
        "2) y\n",
        "<div>\n",
        "</div>\n",
        "<!-- ",
        "-->\n",
        "**bold** ",
        "`code` ",
        "[l](http://a.example)",
        "ä👋 ",
        "\t",
        "   ",
        "*",
        "\\\n",
        "~~~\n",
    ];

    fn check(text: &str, pieces: impl Iterator<Item = usize>) {
        let (mut growing, mut page, mut rest) = (Growing::default(), Page::default(), text);
        for size in pieces {
            if rest.is_empty() {
                break;
            }
            let at = rest.char_indices().map(|(at, _)| at).nth(size).unwrap_or(rest.len());
            growing.push(&rest[..at]);
            rest = &rest[at..];
            page.apply(growing.patch());
            // Whatever has settled is what the whole text will read like.
            let settled = html(&text[..growing.settled]);
            assert!(html(&text[..growing.len()]).starts_with(&settled), "{text:?} at {}", growing.len());
            assert_eq!(growing.html, settled, "{text:?} at {}", growing.len());
        }
        growing.push(rest);
        page.apply(growing.patch());
        page.apply(growing.whole());
        assert_eq!(page.html(), html(text), "{text:?}");
        assert_eq!(growing.whole(), None, "nothing is new");
    }

    #[test]
    fn in_pieces_it_becomes_what_it_is_as_a_whole() {
        // Numbers that look like chance and are the same each time.
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..1_500 {
            let text: String = (0..2 + next(12)).map(|_| PARTS[next(PARTS.len())]).collect();
            check(&text, std::iter::repeat(1));
            let sizes: Vec<usize> = (0..200).map(|_| 1 + next(9)).collect();
            check(&text, sizes.into_iter());
        }
    }

    #[test]
    fn what_has_settled_is_written_once() {
        let mut growing = Growing::default();
        growing.push("# Title\n\nFirst.\n\nSecond\n");
        assert_eq!(growing.patch().unwrap().keep, 0);
        assert_eq!(growing.html, "<h4>Title</h4><p>First.</p>");
        growing.push("one");
        assert_eq!(growing.patch(), Some(Patch { keep: 36, html: "\none</p>".into() }));
        growing.push(" 👋 ä");
        assert_eq!(growing.patch(), Some(Patch { keep: 40, html: " 👋 ä</p>".into() }));
        growing.push("\n");
        assert_eq!(growing.patch(), None);
        growing.push("\n[l]: http://a.example\n\n[l]");
        growing.patch();
        assert_eq!(growing.settled, 17, "a definition may be referred to from anywhere");
    }
}
