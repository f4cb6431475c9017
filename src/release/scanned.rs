//! Whether images were scanned as a stage asks for. Pure.

use crate::config::Severity;
use crate::release::gate::{Unmet, unmet};
use crate::release::ledger::EntryScan;

/// The scans of an image that is to enter a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scans {
    /// It is scanned in this run, before any tag is set: the scanners, and the least severity
    /// that each fails on.
    Declared(Vec<(String, Severity)>),
    /// It passed these when it was made.
    Passed(Vec<EntryScan>),
}

impl Scans {
    /// How it is known that nothing of a severity or above is in an image; none where it is
    /// not.
    fn evidence(&self, wanted: Severity) -> Option<String> {
        match self {
            Self::Declared(scans) => {
                let scan = scans.iter().find(|(_, fails_on)| *fails_on <= wanted);
                scan.map(|(scanner, fails_on)| format!("{scanner} fails on {fails_on}"))
            }
            Self::Passed(scans) => scans.iter().find(|scan| scan.fails_on(wanted)).map(EntryScan::words),
        }
    }
}

/// Whether each image has a scan that fails on a severity, or on a lower one.
pub(super) fn gate(
    images: &[(String, Scans)],
    wanted: Severity,
    from: Option<&str>,
) -> Result<String, Unmet> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (name, scans) in images {
        match scans.evidence(wanted) {
            Some(evidence) => known.push(format!("{name}: {evidence}")),
            None => unknown.push(format!("`{name}`")),
        }
    }
    if !unknown.is_empty() {
        let why = format!(
            "no scan says of {} that nothing of severity {wanted} or worse is in it",
            unknown.join(", ")
        );
        let declare = format!("declare `scan \"trivy\" fail-on=\"{wanted}\"` in the image, and release it");
        let remedy = match from {
            Some(from) => format!("{declare} to `{from}` again"),
            None => declare,
        };
        return Err(unmet(why, remedy));
    }
    Ok(known.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(fail_on: &str) -> Scans {
        let counts = [("critical", 0), ("medium", 2)].map(|(word, count)| (word.to_owned(), count));
        Scans::Passed(vec![EntryScan {
            scanner: "trivy".to_owned(),
            version: Some("0.58.1".to_owned()),
            database: None,
            at: "2026-11-27T06:12:34.567Z".parse().unwrap(),
            fail_on: fail_on.to_owned(),
            counts: counts.into_iter().collect(),
            allowed: 1,
        }])
    }

    #[test]
    fn a_scan_that_fails_on_less_is_as_good() {
        let images = |fail_on| [("web".to_owned(), passed(fail_on))];
        let evidence =
            "web: trivy 0.58.1 failed on medium, and found 2 medium, and 1 allowed, at 2026-11-27T06:12:34Z";
        assert_eq!(gate(&images("medium"), Severity::High, Some("staging")), Ok(evidence.to_owned()));
        assert!(gate(&images("high"), Severity::High, None).is_ok());
        for other in ["critical", "", "very bad"] {
            let unmet = gate(&images(other), Severity::High, Some("staging")).unwrap_err();
            assert_eq!(unmet.why, "no scan says of `web` that nothing of severity high or worse is in it");
            let remedy =
                "declare `scan \"trivy\" fail-on=\"high\"` in the image, and release it to `staging` again";
            assert_eq!(unmet.remedy, remedy);
        }
    }

    #[test]
    fn every_image_has_to_be_scanned() {
        let declared = Scans::Declared(vec![("grype".to_owned(), Severity::Low)]);
        let images = [("web".to_owned(), declared), ("worker".to_owned(), Scans::Declared(Vec::new()))];
        let unmet = gate(&images, Severity::High, None).unwrap_err();
        assert_eq!(unmet.why, "no scan says of `worker` that nothing of severity high or worse is in it");
        assert_eq!(gate(&images[..1], Severity::High, None), Ok("web: grype fails on low".to_owned()));
    }
}
