//! How labels, values and maps are written down: as JSON can hold them, and so that they come back as they were.

use serde::{Deserialize, Serialize};

/// A measured value. Written as text, since JSON knows neither infinity nor what is no number; the same bits are the same value.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Value(pub f64);

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        // One that is no number comes back with other bits, and is still the same one.
        self.0.to_bits() == other.0.to_bits() || (self.0.is_nan() && other.0.is_nan())
    }
}

impl TryFrom<String> for Value {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<Value> for String {
    fn from(value: Value) -> Self {
        value.0.to_string()
    }
}

/// Labels as a map.
pub(crate) mod labels {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::Labels;

    pub(crate) fn serialize<S: Serializer>(labels: &Labels, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(labels.iter())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
        Ok(Labels::new(BTreeMap::<String, String>::deserialize(from)?))
    }
}

/// Labels with their values, as a list.
pub(crate) mod vector {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Value;
    use crate::Labels;

    #[derive(Serialize, Deserialize)]
    struct Row(#[serde(with = "super::labels")] Labels, Value);

    pub(crate) fn serialize<S: Serializer>(rows: &[(Labels, f64)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(rows.iter().map(|(labels, value)| Row(labels.clone(), Value(*value))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Labels, f64)>, D::Error> {
        Ok(Vec::<Row>::deserialize(from)?.into_iter().map(|Row(labels, value)| (labels, value.0)).collect())
    }
}

/// A map whose keys are no text, as a list of pairs.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn every_value_comes_back() {
        for value in [0.0, -0.0, 0.1, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let text = serde_json::to_string(&Value(value)).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value(value), "{text}");
        }
    }
}
