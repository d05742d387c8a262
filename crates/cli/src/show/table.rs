//! Text in columns, fitted to a width.
//!
//! Too narrow a terminal first loses whole columns, empty ones and then the least important first, then the end of the last column. Widths
//! count characters: names of services and states are ASCII, and a log line that is not may be cut a little early.

use super::style::{Style, Tone};

/// Between two columns.
const GAP: &str = "  ";
/// The last column is not cut shorter than this; other columns go before that.
const LAST_MIN: usize = 32;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its heading.
    pub(crate) title: &'static str,
    /// Numbers stand right.
    pub(crate) right: bool,
    /// 0 is never left out; the highest goes first.
    pub(crate) rank: u8,
}

impl Column {
    /// A column of text.
    pub(crate) const fn text(title: &'static str, rank: u8) -> Self {
        Self { title, right: false, rank }
    }

    /// A column of numbers.
    pub(crate) const fn number(title: &'static str, rank: u8) -> Self {
        Self { title, right: true, rank }
    }
}

/// One field of a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// Painted text.
    pub(crate) fn toned(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: one_line(&text.into()), tone: Some(tone) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: one_line(&text.into()), tone: None }
    }
}

/// A cell is one line, and nothing in it reaches the terminal as a control sequence.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The table's lines, its headings first.
pub(crate) fn lines(columns: &[Column], rows: &[Vec<Cell>], style: Style, width: Option<usize>) -> Vec<String> {
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            let cells = rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.chars().count());
            cells.chain([columns[index].title.len()]).max().unwrap_or(0)
        })
        .collect();
    let empty = |index: usize| rows.iter().all(|row| row.get(index).is_none_or(|cell| cell.text.is_empty()));
    let ranks: Vec<u8> = (0..columns.len())
        .map(|index| match columns[index].rank {
            0 => 0,
            _ if empty(index) => u8::MAX,
            rank => rank,
        })
        .collect();
    let kept = fit(&ranks, &widths, width);
    let head: Vec<Cell> = columns.iter().map(|column| Cell::toned(Tone::Faint, column.title)).collect();
    std::iter::once(&head).chain(rows).map(|row| line(row, columns, &widths, &kept, style, width)).collect()
}

/// Which columns stay, by index.
fn fit(ranks: &[u8], widths: &[usize], width: Option<usize>) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..ranks.len()).collect();
    let Some(width) = width else { return kept };
    loop {
        let last = kept.last().copied();
        let needed: usize = kept
            .iter()
            .map(|&index| if Some(index) == last { widths[index].min(LAST_MIN) } else { widths[index] + GAP.len() })
            .sum();
        let dispensable = kept.iter().copied().max_by_key(|&index| ranks[index]);
        match dispensable {
            Some(index) if needed > width && ranks[index] > 0 => kept.retain(|&other| other != index),
            _ => return kept,
        }
    }
}

fn line(
    row: &[Cell],
    columns: &[Column],
    widths: &[usize],
    kept: &[usize],
    style: Style,
    width: Option<usize>,
) -> String {
    let empty = Cell::default();
    let mut line = String::new();
    let mut used = 0;
    for (position, &index) in kept.iter().enumerate() {
        let cell = row.get(index).unwrap_or(&empty);
        let last = position + 1 == kept.len();
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(used));
        let text = cut(&cell.text, if last { room } else { usize::MAX });
        let padding = " ".repeat(widths[index].saturating_sub(text.chars().count()));
        let painted = cell.tone.map_or_else(|| text.clone(), |tone| style.paint(tone, &text));
        if columns[index].right {
            line.push_str(&padding);
            line.push_str(&painted);
        } else {
            line.push_str(&painted);
            if !last {
                line.push_str(&padding);
            }
        }
        if !last {
            line.push_str(GAP);
        }
        used += widths[index] + GAP.len();
    }
    line.truncate(line.trim_end().len());
    line
}

/// At most `room` characters, the last one `…` where something is missing.
pub(crate) fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(room.saturating_sub(1)).collect();
    if room > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] =
        [Column::text("SERVICE", 0), Column::number("PID", 2), Column::number("CPU", 1), Column::text("NOTE", 0)];

    fn check(width: Option<usize>) -> String {
        let rows = [
            vec!["chat-backend".into(), "4711".into(), "1.2 %".into(), "exit code 1; tried again in 4 s".into()],
            vec!["edge".into(), "7".into(), "".into(), Cell::default()],
        ];
        lines(&COLUMNS, &rows, Style::PLAIN, width).join("\n")
    }

    #[test]
    fn without_a_width_everything_is_shown() {
        insta::assert_snapshot!(check(None));
    }

    #[test]
    fn a_narrow_table_loses_the_least_important_column_then_cuts_the_last() {
        insta::assert_snapshot!(check(Some(44)));
        insta::assert_snapshot!(check(Some(33)));
    }

    #[test]
    fn no_line_is_wider_than_asked_down_to_what_cannot_go() {
        for width in 26..120 {
            for line in check(Some(width)).lines() {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn an_empty_column_goes_before_a_more_important_one_with_content() {
        let rows = [vec!["chat-backend".into(), "4711".into(), "".into(), "exit code 1".into()]];
        let lines = lines(&COLUMNS, &rows, Style::PLAIN, Some(31));
        assert_eq!(lines, ["SERVICE        PID  NOTE", "chat-backend  4711  exit code 1"]);
    }

    #[test]
    fn control_characters_never_reach_the_terminal() {
        let rows = [vec![Cell::from("a\u{1b}[31mb\nc")]];
        let text = lines(&[Column::text("X", 0)], &rows, Style::PLAIN, None).join("\n");
        assert_eq!(text, "X\na [31mb c");
    }
}
