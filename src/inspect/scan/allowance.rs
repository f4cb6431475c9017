//! Findings that are allowed for a time.

use jiff::civil::Date;

use crate::config::Scan;
use crate::diagnostic::{Code, Problem, Problems};

/// The allowances of a scan that ended before a day.
#[must_use]
pub fn expired(scan: &Scan, today: Date) -> Problems {
    let mut problems = Problems::new();
    problems.extend(scan.allow.iter().filter(|allowed| allowed.until.value < today).map(|allowed| {
        let title = format!("`{}` was allowed until {}", allowed.id.value, allowed.until.value);
        Problem::new(Code::AllowanceExpired, title)
            .label(allowed.until.span, "the last day on which it was")
            .help("mend it and remove the line; or say until when it is allowed now, and why")
            .note(format!("it was allowed because: {}", allowed.reason))
    }));
    problems
}
