//! The place where a step makes its outputs.

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use crate::cache::{self, Standing};
use crate::diagnostic::Problems;
use crate::plan::{CommandStep, Definition, Step, Subject};
use crate::run::Request;
use crate::run::claim::Claim;
use crate::run::parents::make_parents;
use crate::run::teller::{Teller, Told};

/// The place where a step makes its outputs, which each attempt finds as the first
/// one did.
pub(super) struct Room<'a> {
    request: &'a Request,
    step: &'a Step,
    command: &'a CommandStep,
    /// The files that it reads.
    inputs: HashSet<PathBuf>,
    /// What lay there and stays, once room was made.
    standing: &'a mut Option<Standing>,
    claim: Option<&'a Claim>,
}

impl<'a> Room<'a> {
    /// That of a step with this definition, under this claim. `standing` is where it is
    /// put down what stays there.
    pub(super) fn new(
        request: &'a Request,
        (step, command): (&'a Step, &'a CommandStep),
        definition: &Definition,
        claim: Option<&'a Claim>,
        standing: &'a mut Option<Standing>,
    ) -> Self {
        let parts = definition.parts.iter().filter(|_| !command.outputs.is_empty());
        let inputs = parts.filter_map(|part| match &part.subject {
            Subject::Input(path) => Some(path.as_path().to_owned()),
            _ => None,
        });
        Self { request, step, command, inputs: inputs.collect(), standing, claim }
    }

    /// What the commands are to inherit that make the outputs.
    pub(super) fn claim(&self) -> Option<BorrowedFd<'_>> {
        self.claim?.handed_on()
    }

    /// Takes away what lies where the step makes its outputs, and makes the
    /// directories above.
    pub(super) async fn make(&mut self, teller: &Teller) -> Result<(), Problems> {
        let patterns = &self.command.outputs;
        if patterns.is_empty() {
            return Ok(());
        }
        let inputs = self.inputs.iter().map(PathBuf::as_path).collect::<HashSet<&Path>>();
        let step = (&self.step.id, self.step.effect);
        let cache::Room { standing, moved } =
            self.request.cache.clear(step, patterns, &inputs, self.standing.as_ref())?;
        *self.standing = Some(standing);
        if let Some(to) = moved {
            let text = format!(
                "what lay where it makes its outputs, and it did not make, is in `{}` now",
                to.display()
            );
            teller.tell(Told::Notice(text)).await;
        }
        make_parents(&self.request.root, patterns).map_err(Problems::from)
    }
}
