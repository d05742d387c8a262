//! `/proc/net/dev` and `/sys/class/net`: what each interface received and sent, see proc_pid_net(5).

use super::{MAX_DEVICES, next_number};
use crate::gather::{Sink, Strange};

const RECEIVED: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "frame", "compressed", "multicast"];
const SENT: [&str; 8] = ["bytes", "packets", "errs", "drop", "fifo", "colls", "carrier", "compressed"];
/// Those that tell a person something; fifo and the like are parts of errors and drops.
const WANTED: usize = 4;
const HEADINGS: usize = 2;
/// `speed` is in millions of bits.
const MEGABIT_BYTES: f64 = 1e6 / 8.0;

/// Values of the text of `/proc/net/dev`.
pub(super) fn dev(text: &str, sink: &mut dyn Sink) -> Result<(), Strange> {
    let mut lines = text.lines();
    let headings = lines.by_ref().take(HEADINGS).filter(|line| line.contains('|')).count();
    if headings < HEADINGS {
        return Err(Strange::new(text));
    }
    for line in lines.take(MAX_DEVICES) {
        let (device, counts) = line.rsplit_once(':').ok_or_else(|| Strange::new(line))?;
        let labels = [("device", device.trim())];
        let mut words = counts.split_ascii_whitespace();
        for (way, names) in [("receive", RECEIVED), ("transmit", SENT)] {
            for (place, name) in names.iter().enumerate() {
                let value = next_number(&mut words, line)?;
                if place < WANTED {
                    sink.put(&format!("node_network_{way}_{name}_total"), &labels, value);
                }
            }
        }
    }
    Ok(())
}

/// Whether an interface is up, from its `operstate`.
pub(super) fn state(device: &str, text: &str, sink: &mut dyn Sink) {
    sink.put("node_network_up", &[("device", device)], f64::from(u8::from(text.trim() == "up")));
}

/// How fast an interface is, from its `speed`; -1 says that it does not know.
pub(super) fn speed(device: &str, text: &str, sink: &mut dyn Sink) {
    if let Some(speed) = text.trim().parse::<f64>().ok().filter(|speed| *speed > 0.0) {
        sink.put("node_network_speed_bytes", &[("device", device)], speed * MEGABIT_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::Found;

    #[test]
    fn a_name_may_hold_a_colon_and_touch_its_count() {
        let text = " | \n | \neth0:1:359316284 409206 1 2 3 4 5 6 44712412 304854 7 8 9 10 11 12\n";
        let found = Found::by(|sink| dev(text, sink).expect("values"));
        let labels = [("device", "eth0:1")];
        assert_eq!(found.get("node_network_receive_bytes_total", &labels), Some(359_316_284.0));
        assert_eq!(found.get("node_network_transmit_drop_total", &labels), Some(8.0));
    }

    #[test]
    fn an_unknown_form_is_strange() {
        for text in ["", "eth0: 1\n", " | \n | \neth0 1 2\n", " | \n | \neth0: 1 2\n"] {
            assert!(dev(text, &mut Found::default()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_interface_without_a_speed_has_none() {
        assert_eq!(Found::by(|sink| speed("wg0", "-1\n", sink)).values, []);
    }
}
