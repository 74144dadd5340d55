//! `strftime_now(format)`: templates write today's date into the system turn. The engine has no clock, so who renders says what time it
//! is.
//!
//! Days to dates: Howard Hinnant's `civil_from_days`, years that begin in March, so that the leap day is a year's last.

/// A moment and a place's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub unix_seconds: i64,
    /// What the local clock is ahead of UTC, in minutes.
    pub offset_minutes: i32,
}

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl Clock {
    /// The local time in Python's `strftime` format. Codes that are not known stay as they are.
    pub(super) fn format(&self, format: &str) -> String {
        let local = self.unix_seconds.saturating_add(i64::from(self.offset_minutes) * 60);
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400));
        let (year, month, day) = date(days);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let hour12 = (hour + 11) % 12 + 1;
        let day_name = DAYS[(days + 3).rem_euclid(7) as usize];
        let month_name = MONTHS[month as usize - 1];
        let year_day = days - days_to(year) + 1;
        let offset = self.offset_minutes.unsigned_abs();
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };

        let mut text = String::new();
        let mut chars = format.chars();
        while let Some(char) = chars.next() {
            if char != '%' {
                text.push(char);
                continue;
            }
            let mut code = chars.next();
            // `%-d`: without the padding zero.
            let bare = code == Some('-');
            if bare {
                code = chars.next();
            }
            let number = |number: i64, width: usize| format!("{number:0width$}", width = if bare { 1 } else { width });
            text += &match code {
                Some('Y') => number(year, 4),
                Some('y') => number(year.rem_euclid(100), 2),
                Some('m') => number(month, 2),
                Some('d') => number(day, 2),
                Some('e') => format!("{day:2}"),
                Some('j') => number(year_day, 3),
                Some('H') => number(hour, 2),
                Some('I') => number(hour12, 2),
                Some('M') => number(minute, 2),
                Some('S') => number(second, 2),
                Some('p') => if hour < 12 { "AM" } else { "PM" }.into(),
                Some('A') => day_name.into(),
                Some('a') => day_name[..3].into(),
                Some('w') => number((days + 4).rem_euclid(7), 1),
                Some('u') => number((days + 3).rem_euclid(7) + 1, 1),
                Some('B') => month_name.into(),
                Some('b' | 'h') => month_name[..3].into(),
                Some('z') => format!("{sign}{:02}{:02}", offset / 60, offset % 60),
                Some('s') => self.unix_seconds.to_string(),
                Some('F') => format!("{year:04}-{month:02}-{day:02}"),
                Some('D') => format!("{month:02}/{day:02}/{:02}", year.rem_euclid(100)),
                Some('T') => format!("{hour:02}:{minute:02}:{second:02}"),
                Some('R') => format!("{hour:02}:{minute:02}"),
                Some('%') => "%".into(),
                Some(other) => format!("%{other}"),
                None => "%".into(),
            };
        }
        text
    }
}

/// Year, month from 1 and day from 1 of the day `days` after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days from 1970-01-01 to the year's first.
fn days_to(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(unix_seconds: i64, offset_minutes: i32, format: &str) -> String {
        Clock { unix_seconds, offset_minutes }.format(format)
    }

    /// Against Python: `datetime.fromtimestamp(s, timezone(timedelta(minutes=o))).strftime(f)`.
    #[test]
    fn dates_are_pythons() {
        assert_eq!(format(1_709_164_800, 0, "%d %b %Y, %A %j"), "29 Feb 2024, Thursday 060");
        assert_eq!(format(1_709_164_800, -90, "%Y-%m-%d %H:%M:%S %z"), "2024-02-28 22:30:00 -0130");
        assert_eq!(format(951_782_399, 480, "%-d/%-m/%y %I:%M %p %B"), "29/2/00 07:59 AM February");
        assert_eq!(format(-1, 0, "%F %T %a %w %u"), "1969-12-31 23:59:59 Wed 3 3");
        assert_eq!(format(4_102_444_800, 0, "%D %R %j %e"), "01/01/00 00:00 001  1");
        assert_eq!(format(0, 0, "100%% %Q %"), "100% %Q %");
        assert_eq!(format(i64::MAX, i32::MAX, "%%"), "%");
    }
}
