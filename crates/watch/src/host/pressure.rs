//! `/proc/pressure`: for how long tasks waited for want of something, see the kernel's page on pressure stall information.

use crate::gather::{Sink, Strange};

const MICROSECOND: f64 = 1e-6;

/// Value of the text of `/proc/pressure/cpu`. Its `full` line, where there is one, is always zero for a machine.
pub(super) fn cpu(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("node_pressure_cpu_waiting_seconds_total", &[], seconds(text, "some")?);
    Ok(())
}

/// Values of the text of `/proc/pressure/memory`.
pub(super) fn memory(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("node_pressure_memory_waiting_seconds_total", &[], seconds(text, "some")?);
    sink.put("node_pressure_memory_stalled_seconds_total", &[], seconds(text, "full")?);
    Ok(())
}

/// Values of the text of `/proc/pressure/io`.
pub(super) fn io(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    sink.put("node_pressure_io_waiting_seconds_total", &[], seconds(text, "some")?);
    sink.put("node_pressure_io_stalled_seconds_total", &[], seconds(text, "full")?);
    Ok(())
}

/// The total of the line that begins with `who`: `some` tasks waited, or all of them did (`full`).
fn seconds(text: &str, who: &str) -> Result<f64, Strange> {
    let line = text.lines().find_map(|line| line.strip_prefix(who)?.strip_prefix(' '));
    let total = line.and_then(|line| line.split_ascii_whitespace().find_map(|word| word.strip_prefix("total=")));
    let total = total.and_then(|total| total.parse::<f64>().ok());
    total.map(|microseconds| microseconds * MICROSECOND).ok_or_else(|| Strange::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn a_missing_line_is_strange() {
        let some = "some avg10=0.54 avg60=0.20 avg300=0.43 total=4137126\n";
        assert!(cpu(some, &mut Found::default()).is_ok());
        assert!(memory(some, &mut Found::default()).is_err());
        assert!(io("some avg10=0.54\nfull total=x\n", &mut Found::default()).is_err());
    }
}
