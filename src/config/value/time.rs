//! Formats of dates, and requirements on versions.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use semver::VersionReq;

/// Whether a text is a strftime format that can be filled in.
///
/// # Errors
/// Why it is none.
pub(crate) fn date_format(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let sample = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
    strtime::format(text, &sample).map(|_| ()).map_err(|error| {
        let why = error.to_string();
        why.rsplit(": ").next().unwrap_or(&why).to_owned()
    })
}

/// A requirement on a version: `>=0.2`, `0.2`, `>=0.2, <0.5`.
///
/// # Errors
/// Why it is none.
pub(crate) fn requirement(text: &str) -> Result<VersionReq, String> {
    VersionReq::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_dates_are_tried_out() {
        assert_eq!(date_format("%Y%m%d"), Ok(()));
        assert!(date_format("%Y%!").is_err());
        assert!(date_format("").is_err());
    }
}
