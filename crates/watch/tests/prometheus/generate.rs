//! Expressions by chance, of every part of the language, always the same ones.

use crate::data::Chance;

/// How many.
const COUNT: usize = 600;

pub(crate) fn expressions(seed: u64) -> Vec<String> {
    let mut chance = Chance(seed);
    (0..COUNT).map(|_| vector(&mut chance, 3)).collect()
}

fn selector(chance: &mut Chance) -> String {
    let name =
        chance.pick(&["requests_total", "memory_bytes", "up", "sparse", "wave", "weird", "constant", "latency_bucket"]);
    let matchers = chance.pick(&[
        "",
        "",
        "{service=\"chat\"}",
        "{service!=\"chat\"}",
        "{service=~\"chat|web\"}",
        "{service!~\"a.*\"}",
        "{instance=\"a:1\"}",
        "{code=~\"4..|5..\"}",
        "{service=\"\"}",
    ]);
    format!("{name}{matchers}")
}

fn when(chance: &mut Chance) -> &'static str {
    chance.pick(&["", "", "", "", " offset 7m", " offset -3m", " @ 1700005000", " @ end()", " @ start() offset 1m"])
}

fn range(chance: &mut Chance, depth: u32) -> String {
    if depth > 0 && chance.below(5) == 0 {
        let of = vector(chance, depth - 1);
        let span = chance.pick(&["10m:1m", "20m:", "7m:45s", "5m:5m"]);
        return format!("({of})[{span}]{}", when(chance));
    }
    let span = chance.pick(&["1m", "2m", "5m", "5m", "17m", "1h", "10s"]);
    format!("{}[{span}]{}", selector(chance), when(chance))
}

fn scalar(chance: &mut Chance, depth: u32) -> String {
    match chance.below(if depth > 0 { 8 } else { 4 }) {
        0 => chance.pick(&["1", "0.5", "-3", "1e3", "0", "100"]).to_owned(),
        1 => chance.pick(&["time()", "2 * 3 - 1", "10 % 4", "2 ^ 3 ^ 0.5"]).to_owned(),
        2 | 3 => chance.pick(&["2", "5", "0.9", "0.25", "50"]).to_owned(),
        4 => format!("scalar({})", vector(chance, depth - 1)),
        5 => format!("(1 >= bool {})", scalar(chance, depth - 1)),
        _ => format!("({} / {})", scalar(chance, depth - 1), scalar(chance, depth - 1)),
    }
}

fn grouping(chance: &mut Chance) -> &'static str {
    chance.pick(&[
        "",
        " by (service)",
        " by (service, code)",
        " by (nothing)",
        " without (instance)",
        " without (instance, le)",
        " by ()",
    ])
}

pub(crate) fn vector(chance: &mut Chance, depth: u32) -> String {
    if depth == 0 {
        return format!("{}{}", selector(chance), when(chance));
    }
    let depth = depth - 1;
    match chance.below(12) {
        0 if chance.below(2) == 0 => vector(chance, 0),
        // Against its own words, Prometheus forgets the offset of what also has an `@`; and large numbers whose differences are summed up depend
        // on the order of series.
        0 => format!("(timestamp({} offset 3m) - 1700000000)", selector(chance)),
        1 | 2 => {
            let function = chance.pick(&[
                "rate",
                "increase",
                "delta",
                "irate",
                "idelta",
                "deriv",
                "changes",
                "resets",
                "avg_over_time",
                "min_over_time",
                "max_over_time",
                "sum_over_time",
                "count_over_time",
                "last_over_time",
                "stddev_over_time",
                "stdvar_over_time",
                "present_over_time",
                "absent_over_time",
            ]);
            format!("{function}({})", range(chance, depth))
        }
        // With `@` and something that changes with the step Prometheus moves the span, against its own words.
        3 => match chance.below(3) {
            0 => format!("quantile_over_time({}, {}[5m])", scalar(chance, depth), selector(chance)),
            1 => format!("quantile_over_time(0.7, {})", range(chance, depth)),
            _ => format!("predict_linear({}[5m], {})", selector(chance), scalar(chance, 0)),
        },
        4 | 5 => {
            let operator = chance.pick(&["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
            format!("{operator}{} ({})", grouping(chance), vector(chance, depth))
        }
        6 => {
            let quantile = scalar(chance, 0);
            format!("quantile{} ({quantile}, {})", grouping(chance), vector(chance, depth))
        }
        7 => {
            let function =
                chance.pick(&["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "round", "absent"]);
            format!("{function}({})", vector(chance, depth))
        }
        8 => {
            let operator =
                chance.pick(&["+", "-", "*", "/", "%", ">", "<", ">=", "<=", "==", "!=", "> bool", "!= bool"]);
            let (vector, scalar) = (vector(chance, depth), scalar(chance, depth));
            if chance.below(2) == 0 {
                format!("{vector} {operator} {scalar}")
            } else {
                format!("{scalar} {operator} {vector}")
            }
        }
        9 => {
            let operator = chance.pick(&["+", "-", "*", "/", ">", "<=", "!=", "== bool", "atan2"]);
            let matching = chance.pick(&[
                "",
                "",
                "on (service)",
                "on (service, instance)",
                "ignoring (code)",
                "ignoring (code, le)",
                "on (service) group_left ()",
                "on (service) group_right ()",
                "on (service, instance) group_left (version)",
                "ignoring (code) group_left ()",
            ]);
            format!("({}) {operator} {matching} ({})", vector(chance, depth), vector(chance, depth))
        }
        10 => {
            let operator = chance.pick(&["and", "or", "unless"]);
            let matching = chance.pick(&["", "on (service)", "ignoring (code)", "on ()"]);
            format!("({}) {operator} {matching} ({})", vector(chance, depth), vector(chance, depth))
        }
        _ => match chance.below(4) {
            0 => format!("-({})", vector(chance, depth)),
            1 => format!("clamp({}, {}, {})", vector(chance, depth), scalar(chance, 0), scalar(chance, 0)),
            2 => format!("histogram_quantile({}, sum by (service, le) (rate(latency_bucket[5m])))", scalar(chance, 0)),
            _ => format!("label_replace({}, \"part\", \"$1\", \"instance\", \"(.):1\")", vector(chance, depth)),
        },
    }
}
