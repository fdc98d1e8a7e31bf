//! Dates in every notation of the real files, and in the ones RDF uses.

/// A day, a month or a year. Years before Christ are negative as written: −63 is 63 BC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year; negative before Christ.
    pub year: i32,
    /// The month, 1 to 12, if known.
    pub month: Option<u8>,
    /// The day, 1 to 31, if known; never without a month.
    pub day: Option<u8>,
}

impl Date {
    /// The date as years with a fraction, the middle of what is not known: for comparing dates of different precision.
    pub fn years(&self) -> f64 {
        let Some(month) = self.month else { return f64::from(self.year) + 0.5 };
        let day = self.day.map_or(15.5, f64::from);
        f64::from(self.year) + (f64::from(month) - 1.0 + (day - 0.5) / 31.0) / 12.0
    }
}

/// What `1949.0` means where months are written as year + month/12: FB15K adds 12/12 for December, and adds nothing where
/// the source knew only the year, so the two look the same. In a column of dates that are known to the month, about one in
/// twelve is whole (birth dates: 415 of 4,428); where years are the rule, most are (founding dates: 868 of 1,237).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeYears {
    /// December of the year before.
    December,
    /// The year and nothing more.
    YearOnly,
}

/// Counts, for one attribute, how many decimal dates carry a month.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Months {
    whole: usize,
    with_month: usize,
}

impl Months {
    pub(super) fn add(&mut self, text: &str) {
        match text.trim().split_once('.').map(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0')) {
            Some(true) => self.whole += 1,
            Some(false) => self.with_month += 1,
            None => {}
        }
    }

    /// December is expected once for every eleven other months; twice that is still December.
    pub(super) fn whole_years(self) -> WholeYears {
        if self.whole * 11 <= 2 * self.with_month { WholeYears::December } else { WholeYears::YearOnly }
    }
}

/// Whether a datatype (its last word) is one of dates.
pub(super) fn is_datatype(datatype: &str) -> bool {
    matches!(datatype, "date" | "dateTime" | "dateTimeStamp" | "gYear" | "gYearMonth")
}

/// Whether a word anywhere in a name announces a date.
pub(super) fn is_word(word: &str) -> bool {
    const WORDS: [&str; 16] = [
        "date",
        "year",
        "founded",
        "established",
        "introduced",
        "dissolved",
        "discontinued",
        "disbanded",
        "born",
        "died",
        "began",
        "ended",
        "ruled",
        "ceased",
        "released",
        "discovered",
    ];
    WORDS.contains(&word)
}

/// Whether a word at the end of a name announces a date.
pub(super) fn is_last_word(word: &str) -> bool {
    const WORDS: [&str; 14] = [
        "start",
        "end",
        "started",
        "from",
        "to",
        "opened",
        "closed",
        "built",
        "created",
        "birth",
        "death",
        "formed",
        "inception",
        "approximately",
    ];
    WORDS.contains(&word)
}

/// Whether a name counts something, so that a date word in it means no date (`number of days in month`).
pub(super) fn counts(words: &str) -> bool {
    const WORDS: [&str; 9] = ["number", "count", "age", "duration", "ranking", "population", "id", "per", "offset"];
    let is_date = words.split(' ').any(|word| word == "date" || word == "year");
    !is_date && words.split(' ').any(|word| WORDS.contains(&word))
}

/// Reads a date in any notation: with dashes, decimal, or a year alone.
pub(super) fn parse(text: &str, whole_years: WholeYears) -> Option<Date> {
    if text.len() > 64 || !text.is_ascii() {
        return None;
    }
    let (text, before_christ) = without_era(text);
    let date = dashed(text).or_else(|| decimal(text, whole_years)).or_else(|| year(text).map(year_only))?;
    Some(if before_christ { Date { year: -date.year.abs(), ..date } } else { date })
}

/// Reads only what can be nothing but a date: year, month and day, with a year of four digits.
pub(super) fn parse_full(text: &str) -> Option<Date> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let four = digits.len() >= 8 && text.is_ascii() && digits.find('-') == Some(4);
    four.then(|| dashed(text)).flatten().filter(|date| date.day.is_some())
}

/// A trailing `BC` or `BCE`, or `AD` or `CE`.
fn without_era(text: &str) -> (&str, bool) {
    for (era, before) in [(" BCE", true), (" BC", true), (" CE", false), (" AD", false)] {
        if let Some(rest) = text.strip_suffix(era) {
            return (rest.trim_end(), before);
        }
    }
    (text, false)
}

/// `1946-03-12`, `1967-8-9`, `-63-0-0`, `1786-##-##`, `1786-##`, `1998-01`, `2001-10-26T21:32:52+02:00`, `2001-10-26Z`.
/// A part that is 0 or `##` is not known.
fn dashed(text: &str) -> Option<Date> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let digits = digits.split_once('T').map_or(digits, |(day, _)| day);
    let digits = digits.trim_end_matches('Z');
    let digits = digits.split_once('+').map_or(digits, |(day, _)| day);
    let mut parts = digits.split('-');
    let year = sign * unsigned(parts.next()?)?;
    let month = part(parts.next()?, 12)?;
    let day = parts.next().map_or(Some(0), |day| part(day, 31))?;
    // A fourth part can only be a time zone west of Greenwich (`2001-10-26-05:00`).
    let zone = parts.next();
    if zone.is_some_and(|zone| !zone.contains(':')) || parts.next().is_some() {
        return None;
    }
    (day <= longest(month)).then(|| date(year, month, day))
}

/// A date of which a month or day of 0 is not known; a day without a month is not kept.
fn date(year: i32, month: u8, day: u8) -> Date {
    Date { year, month: (month > 0).then_some(month), day: (month > 0 && day > 0).then_some(day) }
}

/// Days of a month, in a leap year.
fn longest(month: u8) -> u8 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn unsigned(text: &str) -> Option<i32> {
    let digits = !text.is_empty() && text.len() <= 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A month or day: 0 if the text says that it is not known, none if it is malformed.
fn part(text: &str, most: u8) -> Option<u8> {
    if !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte == b'#') {
        return Some(0);
    }
    let number = unsigned(text).filter(|_| text.len() <= 2)?;
    u8::try_from(number).ok().filter(|&number| number <= most)
}

/// `1973.0125` (four decimals: month and day) or year + month/12 (`1948.75` is September 1948).
fn decimal(text: &str, whole_years: WholeYears) -> Option<Date> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.')?;
    let year = unsigned(whole)?;
    if fraction.is_empty() || fraction.len() > 17 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if fraction.len() == 4 {
        let (month, day) = (part(&fraction[..2], 12), part(&fraction[2..], 31));
        if let (Some(month), Some(day)) = (month, day) {
            return plausible(date(sign * year, month, day));
        }
    }
    plausible(from_twelfths(sign * year, format!("0.{fraction}").parse().ok()?, sign, whole_years)?)
}

/// Year + month/12, month 12 being the whole of the next year.
fn from_twelfths(year: i32, fraction: f64, sign: i32, whole_years: WholeYears) -> Option<Date> {
    let twelfths = fraction * 12.0;
    let month = twelfths.round();
    if (twelfths - month).abs() > 0.01 {
        return None;
    }
    let month = if sign < 0 { (12 - month as i32) % 12 } else { month as i32 };
    match (month, whole_years) {
        (0, WholeYears::YearOnly) => Some(year_only(year)),
        (0, WholeYears::December) => Some(Date { year: year - 1, month: Some(12), day: None }),
        _ => Some(Date { year: if sign < 0 { year - 1 } else { year }, month: Some(month as u8), day: None }),
    }
}

fn year_only(year: i32) -> Date {
    Date { year, month: None, day: None }
}

/// A bare year; more than four digits are no year.
fn year(text: &str) -> Option<i32> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let year = unsigned(digits)?;
    (year <= 9999).then_some(sign * year)
}

/// A decimal that is no year of history is a number after all.
fn plausible(date: Date) -> Option<Date> {
    (-9999..=9999).contains(&date.year).then_some(date)
}
