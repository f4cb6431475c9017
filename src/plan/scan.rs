//! Steps that have an image scanned.

use crate::config::{Image, Scan};
use crate::plan::lower::{Lower, Made};
use crate::plan::unit::Job;
use crate::plan::{Action, CommandStep, Definition, Effect, StepIndex, Subject};

/// Has an image scanned, and judges what was found.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanStep {
    /// The step that made the image.
    pub image: StepIndex,
    /// The image's name.
    pub name: String,
    /// The scanner, and what it may find.
    pub scan: Scan,
    /// How it is started, for each platform; without commands, as hoist knows it.
    pub command: CommandStep,
}

impl Lower<'_> {
    pub(super) fn scan(&mut self, at: usize, image: &Image, number: usize) -> Made {
        let Some(scan) = image.scans.get(number) else {
            return Made::not_available("a scan that is not declared", image.name.span, Effect::Always);
        };
        // What knows of new weaknesses each day, and asks others for them, sees all that
        // its user does: a proxy, a token, a cache of its own.
        let command = self.callers_command(&image.name.value, &image.home, &scan.run);
        let mut definition = Definition::default();
        definition.text(Subject::Format, "scan 1");
        definition.text(Subject::Check("scanner".to_owned()), scan.scanner.value.clone());
        definition.text(Subject::Setting("fail-on".to_owned()), scan.fail_on.as_str());
        let step = ScanStep {
            image: self.place(at, Job::Index),
            name: image.name.value.clone(),
            scan: scan.clone(),
            command,
        };
        Made::new(Action::Scan(Box::new(step)), definition, Effect::Always)
    }
}
