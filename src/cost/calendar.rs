//! Days of the calendar, from and to numbers. The proleptic Gregorian calendar, no leap seconds.

/// The number of a day, 1970-01-01 being 0; `None` when there is no such day.
pub(super) fn days(year: i64, month: u8, day: u8) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) || !(-9999..=9999).contains(&year) {
        return None;
    }
    Some(from_civil(year, i64::from(month), i64::from(day)))
}

/// As if a year began with March, so that the leap day is its last.
fn from_civil(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leaps = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    // 719 468 days lie between March 1 of the year 0 and 1970.
    365 * year + leaps + of_year - 719_468
}

/// The year and the month of a day.
pub(super) fn month(days: i64) -> (i64, u8) {
    // Close from below, and the years that are left are few.
    let mut year = 1970 + days.div_euclid(366);
    if days < 0 {
        year -= 1;
    }
    while from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let mut month = 12;
    while month > 1 && from_civil(year, month, 1) > days {
        month -= 1;
    }
    (year, u8::try_from(month).unwrap_or(12))
}

/// The day with which the month of a day begins, and the one with which the next does.
pub(super) fn month_around(day: i64) -> (i64, i64) {
    let (year, month) = month(day);
    let month = i64::from(month);
    let next = if month == 12 {
        from_civil(year + 1, 1, 1)
    } else {
        from_civil(year, month + 1, 1)
    };
    (from_civil(year, month, 1), next)
}

/// The Monday with which the week of a day begins.
pub(super) fn week_of(day: i64) -> i64 {
    // 1970-01-01 was a Thursday.
    day - (day + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_of_eight_centuries_follows_the_one_before() {
        let mut expected = days(1600, 1, 1).expect("a day");
        for year in 1600..2400 {
            for month in 1..=12 {
                let first = expected;
                for day in 1..=31 {
                    let Some(found) = days(year, month, day) else {
                        assert!(day > 28);
                        continue;
                    };
                    assert_eq!(found, expected, "{year}-{month}-{day}");
                    assert_eq!(super::month(found), (year, month));
                    expected += 1;
                }
                assert_eq!(month_around(first + 5), (first, expected));
            }
        }
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(2000, 2, 30), None);
        assert_eq!(days(1900, 2, 29), None);
        assert_eq!(days(2000, 13, 1), None);
    }

    #[test]
    fn weeks_begin_on_monday() {
        // 2026-11-23 is a Monday.
        let monday = days(2026, 11, 23).expect("a day");
        for day in monday..monday + 7 {
            assert_eq!(week_of(day), monday);
        }
        assert_eq!(week_of(monday - 1), monday - 7);
        assert_eq!(week_of(-4), -10);
    }
}
