//! JSON in which nothing stands twice, and whole numbers are whole. Of two values under one name one reader takes the first and another the last; what a
//! proxy has looked at is to be what we read.

use std::fmt;

use async_graphql::{Name, Value, indexmap::IndexMap};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// A value, in which no object has a name twice.
pub(super) struct Strict(pub(super) Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

/// The largest number that is written with a fraction or an exponent and taken for whole: 2^50. Beyond, the reader underneath
/// may be off by one.
const WHOLE_MAX: f64 = 1_125_899_906_842_624.0;

/// JSON has one kind of number: `1000.0` and `1e3` are a way to write 1000, and some languages have no other.
fn whole(value: f64) -> Option<i64> {
    let is_whole = value.fract() == 0.0 && value.abs() <= WHOLE_MAX;
    is_whole.then(|| format!("{value:.0}").parse().ok()).flatten()
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(whole(value).map_or_else(|| value.into(), Value::from))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = IndexMap::new();
        while let Some((name, Strict(value))) = entries.next_entry::<Name, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Value> {
        serde_json::from_str::<Strict>(json).ok().map(|Strict(value)| value)
    }

    #[test]
    fn what_stands_twice_is_refused_at_every_level() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[[{"b":[{"a":null,"a":null}]}]]"#,
            r#"{"":1,"":2}"#,
        ] {
            assert_eq!(read(json), None, "{json}");
        }
    }

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        for (json, number) in [
            ("1000.0", 1000),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("10000e-1", 1000),
            ("-2.50e1", -25),
            ("0.0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("1125899906842623.0", 1_125_899_906_842_623_i64),
            ("-1.125899906842623e15", -1_125_899_906_842_623),
            ("1000.000000000000000000", 1000),
        ] {
            assert_eq!(read(json), Some(number.into()), "{json}");
            let inside = read(&format!(r#"{{"a":[{json}]}}"#));
            assert_eq!(inside.unwrap().to_string(), format!("{{a: [{number}]}}"));
        }
        for json in ["1000.5", "1e-3", "9007199254740991.0", "1e16", "-1e300"] {
            assert!(matches!(read(json), Some(Value::Number(number)) if number.is_f64()), "{json}");
        }
    }

    #[test]
    fn everything_else_is_read_as_the_library_reads_it() {
        for json in [
            "null",
            "true",
            "-1",
            "9223372036854775807",
            "18446744073709551615",
            "1.5",
            "1e300",
            r#""\u00e9 \ud83c\udfab""#,
            r#"{"a":1,"A":1,"b":{"a":[1,[],{}]}}"#,
            r#"{"$serde_json::private::RawValue":"{\"a\":1,\"a\":2}"}"#,
        ] {
            assert_eq!(read(json), Some(serde_json::from_str(json).unwrap()), "{json}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!((read(&deep), read("[1,]"), read("")), (None, None, None));
    }
}
