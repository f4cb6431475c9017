//! What scans found in the images of a run.

use std::sync::Arc;

use jiff::Timestamp;

use crate::plan::{EnterStep, ScanStep, StepIndex};
use crate::release::{EntryImage, EntryScan};
use crate::run::ScanFigures;
use crate::run::image::Images;
use crate::run::mask::Secrets;

impl Images {
    /// What must not be seen.
    pub(in crate::run) const fn secrets(&self) -> &Arc<Secrets> {
        &self.secrets
    }

    /// Keeps in mind what a scan found.
    pub(in crate::run) fn note_scan(&self, scan: &ScanStep, at: Timestamp, figures: ScanFigures) {
        if let Ok(mut scanned) = self.scanned.lock() {
            scanned.push((scan.image, at, figures));
        }
    }

    /// What a scan found, if it came to that.
    pub(in crate::run) fn scan_of(&self, scan: &ScanStep) -> Option<ScanFigures> {
        let mut all = self.scans_of(scan.image).into_iter().map(|(_, figures)| figures);
        all.rfind(|figures| figures.scanner == scan.scan.scanner.value)
    }

    /// What the scans of an image found so far, and when.
    fn scans_of(&self, image: StepIndex) -> Vec<(Timestamp, ScanFigures)> {
        let Ok(scanned) = self.scanned.lock() else { return Vec::new() };
        scanned.iter().filter(|(of, ..)| *of == image).map(|(_, at, one)| (*at, one.clone())).collect()
    }

    /// Images of a stage with the scans that they passed: in this run, or when they were
    /// made.
    pub(in crate::run) fn with_scans(&self, step: &EnterStep, images: Vec<EntryImage>) -> Vec<EntryImage> {
        let scanned = |mut entry: EntryImage| {
            let made = step.images.iter().find(|image| image.name == entry.name);
            let now = made.map(|image| self.scans_of(image.image)).unwrap_or_default();
            entry.scans = match &self.entrance {
                Some(entrance) if now.is_empty() => entrance.scans_of(&step.stage, &entry.name),
                _ => now.into_iter().filter(|(_, figures)| figures.passed).map(entry_scan).collect(),
            };
            entry
        };
        images.into_iter().map(scanned).collect()
    }
}

/// A scan of this run, as an entry keeps it.
fn entry_scan((at, figures): (Timestamp, ScanFigures)) -> EntryScan {
    let ScanFigures { scanner, version, database, fail_on, counts, allowed, .. } = figures;
    let counts = counts.named().map(|(word, count)| (word.to_owned(), count)).into_iter().collect();
    EntryScan { scanner, version, database, at, fail_on, counts, allowed }
}
