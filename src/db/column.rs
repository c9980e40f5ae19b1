//! How our own types travel in rows and parameters.

use sea_orm::{
    ColIdx, DbErr, QueryResult, TryGetError, TryGetable, Value,
    sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr},
};
use uuid::Uuid;

use crate::kernel::{
    ConcertId, PaymentId, PersonId, Points, QueueTokenId, RefundId, ReservationId, Role,
    ScheduleId, SeatId, SessionId, WalletEntryId,
};

/// A Postgres array of the given type.
pub fn array(of: ArrayType, items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(of, Some(Box::new(items.into_iter().collect())))
}

/// A Postgres array of whole numbers.
pub fn bigints(numbers: impl IntoIterator<Item = i64>) -> Value {
    array(ArrayType::BigInt, numbers.into_iter().map(Value::from))
}

/// A Postgres array of ids.
pub fn uuids(ids: impl IntoIterator<Item = Uuid>) -> Value {
    array(ArrayType::Uuid, ids.into_iter().map(Value::from))
}

/// Lets a newtype over `$inner` be a column, a parameter and a primary key.
macro_rules! newtype_column {
    ($($name:ty),+ => $inner:ty, $array:ident, $make:expr, $take:expr) => {$(
        impl From<$name> for Value {
            fn from(value: $name) -> Self {
                let take: fn($name) -> $inner = $take;
                take(value).into()
            }
        }

        impl TryGetable for $name {
            fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                let make: fn($inner) -> Option<Self> = $make;
                make(<$inner>::try_get_by(row, index)?)
                    .ok_or_else(|| TryGetError::DbErr(DbErr::Type(format!("{} out of range", stringify!($name)))))
            }
        }

        impl ValueType for $name {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                let make: fn($inner) -> Option<Self> = $make;
                make(<$inner as ValueType>::try_from(value)?).ok_or(ValueTypeErr)
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> ArrayType {
                ArrayType::$array
            }

            fn column_type() -> sea_orm::ColumnType {
                <$inner as ValueType>::column_type()
            }
        }

        impl Nullable for $name {
            fn null() -> Value {
                <$inner as Nullable>::null()
            }
        }
    )+};
}

newtype_column!(
    ConcertId, PaymentId, PersonId, QueueTokenId, RefundId, ReservationId, ScheduleId, SeatId,
    SessionId, WalletEntryId
    => Uuid, Uuid, |inner| Some(Self(inner)), |id| id.0
);
newtype_column!(Points => i64, BigInt, |inner| Self::new(inner), |points| points.get());

macro_rules! uuid_keys {
    ($($name:ty),+) => {$(
        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )+};
}

uuid_keys!(
    ConcertId,
    PaymentId,
    PersonId,
    QueueTokenId,
    ReservationId,
    ScheduleId,
    SeatId,
    WalletEntryId
);

/// Lets a `text_enum!` be a text column and a parameter.
macro_rules! text_column {
    ($($name:ty),+) => {$(
        const _: () = {
            use sea_orm::sea_query::{ArrayType, Nullable, ValueType, ValueTypeErr};
            use sea_orm::{ColIdx, DbErr, QueryResult, TryGetError, TryGetable, Value};

            impl From<$name> for Value {
                fn from(value: $name) -> Self {
                    value.as_str().into()
                }
            }

            impl TryGetable for $name {
                fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                    let text = String::try_get_by(row, index)?;
                    Self::parse(&text).ok_or_else(|| {
                        TryGetError::DbErr(DbErr::Type(format!("{text:?} is no {}", stringify!($name))))
                    })
                }
            }

            impl ValueType for $name {
                fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                    Self::parse(&<String as ValueType>::try_from(value)?).ok_or(ValueTypeErr)
                }

                fn type_name() -> String {
                    stringify!($name).to_owned()
                }

                fn array_type() -> ArrayType {
                    ArrayType::String
                }

                fn column_type() -> sea_orm::ColumnType {
                    sea_orm::ColumnType::Text
                }
            }

            impl Nullable for $name {
                fn null() -> Value {
                    <String as Nullable>::null()
                }
            }
        };
    )+};
}

text_column!(Role);

pub(crate) use text_column;
