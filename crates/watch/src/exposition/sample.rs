//! What stands after a sample's head: its value, perhaps its time, perhaps an exemplar.

use super::error::{At, Fault};
use super::{Format, labels, number, skip_blanks};

/// The value, and the time in milliseconds if there is one, of a line whose head ends at `from`.
pub(super) fn tail(line: &[u8], from: usize, format: Format) -> At<(f64, Option<i64>)> {
    let (at, end) = word(line, from);
    let value = number::value(&line[at..end]).ok_or((at, Fault::Value))?;
    let (at, end) = word(line, end);
    if at == end {
        return Ok((value, None));
    }
    if format == Format::Text {
        let time = number::milliseconds(&line[at..end]).ok_or((at, Fault::Time))?;
        nothing_after(line, end)?;
        return Ok((value, Some(time)));
    }
    if &line[at..end] == b"#" {
        exemplar(line, end)?;
        return Ok((value, None));
    }
    let time = number::seconds(&line[at..end]).ok_or((at, Fault::Time))?;
    let (at, end) = word(line, end);
    if &line[at..end] == b"#" {
        exemplar(line, end)?;
    } else if at != end {
        return Err((at, Fault::Rest));
    }
    Ok((value, Some(time)))
}

/// Exemplars are checked and not kept.
fn exemplar(line: &[u8], from: usize) -> At<()> {
    let brace = skip_blanks(line, from);
    if line.get(brace) != Some(&b'{') {
        return Err((brace, Fault::Exemplar));
    }
    let (at, end) = word(line, labels::block(line, brace)?);
    number::value(&line[at..end]).ok_or((at, Fault::Exemplar))?;
    let (at, end) = word(line, end);
    if at != end {
        number::seconds(&line[at..end]).ok_or((at, Fault::Time))?;
        nothing_after(line, end)?;
    }
    Ok(())
}

fn nothing_after(line: &[u8], from: usize) -> At<()> {
    let at = skip_blanks(line, from);
    if at == line.len() { Ok(()) } else { Err((at, Fault::Rest)) }
}

/// Where the next word begins and ends; at the line's end if there is none.
pub(super) fn word(line: &[u8], from: usize) -> (usize, usize) {
    let at = skip_blanks(line, from);
    (at, at + line[at..].iter().take_while(|byte| !super::blank(**byte)).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_a_time_and_in_openmetrics_an_exemplar() {
        let text = |line: &str| tail(line.as_bytes(), 2, Format::Text);
        let open = |line: &str| tail(line.as_bytes(), 2, Format::OpenMetrics);
        assert_eq!(text("up 1"), Ok((1.0, None)));
        assert_eq!(text("up\t 1.5  -3 "), Ok((1.5, Some(-3))));
        assert_eq!(open("up 1 2.5"), Ok((1.0, Some(2_500))));
        assert_eq!(open("up 1 # {} 0.5"), Ok((1.0, None)));
        assert_eq!(open("up 1 2 # {id=\"a # 1 } \\\"\"} 0.5 1.25"), Ok((1.0, Some(2_000))));
    }

    #[test]
    fn each_fault_has_its_place() {
        let cases = [
            (Format::Text, "up", 2, Fault::Value),
            (Format::Text, "up one", 3, Fault::Value),
            (Format::Text, "up 1 2.5", 5, Fault::Time),
            (Format::Text, "up 1 2 3", 7, Fault::Rest),
            (Format::Text, "up 1 # {} 1", 5, Fault::Time),
            (Format::OpenMetrics, "up 1 x", 5, Fault::Time),
            (Format::OpenMetrics, "up 1 2 3", 7, Fault::Rest),
            (Format::OpenMetrics, "up 1 # 1", 7, Fault::Exemplar),
            (Format::OpenMetrics, "up 1 # {} x", 10, Fault::Exemplar),
            (Format::OpenMetrics, "up 1 # {a} 1", 9, Fault::Equals),
            (Format::OpenMetrics, "up 1 # {} 1 2 3", 14, Fault::Rest),
        ];
        for (format, line, column, fault) in cases {
            assert_eq!(tail(line.as_bytes(), 2, format), Err((column, fault)), "{line}");
        }
    }
}
