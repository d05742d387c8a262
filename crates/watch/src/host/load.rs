//! Small files of a line each: load, uptime, file handles, the clock.

use super::next_number;
use crate::gather::{Sink, Strange};

/// Values of the text of `/proc/loadavg`.
pub(super) fn loadavg(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let mut words = text.split_ascii_whitespace();
    for name in ["node_load1", "node_load5", "node_load15"] {
        sink.put(name, &[], next_number(&mut words, text)?);
    }
    Ok(())
}

/// Value of the text of `/proc/uptime`: seconds since the machine was booted, sleep included. Unlike the time of its boot it holds when the
/// clock is set.
pub(super) fn uptime(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("node_uptime_seconds", &[], next_number(&mut text.split_ascii_whitespace(), text)?);
    Ok(())
}

/// Values of the text of `/proc/sys/fs/file-nr`: handles in use, handles that are free (always 0), the most there may be.
pub(super) fn file_nr(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let mut words = text.split_ascii_whitespace();
    sink.put("node_filefd_allocated", &[], next_number(&mut words, text)?);
    next_number(&mut words, text)?;
    sink.put("node_filefd_maximum", &[], next_number(&mut words, text)?);
    Ok(())
}

/// What drives the clock. A machine that fell back from `tsc` to `hpet` has slow and uneven time.
pub(super) fn clock_source(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let source = text.trim();
    if source.is_empty() || source.contains(char::is_whitespace) {
        return Err(Strange::new(text));
    }
    sink.put("node_time_clocksource_current_info", &[("clocksource", source), ("device", "0")], 1.0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn an_unknown_form_is_strange() {
        for text in ["", "1.0 2.0", "1.0 x 3.0", "NaN 1 1"] {
            assert!(loadavg(text, &mut Found::default()).is_err(), "{text}");
        }
        assert!(uptime("long", &mut Found::default()).is_err());
        assert!(file_nr("1 0", &mut Found::default()).is_err());
        assert!(clock_source(" \n", &mut Found::default()).is_err());
    }
}
