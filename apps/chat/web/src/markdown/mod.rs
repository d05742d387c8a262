//! What a model wrote, as HTML that can do nothing.
//!
//! CommonMark with tables is read by a parser, and what it finds is written by [`Writer`], which knows the few elements that there
//! may be and no way to write any other. HTML in the text is text. A link goes to `http`, `https` or `mailto`, tells nothing of
//! this page, and opens beside it; a picture is a link, since showing it would tell its server who reads.
//!
//! An answer that is still being written goes the same way, piece by piece ([`Growing`]).
//!
//! To allow another element: a line in [`Writer::open`], with every attribute a constant or escaped.

mod growing;
mod mend;

use std::fmt::Write as _;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag};
use url::Url;

pub(crate) use growing::{Growing, Patch};

const OPTIONS: Options = Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH).union(Options::ENABLE_TASKLISTS);

/// Bytes of a text that are read as Markdown; a longer one is shown as it is, so that no page takes long to make.
const MAX_BYTES: usize = 200_000;

/// Elements within one another. Below that depth only their text is shown: browsers give up further down.
const MAX_DEPTH: usize = 40;

/// Longest name of a code block's language.
const MAX_LANGUAGE_CHARS: usize = 20;

/// The level of the headings above a message.
const LEVEL_ABOVE: usize = 3;

/// Writes a text as HTML.
pub(crate) fn html(text: &str) -> String {
    if text.len() > MAX_BYTES {
        return format!("<p class=\"plain-text\">{}</p>", escape(text));
    }
    write(text, LEVEL_ABOVE).0
}

/// Writes what follows a heading of this level; gives the level of the last one, too.
fn write(text: &str, heading: usize) -> (String, usize) {
    let mut writer = Writer { html: String::with_capacity(text.len() * 2), heading, ..Writer::default() };
    for event in Parser::new_ext(text, OPTIONS) {
        writer.event(event);
    }
    (writer.html, writer.heading)
}

#[derive(Default)]
struct Writer {
    html: String,
    /// How each open element ends; empty for one that is not shown.
    ends: Vec<&'static str>,
    /// Links that are open: there is none within another.
    links: usize,
    /// Whether cells are those of a table's head.
    head: bool,
    /// The level of the heading before, which the next is at most one below.
    heading: usize,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => {
                let end = if self.ends.len() < MAX_DEPTH { self.open(&tag) } else { "" };
                self.ends.push(end);
            }
            Event::End(_) => self.close(),
            Event::Code(code) => {
                let _ = write!(self.html, "<code>{}</code>", escape(&code));
            }
            Event::SoftBreak => self.html.push('\n'),
            Event::HardBreak => self.html.push_str("<br>"),
            Event::Rule => self.html.push_str("<hr>"),
            Event::TaskListMarker(done) => self.html.push_str(if done { "☑ " } else { "☐ " }),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::FootnoteReference(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => self.html.push_str(&escape(&text)),
        }
    }

    /// Writes the beginning of an element; gives its end.
    fn open(&mut self, tag: &Tag<'_>) -> &'static str {
        let (begin, end) = match tag {
            Tag::Paragraph => ("<p>", "</p>"),
            Tag::Heading { level, .. } => return self.open_heading(*level),
            Tag::BlockQuote(_) => ("<blockquote>", "</blockquote>"),
            Tag::CodeBlock(kind) => return self.open_code(kind),
            Tag::HtmlBlock => ("<p class=\"plain-text\">", "</p>"),
            Tag::List(None) => ("<ul>", "</ul>"),
            Tag::List(Some(first)) => {
                let _ = write!(self.html, "<ol start=\"{first}\">");
                return "</ol>";
            }
            Tag::Item => ("<li>", "</li>"),
            Tag::Table(_) => ("<div class=\"scroll\" tabindex=\"0\"><table>", "</tbody></table></div>"),
            Tag::TableHead => {
                self.head = true;
                ("<thead><tr>", "</tr></thead><tbody>")
            }
            Tag::TableRow => ("<tr>", "</tr>"),
            Tag::TableCell if self.head => ("<th>", "</th>"),
            Tag::TableCell => ("<td>", "</td>"),
            Tag::Emphasis => ("<em>", "</em>"),
            Tag::Strong => ("<strong>", "</strong>"),
            Tag::Strikethrough => ("<del>", "</del>"),
            Tag::Link { dest_url, .. } => return self.open_link(dest_url, ""),
            Tag::Image { dest_url, .. } => return self.open_link(dest_url, "Picture: "),
            _ => ("", ""),
        };
        self.html.push_str(begin);
        end
    }

    fn open_heading(&mut self, level: HeadingLevel) -> &'static str {
        let level = (LEVEL_ABOVE + level as usize).min(self.heading + 1).min(6);
        self.heading = level;
        let _ = write!(self.html, "<h{level}>");
        match level {
            4 => "</h4>",
            5 => "</h5>",
            _ => "</h6>",
        }
    }

    fn open_code(&mut self, kind: &CodeBlockKind<'_>) -> &'static str {
        let language = match kind {
            CodeBlockKind::Fenced(info) => info.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default(),
            CodeBlockKind::Indented => "",
        };
        let language: String = language.chars().take(MAX_LANGUAGE_CHARS).collect();
        let _ = write!(self.html, "<div class=\"code\" data-language=\"{language}\"><pre tabindex=\"0\"><code>");
        "</code></pre></div>"
    }

    fn open_link(&mut self, address: &str, before: &str) -> &'static str {
        let address = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https" | "mailto"));
        match address {
            Some(address) if self.links == 0 => {
                self.links = 1;
                let address = escape(address.as_str());
                let safe = "target=\"_blank\" rel=\"noopener noreferrer nofollow\"";
                let _ = write!(self.html, "<a href=\"{address}\" {safe}>{before}");
                "</a>"
            }
            _ => {
                self.html.push_str(before);
                ""
            }
        }
    }

    fn close(&mut self) {
        let Some(end) = self.ends.pop() else { return };
        match end {
            "</a>" => self.links = 0,
            "</tr></thead><tbody>" => self.head = false,
            _ => {}
        }
        self.html.push_str(end);
    }
}

/// Text as it stands within an element or a quoted attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_markdown_becomes_the_elements_of_it() {
        for (text, expected) in [
            ("a *b* **c** ~~d~~ `e<f`", "<p>a <em>b</em> <strong>c</strong> <del>d</del> <code>e&lt;f</code></p>"),
            ("# A\n### B\n# C", "<h4>A</h4><h5>B</h5><h4>C</h4>"),
            ("3. x\n4. y", "<ol start=\"3\"><li>x</li><li>y</li></ol>"),
            ("- [x] done\n- [ ] open", "<ul><li>☑ done</li><li>☐ open</li></ul>"),
            (
                "```rust ignore\nlet a = \"<b>\";\n```",
                "<div class=\"code\" data-language=\"rust\"><pre tabindex=\"0\"><code>let a = &quot;&lt;b&gt;&quot;;\n</code></pre></div>",
            ),
            (
                "|a|b|\n|-|:-:|\n|1|2|",
                "<div class=\"scroll\" tabindex=\"0\"><table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>1</td><td>2</td></tr></tbody></table></div>",
            ),
            (
                "[x](https://a.example/?q=1&r=\"2\")",
                "<p><a href=\"https://a.example/?q=1&amp;r=%222%22\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a></p>",
            ),
            (
                "![cat](http://a.example/c.png)",
                "<p><a href=\"http://a.example/c.png\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">Picture: cat</a></p>",
            ),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }

    /// Only elements and addresses that there may be.
    fn check_harmless(text: &str, html: &str) {
        let mut rest = html;
        while let Some(at) = rest.find('<') {
            let tag = &rest[at + 1..];
            let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
            let known =
                ["p", "a", "em", "strong", "del", "code", "pre", "div", "ul", "ol", "li", "table", "thead", "tbody"];
            let more = ["tr", "th", "td", "h4", "h5", "h6", "br", "hr", "blockquote"];
            assert!(known.contains(&name.as_str()) || more.contains(&name.as_str()), "<{name}> of {text:?}: {html}");
            rest = tag;
        }
        for href in html.split("href=\"").skip(1) {
            let scheme = href.split(':').next().unwrap_or_default();
            assert!(["http", "https", "mailto"].contains(&scheme), "{scheme} of {text:?}: {html}");
        }
    }

    #[test]
    fn what_could_do_something_is_text_whole_and_while_it_is_written() {
        // The same that the browser is given.
        let harm: Vec<String> = serde_json::from_str(include_str!("../../tests/harm.json")).unwrap();
        assert!(harm.len() > 30, "{}", harm.len());
        for text in &harm {
            check_harmless(text, &html(text));
            let (mut growing, mut shown) = (Growing::default(), Vec::<u16>::new());
            for c in text.chars() {
                growing.push(c.encode_utf8(&mut [0; 4]));
                let Some(patch) = growing.patch() else { continue };
                shown.truncate(patch.keep);
                shown.extend(patch.html.encode_utf16());
                check_harmless(&text[..growing.len()], &String::from_utf16(&shown).unwrap());
            }
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = html(&format!("{}x", "> ".repeat(5_000)));
        assert!(deep.matches("<blockquote>").count() <= MAX_DEPTH, "{}", deep.len());
        assert_eq!(deep.matches("<blockquote>").count(), deep.matches("</blockquote>").count());
        let long = html(&"*a* ".repeat(100_000));
        assert!(!long.contains("<em>") && long.contains("*a*"));
    }
}
