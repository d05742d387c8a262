//! The gate as a whole: its rules one by one, what holds for any counts, and how often it is wrong.

mod invariants;
mod rates;
mod rules;
mod series;
