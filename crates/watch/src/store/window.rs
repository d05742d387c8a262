//! Two hours of samples in memory: the times of each group once, and of each series a column of values, one a round.

use super::bits::{ByteReader, put_length};
use super::filling::Filling;
use super::limits::MAX_ROUNDS;
use super::values::{self, ABSENT};

/// See the module's page.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Names the window, and the block that is made of it. Higher ones were begun later.
    pub(super) serial: u64,
    /// Its first millisecond.
    pub(super) from: i64,
    /// Takes no more rounds: it is being written.
    pub(super) closed: bool,
    /// By group.
    times: Vec<Vec<i64>>,
    /// By slot.
    columns: Vec<Column>,
    /// Values in all columns.
    pub(super) samples: u64,
}

/// The values of one series. In memory, a value that stands still costs nothing; others cost four bytes for five minutes where all of these
/// minutes are whole numbers near to each other, and else eight.
#[derive(Debug, Default, Clone)]
pub(super) struct Column {
    /// The round of the first value.
    first: usize,
    /// Values, those of rounds without one included.
    length: usize,
    /// Chunks that are complete: how many values, how many bytes, and these.
    sealed: Vec<u8>,
    open: Filling,
}

impl Window {
    pub(super) fn new(serial: u64, from: i64) -> Self {
        Self { serial, from, ..Self::default() }
    }

    /// The times of a group's rounds.
    pub(super) fn times(&self, group: u32) -> &[i64] {
        self.times.get(group as usize).map_or(&[], Vec::as_slice)
    }

    pub(super) fn column(&self, slot: u32) -> Option<&Column> {
        self.columns.get(slot as usize).filter(|column| column.length > 0)
    }

    /// Whether the group may have a round at this time.
    pub(super) fn has_room(&self, group: u32, at: i64) -> bool {
        let times = self.times(group);
        times.last() == Some(&at) || times.len() < MAX_ROUNDS
    }

    /// Whether the series has a value at the time of the group's newest round, which is `at`.
    pub(super) fn has(&self, group: u32, slot: u32, at: i64) -> bool {
        let times = self.times(group);
        times.last() == Some(&at) && self.column(slot).is_some_and(|column| column.first + column.length >= times.len())
    }

    /// Adds a value to a series at `at`, which is not before the group's newest round.
    pub(super) fn push(&mut self, group: u32, slot: u32, at: i64, bits: u64) {
        let group = group as usize;
        if self.times.len() <= group {
            self.times.resize_with(group + 1, Vec::new);
        }
        let times = &mut self.times[group];
        if times.last() != Some(&at) {
            times.push(at);
        }
        let round = times.len() - 1;
        let slot = slot as usize;
        if self.columns.len() <= slot {
            self.columns.resize_with(slot + 1, Column::default);
        }
        self.columns[slot].push(round, bits);
        self.samples += 1;
    }

    /// Roughly the bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(Column::bytes).sum();
        let times: usize = self.times.iter().map(|times| times.capacity() * 8 + 24).sum();
        columns + times + (self.columns.capacity() - self.columns.len()) * size_of::<Column>()
    }
}

impl Column {
    fn push(&mut self, round: usize, bits: u64) {
        if self.length == 0 {
            self.first = round;
        }
        while self.first + self.length < round {
            self.push_next(ABSENT);
        }
        self.push_next(bits);
    }

    fn push_next(&mut self, bits: u64) {
        self.length += 1;
        if self.open.is_full_for(bits) {
            self.seal();
        }
        self.open.push(bits);
    }

    fn seal(&mut self) {
        let open = std::mem::take(&mut self.open);
        let mut values = Vec::with_capacity(open.len());
        open.add_to(&mut values);
        let mut bytes = Vec::new();
        values::encode(&values, &mut bytes);
        // Exactly what is needed: doubling would leave half of it empty until the next.
        self.sealed.reserve_exact(bytes.len() + 4);
        put_length(&mut self.sealed, values.len());
        put_length(&mut self.sealed, bytes.len());
        self.sealed.append(&mut bytes);
    }

    /// The round of the first value.
    pub(super) fn first(&self) -> usize {
        self.first
    }

    /// The values of the rounds within `rounds`, and the round of the first of them.
    pub(super) fn values(&self, rounds: std::ops::Range<usize>) -> (usize, Vec<u64>) {
        let mut reader = ByteReader::new(&self.sealed);
        let mut begin = self.first;
        let mut found = Vec::new();
        let mut from = None;
        while let (Ok(count), Ok(length)) = (reader.length(), reader.length()) {
            let Ok(bytes) = reader.take(length) else { break };
            if begin < rounds.end && begin + count > rounds.start {
                from.get_or_insert(begin);
                values::decode(bytes, count, &mut found).expect("memory holds what was sealed");
            }
            begin += count;
        }
        if begin < rounds.end {
            from.get_or_insert(begin);
            self.open.add_to(&mut found);
        }
        (from.unwrap_or(begin), found)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.sealed.capacity() + self.open.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::filling::value_of;
    use super::super::limits::CHUNK;
    use super::*;
    use proptest::prelude::*;

    /// Whole numbers near to each other and far apart, at the ends of what can be held, and any others.
    fn bits() -> impl Strategy<Value = u64> {
        prop_oneof![
            8 => (0i32..5).prop_map(|value| f64::from(value).to_bits()),
            3 => prop::sample::select(vec![i32::MIN, i32::MIN + 1, i32::MAX]).prop_map(|value| f64::from(value).to_bits()),
            2 => any::<i64>().prop_map(value_of),
            2 => any::<f64>().prop_map(f64::to_bits),
            1 => prop::sample::select(vec![-0.0, f64::NAN, f64::INFINITY, 2f64.powi(63), -(2f64.powi(63))]).prop_map(f64::to_bits),
        ]
    }

    proptest! {
        #[test]
        fn values_come_back_at_their_rounds(steps in prop::collection::vec((1usize..4, bits(), 1usize..90), 1..40), from in 0usize..500, length in 0usize..500) {
            let mut window = Window::new(1, 0);
            let mut expected: Vec<Option<u64>> = Vec::new();
            for (skipped, value, count) in steps {
                for _ in 0..skipped - 1 {
                    let at = i64::try_from(expected.len()).unwrap() * 10;
                    window.push(0, 0, at, 7);
                    expected.push(None);
                }
                for _ in 0..count {
                    let at = i64::try_from(expected.len()).unwrap() * 10;
                    window.push(0, 1, at, value);
                    expected.push(Some(value));
                }
            }
            let column = window.column(1).unwrap();
            let (first, values) = column.values(from..from + length);
            for (round, wanted) in expected.iter().enumerate().skip(from).take(length) {
                let found = round.checked_sub(first).and_then(|at| values.get(at)).copied().filter(|value| *value != ABSENT);
                prop_assert_eq!(found, *wanted);
            }
        }
    }

    #[test]
    fn a_value_that_stands_still_takes_no_memory_and_others_take_little() {
        let mut window = Window::new(1, 0);
        for round in 0..720 {
            window.push(0, 0, round * 10_000, 5f64.to_bits());
            #[expect(clippy::cast_precision_loss, reason = "small")]
            window.push(0, 1, round * 10_000, (round as f64 * 4096.0).to_bits());
        }
        assert_eq!(window.columns[0].bytes(), size_of::<Column>());
        assert!(window.columns[1].bytes() < size_of::<Column>() + 720);
        let ten = |value: fn(i32) -> f64| {
            let mut column = Column::default();
            (0..10).zip(0..).for_each(|(round, number)| column.push(round, value(number).to_bits()));
            column.bytes() - size_of::<Column>()
        };
        assert_eq!(
            (ten(|round| f64::from(round) * 4096.0), ten(|round| f64::from(round) / 3.0)),
            (CHUNK * 4, CHUNK * 8)
        );
    }
}
