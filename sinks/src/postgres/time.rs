//! Instants as `timestamptz`, exactly: Postgres keeps microseconds since 2000 and has infinities of its own.

use std::error::Error;
use stream::EventTime;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Milliseconds from 1970 to 2000.
const YEAR_2000: i64 = 946_684_800_000;

/// An event time on its way to or from a `timestamptz`. All time begins at '-infinity' and ends at 'infinity'.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Timestamptz(pub(super) EventTime);

impl Timestamptz {
    fn microseconds(self) -> Option<i64> {
        match self.0 {
            EventTime::MIN => Some(i64::MIN),
            EventTime::MAX => Some(i64::MAX),
            at => at.millis().checked_sub(YEAR_2000)?.checked_mul(1000),
        }
    }

    fn from_microseconds(microseconds: i64) -> Self {
        Timestamptz(match microseconds {
            i64::MIN => EventTime::MIN,
            i64::MAX => EventTime::MAX,
            at => EventTime::from_millis(at.div_euclid(1000) + YEAR_2000),
        })
    }
}

impl ToSql for Timestamptz {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let microseconds = self.microseconds().ok_or("a time beyond what timestamptz holds")?;
        out.extend_from_slice(&microseconds.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamptz {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Timestamptz::from_microseconds(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_read_back() {
        for at in [EventTime::MIN, EventTime::MAX, EventTime::LAST_VALID, EventTime::from_millis(1_760_882_400_251)] {
            let sent = Timestamptz(at).microseconds().unwrap();
            assert_eq!(Timestamptz::from_microseconds(sent), Timestamptz(at));
        }
        assert_eq!(Timestamptz(EventTime::from_millis(YEAR_2000 + 1)).microseconds(), Some(1000));
        assert_eq!(Timestamptz(EventTime::from_millis(i64::MAX - 1)).microseconds(), None);
    }
}
