//! The API's own scalars.

use std::fmt;

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{Datelike, SecondsFormat, SubsecRound, Utc};

use crate::kernel::{Points, Timestamp};

/// An instant; see the description in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct DateTime(pub(super) Timestamp);

/// An instant, RFC 3339: any offset on input, UTC with milliseconds on output (`2026-11-21T10:00:00.000Z`). Anything
/// finer than a millisecond is cut off.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let instant = chrono::DateTime::parse_from_rfc3339(text).map_err(|_| {
            InputValueError::custom("not an instant in RFC 3339, like 2026-11-21T10:00:00Z")
        })?;
        let instant = instant.with_timezone(&Utc).trunc_subsecs(3);
        if !(0..=9999).contains(&instant.year()) {
            return Err(InputValueError::custom("not in the years 0000 to 9999 in UTC"));
        }
        Ok(Self(instant))
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string())
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl From<Timestamp> for DateTime {
    fn from(instant: Timestamp) -> Self {
        Self(instant)
    }
}

/// Points as the API writes them; see the description in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PointsScalar(pub(super) Points);

/// Whole points, 0 to 9007199254740991 (2^53-1, safe in JavaScript). One point is one KRW.
#[Scalar(name = "Points", specified_by_url = "https://www.rfc-editor.org/rfc/rfc7493#section-2.2")]
impl ScalarType for PointsScalar {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::Number(number) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        number.as_i64().and_then(Points::new).map(Self).ok_or_else(|| {
            InputValueError::custom("not a whole number of points from 0 to 9007199254740991")
        })
    }

    fn to_value(&self) -> Value {
        Value::from(self.0.get())
    }
}

impl From<Points> for PointsScalar {
    fn from(points: Points) -> Self {
        Self(points)
    }
}

/// A change of points as the API writes it; see the description in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SignedPoints(pub(super) i64);

/// Whole points with a sign, -9007199254740991 to 9007199254740991.
#[Scalar(specified_by_url = "https://www.rfc-editor.org/rfc/rfc7493#section-2.2")]
impl ScalarType for SignedPoints {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::Number(number) = &value else {
            return Err(InputValueError::expected_type(value));
        };
        let whole = number.as_i64().filter(|points| Points::new(points.saturating_abs()).is_some());
        whole.map(Self).ok_or_else(|| InputValueError::custom("not a whole number of points"))
    }

    fn to_value(&self) -> Value {
        Value::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Option<String> {
        let parsed = DateTime::parse(Value::from(text)).ok()?;
        match parsed.to_value() {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    #[test]
    fn instants_come_out_in_utc_with_milliseconds() {
        let expected = Some("2026-11-21T10:00:00.000Z".to_owned());
        assert_eq!(instant("2026-11-21T10:00:00Z"), expected);
        assert_eq!(instant("2026-11-21T19:00:00+09:00"), expected);
        assert_eq!(instant("2026-11-21T10:00:00.000999Z"), expected);
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in ["", "2026-11-21", "2026-11-21T10:00:00", "2026-02-30T10:00:00Z", "now"] {
            assert_eq!(instant(text), None, "{text:?}");
        }
        // Written in UTC these would have a year of five digits, or one before the first.
        assert_eq!(instant("9999-12-31T23:59:59-00:01"), None);
        assert_eq!(instant("0000-01-01T00:00:00+00:01"), None);
        assert!(DateTime::parse(Value::from(0)).is_err());
    }

    #[test]
    fn points_are_whole_and_in_range() {
        let points = |value: Value| PointsScalar::parse(value).ok().map(|points| points.0.get());
        assert_eq!(points(Value::from(9_007_199_254_740_991_i64)), Some(9_007_199_254_740_991));
        assert_eq!(points(Value::from(9_007_199_254_740_992_i64)), None);
        assert_eq!(points(Value::from(-1)), None);
        assert_eq!(points(Value::from(1.5)), None);
        assert_eq!(points(Value::from("1")), None);
    }
}
